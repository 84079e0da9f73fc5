"""Local thickness: the diameter of the largest ball inside the pores that contains a voxel."""

import edt
import numba
import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, IntArray
from oxytomo.slabs import Field, Slab, read, slabs

HALO_PX = 32
"""Initial number of rows beside a slab; it is increased to fit the widest ball in the slab."""


def local_thickness(mask: BoolArray) -> FloatArray:
    """Return the local thickness in voxels (Hildebrand and Rüegsegger 1997), 0 outside the mask.

    Balls are painted from the largest to the smallest distance to the background. A ball is skipped
    if a neighbour's ball contains all of its voxels (the lookup tables of Rémy and Thiel 2002). The
    rows of a ball skip painted voxels, so every voxel is written once. A ball ends between its last
    voxel centre and the nearest one outside. The squared distances of both are whole numbers and
    mostly neighbours, so one half is subtracted from the latter. This holds for round pores about a
    voxel centre (within 0.3 voxels from a radius of 4 on). Balls between voxel centres come out up
    to a voxel too small, and plates up to a voxel too thick; the aperture of plates is therefore
    measured from profiles.

    Parameters
    ----------
    mask : (n_z, n_y, n_x) bool, n_x below 65535
    """
    return _painted(edt.edtsq(np.ascontiguousarray(mask), black_border=False))


def _painted(square: FloatArray) -> FloatArray:
    """Return the local thickness from the squared distance to the background."""
    largest = float(square.max())
    if not np.isfinite(largest):
        return square
    places = np.flatnonzero(_own_balls(square, _containing(int(largest))))
    sizes = square.ravel()[places].astype(np.int32)
    thickness: FloatArray = _paint(square, places[np.argsort(-sizes, kind="stable")])
    return thickness


def thickness_quantiles(labels: Field, label: int, shares: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return quantiles of the local thickness over the voxels of a label, None without voxels.

    Memory grows with the widest ball, not with the volume.

    Parameters
    ----------
    labels : (n_z, n_y, n_x)
    label : label to measure
    shares : between 0 and 1
    """
    counts = np.zeros(1, np.int64)
    for slab in slabs(labels.shape):
        if (read(labels, slab.rows) == label).any():
            squares = np.rint(_thickness_of(labels, label, slab) ** 2 / 4 + 0.5).astype(np.int64)
            found = np.bincount(squares[squares > 0], minlength=counts.size)
            found[: counts.size] += counts
            counts = found
    cumulative = np.cumsum(counts)
    if not cumulative[-1]:
        return None
    places = [share * (int(cumulative[-1]) - 1) for share in shares]
    ends = [
        [
            float(2 * np.sqrt(np.searchsorted(cumulative, k, side="right") - 0.5))
            for k in (int(p), int(np.ceil(p)))
        ]
        for p in places
    ]
    return tuple(low + (high - low) * (p - int(p)) for (low, high), p in zip(ends, places, strict=True))


def _thickness_of(labels: Field, label: int, slab: Slab) -> FloatArray:
    """Return the local thickness of the labelled voxels of a slab."""
    n, halo = labels.shape[0], HALO_PX
    while True:
        low, stop = max(0, slab.rows.start - halo), min(slab.rows.stop + halo, n)
        mask = read(labels, slice(low, stop)) == label
        box = _box(mask)
        square = edt.edtsq(np.ascontiguousarray(mask[box]), black_border=False)
        # Balls extend by their radius into the slab, and are correct if the background that limits
        # them is included, too.
        if 2 * float(np.sqrt(square.max())) + 1 <= halo or (low == 0 and stop == n):
            break
        halo *= 2
    thickness = np.zeros(mask.shape, np.float32)
    thickness[box] = _painted(square)
    core = thickness[slab.rows.start - low : slab.rows.stop - low]
    return core[core > 0]


def _box(mask: BoolArray) -> tuple[slice, ...]:
    """Return the bounding box of a mask, with a margin of one voxel."""
    found = []
    for axis, n in enumerate(mask.shape):
        places = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append(slice(max(0, int(places[0]) - 1), min(n, int(places[-1]) + 2)))
    return tuple(found)


@numba.njit(cache=True)
def _containing(largest: int) -> IntArray:
    """Return the smallest squared radius of a ball one step away that contains a given ball.

    Shape (3 kinds of step, squared radius).

    The steps are along one, two and three axes. A ball contains the voxels nearer than its radius,
    ``d² < r²``. Over the voxels of a ball at the origin, the largest ``|p + v|²`` is ``|p|² + |v|²
    + 2 p·v``, as the signs can be chosen alike.
    """
    tables = np.zeros((3, largest + 1), np.int64)
    reach = int(np.sqrt(largest)) + 1
    for z in range(reach + 1):
        for y in range(z + 1):
            for x in range(y + 1):
                square = z * z + y * y + x * x
                if square < largest:
                    along = z
                    for kind in range(3):
                        value = square + kind + 1 + 2 * along + 1
                        tables[kind, square + 1] = max(tables[kind, square + 1], value)
                        along += y if kind == 0 else x
    for kind in range(3):
        for k in range(1, largest + 1):
            tables[kind, k] = max(tables[kind, k], tables[kind, k - 1])
    return tables


@numba.njit(cache=True)
def _own_balls(square: FloatArray, tables: IntArray) -> BoolArray:
    """Return which balls no neighbour's ball contains."""
    n_z, n_y, n_x = square.shape
    keep = np.zeros(square.shape, np.bool_)
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                here = int(square[z, y, x])
                if here == 0:
                    continue
                own = True
                for a in range(max(z - 1, 0), min(z + 2, n_z)):
                    for b in range(max(y - 1, 0), min(y + 2, n_y)):
                        for c in range(max(x - 1, 0), min(x + 2, n_x)):
                            kind = abs(a - z) + abs(b - y) + abs(c - x) - 1
                            if kind >= 0 and square[a, b, c] >= tables[kind, here]:
                                own = False
                                break
                        if not own:
                            break
                    if not own:
                        break
                keep[z, y, x] = own
    return keep


@numba.njit(cache=True)
def _paint(square: FloatArray, order: IntArray) -> FloatArray:
    """Paint balls in this order; where two overlap the first one stays."""
    n_z, n_y, n_x = square.shape
    out = np.zeros(square.shape, np.float32)
    # For each voxel, the first unpainted voxel of its row from there on.
    free = np.empty((n_z, n_y, n_x + 1), np.uint16)
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x + 1):
                free[z, y, x] = x
    for place in order:
        z, y, x = place // (n_y * n_x), place // n_x % n_y, place % n_x
        inside = int(square[z, y, x]) - 1
        value = np.float32(2 * np.sqrt(inside + 0.5))
        reach = int(np.sqrt(inside))
        for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
            across = inside - (a - z) ** 2
            wide = int(np.sqrt(across))
            for b in range(max(y - wide, 0), min(y + wide + 1, n_y)):
                side = int(np.sqrt(across - (b - y) ** 2))
                row, end = free[a, b], min(x + side, n_x - 1)
                c = max(x - side, 0)
                while True:
                    while row[c] != c:
                        row[c] = row[row[c]]
                        c = np.int64(row[c])
                    if c > end:
                        break
                    out[a, b, c] = value
                    row[c] = c + 1
                    c += 1
    return out
