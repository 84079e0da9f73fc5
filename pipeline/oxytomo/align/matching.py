"""Projection matching: each frame is compared with the re-projection of the reconstruction.

The shifts and a non-negative SIRT reconstruction are refined in turn. A frame that fits badly loses
its weight in the reconstruction, so that it does not affect the other frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.align.binning import Binning
from oxytomo.align.register import coarse_shifts, fill_invalid, refine_shifts, smooth
from oxytomo.align.resample import turned
from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.reconstruct.blocks import projections_from_blocks, sinogram_blocks, zero_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import forward
from oxytomo.reconstruct.sirt import inverse_sums, sirt_step

OnIteration = Callable[[int, int], None]
SETTLED_PX = 0.02
"""Matching ends when a round moves the frames by less than this, rms."""
MISFIT_ITERATIONS = 20
"""Number of SIRT iterations before any two misfits are compared."""
COARSE_COLUMNS = 160
"""Frames are binned for a first alignment as long as they keep this many columns."""
NEIGHBOURS = 15
"""A frame's misfit is compared with the median of this many neighbours in angle."""
TRUSTED = 2.0
"""A frame begins to lose weight when its misfit exceeds that of its neighbours by this factor."""

UNAVOIDABLE = 0.0075
"""Smallest misfit that frames are compared with: the projector's own interpolation causes such a
difference between 0° and its neighbours."""


@dataclass(frozen=True)
class TiltAlignment:
    """Shifts of a tilt series and how well they fit.

    Attributes
    ----------
    shifts : (n_tilt, 2) float64 (dy, dx), px: content sits at +dy, +dx from its place in a perfect
        rotation about the middle column. The frames are first rotated back by the in-plane tilt of
        the axis. The offset of the axis is part of dx.
    residual : (n_tilt,) float64, rms difference to the re-projection, relative to the frame's
        standard deviation
    innovation : (n_tilt,) float64, the same after the common difference of the neighbours in angle
        is subtracted. The error of an unfinished reconstruction is alike from tilt to tilt; a fault
        of one frame is not.
    precision_px : (2,) standard error (dy, dx) of a frame's shift, from two halves of the detector
        rows
    last_move_px : rms change of the shifts in the last round
    misfit : (rounds,) mean residual after each round
    """

    shifts: Float64Array
    residual: Float64Array
    innovation: Float64Array
    precision_px: Float64Array
    last_move_px: float
    misfit: Float64Array

    @classmethod
    def still(cls, shifts: Float64Array) -> "TiltAlignment":
        """Shifts that were not refined."""
        unknown = np.full(2, np.nan)
        return cls(
            shifts, np.full(len(shifts), np.nan), np.full(len(shifts), np.nan), unknown, 0.0, np.zeros(0)
        )


def match_projections(
    frames: FloatArray,
    tilt_deg: Float64Array,
    start: Float64Array,
    *,
    rounds: int,
    sirt_iterations: int,
    max_shift_px: float,
    sigma_px: float,
    on_iteration: OnIteration | None = None,
) -> TiltAlignment:
    """Refine shifts against the re-projection of the reconstruction of all frames.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, air at 0, the tilt axis vertical, NaN where invalid
    tilt_deg : (n_tilt,) degrees
    start : (n_tilt, 2) first guess (dy, dx), px
    rounds : largest number of rounds; matching stops when the shifts move by less than
        :data:`SETTLED_PX`
    sirt_iterations : SIRT iterations per round; each round continues from the last volume
    max_shift_px : largest distance of the shifts from the start
    sigma_px : Gaussian smoothing before a frame is compared with its re-projection
    """
    problem = _Problem(frames, tilt_deg)
    shifts = np.array(start, np.float64)
    smoothed = smooth(frames, sigma_px=sigma_px)
    volume: FloatArray | None = None
    weights = np.ones(len(frames))
    residual, innovation = np.full((2, len(frames)), np.nan)
    fixed, seen = smoothed, problem.valid
    misfit: list[float] = []
    move = np.inf
    for round_ in range(rounds):
        iterations = sirt_iterations * (2 if round_ == 0 else 1)
        volume, reprojection = problem.reproject(shifts, weights, volume, iterations)
        fixed = smooth(reprojection, sigma_px=sigma_px)
        seen = _where_seen(problem.valid, shifts)
        guess = shifts if round_ else shifts + _large_misfits(smoothed, fixed, shifts, max_shift_px)
        new, residual = refine_shifts(smoothed, fixed, seen, guess, iterations=12, free_gain=False)
        far = (np.abs(new - start).max(axis=1) > max_shift_px) | ~np.isfinite(residual)
        new[far] = shifts[far]
        move = float(np.sqrt(np.average(((new - shifts) ** 2).sum(axis=1) / 2, weights=weights)))
        shifts = new
        innovation = innovations(smoothed, fixed, seen, shifts)
        weights = frame_weights(innovation)
        misfit.append(float(np.average(np.nan_to_num(residual, nan=1.0), weights=weights)))
        if on_iteration is not None:
            on_iteration(round_ + 1, rounds)
        if move < SETTLED_PX:
            break
    precision = _precision(smoothed, fixed, seen, shifts, weights) if rounds else np.full(2, np.nan)
    return TiltAlignment(shifts, residual, innovation, precision, move, np.array(misfit))


