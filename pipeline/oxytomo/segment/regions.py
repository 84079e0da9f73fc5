"""Loops over label images: paint sheets, grow labels, find contacts."""

import numba
import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, IntArray
from oxytomo.slabs import Field, read, slabs
from oxytomo.threads import parallel_kernel

CONTACT_ROWS = 16

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


@numba.njit(cache=True)
def paint_sheets(
    shape: tuple[int, int, int], index: IntArray, normal: FloatArray, sheet: IntArray, half_px: FloatArray
) -> Labels:
    """Return the voxels near the plane of each ridge voxel, labelled with its sheet.

    They lie within ``half_px`` of the plane.

    Parameters
    ----------
    shape : of the volume
    index, normal, sheet : as in :class:`oxytomo.segment.sheets.Sheets`
    half_px : (n,) float32, half the painted thickness of each ridge voxel; its own voxel is always
        painted
    """
    out = np.zeros(shape, np.int32)
    best = np.full(shape, np.float32(1e9))
    n_z, n_y, n_x = shape
    for i in range(index.shape[0]):
        z, y, x = index[i]
        half = half_px[i]
        r = int(np.ceil(half + 1))
        for a in range(max(z - r, 0), min(z + r + 1, n_z)):
            for b in range(max(y - r, 0), min(y + r + 1, n_y)):
                for c in range(max(x - r, 0), min(x + r + 1, n_x)):
                    dz, dy, dx = a - z, b - y, c - x
                    t = dz * normal[i, 0] + dy * normal[i, 1] + dx * normal[i, 2] - normal[i, 3]
                    across = abs(t)
                    sideways = dz * dz + dy * dy + dx * dx - (t + normal[i, 3]) ** 2
                    own = a == z and b == y and c == x
                    if (own or (across <= half and sideways <= 1.0)) and across < best[a, b, c]:
                        best[a, b, c] = across
                        out[a, b, c] = sheet[i]
    return out


@parallel_kernel(element_ns=10)
def _grow_once(old: Labels, new: Labels, room: BoolArray, wide: bool) -> None:
    n_z, n_y, n_x = old.shape
    for z in numba.prange(n_z):
        for y in range(n_y):
            for x in range(n_x):
                new[z, y, x] = old[z, y, x]
                if old[z, y, x] != 0 or not room[z, y, x]:
                    continue
                for a in range(max(z - 1, 0), min(z + 2, n_z)):
                    for b in range(max(y - 1, 0), min(y + 2, n_y)):
                        for c in range(max(x - 1, 0), min(x + 2, n_x)):
                            steps = abs(a - z) + abs(b - y) + abs(c - x)
                            if old[a, b, c] != 0 and (steps == 1 or (wide and steps == 2)):
                                new[z, y, x] = old[a, b, c]


def grow(labels: Labels, room: BoolArray, steps: int) -> Labels:
    """Grow labels by about ``steps`` voxels within the mask ``room``, in an octagonal distance.

    Steps over faces alternate with steps over faces and edges.
    """
    old, new = labels.copy(), np.empty_like(labels)
    for step in range(steps):
        _grow_once(old, new, room, step % 2 == 0)
        old, new = new, old
    return old


def contacts(labels: Field, reach: int) -> IntArray:
    """Return which labels come within ``reach`` voxels along an axis or diagonal.

    Parameters
    ----------
    labels : (n_z, n_y, n_x) int32
    reach : in voxels

    Returns
    -------
    (m, 3) int64 : smaller label, larger label, number of pairs of voxels
    """
    found = np.zeros((0, 3), np.int64)
    for slab in slabs(labels.shape, halo=reach):
        part = read(labels, slab.wide)
        for low in range(slab.core.start, slab.core.stop, CONTACT_ROWS):
            pairs = _contacts(part, reach, low, min(low + CONTACT_ROWS, slab.core.stop))
            unique, times = np.unique(pairs, axis=0, return_counts=True)
            found = _added(found, np.concatenate([unique, times[:, None]], axis=1))
    return found


def _added(first: IntArray, second: IntArray) -> IntArray:
    """Add up numbers of contacts."""
    both = np.concatenate([first, second])
    unique, place = np.unique(both[:, :2], axis=0, return_inverse=True)
    times = np.bincount(place.ravel(), both[:, 2], minlength=len(unique)).astype(np.int64)
    return np.concatenate([unique, times[:, None]], axis=1)


@numba.njit(cache=True)
def _contacts(labels: Labels, reach: int, low: int, high: int) -> IntArray:
    """Return (smaller, larger) for pairs whose smaller label has voxels in rows low … high."""
    n_z, n_y, n_x = labels.shape
    pairs = np.empty((0, 2), np.int64)
    for fill in range(2):
        count = 0
        for z in range(low, high):
            for y in range(n_y):
                for x in range(n_x):
                    here = labels[z, y, x]
                    if here == 0:
                        continue
                    for dz in range(-reach if n_z > 1 else 0, reach + 1 if n_z > 1 else 1):
                        for dy in range(-reach, reach + 1):
                            for dx in range(-reach, reach + 1):
                                a, b, c = z + dz, y + dy, x + dx
                                if 0 <= a < n_z and 0 <= b < n_y and 0 <= c < n_x:
                                    there = labels[a, b, c]
                                    if there > here:
                                        if fill == 1:
                                            pairs[count, 0], pairs[count, 1] = here, there
                                        count += 1
        if fill == 0:
            pairs = np.empty((count, 2), np.int64)
    return pairs
