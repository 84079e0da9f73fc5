"""Voids wide enough to be seen without a model, and the choice between pores and cracks."""

import numba
import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, IntArray, LabelArray
from oxytomo.segment.components import CORNERS, Components, Labels
from oxytomo.segment.distances import away_from, opened, opening_reach
from oxytomo.segment.responses import SKIN_PX
from oxytomo.segment.sheets import Sheets, painted
from oxytomo.segment.smoothing import gaussian
from oxytomo.slabs import Field, Slab, on_grid, read, sample_step, slabs

BODY, HALF, BLOB, PORE = 1, 2, 4, 8
"""Bits of a voxel: in a body, above BODY_LEVEL in it, in a small round body, in the compact part of
a body."""
_SEED, CROSSED, _REST = 16, 32, 64

BODY_SMOOTHING_PX = 1.0
SMOOTHING_REACH = 4
BODY_LEVEL = 0.4
NOISE_MARGIN = 6.0
QUIET = 0.25
CORE_PX = 2.6
"""A body that contains a ball of this radius is a pore, even where a crack runs into it."""
FLATNESS = 10.0
SMALLEST_AREA_PX = 20.0
"""Smallest area of a crack: FLATNESS times its aperture squared, and this number of voxel faces."""
BLOB_PX, BLOB_FILL, BLOB_REACH_PX = (3, 10), 0.15, 5.0
"""A blob: its extent, the share of the cube of that extent that it fills, and the reach of its
flanks."""
BESIDE_PX = 1.5
FLANK_PX = 3.0
"""At this distance from a sheet's walls the blurred sheet itself is below every body level."""
FAR_PX = 4.5
REST_VOXELS, REST_FILL = 5, 0.15
"""The rest of a body beside a sheet is a pore if it has this number of voxels, and fills this share
of the cube of its extent or reaches at least FAR_PX: flanks of a sheet thicker than its mean are
flat and near."""


def find_bodies(void: Field, depth_px: Field, bits: Field) -> float:
    """Find bodies by hysteresis and set their bits BODY and HALF.

    Returns the upper level. It is above the noise and above the sign-flipped image away from voids.
    """
    level = _upper_level(void, depth_px)
    low = min(BODY_LEVEL, level)
    for slab in slabs(void.shape, halo=SMOOTHING_REACH):
        smooth, depth = _smoothed(read(void, slab.wide))[slab.core], read(depth_px, slab.rows)
        above = (smooth > low) & (depth > 0.5)
        found = above.astype(np.uint8) * np.uint8(BODY)
        found[above & (smooth > BODY_LEVEL)] |= HALF
        found[(smooth > level) & (depth > SKIN_PX)] |= _SEED
        bits[slab.rows] = found
    pieces = _bodies(bits)
    seeded = np.zeros(pieces.count + 1, bool)
    for rows, labels in pieces:
        seeded[np.unique(labels[(bits[rows] & _SEED) > 0])] = True
    seeded[0] = False
    kept = np.where(seeded, np.uint8(BODY | HALF), np.uint8(0))
    for rows, labels in pieces:
        bits[rows] = bits[rows] & kept[labels]
    return level


def told_apart(bits: Field, sheets: Sheets) -> Sheets:
    """Set the bits BLOB and PORE, and return the sheets that are not part of a body."""
    pieces = _bodies(bits)
    _find_blobs(pieces, bits)
    sheets = _kept(sheets, *_surroundings(bits, sheets.index))
    touched = np.zeros(pieces.count + 1, bool)
    for rows, labels in pieces:
        touched[np.unique(labels[painted(sheets, bits.shape, rows, BESIDE_PX) > 0])] = True
    kind = np.where(touched, np.uint8(CROSSED), np.uint8(PORE))
    kind[0] = 0
    for rows, labels in pieces:
        bits[rows] = bits[rows] | kind[labels]
    radius = max(CORE_PX, float(sheets.mean_aperture_px.max(initial=0)) / 2 + 1.0)
    for slab in slabs(bits.shape, halo=opening_reach(radius)):
        own = read(bits, slab.wide)
        wide = opened((own & (HALF | CROSSED)) == (HALF | CROSSED), radius)[slab.core]
        bits[slab.rows] = np.where(wide, own[slab.core] | np.uint8(PORE), own[slab.core])
    _find_beside(sheets, bits)
    return sheets


def _find_beside(sheets: Sheets, bits: Field) -> None:
    """Set the bit PORE where a sheet meets or passes a body that does not belong to it.

    This is for bodies too narrow for the opening.
    """
    if not sheets.count:
        return
    reach = int(np.ceil(FAR_PX)) + 1

    def away(slab: Slab, distance_px: float) -> BoolArray:
        sheet = painted(sheets, bits.shape, slab.wide, 0.0) > 0
        return away_from(sheet, distance_px)[slab.core]

    for slab in slabs(bits.shape, halo=reach):
        own = bits[slab.rows]
        crossed = ((own & CROSSED) > 0) & ((own & PORE) == 0)
        rest = crossed & (((own & HALF) > 0) & away(slab, BESIDE_PX) | away(slab, FLANK_PX))
        bits[slab.rows] = np.where(rest, own | np.uint8(_REST), own)
    pieces = Components(lambda rows: (bits[rows] & _REST) > 0, bits.shape, connectivity=CORNERS)
    low, high, size = _extents(pieces)
    far = np.zeros(pieces.count + 1, bool)
    cuts = {(slab.rows.start, slab.rows.stop): slab for slab in slabs(bits.shape, halo=reach)}
    for rows, labels in pieces:
        far[np.unique(labels[away(cuts[rows.start, rows.stop], FAR_PX)])] = True
    extent = (high - low).max(axis=1).astype(np.float64) + 1
    pore = (size >= REST_VOXELS) & (far | (size >= REST_FILL * extent ** (3 if bits.shape[0] > 1 else 2)))
    pore[0] = False
    for rows, labels in pieces:
        own = bits[rows] & np.uint8(255 - _REST)
        bits[rows] = np.where(pore[labels], own | np.uint8(PORE), own)


