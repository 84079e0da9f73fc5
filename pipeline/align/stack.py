"""Registration of the frames of a stack through an edge: one sub-pixel shift per energy, whatever the contrast does."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from pipeline.align.register import coarse_shifts, refine_shifts, smooth
from pipeline.align.resample import resample
from pipeline.arrays import BoolArray, Float64Array, FloatArray

SIGMA_PX = 1.0
"""Gaussian smoothing before registration."""
ROUNDS = 2
"""The second round registers to the mean of the frames as the first round aligned them."""
LARGEST_SIDE_PX = 1024
"""Larger frames are binned for the registration, which bounds its memory."""
TRIM_ROUNDS, TRIM_SIGMA = 3, 2.0
"""Pixels whose misfit exceeds so many robust standard deviations of the misfit at edges are left out, in rounds."""
FLAT_SHARE = 0.6
"""Edges are the steepest pixels without this share."""
MIN_KEPT = 0.2
"""Trimming stops when less than this share of the pixels would be left."""
CLEAR_CONTRAST = 0.2
"""A frame with this share of the highest contrast has structure enough to be registered."""
OUTLIER_PX = 1.0
"""A shift this far (and five robust standard deviations) from the median of its neighbours is an outlier."""


@dataclass(frozen=True)
class StackShifts:
    """Shifts of the frames of a stack.

    Attributes
    ----------
    shift_px : (n_energy, 2) float64 (dy, dx): content sits at +dy, +dx from where the frame ``reference`` has it
    residual : (n_energy,) rms misfit to the mean frame, in units of the frame's standard deviation
    replaced : (n_energy,) bool, where the shift found was an outlier and its neighbours' median stands in
    lost : (n_energy,) bool, those of ``replaced`` that have clear contrast or must show the sample: they show something
        else, sit further away than was searched, or are empty
    reference : index of the frame that does not move
    """

    shift_px: Float64Array
    residual: Float64Array
    replaced: BoolArray
    lost: BoolArray
    reference: int


def register_stack(
    frame: Callable[[int], FloatArray],
    order: np.ndarray,
    *,
    shows_sample: BoolArray,
    max_shift_px: float,
    progress: Callable[[int, int], None],
) -> StackShifts:
    """Find the shift of each frame by least squares with gain and offset free.

    The frame of highest contrast is the first fixed image; then it is the mean of all frames as aligned so far. Gain
    and offset are free per frame, so that contrast may grow and shrink through the edge. Where a sample holds the
    element in some places only, no gain fits all of it, and least squares would trade the misfit for a shift that
    follows the absorption spectrum: pixels that fit badly are left out, and the rest registered again. A frame without
    contrast of its own, which registers anywhere, is recognised as an outlier among its neighbours in time.

    Parameters
    ----------
    frame : gives the frame of an index, (n_y, n_x) float32 optical density, NaN where invalid
    order : (n_energy,) indices in the order of acquisition
    shows_sample : (n_energy,) bool, frames above the edge, where the sample cannot be without contrast
    max_shift_px : largest shift searched
    progress : told how many of all registrations are done
    """
    n = order.size
    first = frame(0)
    binning = -(-max(first.shape) // LARGEST_SIDE_PX)
    smoothed = [smooth(_binned(frame(i), binning)[None], sigma_px=SIGMA_PX)[0] for i in range(n)]
    max_shift_px = max_shift_px / binning
    contrast = np.array([_contrast(image) for image in smoothed])
    reference = int(contrast.argmax())
    weights = _weights(smoothed[reference].shape, max_shift_px)
    fixed = smoothed[reference]
    shifts, residual = np.zeros((n, 2)), np.zeros(n)
    replaced = np.zeros(n, bool)
    for round_ in range(ROUNDS):
        for i in range(n):
            start = shifts[i : i + 1]
            if round_ == 0:
                start = coarse_shifts(smoothed[i][None], fixed[None], max_shift_px=max_shift_px)
            shifts[i], residual[i] = _trimmed_shift(smoothed[i], fixed, weights, start)
            progress(round_ * n + i + 1, ROUNDS * n)
        replaced = _replace_outliers(shifts, residual, order, max_shift_px)
        total = np.zeros_like(fixed)
        for image, shift in zip(smoothed, shifts, strict=True):
            total += scipy.ndimage.shift(image, -shift, order=1, mode="nearest")
        fixed = total / np.float32(n)
    shifts -= shifts[reference]
    lost: BoolArray = replaced & (shows_sample | (contrast > CLEAR_CONTRAST * contrast[reference]))
    return StackShifts(shifts * binning, residual, replaced, lost, reference)


def _trimmed_shift(
    moving: FloatArray, fixed: FloatArray, weights: BoolArray, start: Float64Array
) -> tuple[Float64Array, float]:
    """Register one frame, leaving out the pixels whose contrast changed otherwise than by the common gain.

    Returns
    -------
    shift : (2,) px
    residual : rms misfit of the pixels kept, in units of the fixed image's standard deviation
    """
    steepness = np.hypot(*np.gradient(fixed))
    edges = weights & (steepness > np.quantile(steepness[weights], FLAT_SHARE))
    kept, shift, left = weights, start, np.zeros(1)
    for _ in range(TRIM_ROUNDS):
        shift, left = refine_shifts(
            moving[None], fixed[None], kept[None], shift, iterations=30, free_gain=True
        )
        moved = scipy.ndimage.shift(moving, -shift[0], order=1, mode="nearest")
        for _ in range(TRIM_ROUNDS):
            gain, offset = np.polyfit(moved[kept], fixed[kept], 1)
            misfit = np.abs(gain * moved + offset - fixed)
            kept = weights & (misfit <= TRIM_SIGMA * 1.4826 * np.median(misfit[edges]))
            if kept.sum() < MIN_KEPT * weights.sum():
                return shift[0], float(left[0])
    return shift[0], float(left[0])


def shifted_frame(
    value: FloatArray, variance: FloatArray, shift_px: Float64Array
) -> tuple[FloatArray, FloatArray]:
    """Move the content of one frame back by its shift in one interpolation.

    Parameters
    ----------
    value, variance : (n_y, n_x) float32; NaN and inf where invalid
    shift_px : (dy, dx) at which the content sits

    Returns
    -------
    value, variance : the same shapes; the variance is that of sums over many pixels, see :func:`variance_factor`
    """
    moved, noise = resample(
        value[None],
        variance[None],
        dy_px=shift_px[:1],
        dx_px=shift_px[1:],
        magnification=1.0,
        rotation_deg=0.0,
        shape=value.shape,
    )
    return moved[0], noise[0]


def variance_factor(shift_px: Float64Array) -> float:
    """Variance of single pixels after the interpolation over that before it: the kernel's Σ w², 1 for whole pixels.

    What a single pixel loses in noise its neighbours share with it: sums over many pixels keep their variance.
    """
    size = 15
    point = np.zeros((1, size, size), np.float32)
    point[0, size // 2, size // 2] = 1.0
    kernel, _ = resample(
        point,
        np.ones_like(point),
        dy_px=shift_px[:1] % 1,
        dx_px=shift_px[1:] % 1,
        magnification=1.0,
        rotation_deg=0.0,
        shape=(size, size),
    )
    return float(np.nansum(kernel.astype(np.float64) ** 2))


def _binned(frame: FloatArray, factor: int) -> FloatArray:
    """Return the means of factor × factor pixels; a rest at the margin is left out."""
    if factor == 1:
        return frame
    n_y, n_x = (size // factor for size in frame.shape)
    blocks = frame[: n_y * factor, : n_x * factor].reshape(n_y, factor, n_x, factor)
    binned: FloatArray = blocks.mean(axis=(1, 3))
    return binned


def _contrast(image: FloatArray) -> float:
    return float(np.std(image)) if np.isfinite(image).all() else 0.0


def _weights(shape: tuple[int, ...], max_shift_px: float) -> BoolArray:
    """Return where pixels count: not at the margin, which a shift brings in from outside."""
    weights = np.zeros(shape, bool)
    edges = [min(max(2, int(max_shift_px)), size // 8) for size in shape]
    weights[edges[0] : shape[0] - edges[0], edges[1] : shape[1] - edges[1]] = True
    return weights


def _replace_outliers(
    shifts: Float64Array, residual: Float64Array, order: np.ndarray, max_shift_px: float
) -> BoolArray:
    """Put the median of its neighbours in time in place of a shift that lies far from it; says which."""
    in_time = shifts[order]
    middle = scipy.ndimage.median_filter(in_time, size=(min(9, order.size), 1), mode="nearest")
    away = np.abs(in_time - middle).max(axis=1)
    limit = max(OUTLIER_PX, 5 * 1.4826 * float(np.median(away)))
    bad = (away > limit) | ~np.isfinite(residual[order]) | (np.abs(in_time).max(axis=1) > max_shift_px)
    in_time[bad] = middle[bad]
    shifts[order] = in_time
    replaced: BoolArray = np.zeros(order.size, bool)
    replaced[order] = bad
    return replaced
