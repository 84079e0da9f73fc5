"""Finite elements of a sphere with voids on its axis, to test the voxels against.

Quadratic triangles in the half plane of radius and height. The middle plane is a mirror: voids
above it are repeated below. The steady lithium profile and the stress are those of
``oxytomo.mechanics``, with E / (1 − ν) = 1 and lengths in units of the radius of the sphere.
"""

from dataclasses import dataclass

import numpy as np
import skfem
from scipy.interpolate import LinearNDInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay, KDTree
from skfem.helpers import dot, grad

GROWTH = 0.25
"""Growth of the edges of triangles with the distance from a void."""
LARGEST = 0.07


@dataclass(frozen=True)
class Voids:
    """Radius of the void in the middle, and height and radius of the pore above it."""

    middle: float
    height: float
    pore: float

    def gap(self, points: np.ndarray) -> np.ndarray:
        """Return the distance of points (radius, height) from the nearest void."""
        inner = np.hypot(points[:, 0], points[:, 1]) - self.middle
        found: np.ndarray = np.minimum(inner, np.hypot(points[:, 0], points[:, 1] - self.height) - self.pore)
        return found


def _line(start: tuple[float, float], end: tuple[float, float], edge: float, voids: Voids) -> np.ndarray:
    """Return points on a straight line, denser beside the voids."""
    first, last = np.array(start), np.array(end)
    length, at = float(np.linalg.norm(last - first)), [0.0]
    while at[-1] < length:
        here = first + (last - first) * at[-1] / length
        at.append(at[-1] + min(LARGEST, edge + GROWTH * max(0.0, float(voids.gap(here[None])[0]))))
    return first + np.array(at)[:, None] / at[-1] * (last - first)


def _arc(height: float, radius: float, low: float, edge: float) -> np.ndarray:
    angle = np.linspace(low, np.pi / 2, int((np.pi / 2 - low) * radius / edge) + 4)
    return np.stack([radius * np.cos(angle), height + radius * np.sin(angle)], 1)


def _mesh(voids: Voids, edge: float) -> skfem.MeshTri:
    top = voids.height + voids.pore
    border = np.concatenate(
        [
            _arc(0.0, 1.0, 0.0, LARGEST),
            _arc(0.0, voids.middle, 0.0, edge),
            _arc(voids.height, voids.pore, -np.pi / 2, edge),
            _line((0.0, voids.middle), (0.0, voids.height - voids.pore), edge, voids),
            _line((0.0, top), (0.0, 1.0), edge, voids),
            _line((voids.middle, 0.0), (1.0, 0.0), edge, voids),
        ]
    )
    border = np.unique(np.round(np.where(np.abs(border) < 1e-9, 0.0, border), 9), axis=0)
    near, sets, size = KDTree(border), [border], edge
    while size < 2 * LARGEST:
        r, z = np.meshgrid(np.arange(0, 1, size), np.arange(0, 1, size * np.sqrt(0.75)))
        r = r + 0.5 * size * (np.arange(len(r)) % 2)[:, None]
        grid = np.stack([r.ravel(), z.ravel()], 1)
        gap = voids.gap(grid)
        wanted = np.minimum(edge + GROWTH * np.maximum(gap, 0), LARGEST)
        kept = (gap > 0.5 * size) & (wanted >= size) & (wanted < 2 * size)
        kept &= (np.hypot(*grid.T) < 1 - 0.5 * size) & (near.query(grid)[0] > 0.6 * size)
        sets.append(grid[kept])
        size *= 2
    points = np.concatenate(sets)
    triangles = Delaunay(points).simplices
    a, b, c = (points[triangles[:, n]] for n in range(3))
    area = 0.5 * np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    inside = (voids.gap((a + b + c) / 3) > 0) & (area > 1e-4 * edge**2)
    used, triangles = np.unique(triangles[inside], return_inverse=True)
    return skfem.MeshTri(points[used].T.copy(), triangles.reshape(-1, 3).T.copy())


@skfem.BilinearForm
def _mass(u, v, w):  # type: ignore[no-untyped-def]
    return u * v * w.x[0]


@skfem.BilinearForm
def _diffusion(u, v, w):  # type: ignore[no-untyped-def]
    return dot(grad(u), grad(v)) * w.x[0]


def _steady(basis: skfem.Basis) -> np.ndarray:
    """Return u of ∇²u = 1 with an even flux through the outer surface and a mean of 0."""
    mass = _mass.assemble(basis)
    ones = np.ones(basis.N)
    rim = basis.mesh.facets_satisfying(lambda x: np.hypot(x[0], x[1]) > 0.99, boundaries_only=True)
    area = skfem.LinearForm(lambda v, w: v * w.x[0]).assemble(
        skfem.FacetBasis(basis.mesh, basis.elem, facets=rim)
    )
    volume = float(ones @ mass @ ones)
    right = area * volume / area.sum() - mass @ ones
    # A little mass makes the matrix regular; the right-hand side has no mean, nor has the solution.
    u = splu((_diffusion.assemble(basis) + 1e-9 * mass).tocsc()).solve(right)
    return u - float(ones @ mass @ u) / volume


def first_principal(voids: Voids, *, poisson: float, edge: float) -> LinearNDInterpolator:
    """Return the first principal stress over radius and height, as a shape factor."""
    mesh = _mesh(voids, edge)
    vectors = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()), intorder=6)
    numbers = vectors.with_element(skfem.ElementTriP2())
    mu = 0.5 * (1 - poisson) / (1 + poisson)
    lam = 2 * mu * poisson / (1 - 2 * poisson)
    bulk = 3 * lam + 2 * mu

    def strain(u, w):  # type: ignore[no-untyped-def]
        g = grad(u)
        return g[0, 0], g[1, 1], u[0] / np.maximum(w.x[0], 1e-12), 0.5 * (g[0, 1] + g[1, 0])

    @skfem.BilinearForm
    def stiffness(u, v, w):  # type: ignore[no-untyped-def]
        e, q = strain(u, w), strain(v, w)
        work = e[0] * q[0] + e[1] * q[1] + e[2] * q[2] + 2 * e[3] * q[3]
        return (lam * sum(e[:3]) * sum(q[:3]) + 2 * mu * work) * w.x[0]

    @skfem.LinearForm
    def swelling(v, w):  # type: ignore[no-untyped-def]
        return bulk * w.free * sum(strain(v, w)[:3]) * w.x[0]

    free = numbers.interpolate(_steady(numbers))
    held = [
        *vectors.get_dofs(lambda x: np.abs(x[0]) < 1e-9).all(["u^1"]),
        *vectors.get_dofs(lambda x: np.abs(x[1]) < 1e-9).all(["u^2"]),
    ]
    system = skfem.condense(
        stiffness.assemble(vectors), swelling.assemble(vectors, free=free), D=np.array(held)
    )
    moved = vectors.interpolate(skfem.solve(*system))
    at = vectors.global_coordinates()
    g, r = np.asarray(moved.grad), np.asarray(at)[0]
    parts = g[0, 0], g[1, 1], np.asarray(moved)[0] / r
    rr, zz, tt = (lam * sum(parts) + 2 * mu * one - bulk * np.asarray(free) for one in parts)
    rz = mu * (g[0, 1] + g[1, 0])
    largest = np.maximum((rr + zz) / 2 + np.hypot((rr - zz) / 2, rz), tt)
    return LinearNDInterpolator(np.asarray(at).reshape(2, -1).T, largest.ravel())
