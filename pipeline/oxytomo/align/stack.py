"""Registration of the frames of a stack through an edge: one sub-pixel shift per energy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.align.local import FEWEST_PX, LocalFit, local_shift
from oxytomo.align.register import coarse_shifts, smooth
from oxytomo.align.resample import resample
from oxytomo.align.spectral_model import model_shifts, moved_back
from oxytomo.arrays import BoolArray, Float64Array, FloatArray

SIGMA_PX = 1.0
"""Gaussian smoothing before registration."""
ITERATIONS = 10
TILE_PX = 8
"""The first registration leaves the gain free in squares of this many pixels."""
LARGEST_SIDE_PX = 1024
"""Frames with more pixels are binned for the registration, which bounds its memory."""
CLEAR_CONTRAST = 0.2
"""A frame with this share of the highest contrast has enough structure for registration."""
OUTLIER_PX = 1.0
"""A shift is an outlier this far (and five robust standard deviations) from the median of its
neighbours."""
UNCERTAIN_PX = 0.5
"""A shift with a larger standard error is replaced from the frames taken before and after."""
UNRELATED = 0.7
"""A frame of clear contrast whose misfit exceeds this share of it shows something else."""
FEW_FRAMES = 4
SIGNIFICANT = 4.0
"""A frame is moved when its shift exceeds this many standard errors in y or x. Of the hundred
shifts of a stack, one exceeds three standard errors by chance in every fourth stack."""
DRIFT_SHARE = 0.1
"""The sample drifts when more than this share of the frames has moved."""
NEGLIGIBLE_PX = 0.05
"""Smaller shifts are not corrected: they change less than the interpolation does."""
WHOLE = 0.05
"""A frame that misses this share of its pixels more than most cannot be compared with the model."""


@dataclass(frozen=True)
class StackShifts:
    """Shifts of the frames of a stack.

    Attributes
    ----------
    shift_px : (n_energy, 2) float64 (dy, dx): content sits at +dy, +dx from its place in the frame
        ``reference``
    error_px : (n_energy, 2) standard errors, including that of the frame ``reference``; inf where
        the frame does not determine its shift
    residual : (n_energy,) rms misfit to the model of the stack, in units of the frame's standard
        deviation; NaN where there is none
    replaced : (n_energy,) bool, frames that do not determine their shift; it is interpolated from
        the frames taken before and after
    lost : (n_energy,) bool, those of ``replaced`` that have clear contrast or must show the sample:
        they show something else, lie beyond the search range, or are empty
    reference : index of the frame that is not moved
    """

    shift_px: Float64Array
    error_px: Float64Array
    residual: Float64Array
    replaced: BoolArray
    lost: BoolArray
    reference: int

    @classmethod
    def still(cls, n: int) -> "StackShifts":
        """Result for n frames without registration."""
        no = np.zeros(n, bool)
        return cls(np.zeros((n, 2)), np.zeros((n, 2)), np.full(n, np.nan), no, no, 0)

    def applied_px(self) -> Float64Array:
        """Return the shifts to correct, (n_energy, 2): significant ones, and 0 for the others.

        A frame is moved when its shift exceeds :data:`SIGNIFICANT` standard errors in y or x. Where
        more than :data:`DRIFT_SHARE` of the frames do, the sample drifts, and every frame is moved.
        Where no shift reaches :data:`NEGLIGIBLE_PX`, no frame is moved, because interpolation would
        only correlate the noise.
        """
        away = (np.abs(self.shift_px) > SIGNIFICANT * self.error_px).any(axis=1) & ~self.replaced
        if not np.abs(self.shift_px[away]).max(initial=0.0) >= NEGLIGIBLE_PX:
            return np.zeros_like(self.shift_px)
        if away.sum() > max(1, DRIFT_SHARE * away.size):
            away = np.ones_like(away)
        return np.where(away[:, None], self.shift_px, 0.0)


def register_stack(
    frame: Callable[[int], FloatArray],
    order: np.ndarray,
    *,
    shows_sample: BoolArray,
    max_shift_px: float,
    progress: Callable[[int, int], None],
) -> StackShifts:
    """Find the shift of each frame, independent of what the chemistry does to its contrast.

    First each frame is registered to the mean of all frames, with gain and background free in every
    square of a few pixels (:func:`oxytomo.align.local.local_shift`). Outlines and grains count,
    contrast does not. Then all frames are registered to a common model of a few images whose
    weights change with the energy (:func:`oxytomo.align.spectral_model.model_shifts`). This is much
    more precise, but does not see a shift that follows the weights; there the first step decides. A
    frame without contrast does not determine its shift. It gets the shift interpolated from the
    frames taken before and after.

    Parameters
    ----------
    frame : gives the frame of an index, (n_y, n_x) float32 optical density, NaN where invalid
    order : (n_energy,) indices in the order of acquisition
    shows_sample : (n_energy,) bool, frames above the edge, where the sample cannot be without
        contrast
    max_shift_px : largest shift searched
    progress : told how many of all registrations are done
    """
    n = order.size
    looks = _looks(frame, n, max_shift_px)
    alive = order[~looks.dead[order]]
    shifts, error, residual = _blind(looks, order, alive, progress)
    known = _plausible(shifts, error, alive, looks.search_px)
    shifts = _from_neighbours(shifts, known, order)
    # A frame that the first step cannot place may fit the model. A frame that it places elsewhere
    # is unlike the others.
    chosen = np.flatnonzero((known | (~looks.dead & (error > UNCERTAIN_PX).any(axis=1))) & ~looks.torn)
    error[~known] = np.inf
    clear = looks.contrast > CLEAR_CONTRAST * looks.contrast[looks.reference]
    if (known & ~looks.torn).sum() >= FEW_FRAMES:
        in_time = np.argsort(np.argsort(order)[chosen])
        images = [looks.images[i] for i in chosen]
        found = model_shifts(images, looks.weights, shifts[chosen], error[chosen], in_time)
        shifts[chosen], error[chosen], residual[chosen] = found.shift_px, found.error_px, found.residual
        error[(residual > UNRELATED) & clear] = np.inf
        known = _plausible(shifts, error, alive, looks.search_px)
    progress(3 * n, 3 * n)
    reference = looks.reference
    known[reference] = True
    shifts = _from_neighbours(shifts, known, order)
    shifts -= shifts[reference]
    error = np.where(known[:, None], np.hypot(error, error[reference]), np.inf)
    error[reference] = 0.0
    if frame(0).shape[0] < FEWEST_PX:
        # The rows were repeated: they look the same at any vertical shift.
        shifts[:, 0], error[:, 0] = 0, np.where(np.arange(n) == reference, 0, np.inf)
    lost: BoolArray = ~known & (shows_sample | looks.dead | clear)
    return StackShifts(shifts * looks.binning, error * looks.binning, residual, ~known, lost, reference)


@dataclass(frozen=True)
class _Looks:
    """Frames for the registration: binned by ``binning`` and smoothed.

    Attributes
    ----------
    images, seen : n of (n_y, n_x): float32 without NaN, and bool, the pixels of each frame that
        count
    weights : (n_y, n_x) bool, pixels that count where a frame is whole
    dead, torn : (n,) bool, frames without a valid pixel, and frames that miss many pixels
    contrast : (n,) standard deviation
    reference : the frame of highest contrast
    search_px : largest shift searched
    """

    images: list[FloatArray]
    seen: list[BoolArray]
    weights: BoolArray
    dead: BoolArray
    torn: BoolArray
    contrast: Float64Array
    reference: int
    search_px: float
    binning: int


def _looks(frame: Callable[[int], FloatArray], n: int, max_shift_px: float) -> _Looks:
    binning = -(-max(frame(0).shape) // LARGEST_SIDE_PX)
    images, valid = [], []
    for i in range(n):
        one = _binned(frame(i), binning)
        missing = max(0, -(-(FEWEST_PX - one.shape[0]) // 2))
        one = np.pad(one, ((missing, missing), (0, 0)), mode="edge")
        valid.append(np.isfinite(one))
        images.append(smooth(one[None], sigma_px=SIGMA_PX)[0])
    share = np.array([one.mean() for one in valid])
    dead = share == 0
    contrast = np.where(dead, 0.0, [float(np.std(image)) for image in images])
    weights = _weights(images[0].shape, max_shift_px / binning)
    return _Looks(
        images=images,
        seen=[weights & one for one in valid],
        weights=weights,
        dead=dead,
        torn=~dead & (share < np.median(share) - WHOLE),
        contrast=contrast,
        reference=int(contrast.argmax()),
        search_px=max_shift_px / binning,
        binning=binning,
    )


def _blind(
    looks: _Looks, order: np.ndarray, alive: np.ndarray, progress: Callable[[int, int], None]
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Register with gains that are free from place to place.

    The target is first the reference frame, then the mean of all frames.

    Returns
    -------
    Shifts, errors (n, 2) and residuals (n,); for dead frames the error is infinite and the residual
    NaN
    """
    n = order.size
    fits = _tracked(
        looks.images,
        alive,
        looks.reference,
        looks.seen,
        looks.search_px,
        lambda done: progress(done, 3 * n),
    )
    shifts, error = _table(fits, n)
    known = _plausible(shifts, error, alive, looks.search_px)
    known[looks.reference] = True
    shifts = _from_neighbours(shifts, known, order)
    moved = [moved_back(looks.images[i], shifts[i]) for i in np.flatnonzero(known)]
    mean: FloatArray = np.asarray(np.mean(moved, axis=0), np.float32)
    del moved
    for done, i in enumerate(alive):
        fits[int(i)] = local_shift(
            looks.images[i], mean, looks.seen[i], shifts[i], iterations=ITERATIONS, tile_px=TILE_PX
        )
        progress(n + done + 1, 3 * n)
    shifts, error = _table(fits, n)
    return shifts, error, np.array([fits[i].residual if i in fits else np.nan for i in range(n)])


