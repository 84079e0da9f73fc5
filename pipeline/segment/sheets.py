"""Cracks: plates in the void fraction that its own noise does not make.

Ridges of the plate response are joined to sheets; the mass of a sheet is the sum of response above the level
over its ridge. The same on the sign-flipped image, where there are no cracks, says what noise makes: its tail
of masses is extrapolated to the wanted number of false sheets in the whole volume, and the share of
false sheets among those found is held below a limit (cluster mass inference: Bullmore et al. 1999; sign-flipped
image as null: VOIDS prototype of this project).
"""

from dataclasses import dataclass

import edt
import numpy as np
from scipy.ndimage import gaussian_filter

from pipeline.arrays import BoolArray, Float64Array, FloatArray, IntArray
from pipeline.segment.plates import plate_strength, profiles, ridges, sheets_of_ridges
from pipeline.segment.rims import Ridges, fitted_rims, inner_part, smoothed, without_flanks

SCALE_PX = 2.0
"""Standard deviation of the Gaussian before the second differences."""
SKIN_PX = 2.5
"""What is nearer to the skin, whose own error looks like a plate, only continues a sheet and has no mass."""
OUTER_PX = 0.5
NULL_QUANTILE = 0.98
CLEAR_PX = 6.0
STRONG = 4.0
"""The null is taken CLEAR_PX away from responses above so many medians of the null's ridges: walls and side lobes."""
SAME_SHEET_COSINE = 0.9
TAIL = 40
"""Largest sheets of the null that its tail is fitted to."""
REACH_PX = 8
BASELINE_PX = 6
"""From here on a profile shows what is beside the crack."""
LOCAL_PX = 3
"""A local aperture is a mean over so many voxels around."""
UNEVEN = 4.0
"""Both sides count unless they differ by so many median deviations."""


@dataclass(frozen=True)
class Sheets:
    """Crack surfaces as ridge voxels.

    Attributes
    ----------
    index : (n, 3) int64, voxel z y x
    normal : (n, 4) float32, unit normal z y x and distance of the middle plane along it in voxels
    sheet : (n,) int64, 1 … number of the sheet
    area_px : (n,) float32, area in voxel faces
    aperture_px : (n,) float32, local aperture in voxels; noisy, take means or medians over a sheet
    inner : (n,) bool, away from the sheet's rim, where the aperture is not averaged with what lies beyond
    response_level, mass_level : thresholds of response and mass
    smallest_aperture_px : aperture whose response reaches ``response_level``
    null_sheets : sheets in the sign-flipped image above the lower level, before the mass threshold
    """

    index: IntArray
    normal: FloatArray
    sheet: IntArray
    area_px: FloatArray
    aperture_px: FloatArray
    inner: BoolArray
    response_level: float
    mass_level: float
    smallest_aperture_px: float
    null_sheets: int

    @property
    def count(self) -> int:
        """Number of sheets."""
        return int(self.sheet.max(initial=0))


def find_sheets(
    void: FloatArray,
    depth_px: FloatArray,
    *,
    blur_px: float,
    false_cracks: float,
    false_discovery: float,
) -> Sheets:
    """Find cracks in a void fraction.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    depth_px : distance to the skin, positive inside
    blur_px : standard deviation of the blur
    false_cracks : sheets that noise may make in the whole volume, on average
    false_discovery : share of the sheets found that may be false
    """
    smooth = gaussian_filter(void, SCALE_PX, mode="nearest")
    inside = depth_px > SKIN_PX
    bright, dark = plate_strength(smooth, depth_px > OUTER_PX)
    null_index, null_normal, null_value = ridges(smooth, np.where(inside, dark, 0), 0.0, -1)
    typical = float(np.median(null_value)) if null_value.size else np.inf
    away = _away_from((bright > STRONG * typical) & inside, CLEAR_PX)
    share = float((inside & away).sum() / max(inside.sum(), 1))
    clear = away[tuple(null_index.T)]
    level = float(np.quantile(null_value[clear], NULL_QUANTILE)) if clear.sum() > 100 else STRONG * typical
    keep = clear & (null_value > level)
    null_mass = _masses(void.shape, null_index[keep], null_normal[keep], null_value[keep], level)[1]
    index, normal, value = ridges(smooth, bright, level, 1)
    outside = depth_px[tuple(index.T)] <= SKIN_PX
    joined, mass = _masses(void.shape, index, normal, np.where(outside, level, value), level)
    smallest = mass_threshold(mass, null_mass, 1 / max(share, 0.02), false_cracks, false_discovery)
    number = np.where(mass > smallest, np.cumsum(mass > smallest), 0)
    chosen = number[joined] > 0
    found = _without_walls(void, Ridges(index[chosen], normal[chosen], number[joined[chosen]]))
    found = without_flanks(fitted_rims(void, found, depth_px > OUTER_PX), depth_px)
    spread = np.sqrt(SCALE_PX**2 + blur_px**2)
    return Sheets(
        found.index,
        found.normal,
        found.sheet,
        found.area_px,
        apertures(void, found, blur_px=blur_px),
        inner_part(found, void.shape),
        level,
        smallest,
        float(level * np.sqrt(2 * np.pi) * spread**3),
        null_mass.size,
    )


