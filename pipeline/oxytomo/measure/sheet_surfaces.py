"""The middle surface of a crack as triangles, from its ridge voxels.

A crack thinner than a voxel has no interior whose surface could be drawn. Each ridge voxel gives a
plane instead. The surface is where the mean height above these planes, with Gaussian weights of the
distance, is zero (implicit moving least squares: Kolluri 2005, after Hoppe et al. 1992, whose
spanning tree orients the normals to one side).
"""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray

WIDTH_PX = 1.0
"""Standard deviation of the weights; the noise of the planes is averaged over about 4π WIDTH_PX²
voxels."""
REACH_PX = 3
"""Ridge voxels further away have no weight."""
NEIGHBOUR_PX = 2.0
"""Ridge voxels of one sheet that are nearer than this have the same orientation."""
LEAST_SHARE = 0.15
"""Where the weight is a smaller share of that of a whole plane, nothing is drawn."""
BLOCK_PX = 96
"""A sheet is processed in blocks of this edge."""

RIM_SHARE = 0.5
"""Half the weight of a whole plane: the rim of a plane is there."""


@dataclass(frozen=True)
class SheetSurface:
    """Triangles of the middle surface of one sheet.

    Attributes
    ----------
    vertices : (n, 3) float64, z y x in voxels; whole numbers are voxel centres
    faces : (m, 3) int64, rows of ``vertices``; where two blocks meet, vertices are duplicated
    aperture_px : (n,) float32, local aperture
    share : (n,) float32, weight at the vertex / that of a whole plane; the sheet ends at RIM_SHARE
    """

    vertices: Float64Array
    faces: IntArray
    aperture_px: FloatArray
    share: FloatArray


def sheet_surface(
    index: IntArray, normal: FloatArray, area_px: FloatArray, aperture_px: FloatArray
) -> SheetSurface | None:
    """Draw one sheet; None where it is too small for a triangle.

    Parameters
    ----------
    index, normal, area_px, aperture_px : ridge voxels of the sheet, see
        :class:`oxytomo.segment.sheets.Sheets`

    Notes
    -----
    Where sheets branch, or a sheet folds back within three voxels, heights above different planes
    are averaged and the surface has holes.
    """
    place = index + normal[:, :3] * normal[:, 3:]
    upward = _one_sided(place, normal[:, :3])
    low = np.floor(place.min(axis=0)).astype(np.int64) - 2
    high = np.ceil(place.max(axis=0)).astype(np.int64) + 2
    parts = []
    for corner in np.ndindex(*(-(-(high - low) // BLOCK_PX))):
        start = low + BLOCK_PX * np.array(corner)
        end = np.minimum(start + BLOCK_PX, high)
        near = ((place > start - REACH_PX) & (place < end + REACH_PX)).all(axis=1)
        if near.any():
            part = _drawn(place[near], upward[near], area_px[near], aperture_px[near], start, end)
            parts += [part] if part is not None else []
    if not parts:
        return None
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    return SheetSurface(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.aperture_px for part in parts]),
        np.concatenate([part.share for part in parts]),
    )


def _drawn(
    place: Float64Array,
    normal: FloatArray,
    area: FloatArray,
    aperture: FloatArray,
    start: IntArray,
    end: IntArray,
) -> SheetSurface | None:
    """Draw the line between the voxels ``start`` and ``end``."""
    shape = tuple(int(n) for n in end - start + 1)
    weight, height, mean_aperture = _heights(place - start, normal, area, aperture, shape)
    plane = 2 * np.pi * WIDTH_PX**2 * np.exp(-(height**2) / (2 * WIDTH_PX**2))
    share = (weight / plane).astype(np.float32)
    known = (share > LEAST_SHARE) & (np.abs(height) < 2.0)
    cells = _whole_cells(known)
    if not cells.any() or not height[known].min() < 0 < height[known].max():
        return None
    try:
        vertices, faces, _, _ = marching_cubes(height, 0.0, mask=cells, allow_degenerate=False)
    except RuntimeError:  # no cell contains a zero
        return None
    at = vertices.T
    return SheetSurface(
        vertices.astype(np.float64) + start,
        faces.astype(np.int64),
        map_coordinates(mean_aperture, at, order=1),
        map_coordinates(share, at, order=1),
    )


def _one_sided(place: Float64Array, normal: FloatArray) -> FloatArray:
    """Return normals oriented to one side of the sheet, along a tree that avoids sharp bends."""
    n = len(place)
    pairs = cKDTree(place).query_pairs(NEIGHBOUR_PX, output_type="ndarray")
    cosine = np.einsum("ij,ij->i", normal[pairs[:, 0]], normal[pairs[:, 1]])
    cost = 1.001 - np.abs(cosine)
    tree = minimum_spanning_tree(coo_array((cost, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr())
    sign = np.ones(n, np.float32)
    for first in np.unique(connected_components(tree, directed=False)[1], return_index=True)[1]:
        order, before = breadth_first_order(tree, first, directed=False)
        _spread_sign(order, before, normal, sign)
    return normal * sign[:, None]


@numba.njit(cache=True)
def _spread_sign(order: IntArray, before: IntArray, normal: FloatArray, sign: FloatArray) -> None:
    for row in order[1:]:
        parent = before[row]
        same = 0.0
        for axis in range(3):
            same += normal[row, axis] * normal[parent, axis]
        sign[row] = sign[parent] if same >= 0 else -sign[parent]


@numba.njit(cache=True)
def _heights(
    place: Float64Array,
    normal: FloatArray,
    area: FloatArray,
    aperture: FloatArray,
    shape: tuple[int, int, int],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the sum of weights, and the weighted means of height and aperture."""
    weight = np.zeros(shape, np.float32)
    height = np.zeros(shape, np.float32)
    mean = np.zeros(shape, np.float32)
    n_z, n_y, n_x = shape
    for i in range(place.shape[0]):
        z, y, x = place[i]
        low = (int(np.ceil(z - REACH_PX)), int(np.ceil(y - REACH_PX)), int(np.ceil(x - REACH_PX)))
        for a in range(max(low[0], 0), min(low[0] + 2 * REACH_PX + 1, n_z)):
            for b in range(max(low[1], 0), min(low[1] + 2 * REACH_PX + 1, n_y)):
                for c in range(max(low[2], 0), min(low[2] + 2 * REACH_PX + 1, n_x)):
                    dz, dy, dx = a - z, b - y, c - x
                    square = dz * dz + dy * dy + dx * dx
                    if square > REACH_PX * REACH_PX:
                        continue
                    w = area[i] * np.exp(-square / (2 * WIDTH_PX * WIDTH_PX))
                    weight[a, b, c] += w
                    height[a, b, c] += w * (dz * normal[i, 0] + dy * normal[i, 1] + dx * normal[i, 2])
                    mean[a, b, c] += w * aperture[i]
    for a in range(n_z):
        for b in range(n_y):
            for c in range(n_x):
                if weight[a, b, c] > 0:
                    height[a, b, c] /= weight[a, b, c]
                    mean[a, b, c] /= weight[a, b, c]
                else:
                    height[a, b, c] = np.float32(9.0)
    return weight, height, mean


def _whole_cells(known: BoolArray) -> BoolArray:
    """Mark the cells whose eight corners are known, at the last corner (marching cubes)."""
    whole = known.copy()
    for axis in range(3):
        shifted = np.zeros_like(whole)
        after, before = [slice(None)] * 3, [slice(None)] * 3
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        shifted[tuple(after)] = whole[tuple(before)]
        whole &= shifted
    return whole