def _tracked(
    images: list[FloatArray],
    alive: np.ndarray,
    reference: int,
    weights: list[BoolArray],
    max_shift_px: float,
    progress: Callable[[int], None],
) -> dict[int, LocalFit]:
    """Register frames to the reference frame, from it outwards in time.

    The first guess is from a cross-correlation with the reference frame, or with the frame before
    it, whose contrast is more similar. Where the two differ, the better fit counts.
    """
    at = int(np.flatnonzero(alive == reference)[0])
    fits: dict[int, LocalFit] = {}
    for path in (alive[at:], alive[at::-1]):
        before, place = images[reference], np.zeros(2)
        for i in path:
            if int(i) in fits:
                continue
            image = images[i][None]
            step = coarse_shifts(image, before[None], max_shift_px=max_shift_px)[0]
            guesses = [place + step]
            if before is not images[reference]:
                whole = coarse_shifts(image, images[reference][None], max_shift_px=max_shift_px)[0]
                guesses += [
                    g for g in (place, whole) if all(np.abs(g - other).max() > 1 for other in guesses)
                ]
            tried = [
                local_shift(
                    images[i], images[reference], weights[i], guess, iterations=ITERATIONS, tile_px=TILE_PX
                )
                for guess in guesses
                if np.abs(guess).max() <= max_shift_px
            ]
            if tried:
                best = min(tried, key=lambda fit: fit.residual if np.isfinite(fit.residual) else np.inf)
                fits[int(i)] = best
                if _certain(best.error_px) and np.abs(best.shift_px).max() <= max_shift_px:
                    before, place = images[i], best.shift_px
            progress(len(fits))
    return fits


