"""Tortuosity of voids to the surface, and Euler numbers."""

import numba
import numpy as np

from oxytomo.arrays import BoolArray, IntArray
from oxytomo.slabs import Field, Slab, new_field, read, slabs
from oxytomo.threads import parallel_kernel

UNITS = 4096
"""Path lengths are whole numbers of this part of a voxel: their sums are the same in any order."""
FAR = np.iinfo(np.int32).max

Ways = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def tortuosity(instances: Field, depth_px: Field, *, surface_px: float, deep_px: float) -> float:
    """Return the mean tortuosity: path to the surface through voids over the straight distance.

    The mean is over open voids deeper than ``deep_px``.

    Paths use 26 neighbours; along voxels they are up to 8 % longer than straight lines in
    unfavourable directions. NaN without such voids.

    Parameters
    ----------
    instances : (n_z, n_y, n_x), above 0 in voids
    depth_px : distance to the skin
    surface_px, deep_px : depth below which a voxel is at the surface, and above which it counts
    """
    way = new_field(instances.shape, np.int32)
    cuts = list(slabs(instances.shape, halo=1))
    for slab in cuts:
        void = read(instances, slab.rows) > 0
        way[slab.rows] = np.where(void & (read(depth_px, slab.rows) <= surface_px), 0, FAR).astype(np.int32)
    waiting, place, step = set(range(len(cuts))), 0, 1
    while waiting:
        # Down through the slabs and up again, until no slab finds a shorter path in the next one.
        if place in waiting:
            waiting.remove(place)
            waiting |= {p for p in _walk(instances, way, cuts, place) if 0 <= p < len(cuts)}
        step = -step if not 0 <= place + step < len(cuts) else step
        place = max(0, min(place + step, len(cuts) - 1))
    total, count = 0.0, 0
    for slab in cuts:
        found, depth = read(way, slab.rows), read(depth_px, slab.rows)
        deep = (found < FAR) & (depth > deep_px)
        ratio = (found[deep] / UNITS + surface_px) / depth[deep]
        total, count = total + float(ratio.sum(dtype=np.float64)), count + ratio.size
    return total / count if count else float("nan")


def _walk(instances: Field, way: Field, cuts: list[Slab], place: int) -> set[int]:
    """Shorten the paths in one slab; returns the sides on which neighbours got shorter paths."""
    slab = cuts[place]
    before = read(way, slab.wide)
    after = before.copy()
    _shorten(read(instances, slab.wide) > 0, after)
    way[slab.rows] = after[slab.core]
    first, last = slab.core.start, slab.core.stop - 1
    return {place + side for side, row in ((-1, first), (1, last)) if (after[row] < before[row]).any()}


@numba.njit(cache=True)
def _shorten(void: BoolArray, way: Ways) -> None:
    """Fill in the shortest paths from every voxel that has one."""
    n_z, n_y, n_x = void.shape
    lengths = np.zeros(4, np.int32)
    for k in range(1, 4):
        lengths[k] = np.int32(np.round(np.sqrt(k) * UNITS))
    waiting = 0
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                waiting += void[z, y, x]
    size = waiting + 1
    queue = np.empty(size, np.int64)
    queued = np.zeros(void.shape, np.bool_)
    head, tail = 0, 0
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                if void[z, y, x] and way[z, y, x] < FAR:
                    queue[tail] = (z * n_y + y) * n_x + x
                    queued[z, y, x] = True
                    tail += 1
    while head != tail:
        place = queue[head]
        head = (head + 1) % size
        z, y, x = place // (n_y * n_x), place // n_x % n_y, place % n_x
        queued[z, y, x] = False
        for a in range(max(z - 1, 0), min(z + 2, n_z)):
            for b in range(max(y - 1, 0), min(y + 2, n_y)):
                for c in range(max(x - 1, 0), min(x + 2, n_x)):
                    if void[a, b, c]:
                        new = way[z, y, x] + lengths[abs(a - z) + abs(b - y) + abs(c - x)]
                        if new < way[a, b, c]:
                            way[a, b, c] = new
                            if not queued[a, b, c]:
                                queued[a, b, c] = True
                                queue[tail] = (a * n_y + b) * n_x + c
                                tail = (tail + 1) % size


def euler_sweep(void: Field, zone: Field, levels: tuple[float, ...]) -> dict[str, int]:
    """Return the Euler number of the voids (26-connected) for several thresholds.

    Thresholds apply to the void fraction.

    Objects − tunnels + cavities (in a slice, objects − holes), from corners − edges + faces −
    voxels of the closed cubes of the voxels. It depends on the threshold more than on the sample,
    so a single value is not meaningful.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    zone : above 0 where voids are
    levels : thresholds
    """
    numbers = dict.fromkeys(levels, 0)
    n = void.shape[0]
    for slab in slabs(void.shape):
        low = max(slab.rows.start - 1, 0)
        fraction = read(void, slice(low, slab.rows.stop))
        fraction = np.where(read(zone, slice(low, slab.rows.stop)) > 0, fraction, np.float32(-np.inf))
        # A corner belongs to the voxel after it; rows before the first and after the last are
        # outside.
        before, after = int(slab.rows.start == 0), int(slab.rows.stop == n)
        for level in levels:
            mask = np.pad(fraction > level, ((before, after), (1, 1), (1, 1)))
            numbers[level] += int(_corner_sum(mask, _CONTRIBUTIONS))
    return {f"{level:g}": number for level, number in numbers.items()}


def _contributions() -> IntArray:
    """Return corners − edges + faces − voxels for the eight voxels around a corner.

    Those on its far side are counted here.
    """
    found = np.zeros(256, np.int64)
    for case in range(256):
        around = np.array([case >> bit & 1 for bit in range(8)], bool).reshape(2, 2, 2)
        edges = sum(bool(np.take(around, 1, axis).any()) for axis in range(3))
        faces = sum(bool(around[k].any()) for k in ((1, 1), (1, slice(None), 1), (slice(None), 1, 1)))
        found[case] = int(around.any()) - edges + faces - int(around[1, 1, 1])
    return found


_CONTRIBUTIONS = _contributions()


@parallel_kernel()
def _corner_sum(mask: BoolArray, contributions: IntArray) -> int:
    n_z, n_y, n_x = mask.shape
    total = 0
    for z in numba.prange(n_z - 1):
        part = 0
        for y in range(n_y - 1):
            for x in range(n_x - 1):
                case = 0
                for a in range(2):
                    for b in range(2):
                        for c in range(2):
                            if mask[z + a, y + b, x + c]:
                                case |= 1 << (4 * a + 2 * b + c)
                part += contributions[case]
        total += part
    return total
