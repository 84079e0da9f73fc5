"""Finite elements of a round particle with voids on its axis, to test the voxels against.

Quadratic triangles in the half plane of radius and height, one quarter of the particle: the voids
above the middle plane are mirrored below it. The steady lithium profile and the stress are those
of ``oxytomo.mechanics``, with E / (1 − ν) = 1 and lengths in units of the radius.
"""

from collections.abc import Sequence

import numpy as np
import skfem
from scipy.spatial import Delaunay, KDTree

GROWTH = 0.25
"""Growth of the edges of triangles with the distance from a void."""
LARGEST = 0.06
Circle = tuple[float, float]
"""Height of the centre on the axis, and radius."""


def _gap(points: np.ndarray, voids: Sequence[Circle]) -> np.ndarray:
    """Return the distance of points (radius, height) from the nearest void."""
    return np.min([np.hypot(points[:, 0], points[:, 1] - at) - size for at, size in voids], axis=0)


def _line(start: np.ndarray, end: np.ndarray, edge: float, voids: Sequence[Circle]) -> list[np.ndarray]:
    """Return points on a straight line, denser beside the voids."""
    length, at, found = float(np.linalg.norm(end - start)), 0.0, [start]
    while True:
        here = start + (end - start) * at / length
        at += min(LARGEST, edge + GROWTH * max(0.0, float(_gap(here[None], voids)[0])))
        if at > length - 0.5 * edge:
            return [*found, end]
        found.append(start + (end - start) * at / length)


def _border(voids: Sequence[Circle], edge: float) -> np.ndarray:
    """Return points on the outer circle, the voids, the axis and the middle plane."""
    points: list[np.ndarray] = []
    angle = np.linspace(0, np.pi / 2, int(np.pi / 2 / LARGEST) + 2)
    points += list(np.stack([np.cos(angle), np.sin(angle)], 1))
    ends = [0.0]
    for at, size in sorted(voids):
        span = np.linspace(-np.pi / 2 if at else 0.0, np.pi / 2, int(np.pi * size / edge) + 8)
        points += list(np.stack([size * np.cos(span), at + size * np.sin(span)], 1))
        ends += [at - size, at + size] if at else [size]
    ends = ends[1:] if voids[0][0] == 0 or min(one[0] for one in voids) == 0 else ends
    for low, high in zip(ends[::2], [*ends[1::2], 1.0], strict=False):
        points += _line(np.array((0.0, low)), np.array((0.0, high)), edge, voids)
    core = max(size for at, size in voids if at == 0)
    points += _line(np.array((core, 0.0)), np.array((1.0, 0.0)), edge, voids)
    found = np.array(points)
    found[np.abs(found) < 1e-12] = 0.0
    return np.unique(np.round(found, 10), axis=0)


def _mesh(voids: Sequence[Circle], edge: float) -> skfem.MeshTri:
    border = _border(voids, edge)
    inner, size = [], edge
    while size < 2 * LARGEST:
        rows = np.arange(0, 1.0, size * np.sqrt(0.75))
        grid = np.concatenate(
            [
                np.stack(
                    [np.arange(0.5 * (n % 2), 1 / size) * size, 0 * np.arange(0.5 * (n % 2), 1 / size) + z], 1
                )
                for n, z in enumerate(rows)
            ]
        )
        gap = _gap(grid, voids)
        wanted = np.minimum(edge + GROWTH * np.maximum(gap, 0), LARGEST)
        near = KDTree(border).query(grid)[0]
        keep = (gap > 0.6 * size) & (wanted >= size) & (wanted < 2 * size) & (near > 0.6 * size)
        keep &= (np.hypot(*grid.T) < 1 - 0.6 * size) & (grid.min(1) > 0.4 * size)
        inner.append(grid[keep])
        size *= 2
    points = np.concatenate([border, *inner])
    triangles = Delaunay(points).simplices
    middle = points[triangles].mean(1)
    a, b, c = (points[triangles[:, n]] for n in range(3))
    area = np.abs(np.cross(b - a, c - a)) / 2
    kept = (_gap(middle, voids) > 0) & (area > 1e-3 * edge**2)
    return skfem.MeshTri(points.T.copy(), triangles[kept].T.copy())
