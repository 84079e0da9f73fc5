"""Registration of the frames of a stack through an edge: one sub-pixel shift per energy, whatever the contrast does."""

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
"""The first registration leaves the gain free in squares of so many pixels."""
LARGEST_SIDE_PX = 1024
"""Larger frames are binned for the registration, which bounds its memory."""
CLEAR_CONTRAST = 0.2
"""A frame with this share of the highest contrast has structure enough to be registered."""
OUTLIER_PX = 1.0
"""A shift this far (and five robust standard deviations) from the median of its neighbours is an outlier."""
UNCERTAIN_PX = 0.5
"""A shift of a larger standard error tells nothing; the frames taken before and after do."""
UNRELATED = 0.7
"""A frame of clear contrast whose misfit to the model exceeds this share of it shows something else."""
FEW_FRAMES = 4
SIGNIFICANT = 4.0
"""A frame is moved when its shift exceeds so many of its standard errors, in y or in x: of the hundred numbers of a stack one
exceeds three by chance in every fourth."""
DRIFT_SHARE = 0.1
"""The sample drifts when more than this share of the frames has moved."""
NEGLIGIBLE_PX = 0.05
"""Smaller shifts are not undone: they change less than the interpolation does."""
WHOLE = 0.05
"""A frame that lacks this share of its pixels more than most do cannot be compared with the model."""


@dataclass(frozen=True)
class StackShifts:
    """Shifts of the frames of a stack.

    Attributes
    ----------
    shift_px : (n_energy, 2) float64 (dy, dx): content sits at +dy, +dx from where the frame ``reference`` has it
    error_px : (n_energy, 2) standard errors, with that of the frame ``reference``; inf where the frame does not tell
    residual : (n_energy,) rms misfit to the model of the stack, in units of the frame's standard deviation; NaN where there
        is none
    replaced : (n_energy,) bool, where the frame does not tell its shift, and the frames taken before and after do
    lost : (n_energy,) bool, those of ``replaced`` that have clear contrast or must show the sample: they show something
        else, sit further away than was searched, or are empty
    reference : index of the frame that does not move
    """

    shift_px: Float64Array
    error_px: Float64Array
    residual: Float64Array
    replaced: BoolArray
    lost: BoolArray
    reference: int

    @classmethod
    def still(cls, n: int) -> "StackShifts":
        """Of n frames that are not registered."""
        no = np.zeros(n, bool)
        return cls(np.zeros((n, 2)), np.zeros((n, 2)), np.full(n, np.nan), no, no, 0)

    def applied_px(self) -> Float64Array:
        """Return the shifts to undo, (n_energy, 2): those beyond their own error, 0 for the rest.

        A frame is moved when its shift exceeds :data:`SIGNIFICANT` standard errors in y or x. Where more than
        :data:`DRIFT_SHARE` of the frames are, the sample drifts, and every frame is moved. Where none is by as much as
        :data:`NEGLIGIBLE_PX` no frame is: interpolation would only correlate its noise.
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
    """Find the shift of each frame, blind to what the chemistry does to its contrast.

    First each frame is registered to the mean of all with gain and background free in every square of a few pixels
    (:func:`oxytomo.align.local.local_shift`): outlines and grains count, contrast does not. Then all frames are registered
    to a common model of a few images whose weights change with the energy (:func:`oxytomo.align.spectral_model.model_shifts`),
    which is much more precise, and blind to a shift that follows the weights; of those the first step decides.
    A frame that does not tell its shift, as it has no contrast, gets that of the frames taken before and after.

    Parameters
    ----------
    frame : gives the frame of an index, (n_y, n_x) float32 optical density, NaN where invalid
    order : (n_energy,) indices in the order of acquisition
    shows_sample : (n_energy,) bool, frames above the edge, where the sample cannot be without contrast
    max_shift_px : largest shift searched
    progress : told how many of all registrations are done
    """
    n = order.size
    looks = _looks(frame, n, max_shift_px)
    alive = order[~looks.dead[order]]
    shifts, error, residual = _blind(looks, order, alive, progress)
    known = _plausible(shifts, error, alive, looks.search_px)
    shifts = _from_neighbours(shifts, known, order)
    # A frame that the first step cannot place may fit the model; one that it places elsewhere is not like the others.
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
        # The rows were repeated: they look the same wherever they sit.
        shifts[:, 0], error[:, 0] = 0, np.where(np.arange(n) == reference, 0, np.inf)
    lost: BoolArray = ~known & (shows_sample | looks.dead | clear)
    return StackShifts(shifts * looks.binning, error * looks.binning, residual, ~known, lost, reference)


@dataclass(frozen=True)
class _Looks:
    """Frames as they are registered: binned by ``binning`` and smoothed.

    Attributes
    ----------
    images, seen : n of (n_y, n_x): float32 without NaN, and bool, the pixels of each frame that count
    weights : (n_y, n_x) bool, pixels that count where a frame is whole
    dead, torn : (n,) bool, frames without a valid pixel, and frames that lack many
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
    """Register with gains that are free from place to place, to the reference frame and then to the mean of all.

    Returns
    -------
    shifts, errors (n, 2) and residuals (n,); the error is infinite, and the residual NaN, for dead frames
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

    The first guess is from a cross-correlation with the reference frame or with the frame before, whose contrast is more
    alike; where they differ, what fits better counts.
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
    """Say whether the errors (2,) are small; a direction in which the frame is too narrow to tell does not count."""
    told = error[np.isfinite(error)]
    return bool(told.size and (told < UNCERTAIN_PX).all())


def _plausible(
    shifts: Float64Array, error: Float64Array, alive: np.ndarray, max_shift_px: float
) -> BoolArray:
    """Say which frames tell their shift, and tell one that fits those taken before and after."""
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
    """Interpolate in time the shifts of frames that do not tell theirs; at either end the last known one is held."""
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


def _weights(shape: tuple[int, ...], max_shift_px: float) -> BoolArray:
    """Return where pixels count: not at the margin, which a shift brings in from outside."""
    weights = np.zeros(shape, bool)
    edges = [min(max(2, int(max_shift_px)), size // 8) for size in shape]
    weights[edges[0] : shape[0] - edges[0], edges[1] : shape[1] - edges[1]] = True
    return weights