def _table(fits: dict[int, LocalFit], n: int) -> tuple[Float64Array, Float64Array]:
    """Return shifts and errors (n, 2) of all frames; those without a fit have an infinite error."""
    shifts, error = np.zeros((n, 2)), np.full((n, 2), np.inf)
    for i, fit in fits.items():
        shifts[i], error[i] = fit.shift_px, fit.error_px
    return shifts, error


def _certain(error: Float64Array) -> bool:
    """Return whether the errors (2,) are small.

    A direction in which the frame is too narrow for a registration is ignored.
    """
    told = error[np.isfinite(error)]
    return bool(told.size and (told < UNCERTAIN_PX).all())


def _plausible(
    shifts: Float64Array, error: Float64Array, alive: np.ndarray, max_shift_px: float
) -> BoolArray:
    """Return which frames determine a shift that agrees with those taken before and after."""
    known = np.array([_certain(one) for one in error], bool)
    known &= np.abs(shifts).max(axis=1) <= max_shift_px
    told = alive[known[alive]]
    if told.size:
        in_time = shifts[told]
        middle = scipy.ndimage.median_filter(in_time, size=(min(9, told.size), 1), mode="nearest")
        away = np.abs(in_time - middle).max(axis=1)
        known[told[away > max(OUTLIER_PX, 5 * 1.4826 * float(np.median(away)))]] = False
    return known


def _from_neighbours(shifts: Float64Array, known: BoolArray, order: np.ndarray) -> Float64Array:
    """Interpolate in time the shifts of frames that do not determine their own.

    At either end the last known shift is held.
    """
    filled = shifts.copy()
    when = np.flatnonzero(known[order])
    if when.size:
        for axis in range(2):
            filled[order, axis] = np.interp(np.arange(order.size), when, shifts[order[when], axis])
    return filled


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
    value, variance : same shapes; the variance is that of sums over many pixels, see
        :func:`variance_factor`
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
    """Variance of single pixels after the interpolation over that before it.

    It is the sum of the squared kernel weights, Σ w²; 1 for whole pixels.

    The noise that a single pixel loses is shared with its neighbours, so sums over many pixels keep
    their variance.
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
    """Return the means of factor × factor pixels; remaining pixels at the margin are left out."""
    if factor == 1:
        return frame
    n_y, n_x = (size // factor for size in frame.shape)
    blocks = frame[: n_y * factor, : n_x * factor].reshape(n_y, factor, n_x, factor)
    binned: FloatArray = blocks.mean(axis=(1, 3))
    return binned


def _weights(shape: tuple[int, ...], max_shift_px: float) -> BoolArray:
    """Return where pixels count: not at the margin, where a shift moves pixels in from outside."""
    weights = np.zeros(shape, bool)
    edges = [min(max(2, int(max_shift_px)), size // 8) for size in shape]
    weights[edges[0] : shape[0] - edges[0], edges[1] : shape[1] - edges[1]] = True
    return weights
