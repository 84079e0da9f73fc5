"""Illumination that moved between flats and frames, found in the air and corrected.

A condenser or mirror that drifts by a part of a pixel moves the pattern of the illumination. The
flat field then no longer fits the frame: each frame keeps the difference ``L(r) − L(r − d)`` of the
logarithm ``L`` of the flat and of its copy moved by ``d``. With a pattern of some percent that is
as large as the signal that is sought. In the air nothing else changes, so ``d`` is fitted there,
frame by frame, and the frame is compared with the moved flat.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.slabs import Field

PATTERN_SMOOTHING_PX = 0.6
"""Gaussian that separates the pattern of the illumination from what belongs to single pixels of the
detector."""
ROUNDS = 6
SETTLED_PX = 2e-3
LARGEST_SHIFT_PX = 10.0
ROBUST = 4.0
"""Pixels whose residual exceeds this number of standard deviations do not count (a rim of the
sample, a bad pixel)."""
BESIDE_SAMPLE_PX = 4
"""Air this close to the sample is left out."""
LEAST_AIR = 200
"""Fewer pixels of air than that tell nothing."""
AIR_MARGINS = (0.1, 0.05)
"""Optical density above the lowest level up to which a pixel counts as air: first with, then
without the pattern's own unevenness. A tighter limit would select the air by the very pattern that
is to be measured."""
BLOCK_PX = 16
"""Edge of the blocks of air that count as independent."""
SIGNIFICANT = 5.0
"""A series is corrected if its shifts exceed this multiple of their errors, in the root mean
square. Three times them is reached by the structure of flats of few counts."""


@dataclass(frozen=True)
class IlluminationShift:
    """Shift of one frame's illumination against its flat field.

    Attributes
    ----------
    shift_px : (2,) float64, rows and columns; the pattern in the frame is that of the flat moved by
        it
    error_px : (2,) float64, standard errors; inf where the air tells nothing
    """

    shift_px: Float64Array
    error_px: Float64Array


UNKNOWN = IlluminationShift(np.zeros(2), np.full(2, np.inf))


class IlluminationPattern:
    """Logarithm of a flat field, smoothed, which can be moved.

    Parameters
    ----------
    flat : (n_y, n_x) float32, counts above the dark level
    bad : (n_y, n_x) bool, pixels of the flat that are not to be trusted
    """

    def __init__(self, flat: FloatArray, bad: BoolArray) -> None:
        def smooth(image: Float64Array) -> Float64Array:
            result: Float64Array = scipy.ndimage.gaussian_filter(image, PATTERN_SMOOTHING_PX, mode="nearest")
            return result

        level = float(np.median(flat[~bad])) if (~bad).any() else 1.0
        weight = smooth((~bad).astype(np.float64))
        log = np.log(np.where(bad, level, np.maximum(flat, 1e-3 * level)), dtype=np.float64)
        known = weight > 1e-3
        self.log = np.where(known, smooth(np.where(bad, 0, log)) / np.where(known, weight, 1), np.log(level))
        self.slopes = np.gradient(self.log)
        self._spline = scipy.ndimage.spline_filter(self.log, order=3, mode="nearest")

    def moved(self, shift_px: Float64Array) -> Float64Array:
        """Return the pattern moved by (rows, columns), by cubic splines."""
        moved: Float64Array = scipy.ndimage.shift(
            self._spline, shift_px, order=3, mode="nearest", prefilter=False
        )
        return moved

    def correction(self, shift_px: Float64Array) -> FloatArray:
        """Return what to add to an optical density when the flat has moved."""
        return (self.moved(shift_px) - self.log).astype(np.float32)


def illumination_shifts(
    value: Field,
    variance: Field,
    pattern_of: Callable[[int], IlluminationPattern],
) -> list[IlluminationShift] | None:
    """Find the shift of the illumination of every frame.

    None if the series shows none beyond its errors.

    A first linear step for every frame decides whether there is anything to correct, which keeps
    series without a shift as they are.

    Parameters
    ----------
    value, variance : (n_frame, n_y, n_x) float32, optical density against the flat as recorded
    pattern_of : gives the pattern of the flat field of a frame
    """
    frames = range(value.shape[0])
    first = [_fitted(value[i], variance[i], pattern_of(i), rounds=1, margins=AIR_MARGINS[:1]) for i in frames]
    # 0 where nothing is known
    scaled = np.concatenate([one.shift_px / one.error_px for one in first])
    if np.sqrt(np.mean(scaled**2)) < SIGNIFICANT:
        return None
    return [_fitted(value[i], variance[i], pattern_of(i), rounds=ROUNDS, margins=AIR_MARGINS) for i in frames]


def _fitted(
    value: FloatArray,
    variance: FloatArray,
    pattern: IlluminationPattern,
    *,
    rounds: int,
    margins: tuple[float, ...],
) -> IlluminationShift:
    """Fit one frame, each time on the air that the frame shows without the shift found before."""
    density, found = np.asarray(value), UNKNOWN
    for margin in margins:
        corrected = density + pattern.correction(found.shift_px) if found.shift_px.any() else density
        air = generous_air(corrected, margin)
        found = illumination_shift(
            density, np.asarray(variance), air, pattern, rounds=rounds, start=found.shift_px
        )
    return found


def generous_air(density: FloatArray, margin: float) -> BoolArray:
    """Return the pixels near the lowest level whose region reaches the frame's margin.

    Their surroundings are at most ``margin`` above the lowest level.
    """
    known = np.isfinite(density)
    filled = np.where(known, density, np.median(density[known]) if known.any() else 0).astype(np.float32)
    smooth = scipy.ndimage.uniform_filter(filled, 5, mode="nearest")
    labels, _ = scipy.ndimage.label(smooth < np.percentile(smooth, 5) + margin)
    touching = np.unique(np.concatenate([labels[:, 0], labels[:, -1], labels[0], labels[-1]]))
    kept = np.isin(labels, touching[touching > 0])
    air: BoolArray = scipy.ndimage.binary_erosion(kept, iterations=BESIDE_SAMPLE_PX, border_value=1)
    return air


def illumination_shift(
    density: FloatArray,
    variance: FloatArray,
    air: BoolArray,
    pattern: IlluminationPattern,
    *,
    rounds: int,
    start: Float64Array,
) -> IlluminationShift:
    """Fit the shift of one frame's illumination to its air, by weighted Gauss–Newton steps.

    Parameters
    ----------
    density : (n_y, n_x) float32, optical density against the flat as recorded, NaN where invalid
    variance : (n_y, n_x) float32, of it
    air : (n_y, n_x) bool, pixels that see no sample
    pattern : of the flat field
    rounds : steps at most; of one step the result is linear in the shift
    start : (2,) shift in pixels to begin with
    """
    use = air & np.isfinite(density) & np.isfinite(variance) & (variance > 0)
    if np.count_nonzero(use) < LEAST_AIR:
        return UNKNOWN
    values, weights = density[use].astype(np.float64), 1 / variance[use].astype(np.float64)
    blocks = _blocks(use)
    shift, error = start.astype(np.float64), np.full(2, np.inf)
    for _ in range(rounds):
        still = not shift.any()
        moved = pattern.log if still else pattern.moved(shift)
        slopes = pattern.slopes if still else np.gradient(moved)
        # In air: level + L(r) − L(r − d); a further step δ of d adds δ · grad L(r − d).
        design = np.column_stack([np.ones(values.size), slopes[0][use], slopes[1][use]])
        residual = values - (pattern.log - moved)[use]
        step, error = _robust_step(design, residual, weights, blocks)
        shift = np.clip(shift + step, -LARGEST_SHIFT_PX, LARGEST_SHIFT_PX)
        if np.abs(step).max() < SETTLED_PX:
            break
    return IlluminationShift(shift, error)


def _blocks(use: BoolArray) -> IntArray:
    """Return the number of the block of ``BLOCK_PX``² pixels that each pixel in use lies in."""
    rows, columns = np.nonzero(use)
    number = rows // BLOCK_PX * (use.shape[1] // BLOCK_PX + 1) + columns // BLOCK_PX
    blocks: IntArray = np.unique(number, return_inverse=True)[1].astype(np.int64)
    return blocks


def _robust_step(
    design: Float64Array, residual: Float64Array, weights: Float64Array, blocks: IntArray
) -> tuple[Float64Array, Float64Array]:
    """Return step and standard errors of the shift by least squares without outliers.

    Residuals of neighbouring pixels belong together where the air is not empty: a film with holes,
    a fibre, a neighbour out of focus. The errors are the larger of those of independent pixels and
    those of independent blocks of pixels (Liang and Zeger 1986).
    """
    good = np.ones(residual.size, bool)
    for _ in range(3):
        weighted = design * np.where(good, weights, 0)[:, None]
        normal = weighted.T @ design
        found = np.linalg.lstsq(normal, weighted.T @ residual, rcond=None)[0]
        left = residual - design @ found
        scaled = left * np.sqrt(weights)
        spread = max(1.0, 1.4826 * float(np.median(np.abs(scaled[good]))))
        good = np.abs(scaled) < ROBUST * spread
    inverse = np.linalg.pinv(normal)
    variance = np.maximum(np.diag(inverse) * spread**2, _of_blocks(weighted * left[:, None], inverse, blocks))
    error = np.sqrt(np.maximum(variance[1:], 0))
    return np.asarray(found[1:], np.float64), np.where(error > 0, error, np.inf)


def _of_blocks(scores: Float64Array, inverse: Float64Array, blocks: IntArray) -> Float64Array:
    """Return the variance of each parameter if blocks of pixels are independent, not pixels."""
    n_block, n_parameter = int(blocks.max()) + 1, scores.shape[1]
    if n_block <= n_parameter:
        return np.full(n_parameter, np.inf)
    sums = np.column_stack([np.bincount(blocks, one, n_block) for one in scores.T])
    moved = sums @ inverse
    variance: Float64Array = (moved**2).sum(0) * n_block / (n_block - n_parameter)
    return variance