def _smoothed(void: FloatArray) -> FloatArray:
    smooth: FloatArray = gaussian(void, BODY_SMOOTHING_PX)
    return smooth


def _upper_level(void: Field, depth_px: Field) -> float:
    """Return the smoothed void fraction above which a body counts; 1 without a clear region."""
    step = sample_step(void.shape)
    sample, lowest = [], np.inf
    for slab in slabs(void.shape, halo=SMOOTHING_REACH):
        smooth = _smoothed(read(void, slab.wide))[slab.core]
        quiet = (read(depth_px, slab.rows) > SKIN_PX) & (smooth < QUIET)
        lowest = min(lowest, float(np.min(smooth, where=quiet, initial=np.inf)))
        sample.append(on_grid(smooth, slab.rows, step)[on_grid(quiet, slab.rows, step)])
    values = np.concatenate(sample)
    if not values.size:
        return 1.0
    sigma = 1.4826 * float(np.median(np.abs(values)))
    return float(np.clip(max(NOISE_MARGIN * sigma, -1.15 * lowest, 0.12), 0.0, 0.6))


def _bodies(bits: Field) -> Components:
    return Components(lambda rows: (bits[rows] & BODY) > 0, bits.shape, connectivity=CORNERS)


def _find_blobs(pieces: Components, bits: Field) -> None:
    """Set the bit BLOB of small round bodies: their flanks and noise look like small plates."""
    low, high, size = _extents(pieces)
    extent = (high - low).max(axis=1) + 1
    room = extent.astype(np.float64) ** (3 if bits.shape[0] > 1 else 2)
    blob = (extent >= BLOB_PX[0]) & (extent <= BLOB_PX[1]) & (size >= BLOB_FILL * room)
    blob[0] = False
    for rows, labels in pieces:
        bits[rows] = np.where(blob[labels], bits[rows] | np.uint8(BLOB), bits[rows])


def _extents(pieces: Components) -> tuple[IntArray, IntArray, IntArray]:
    """Return first and last voxel along each axis, and number of voxels, by label."""
    low = np.full((pieces.count + 1, 3), np.iinfo(np.int64).max)
    high = np.full((pieces.count + 1, 3), -1)
    size = np.zeros(pieces.count + 1, np.int64)
    for rows, labels in pieces:
        _add_extents(labels, rows.start, low, high, size)
    return low, high, size


@numba.njit(cache=True)
def _add_extents(labels: Labels, first: int, low: IntArray, high: IntArray, size: IntArray) -> None:
    """Widen the boxes of labels by rows from ``first`` on."""
    n_z, n_y, n_x = labels.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                label = labels[z, y, x]
                if label > 0:
                    size[label] += 1
                    place = (z + first, y, x)
                    for axis in range(3):
                        low[label, axis] = min(low[label, axis], place[axis])
                        high[label, axis] = max(high[label, axis], place[axis])


def _surroundings(bits: Field, index: IntArray) -> tuple[BoolArray, BoolArray]:
    """Return which ridge voxels are in the core of a wide body, and which are near a blob."""
    core, near = np.zeros(len(index), bool), np.zeros(len(index), bool)
    reach = max(opening_reach(CORE_PX), int(BLOB_REACH_PX) + 1)
    for slab in slabs(bits.shape, halo=reach):
        own = np.flatnonzero((index[:, 0] >= slab.rows.start) & (index[:, 0] < slab.rows.stop))
        if not own.size:
            continue
        part: LabelArray = read(bits, slab.wide)
        place = (index[own, 0] - slab.wide.start, index[own, 1], index[own, 2])
        core[own] = opened((part & HALF) > 0, CORE_PX)[place]
        blobs = (part & BLOB) > 0
        near[own] = ~away_from(blobs, BLOB_REACH_PX)[place] if blobs.any() else False
    return core, near


def _kept(sheets: Sheets, core: BoolArray, near: BoolArray) -> Sheets:
    """Drop sheets inside compact bodies or beside blobs, and sheets without the size of a crack.

    The latter are too small, too thick or too thin.

    Too thin means an aperture below the smallest one that can be claimed, such as side lobes of a
    large void after phase retrieval.
    """
    n = sheets.count + 1
    area, beside, inside = (
        np.bincount(sheets.sheet, part * sheets.area_px, minlength=n)
        for part in (np.ones(len(core), bool), near, core)
    )
    flat = area >= np.maximum(SMALLEST_AREA_PX, FLATNESS * sheets.mean_aperture_px**2)
    claimed = sheets.mean_aperture_px >= sheets.smallest_aperture_px
    good = flat & claimed & (inside < 0.5 * area) & (area - beside >= SMALLEST_AREA_PX)
    good[0] = False
    return sheets.only(good)