def coarse_binning(shape: tuple[int, int], columns: int = COARSE_COLUMNS) -> Binning:
    """Return the binning of frames (n_y, n_x) for a first alignment.

    At least this many columns are kept.
    """
    factor = 1
    while shape[1] >= 2 * factor * columns:
        factor *= 2
    return Binning(shape, factor)


def misfit_of(
    frames: FloatArray, tilt_deg: Float64Array, shifts: Float64Array, *, sigma_px: float
) -> tuple[Float64Array, Float64Array]:
    """Residual and innovation of each frame for given shifts, from a fresh reconstruction.

    Two sets of shifts can be compared with it, because both start from an empty volume and use the
    same number of SIRT iterations.

    Parameters
    ----------
    frames, tilt_deg, sigma_px : as in :func:`match_projections`
    shifts : (n_tilt, 2) px

    Returns
    -------
    residual : (n_tilt,) float64, rms difference / standard deviation of the frame
    innovation : (n_tilt,) float64, see :func:`innovations`
    """
    problem = _Problem(frames, tilt_deg)
    _, reprojection = problem.reproject(shifts, np.ones(len(frames)), None, MISFIT_ITERATIONS)
    smoothed, fixed = smooth(frames, sigma_px=sigma_px), smooth(reprojection, sigma_px=sigma_px)
    seen = _where_seen(problem.valid, shifts)
    _, residual = refine_shifts(smoothed, fixed, seen, shifts, iterations=0, free_gain=False)
    return residual, innovations(smoothed, fixed, seen, shifts)


def innovations(moving: FloatArray, fixed: FloatArray, seen: BoolArray, shifts: Float64Array) -> Float64Array:
    """Rms difference of each frame to its re-projection, less that of its neighbours.

    The median difference of the neighbours in angle is subtracted.

    Parameters
    ----------
    moving, fixed : (n_tilt, n_y, n_x) float32, smoothed frames and re-projections
    seen : (n_tilt, n_y, n_x) bool, valid pixels of the aligned frames
    shifts : (n_tilt, 2) px

    Returns
    -------
    (n_tilt,) float64, relative to the frame's standard deviation
    """
    difference = np.where(seen, turned(moving, 0.0, shifts) - fixed, 0)
    n_tilt = len(moving)
    found = np.full(n_tilt, np.nan)
    for t in range(n_tilt):
        near = [k for k in (t - 2, t - 1, t + 1, t + 2) if 0 <= k < n_tilt]
        if seen[t].sum() < 16:
            continue
        rest = (difference[t] - _median(difference[near]))[seen[t]]
        found[t] = np.sqrt(np.mean(rest.astype(np.float64) ** 2)) / max(float(fixed[t][seen[t]].std()), 1e-12)
    return found


def _median(frames: FloatArray) -> FloatArray:
    """Median of a few frames; of four the mean of the middle two, without sorting them."""
    if len(frames) != 4:
        return np.asarray(np.median(frames, axis=0))
    a, b, c, d = frames
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.asarray((low + high) / 2)


