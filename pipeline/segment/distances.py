"""Euclidean distances: near ones slab by slab, far ones through the whole volume."""

import edt
import numba
import numpy as np

from pipeline.arrays import BoolArray, Float64Array, FloatArray
from pipeline.slabs import Field, read, slabs

COLUMNS_VOXELS = 24_000_000


def distance(mask: BoolArray) -> FloatArray:
    """Return the distance of each voxel of the mask to the nearest one outside it; inf where there is none."""
    found: FloatArray = edt.edt(
        np.ascontiguousarray(mask), black_border=False, parallel=numba.get_num_threads()
    )
    return found


def away_from(mask: BoolArray, distance_px: float) -> BoolArray:
    """Return what is farther than a distance from a mask."""
    if not mask.any():
        return np.ones(mask.shape, bool)
    away: BoolArray = distance(~mask) > distance_px
    return away


def opened(mask: BoolArray, radius_px: float) -> BoolArray:
    """Open with a ball; looks :func:`opening_reach` voxels far."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    core = distance(mask) > radius_px
    if not core.any():
        return core
    found: BoolArray = (distance(~core) <= radius_px + 0.5) & mask
    return found


def opening_reach(radius_px: float) -> int:
    """Return how far an opening looks."""
    return 2 * int(np.ceil(radius_px)) + 3


def closed(mask: BoolArray, radius_px: float) -> BoolArray:
    """Close with a ball: everything that no ball of this radius outside can reach."""
    pad = int(radius_px) + 2
    flat = mask.shape[0] == 1
    wide = np.pad(mask, [(0, 0) if flat else (pad, pad), (pad, pad), (pad, pad)])
    shrunk = distance(distance(~wide) < radius_px) > radius_px
    inner = slice(None) if flat else slice(pad, -pad)
    found: BoolArray = shrunk[inner, pad:-pad, pad:-pad] | mask
    return found


def distance_inside(mask: Field, out: Field) -> None:
    """Fill ``out`` with the distance to the outside of the mask, however far: first in rows, then across them.

    The lower envelope of parabolas along each column (Felzenszwalb and Huttenlocher 2012).
    """
    for slab in slabs(mask.shape):
        part = read(mask, slab.rows)
        out[slab.rows] = np.stack([edt.edtsq(row, black_border=False) for row in part])
    n_z, n_y, n_x = mask.shape
    step = max(1, COLUMNS_VOXELS // (n_z * n_x))
    for start in range(0, n_y, step):
        columns = (slice(0, n_z), slice(start, min(start + step, n_y)), slice(0, n_x))
        out[columns] = _across(np.ascontiguousarray(out[columns]))


@numba.njit(cache=True, parallel=True)
def _across(squares: FloatArray) -> FloatArray:
    """Return the distance, from the squares of distances within rows (inf where a row has no outside)."""
    n_z, n_y, n_x = squares.shape
    out = np.empty(squares.shape, np.float32)
    for y in numba.prange(n_y):
        place = np.empty(n_z, np.int64)
        limit = np.empty(n_z + 1, np.float64)
        column = np.empty(n_z, np.float64)
        for x in range(n_x):
            for z in range(n_z):
                column[z] = squares[z, y, x]
            _envelope(column, place, limit)
            k = 0
            for z in range(n_z):
                if place[0] < 0:
                    out[z, y, x] = np.inf
                    continue
                while limit[k + 1] < z:
                    k += 1
                out[z, y, x] = np.sqrt((z - place[k]) ** 2 + column[place[k]])
    return out


@numba.njit(cache=True)
def _envelope(
    column: Float64Array, place: "np.ndarray[tuple[int], np.dtype[np.int64]]", limit: Float64Array
) -> None:
    """Fill in the parabolas of the lower envelope and the limits between them; place[0] is −1 where there are none."""
    k = -1
    place[0] = -1
    for z in range(column.size):
        if not np.isfinite(column[z]):
            continue
        start = -np.inf
        while k >= 0:
            p = place[k]
            start = ((column[z] + z * z) - (column[p] + p * p)) / (2 * z - 2 * p)
            if start > limit[k]:
                break
            k -= 1
            start = -np.inf
        k += 1
        place[k] = z
        limit[k] = start
        limit[k + 1] = np.inf
