"""Ends of sheets: ridges beyond a crack's rim are dropped, gaps beside thicker voids are closed.

The plate response is wider than a crack, so its ridge continues beyond the rim. Beside a thicker
void it is weaker than the response of that void, so the ridge stops too early. Both ends are set by
the void fraction itself: a sheet extends as far as the fraction is at least half of its value in
the sheet's inner part nearby.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from oxytomo.arrays import BoolArray, FloatArray, IntArray
from oxytomo.segment.joins import STEP_OUT, Lookup, lookup, sums_around
from oxytomo.segment.profiles import profiles
from oxytomo.slabs import Field, gather

INNER_PX, INNER_SHARE = 7, 0.9
"""A ridge voxel is inside its sheet if its sheet fills this share of a disc of this radius."""
FEWEST_INNER = 20
HALF = 0.5
QUIET_PX = 3
"""Values are averaged over this number of voxels of a sheet before they are compared."""
RIM_COSINE = 0.97
"""At the rim the normals rotate around it; voxels whose normal differs this much from that of the
inner part do not belong to the plane."""
SKIN_FLANK_PX, SKIN_PARALLEL = 6.0, 0.5
"""A sheet runs along the skin if it is nearer than this, with a larger cosine to the skin's
normal."""
BESIDE_PX, MOSTLY = 4.0, 0.6
CANDIDATES = 96
"""Number of nearest inner voxels that are tried."""
GAP_PX = 9
"""A sheet continues over at most this number of voxels without a ridge in the response, for example
where a thicker one crosses it."""
AT_ONCE = 100_000

Room = Callable[[IntArray], BoolArray]
"""Returns for voxels, (n, 3) z y x, whether a sheet may be there."""


@dataclass(frozen=True)
class Ridges:
    """Ridge voxels of sheets; fields as in :class:`oxytomo.segment.sheets.Sheets`."""

    index: IntArray
    normal: FloatArray
    sheet: IntArray

    @property
    def area_px(self) -> FloatArray:
        """Area of each ridge voxel in voxel faces."""
        area: FloatArray = (1 / np.abs(self.normal[:, :3]).max(axis=1, initial=1e-3)).astype(np.float32)
        return area

    def only(self, keep: BoolArray) -> "Ridges":
        """Return a selection of ridge voxels; sheets are numbered again from 1."""
        renumbered = np.unique(self.sheet[keep], return_inverse=True)[1] + 1
        return Ridges(self.index[keep], self.normal[keep], renumbered)


def inner_part(ridges: Ridges, shape: tuple[int, ...]) -> BoolArray:
    """Return which ridge voxels are surrounded by their sheet; all, if it is too small."""
    inner, small = _inner_and_small(ridges, shape)
    result: BoolArray = inner | small
    return result


def _inner_and_small(ridges: Ridges, shape: tuple[int, ...]) -> tuple[BoolArray, BoolArray]:
    """Return which ridge voxels are inside their sheet, and which sheets have no inside."""
    whole = np.pi * INNER_PX**2 if shape[0] > 1 else 2 * INNER_PX
    inner: BoolArray = _sums(ridges, ridges.area_px[:, None], shape, INNER_PX)[:, 0] > INNER_SHARE * whole
    few = np.bincount(ridges.sheet[inner], minlength=int(ridges.sheet.max(initial=0)) + 1) < FEWEST_INNER
    return inner, few[ridges.sheet]


def smoothed(values: FloatArray, ridges: Ridges, shape: tuple[int, ...], reach: int) -> FloatArray:
    """Return the area-weighted mean of values over the own sheet within ``reach`` voxels."""
    both = np.stack([values * ridges.area_px, ridges.area_px], axis=1).astype(np.float32)
    sums = _sums(ridges, both, shape, reach)
    result: FloatArray = sums[:, 0] / sums[:, 1]
    return result


def _sums(ridges: Ridges, values: FloatArray, shape: tuple[int, ...], reach: int) -> FloatArray:
    return sums_around(ridges.index, ridges.normal, ridges.sheet, values, lookup(ridges.index, shape), reach)


def fitted_rims(void: Field, ridges: Ridges, room: Room) -> Ridges:
    """Drop ridges beyond the rim of a crack, and continue sheets where the response is weak.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    ridges : the sheets found
    room : mask function for voxels that a sheet may occupy
    """
    if not ridges.index.size:
        return ridges
    inside, small = _inner_and_small(ridges, void.shape)
    inner = inside | small
    anchor = _nearest_inner(ridges, inner)
    quiet = smoothed(_height(void, ridges.index, ridges.normal), ridges, void.shape, QUIET_PX)
    keep = inner | ((anchor >= 0) & (quiet >= HALF * quiet[anchor]))
    rows = np.where(anchor >= 0, anchor, np.arange(len(anchor)))[keep]
    front = np.flatnonzero(~small[keep])
    return _continued(void, ridges.only(keep), front, quiet[rows], ridges.normal[rows, :3], room)


def without_flanks(ridges: Ridges, depth_px: Field) -> Ridges:
    """Drop sheets that are a flank of something else: of the skin, or of a larger sheet.

    A sheet along and near the skin cannot be distinguished from an error of the skin. A sheet too
    small to have an inner part, beside a larger one, is where the walls of the larger one bend
    around its rim.
    """
    if not ridges.index.size:
        return ridges
    n = int(ridges.sheet.max()) + 1
    area = np.bincount(ridges.sheet, ridges.area_px, minlength=n)
    steps = [ridges.index + sign * 2 * ridges.normal[:, :3] for sign in (1, -1)]
    limits = np.array(depth_px.shape) - 1
    ends = [gather(depth_px, np.clip(np.round(step).astype(int), 0, limits)) for step in steps]
    depth = gather(depth_px, ridges.index)
    near = np.isfinite(depth) & (depth < SKIN_FLANK_PX)
    rise = np.zeros(len(depth), np.float32)
    rise[near] = np.abs(ends[0][near] - ends[1][near]) / 4
    skin = near & (rise > SKIN_PARALLEL)
    _, small = _inner_and_small(ridges, depth_px.shape)
    beside = np.zeros(len(depth), bool)
    if small.any() and not small.all():
        larger = cKDTree(ridges.index[~small])
        beside[small] = larger.query(ridges.index[small], distance_upper_bound=BESIDE_PX)[0] <= BESIDE_PX
    shares = [np.bincount(ridges.sheet, part * ridges.area_px, minlength=n) for part in (skin, beside)]
    flank = (shares[0] > MOSTLY * area) | (shares[1] > MOSTLY * area)
    return ridges.only(~flank[ridges.sheet])


def _height(void: Field, index: IntArray, normal: FloatArray) -> FloatArray:
    """Return the void fraction in the middle of a sheet, averaged over a disc and three voxels."""
    height: FloatArray = profiles(void, index, normal, 1).mean(axis=1)
    return height


def _nearest_inner(ridges: Ridges, inner: BoolArray) -> IntArray:
    """Return the row of the nearest inner voxel in whose plane a voxel lies.

    An inner voxel returns itself; −1 means none.
    """
    nearest = np.where(inner, np.arange(len(inner)), -1)
    own, rest = np.flatnonzero(inner), np.flatnonzero(~inner)
    if not own.size or not rest.size:
        return nearest
    tree = cKDTree(ridges.index[own])
    for start in range(0, rest.size, AT_ONCE):
        _try_nearest(ridges, own, rest[start : start + AT_ONCE], tree, nearest)
    return nearest


def _try_nearest(ridges: Ridges, own: IntArray, rest: IntArray, tree: cKDTree, nearest: IntArray) -> None:
    """Fill in the nearest of the inner voxels ``own`` for the voxels ``rest``."""
    tried = min(CANDIDATES, own.size)
    near = np.asarray(tree.query(ridges.index[rest], k=[*range(1, tried + 1)])[1])
    for column in near.T[::-1]:
        row = own[column]
        step = ridges.index[rest] - ridges.index[row]
        normal, there = ridges.normal[rest], ridges.normal[row]
        cosine = np.einsum("ij,ij->i", normal[:, :3], there[:, :3])
        out = np.einsum("ij,ij->i", step, there[:, :3]) + normal[:, 3] * cosine - there[:, 3]
        fits = (np.abs(cosine) >= RIM_COSINE) & (np.abs(out) <= STEP_OUT)
        fits &= ridges.sheet[rest] == ridges.sheet[row]
        nearest[rest[fits]] = row[fits]


def _continued(
    void: Field,
    ridges: Ridges,
    front: IntArray,
    reference: FloatArray,
    direction: FloatArray,
    room: Room,
) -> Ridges:
    """Add voxels in the plane of a sheet's rim while the void fraction stays high enough.

    It starts from the rows ``front``.

    The plane's ``direction`` is that of the inner part nearby, because at the rim itself the
    normals rotate around it.
    """
    for _ in range(GAP_PX):
        taken = lookup(ridges.index, void.shape)
        parent, index, normal = _neighbours(ridges, front, direction, taken, room)
        goes_on = _height(void, index, normal) > HALF * reference[parent]
        if not goes_on.any():
            break
        parent, index, normal = parent[goes_on], index[goes_on], normal[goes_on]
        front = ridges.index.shape[0] + np.arange(parent.size)
        reference = np.concatenate([reference, reference[parent]])
        direction = np.concatenate([direction, direction[parent]])
        ridges = Ridges(
            np.concatenate([ridges.index, index]),
            np.concatenate([ridges.normal, normal]),
            np.concatenate([ridges.sheet, ridges.sheet[parent]]),
        )
    return ridges


def _neighbours(
    ridges: Ridges, front: IntArray, direction: FloatArray, found: Lookup, room: Room
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return free neighbours in the planes of ``front``: their row of origin, voxel, plane."""
    shape = np.array(found.shape)
    normal, start = direction[front], ridges.index[front]
    # Position of the middle plane, from the voxel's own normal to the direction.
    own = ridges.normal[front]
    middle = own[:, 3] * np.einsum("ij,ij->i", own[:, :3], normal)
    axis = np.abs(normal).argmax(axis=1)
    largest = np.abs(normal).max(axis=1)
    along = np.eye(3, dtype=np.int64)[axis]
    steps: list[tuple[IntArray, IntArray, FloatArray]] = []
    for step in np.argwhere(np.ones((3, 3, 3), bool)) - 1:
        place = start + step
        offset = middle - normal @ step
        good = (
            ((place >= 0) & (place < shape)).all(axis=1)
            & bool(step.any())
            & (np.abs(offset) <= 0.5 * largest)
        )
        # One voxel for each column along the main direction of the normal, as ridges have.
        for column in (-2, -1, 0, 1, 2):
            there = np.clip(place + column * along, 0, shape - 1)
            row = found.rows_at(there)
            taken = row >= 0 if column == 0 else (row >= 0) & (ridges.sheet[row] == ridges.sheet[front])
            good &= ~taken
        plane = np.concatenate([normal[good], offset[good, None]], axis=1).astype(np.float32)
        steps.append((front[good], place[good], plane))
    parent, index, plane = (np.concatenate(part) for part in zip(*steps, strict=True))
    first = np.unique(np.ravel_multi_index(tuple(index.T), found.shape), return_index=True)[1]
    first = first[room(index[first])]
    return parent[first], index[first], plane[first]