def frame_weights(residual: Float64Array) -> Float64Array:
    """Weight of each frame from its residual against that of its neighbours in angle.

    It is 1, falling to 0 for outliers.

    The weight is ``(TRUSTED · median / residual)²`` above TRUSTED times the median, and 0 above
    twice that.
    """
    ratio = misfit_ratio(residual)
    weight = np.minimum(1.0, (TRUSTED / np.maximum(ratio, 1e-6)) ** 2)
    return np.where(ratio > 2 * TRUSTED, 0.0, weight)


def misfit_ratio(residual: Float64Array) -> Float64Array:
    """Residual of each frame over the median of its neighbours.

    It is infinite for frames without a residual.
    """
    known = np.where(np.isfinite(residual), residual, np.inf)
    median = scipy.ndimage.median_filter(known, size=min(NEIGHBOURS, known.size), mode="nearest")
    overall = float(np.median(known))
    return known / np.maximum(np.where(np.isfinite(median), median, overall), UNAVOIDABLE)


class _Problem:
    """A tilt series as SIRT sees it."""

    def __init__(self, frames: FloatArray, tilt_deg: Float64Array) -> None:
        self.filled = fill_invalid(frames)
        self.valid = np.isfinite(frames)
        self.geometry = TiltGeometry.square(tilt_deg, frames.shape[2])
        self.rays, self.columns = inverse_sums(self.geometry)

    def reproject(
        self,
        shifts: Float64Array,
        weights: Float64Array,
        volume: FloatArray | None,
        iterations: int,
    ) -> tuple[FloatArray, FloatArray]:
        """Continue the volume on the shifted frames.

        Returns the volume and its projections (n_tilt, n_y, n_x).
        """
        n_y, n_x = self.filled.shape[1:]
        data = sinogram_blocks(turned(self.filled, 0.0, shifts))
        if volume is None:
            volume = zero_blocks((data.shape[0], n_x, n_x, data.shape[3]))
        rays = (self.rays * weights[:, None]).astype(np.float32)
        # Blocks are independent: in sequence they need less memory beside the volume.
        for block in (slice(i, i + 1) for i in range(len(data))):
            for _ in range(iterations):
                sirt_step(volume[block], data[block], self.geometry, rays, self.columns, nonnegative=True)
            data[block] = forward(volume[block], self.geometry)
        return volume, projections_from_blocks(data, n_y)


def _precision(
    moving: FloatArray, fixed: FloatArray, seen: BoolArray, shifts: Float64Array, weights: Float64Array
) -> Float64Array:
    """Standard error (dy, dx) of a frame's shift.

    It is half the difference between the shifts from two sets of bands of detector rows.
    """
    bands = (np.arange(seen.shape[1]) // 8) % 2 == 0
    halves = [
        refine_shifts(moving, fixed, seen & rows[None, :, None], shifts, iterations=6, free_gain=False)[0]
        for rows in (bands, ~bands)
    ]
    error = (halves[0] - halves[1]) / 2
    use = np.isfinite(error).all(axis=1) & (weights > 0)
    result: Float64Array = np.sqrt((error[use] ** 2).mean(axis=0)) if use.any() else np.full(2, np.nan)
    return result


def _where_seen(valid: BoolArray, shifts: Float64Array) -> BoolArray:
    """Validity of each frame on the aligned grid (whole-pixel shift)."""
    seen = np.zeros_like(valid)
    _, n_y, n_x = valid.shape
    for t, (dy, dx) in enumerate(np.rint(shifts).astype(int)):
        y0, y1, x0, x1 = max(0, -dy), min(n_y, n_y - dy), max(0, -dx), min(n_x, n_x - dx)
        if y1 > y0 and x1 > x0:
            seen[t, y0:y1, x0:x1] = valid[t, y0 + dy : y1 + dy, x0 + dx : x1 + dx]
    return seen


def _large_misfits(
    moving: FloatArray, fixed: FloatArray, shifts: Float64Array, max_shift_px: float
) -> Float64Array:
    """Whole-pixel corrections where a cross-correlation finds a shift of more than 1.5 px.

    The shift is that of the frame against its re-projection.
    """
    extra = coarse_shifts(turned(moving, 0.0, shifts), fixed, max_shift_px=max_shift_px / 2)
    extra[np.abs(extra).max(axis=1) < 1.5] = 0
    return extra
