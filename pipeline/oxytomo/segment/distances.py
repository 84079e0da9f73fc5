"""Euclidean distances: short ones slab by slab, long ones through the whole volume."""

import math

import edt
import numba
import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.slabs import Field, read, slabs
from oxytomo.threads import parallel_kernel

COLUMNS_VOXELS = 24_000_000


def within(mask: BoolArray, square: float) -> BoolArray:
    """Return the voxels within a distance (given as its square) of a mask.

    Distances are found along x, then over rows and planes.

    The result is exact, as squares of distances between voxels are whole numbers. For short
    distances this is several times faster than a distance transform.
    """
    limit = int(np.floor(square + 1e-6))
    near: BoolArray = near_squares(mask, limit) <= limit
    return near


def near_squares(mask: BoolArray, limit: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]":
    """Return the squared distance to a mask up to ``limit`` (at most 10 000), more elsewhere."""
    found: np.ndarray[tuple[int, ...], np.dtype[np.uint16]] = _squares(
        np.ascontiguousarray(mask), limit, math.isqrt(limit)
    )
    return found


@parallel_kernel(element_ns=20)
def _squares(mask, limit, reach):  # type: ignore[no-untyped-def]
    n_z, n_y, n_x = mask.shape
    none = np.uint16(limit + 1)
    rows = np.empty(mask.shape, np.uint16)
    for z in numba.prange(n_z):
        along = np.empty((n_y, n_x), np.uint16)
        for y in range(n_y):
            last = -reach - 1
            for x in range(n_x):
                if mask[z, y, x]:
                    last = x
                along[y, x] = (x - last) ** 2 if x - last <= reach else none
            last = n_x + reach
            for x in range(n_x - 1, -1, -1):
                if mask[z, y, x]:
                    last = x
                if last - x <= reach:
                    along[y, x] = min(along[y, x], np.uint16((last - x) ** 2))
        for y in range(n_y):
            for x in range(n_x):
                rows[z, y, x] = along[y, x]
            for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                square = np.uint16((b - y) ** 2)
                for x in range(n_x):
                    rows[z, y, x] = min(rows[z, y, x], np.uint16(along[b, x] + square))
    out = np.empty(mask.shape, np.uint16)
    for z in numba.prange(n_z):
        for y in range(n_y):
            for x in range(n_x):
                out[z, y, x] = none
            for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
                square = np.uint16((a - z) ** 2)
                for x in range(n_x):
                    out[z, y, x] = min(out[z, y, x], np.uint16(rows[a, y, x] + square))
    return out


def away_from(mask: BoolArray, distance_px: float) -> BoolArray:
    """Return the voxels further than a distance from a mask."""
    return ~within(mask, distance_px**2)


def eroded(mask: BoolArray, radius_px: float) -> BoolArray:
    """Return the voxels further than a distance from everything outside a mask."""
    return ~within(~mask, radius_px**2)


def opened(mask: BoolArray, radius_px: float) -> BoolArray:
    """Open with a ball; depends on voxels up to :func:`opening_reach` away."""
    core = eroded(mask, radius_px) if mask.any() else mask
    return within(core, (radius_px + 0.5) ** 2) & mask if core.any() else core


def opening_reach(radius_px: float) -> int:
    """Return the distance of voxels that an opening depends on."""
    return 2 * int(np.ceil(radius_px)) + 3


def closed(mask: BoolArray, radius_px: float) -> BoolArray:
    """Close with a ball: all voxels that no ball of this radius outside can reach."""
    pad = int(radius_px) + 2
    flat = mask.shape[0] == 1
    wide = np.pad(mask, [(0, 0) if flat else (pad, pad), (pad, pad), (pad, pad)])
    # Whole squares below that of the radius.
    shrunk = eroded(within(wide, np.ceil(radius_px**2 - 1e-6) - 1), radius_px)
    inner = slice(None) if flat else slice(pad, -pad)
    found: BoolArray = shrunk[inner, pad:-pad, pad:-pad] | mask
    return found


def distance_inside(mask: Field, out: Field) -> None:
    """Fill ``out`` with the distance to the outside of the mask, at any range.

    It is computed first within rows, then across them.

    It is the lower envelope of parabolas along each column (Felzenszwalb and Huttenlocher 2012).
    """
    for slab in slabs(mask.shape):
        part = read(mask, slab.rows)
        out[slab.rows] = np.stack([edt.edtsq(row, black_border=False) for row in part])
    n_z, n_y, n_x = mask.shape
    step = max(1, COLUMNS_VOXELS // (n_z * n_x))
    for start in range(0, n_y, step):
        columns = (slice(0, n_z), slice(start, min(start + step, n_y)), slice(0, n_x))
        out[columns] = _across(np.ascontiguousarray(out[columns]))


@parallel_kernel(element_ns=20)
def _across(squares: FloatArray) -> FloatArray:
    """Return the distance from squared distances within rows (inf for rows without outside)."""
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
    """Fill in the parabolas of the lower envelope and the limits between them.

    Place[0] is −1 where there are none.
    """
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