def mass_threshold(
    mass: Float64Array, null_mass: Float64Array, scale: float, false_cracks: float, false_discovery: float
) -> float:
    """Return the mass above which sheets count.

    The largest masses of the null fall exponentially in mass^(2/3), as those of surfaces do whose size falls
    exponentially with their edge; fitted, they give the expected number of false sheets above a mass.

    Parameters
    ----------
    mass, null_mass : masses of the sheets found, and of those of the null
    scale : volume that is searched / volume that the null was taken from
    false_cracks, false_discovery : limits on the number and on the share of false sheets
    """
    if not null_mass.size:
        return 0.0
    tail = np.sort(null_mass ** (2 / 3))[::-1][: min(TAIL, max(null_mass.size // 3, 1))]
    start, slope = float(tail[-1]), max(float(tail.mean() - tail[-1]), 0.05 * float(tail[-1]) + 1e-6)

    def false_above(place: float) -> float:
        return scale * tail.size * float(np.exp(-(place - start) / slope))

    place = start + slope * float(np.log(scale * tail.size / false_cracks))
    found = np.sort(mass ** (2 / 3))
    n_found = int((found > place).sum())
    while n_found and false_above(place) > false_discovery * n_found:
        place += 0.1 * slope
        n_found = int((found > place).sum())
    return float(max(place, start) ** 1.5)


def apertures(void: FloatArray, found: Ridges, *, blur_px: float) -> FloatArray:
    """Return the local aperture: the void fraction summed across the sheet, which blur does not change.

    The level beside the sheet, a mean over REACH_PX voxels of it, is taken off. The sum ends about three standard
    deviations of the blur outside the crack's walls.
    """
    across = profiles(void, found.index, found.normal, REACH_PX)
    offset = np.abs(np.arange(-REACH_PX, REACH_PX + 1))
    level = _beside(across, found, void.shape)
    half = np.full(len(across), BASELINE_PX - 1)
    for rows in _sheets_rows(found.sheet):
        width = float(np.median((across[rows] - level[rows, None])[:, offset < BASELINE_PX].sum(axis=1)))
        half[rows] = min(BASELINE_PX - 1, int(np.ceil(max(width, 0) / 2 + 2.5 * blur_px)))
    total = ((across - level[:, None]) * (offset[None] <= half[:, None])).sum(axis=1)
    aperture: FloatArray = (total / np.maximum(1 - level, 0.2)).astype(np.float32)
    return aperture


def local_aperture(sheets: Sheets, shape: tuple[int, ...]) -> FloatArray:
    """Return the aperture of each ridge voxel averaged over its sheet nearby: that of a single one is mostly noise."""
    ridges = Ridges(sheets.index, sheets.normal, sheets.sheet)
    return smoothed(sheets.aperture_px, ridges, shape, LOCAL_PX)


def _beside(across: FloatArray, found: Ridges, shape: tuple[int, ...]) -> FloatArray:
    """Return the void fraction beside a sheet, from the lower side where another void is on one of them."""
    end = REACH_PX + 1 - BASELINE_PX
    sides = [
        smoothed(part.mean(axis=1), found, shape, REACH_PX) for part in (across[:, :end], across[:, -end:])
    ]
    difference = sides[0] - sides[1]
    uneven = np.zeros(len(across), bool)
    for rows in _sheets_rows(found.sheet):
        spread = float(np.median(np.abs(difference[rows] - np.median(difference[rows]))))
        uneven[rows] = np.abs(difference[rows]) > UNEVEN * spread
    level: FloatArray = np.where(uneven, np.minimum(*sides), (sides[0] + sides[1]) / 2)
    return level


def _sheets_rows(sheet: IntArray) -> list[IntArray]:
    """Return the rows of each sheet."""
    order = np.argsort(sheet, kind="stable")
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(sheet[order])) + 1) if rows.size]


def _masses(
    shape: tuple[int, ...], index: IntArray, normal: FloatArray, value: FloatArray, level: float
) -> tuple[IntArray, Float64Array]:
    """Return the sheet of each ridge voxel, 0 …, and the mass of each sheet."""
    lookup = np.full(shape, -1, np.int32)
    lookup[tuple(index.T)] = np.arange(index.shape[0], dtype=np.int32)
    sheet = sheets_of_ridges(index, normal, lookup, SAME_SHEET_COSINE)
    return sheet, np.bincount(sheet, weights=value / level - 1).astype(np.float64)


def _without_walls(void: FloatArray, found: Ridges) -> Ridges:
    """Drop ridge voxels of voids too wide to be a crack here: void still fills the profile at its ends."""
    across = profiles(void, found.index, found.normal, REACH_PX)
    inner = across[:, REACH_PX - 3 : REACH_PX + 4].max(axis=1)
    ends = np.minimum(across[:, :3].mean(axis=1), across[:, -3:].mean(axis=1))
    sides = np.maximum(across[:, REACH_PX - 4], across[:, REACH_PX + 4])
    return found.only((ends < 0.5 * inner) & (sides < np.maximum(0.75 * inner, 0.2)))


def _away_from(mask: BoolArray, distance_px: float) -> BoolArray:
    if not mask.any():
        return np.ones(mask.shape, bool)
    away: BoolArray = edt.edt(np.ascontiguousarray(~mask), black_border=False) > distance_px
    return away
