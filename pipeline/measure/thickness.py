"""Local thickness: the diameter of the largest ball inside the pores that covers a voxel."""

import edt
import numba
import numpy as np

from pipeline.arrays import BoolArray, FloatArray
from pipeline.slabs import Field, Slab, read, slabs

HALO_PX = 32
"""Rows beside a slab at first; as many as it takes for the widest ball in it."""


def local_thickness(mask: BoolArray) -> FloatArray:
    """Return the local thickness in voxels (Hildebrand and Rüegsegger 1997), 0 outside the mask.

    Balls are painted from the largest to the smallest distance to the background; one that lies inside the ball
    of a neighbour is skipped. A ball ends between its last voxel centre and the nearest one outside, whose squared distances
    are whole numbers and mostly neighbours: half is taken off the latter. That holds for round pores about a voxel's centre
    (within 0.3 voxels from a radius of 4 on); balls between centres come out up to a voxel too small and plates up to a
    voxel too thick: their aperture is measured from profiles.

    Parameters
    ----------
    mask : (n_z, n_y, n_x) bool
    """
    return _painted(edt.edt(np.ascontiguousarray(mask), black_border=False))


def _painted(radius: FloatArray) -> FloatArray:
    places = np.flatnonzero(_own_balls(radius))
    order = places[np.argsort(-radius.ravel()[places], kind="stable")]
    thickness: FloatArray = _paint(radius, order)
    return thickness


def thickness_quantiles(labels: Field, label: int, shares: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return quantiles of the local thickness over the voxels of a label, None where there are none.

    Memory grows with the widest ball, not with the volume.

    Parameters
    ----------
    labels : (n_z, n_y, n_x)
    label : what is measured
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
    """Return the local thickness in the voxels of a slab that have the label."""
    n, halo = labels.shape[0], HALO_PX
    while True:
        low, stop = max(0, slab.rows.start - halo), min(slab.rows.stop + halo, n)
        mask = read(labels, slice(low, stop)) == label
        box = _box(mask)
        radius = edt.edt(np.ascontiguousarray(mask[box]), black_border=False)
        # Balls reach their radius into the slab, and are right where the background that ends them is there too.
        if 2 * float(radius.max()) + 1 <= halo or (low == 0 and stop == n):
            break
        halo *= 2
    thickness = np.zeros(mask.shape, np.float32)
    thickness[box] = _painted(radius)
    core = thickness[slab.rows.start - low : slab.rows.stop - low]
    return core[core > 0]


def _box(mask: BoolArray) -> tuple[slice, ...]:
    """Return the box around what is marked, with a margin of one voxel."""
    found = []
    for axis, n in enumerate(mask.shape):
        places = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append(slice(max(0, int(places[0]) - 1), min(n, int(places[-1]) + 2)))
    return tuple(found)


@numba.njit(cache=True)
def _own_balls(radius: FloatArray) -> BoolArray:
    """Say which balls no neighbour's ball contains."""
    n_z, n_y, n_x = radius.shape
    keep = np.zeros(radius.shape, np.bool_)
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                r = radius[z, y, x]
                if r <= 0:
                    continue
                own = True
                for a in range(max(z - 1, 0), min(z + 2, n_z)):
                    for b in range(max(y - 1, 0), min(y + 2, n_y)):
                        for c in range(max(x - 1, 0), min(x + 2, n_x)):
                            away = np.sqrt((a - z) ** 2 + (b - y) ** 2 + (c - x) ** 2)
                            if away > 0 and radius[a, b, c] >= r + away - 1e-4:
                                own = False
                keep[z, y, x] = own
    return keep


@numba.njit(cache=True)
def _paint(radius: FloatArray, order: np.ndarray) -> FloatArray:
    n_z, n_y, n_x = radius.shape
    out = np.zeros(radius.shape, np.float32)
    for place in order:
        z, y, x = place // (n_y * n_x), place // n_x % n_y, place % n_x
        r = radius[z, y, x]
        value = 2 * np.sqrt(r * r - np.float32(0.5))
        reach = int(r)
        square = r * r
        for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
            for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                rest = square - (a - z) ** 2 - (b - y) ** 2
                if rest <= 0:
                    continue
                side = int(np.sqrt(rest))
                for c in range(max(x - side, 0), min(x + side + 1, n_x)):
                    if out[a, b, c] == 0 and radius[a, b, c] > 0 and (c - x) ** 2 < rest:
                        out[a, b, c] = value
    return out
