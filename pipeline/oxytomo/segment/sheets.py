"""Cracks: plates in the void fraction that noise does not explain.

Ridges of the plate response are joined to sheets. The mass of a sheet is the sum of the response
above the level over its ridge. The same on the sign-flipped image, which has no cracks, gives the
effect of noise: the tail of its masses is extrapolated to the accepted number of false sheets in
the whole volume, and the share of false sheets among those found is limited (cluster mass
inference: Bullmore et al., IEEE Trans. Med. Imaging 18, 32 (1999); null distribution from changed
signs: Nichols and Holmes, Hum. Brain Mapp. 15, 1 (2002)).
"""

from dataclasses import dataclass, replace

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.segment.joins import lookup, sheets_of_ridges
from oxytomo.segment.profiles import profiles
from oxytomo.segment.regions import Labels, paint_sheets
from oxytomo.segment.responses import OUTER_PX, SCALE_PX, SKIN_PX, responses
from oxytomo.segment.rims import Ridges, fitted_rims, inner_part, smoothed, without_flanks
from oxytomo.segment.steps import without_steps
from oxytomo.slabs import Field, gather

SAME_SHEET_COSINE = 0.9
TAIL = 40
"""Number of largest null sheets that the tail is fitted to."""
REACH_PX = 8
BASELINE_PX = 6
"""Beyond this distance a profile shows the surroundings of the crack."""
LOCAL_PX = 3
"""A local aperture is a mean over the sheet within this radius."""
UNEVEN = 4.0
"""Both sides count unless they differ by more than this multiple of the median deviation."""


@dataclass(frozen=True)
class Sheets:
    """Crack surfaces as ridge voxels.

    Attributes
    ----------
    index : (n, 3) int64, voxel z y x
    normal : (n, 4) float32, unit normal z y x and distance of the middle plane along it in voxels
    sheet : (n,) int64, number of the sheet, from 1
    area_px : (n,) float32, area in voxel faces
    aperture_px : (n,) float32, local aperture in voxels; noisy, take means or medians over a sheet
    inner : (n,) bool, away from the sheet's rim, where the aperture is averaged over the sheet only
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

    @property
    def mean_aperture_px(self) -> FloatArray:
        """Area-weighted mean aperture of each sheet, by its number; entry 0 is for no sheet."""
        area = np.bincount(self.sheet, self.area_px, minlength=self.count + 1)
        volume = np.bincount(self.sheet, self.area_px * self.aperture_px, minlength=self.count + 1)
        mean: FloatArray = np.maximum(volume / np.maximum(area, 1e-6), 0).astype(np.float32)
        return mean

    def only(self, good: BoolArray) -> "Sheets":
        """Return the sheets whose numbers are marked, numbered again."""
        number = np.where(good, np.cumsum(good), 0)
        rows = good[self.sheet]
        return replace(
            self,
            index=self.index[rows],
            normal=self.normal[rows],
            sheet=number[self.sheet[rows]],
            area_px=self.area_px[rows],
            aperture_px=self.aperture_px[rows],
            inner=self.inner[rows],
        )


def find_sheets(
    void: Field,
    depth_px: Field,
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
    false_cracks : mean number of sheets from noise that is accepted in the whole volume
    false_discovery : accepted share of false sheets among those found
    """
    bright, null, level, share = responses(void, depth_px)
    null_mass = _masses(void.shape, null.index, null.normal, null.value, level)[1]
    outside = gather(depth_px, bright.index) <= SKIN_PX
    value = np.where(outside, np.float32(level), bright.value)
    joined, mass = _masses(void.shape, bright.index, bright.normal, value, level)
    smallest = mass_threshold(mass, null_mass, 1 / max(share, 0.02), false_cracks, false_discovery)
    number = np.where(mass > smallest, np.cumsum(mass > smallest), 0)
    chosen = number[joined] > 0
    found = Ridges(bright.index[chosen], bright.normal[chosen], number[joined[chosen]])
    found = fitted_rims(void, _without_walls(void, found), lambda index: gather(depth_px, index) > OUTER_PX)
    found = without_steps(void, depth_px, without_flanks(found, depth_px))
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


def painted(sheets: Sheets, shape: tuple[int, ...], rows: slice, extra_px: float) -> Labels:
    """Return rows of a volume with sheets as thick as their mean aperture plus ``extra_px``.

    The extra is added on both sides.
    """
    half = (sheets.mean_aperture_px[sheets.sheet] / 2 + extra_px).astype(np.float32)
    reach = int(np.ceil(half.max(initial=0) + 1))
    near = (sheets.index[:, 0] >= rows.start - reach) & (sheets.index[:, 0] < rows.stop + reach)
    index = sheets.index[near] - np.array([rows.start, 0, 0])
    part = (rows.stop - rows.start, shape[1], shape[2])
    return paint_sheets(part, index, sheets.normal[near], sheets.sheet[near], half[near])


def mass_threshold(
    mass: Float64Array, null_mass: Float64Array, scale: float, false_cracks: float, false_discovery: float
) -> float:
    """Return the mass above which sheets count.

    The largest masses of the null fall exponentially with mass^(2/3), as for surfaces whose number
    falls exponentially with their edge length. The fit gives the expected number of false sheets
    above a mass.

    Parameters
    ----------
    mass, null_mass : masses of the sheets found, and of those of the null
    scale : volume that is searched over the volume that the null was taken from
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


def apertures(void: Field, found: Ridges, *, blur_px: float) -> FloatArray:
    """Return the local aperture: the void fraction summed across the sheet.

    Blur does not change it.

    The level beside the sheet, a mean over REACH_PX voxels of it, is subtracted. The sum ends about
    three standard deviations of the blur outside the crack's walls.
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
    """Return the aperture averaged over the sheet nearby: that of one voxel is mostly noise."""
    ridges = Ridges(sheets.index, sheets.normal, sheets.sheet)
    return smoothed(sheets.aperture_px, ridges, shape, LOCAL_PX)


def _beside(across: FloatArray, found: Ridges, shape: tuple[int, ...]) -> FloatArray:
    """Return the void fraction beside a sheet; only of the lower side if the other is a void."""
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
    sheet = sheets_of_ridges(index, normal, lookup(index, shape), SAME_SHEET_COSINE)
    return sheet, np.bincount(sheet, weights=value / level - 1).astype(np.float64)


def _without_walls(void: Field, found: Ridges) -> Ridges:
    """Drop ridge voxels in voids too wide for a crack: the ends of their profile are void, too."""
    across = profiles(void, found.index, found.normal, REACH_PX)
    inner = across[:, REACH_PX - 3 : REACH_PX + 4].max(axis=1)
    ends = np.minimum(across[:, :3].mean(axis=1), across[:, -3:].mean(axis=1))
    sides = np.maximum(across[:, REACH_PX - 4], across[:, REACH_PX + 4])
    return found.only((ends < 0.5 * inner) & (sides < np.maximum(0.75 * inner, 0.2)))
