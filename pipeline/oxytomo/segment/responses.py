"""Plate responses of a volume and of its null, the sign-flipped image, as ridge voxels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, IntArray
from oxytomo.segment.distances import away_from
from oxytomo.segment.plates import plate_strength, ridges
from oxytomo.segment.smoothing import gaussian
from oxytomo.slabs import Field, Slab, read, sample_step, slabs

SCALE_PX = 2.0
"""Standard deviation of the Gaussian before the second differences."""
SKIN_PX = 2.5
"""Voxels nearer to the skin only continue a sheet and have no mass, because an error of the skin
looks like a plate."""
OUTER_PX = 0.5
NULL_QUANTILE = 0.98
CLEAR_PX = 6.0
STRONG = 4.0
"""The null is taken CLEAR_PX away from responses above this multiple of the median of the null's
ridges, such as walls and side lobes."""
WEAK = 1.5
"""The level is at least this multiple of the median; the quantile of noise is about twice that."""
SMOOTHING_REACH, RIDGE_REACH = 8, 2
SAMPLE_ROWS = 32
FEWEST_NULL = 100


@dataclass(frozen=True)
class Responses:
    """Ridge voxels: ``index`` (n, 3), ``normal`` (n, 4), ``value`` (n,).

    See :class:`oxytomo.segment.sheets.Sheets`.
    """

    index: IntArray
    normal: FloatArray
    value: FloatArray

    def above(self, level: float) -> "Responses":
        """Return the ridge voxels above a level."""
        keep = self.value > level
        return Responses(self.index[keep], self.normal[keep], self.value[keep])


def responses(void: Field, depth_px: Field) -> tuple[Responses, Responses, float, float]:
    """Find ridges above a level that most of the null's ridges do not reach.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    depth_px : distance to the skin, positive inside

    Returns
    -------
    bright, null : ridges of the image, and of the sign-flipped image away from strong responses
    level : curvature that a share NULL_QUANTILE of the null does not reach
    share : part of the volume that the null was taken from
    """
    typical = _typical(void, depth_px)
    bright, null = [], []
    n_null, n_clear, n_inside = 0, 0, 0
    for slab in slabs(void.shape, halo=SMOOTHING_REACH + RIDGE_REACH + int(CLEAR_PX) + 1):
        smooth, inside, strength, flipped = _plates(void, depth_px, slab)
        away = away_from((strength > STRONG * typical) & inside, CLEAR_PX)
        dark = _ridges(smooth, np.where(inside, flipped, 0), 0.0, -1, slab)
        clear = away[dark.index[:, 0] - slab.wide.start, dark.index[:, 1], dark.index[:, 2]]
        n_null += int(clear.sum())
        null.append(Responses(dark.index[clear], dark.normal[clear], dark.value[clear]).above(WEAK * typical))
        bright.append(_ridges(smooth, strength, WEAK * typical, 1, slab))
        n_clear += int((inside & away)[slab.core].sum())
        n_inside += int(inside[slab.core].sum())
    found, nothing = _joined(bright), _joined(null)
    level = STRONG * typical
    if n_null > FEWEST_NULL:
        level = max(_upper_quantile(nothing.value, n_null, NULL_QUANTILE), WEAK * typical)
    return found.above(level), nothing.above(level), level, n_clear / max(n_inside, 1)


def _plates(void: Field, depth_px: Field, slab: Slab) -> tuple[FloatArray, BoolArray, FloatArray, FloatArray]:
    """Return the smoothed void fraction, the depth mask, and bright and dark plate strength."""
    depth = read(depth_px, slab.wide)
    smooth: FloatArray = gaussian(read(void, slab.wide), SCALE_PX)
    return smooth, depth > SKIN_PX, *plate_strength(smooth, depth > OUTER_PX)


def _ridges(smooth: FloatArray, strength: FloatArray, level: float, sign: int, slab: Slab) -> Responses:
    index, normal, value = ridges(smooth, strength, level, sign, slab.core.start, slab.core.stop)
    index[:, 0] += slab.wide.start
    return Responses(index, normal, value)


def _joined(parts: list[Responses]) -> Responses:
    columns = ([getattr(part, name) for part in parts] for name in ("index", "normal", "value"))
    return Responses(*(np.concatenate(column) for column in columns))


def _typical(void: Field, depth_px: Field) -> float:
    """Return the median response of the null; for a large volume, from some of its rows."""
    values = []
    for slab in _sampled(void.shape):
        smooth, inside, _, flipped = _plates(void, depth_px, slab)
        values.append(_ridges(smooth, np.where(inside, flipped, 0), 0.0, -1, slab).value)
    found = np.concatenate(values)
    return float(np.median(found)) if found.size else np.inf


def _sampled(shape: tuple[int, ...]) -> Iterator[Slab]:
    """Return all slabs of a small volume, or thin ones spread over a large one."""
    halo, step = SMOOTHING_REACH + RIDGE_REACH, sample_step(shape)
    if step == 1:
        yield from slabs(shape, halo=halo)
        return
    period = SAMPLE_ROWS * step**2
    for start in range((shape[0] % period) // 2, max(shape[0] - SAMPLE_ROWS, 1), period):
        low, stop = max(0, start - halo), min(start + SAMPLE_ROWS, shape[0])
        yield Slab(slice(start, stop), slice(low, min(stop + halo, shape[0])), slice(start - low, stop - low))


def _upper_quantile(largest: FloatArray, n: int, share: float) -> float:
    """Return a quantile of n values of which only the largest are given.

    0 if it is below them.
    """
    place = share * (n - 1) - (n - largest.size)
    if place < 0:
        return 0.0
    return float(np.quantile(largest, place / max(largest.size - 1, 1)))
