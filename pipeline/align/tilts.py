"""Alignment of the frames of a tilt series with each other: vertical, horizontal, tilt axis.

Vertical: the optical density summed along a row does not depend on the tilt (mass conservation), so row profiles of all tilts
coincide. Horizontal: the centre of mass moves on ``a cosθ + b sinθ + axis``; then each frame is matched to the re-projection of
the current reconstruction until the shifts stop changing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from pipeline.align.register import coarse_shifts, fill_invalid, refine_shifts, smooth
from pipeline.arrays import BoolArray, Float64Array, FloatArray
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.projector import adjoint, forward, projections_from_blocks, sinogram_blocks
from pipeline.reconstruct.sirt import inverse_sums

OnIteration = Callable[[int, int], None]
AXIS_PRIOR = 0.1
"""Standard deviation of the particle's distance from the tilt axis along the detector at 0°, as a share of its width."""


@dataclass(frozen=True)
class TiltAlignment:
    """Shifts of a tilt series and how well they fit.

    Attributes
    ----------
    shifts : (n_tilt, 2) float64 (dy, dx), px: content sits at +dy, +dx from where a perfect rotation about the middle column
        would put it; the offset of the tilt axis is part of dx
    residual : (n_tilt,) float64, rms difference to the re-projection, relative to the frame's standard deviation
    last_move_px : rms change of the shifts in the last round
    rounds : projection-matching rounds done
    misfit : (rounds,) mean residual after each round
    """

    shifts: Float64Array
    residual: Float64Array
    last_move_px: float
    rounds: int
    misfit: Float64Array


def background_free(frames: FloatArray) -> FloatArray:
    """Fill invalid pixels and subtract each frame's air level, the median of its two outermost columns at either side."""
    filled = fill_invalid(frames)
    border = np.concatenate([filled[:, :, :2], filled[:, :, -2:]], axis=2)
    return filled - np.median(border, axis=(1, 2))[:, None, None].astype(np.float32)


def vertical_shifts(frames: FloatArray, *, max_shift_px: float, rounds: int) -> Float64Array:
    """Vertical shift of each frame from its row profile, against the mean profile of all: (n_tilt,) px, mean 0.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, mass per pixel, air at 0
    max_shift_px : largest shift searched
    rounds : how often the mean profile is rebuilt from the shifted ones
    """
    profiles = frames.sum(axis=2, dtype=np.float64)
    profiles = scipy.ndimage.gaussian_filter1d(profiles, 1.0, axis=1)
    n_tilt, n_y = profiles.shape
    rows = np.arange(n_y, dtype=np.float64)
    shifts = np.zeros(n_tilt)
    for round_ in range(rounds):
        moved = np.stack([np.interp(rows + s, rows, p) for s, p in zip(shifts, profiles, strict=True)])
        # The first rounds compare with the median, which a few bad frames cannot pull.
        mean = np.median(moved, axis=0)
        reach = int(max_shift_px) if round_ == 0 else 2
        candidates = np.arange(-reach, reach + 1, dtype=np.float64)
        for t in range(n_tilt):
            base = shifts[t]
            costs = np.array([_profile_cost(profiles[t], mean, rows, base + c) for c in candidates])
            best = int(costs.argmin())
            shift = base + candidates[best]
            for step in (0.5, 0.25, 0.1, 0.05):
                shift = _parabola_step(profiles[t], mean, rows, shift, step)
            shifts[t] = shift
        shifts -= np.median(shifts)
    return shifts


def centre_of_mass_shifts(frames: FloatArray, tilt_deg: Float64Array) -> Float64Array:
    """Horizontal shift of each frame from its centre of mass, after a robust fit of ``a cosθ + b sinθ + c``: (n_tilt,) px.

    The constant c is the offset of the tilt axis from the middle column; it is part of the shift. Over a narrow range of tilts
    with large jitter c cannot be told from a: a prior that the particle sits near the axis then decides.
    """
    columns = np.arange(frames.shape[2]) - (frames.shape[2] - 1) / 2
    profiles = frames.sum(axis=1, dtype=np.float64)
    # Leave out the tails, where noise times distance would dominate.
    mean = np.abs(profiles).mean(axis=0)
    window = scipy.ndimage.binary_dilation(mean > 0.05 * mean.max(), iterations=6)
    profiles = profiles * window
    centre = (profiles * columns).sum(axis=1) / profiles.sum(axis=1)
    theta = np.deg2rad(tilt_deg)
    basis = np.stack([np.cos(theta), np.sin(theta), np.ones_like(theta)], axis=1)
    weight = np.ones_like(theta)
    coefficients = np.array([0.0, 0.0, float(np.median(centre))])
    for _ in range(20):
        fit = basis @ coefficients
        scatter = max(1.4826 * float(np.median(np.abs(centre - fit))), 1e-3)
        weight = np.sqrt(np.minimum(1.0, 2 * scatter / np.maximum(np.abs(centre - fit), 1e-12)))
        prior = np.array([[scatter / (AXIS_PRIOR * frames.shape[2]), 0.0, 0.0]])
        coefficients, *_rest = np.linalg.lstsq(
            np.vstack([basis * weight[:, None], prior]), np.append(centre * weight, 0.0), rcond=None
        )
    return centre - basis[:, :2] @ coefficients[:2]


def match_projections(
    frames: FloatArray,
    tilt_deg: Float64Array,
    start: Float64Array,
    *,
    rounds: int,
    sirt_iterations: int,
    max_shift_px: float,
    sigma_px: float,
    vertical: bool,
    on_iteration: OnIteration | None = None,
) -> TiltAlignment:
    """Refine shifts by matching each frame to the re-projection of the reconstruction of all.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, air at 0, NaN where invalid
    tilt_deg : (n_tilt,) degrees
    start : (n_tilt, 2) first guess (dy, dx), px
    rounds : at most so many; stops when the shifts move by less than 0.02 px rms
    sirt_iterations : SIRT iterations per round, continued from the last round's volume
    max_shift_px : shifts never go further than this from the start
    sigma_px : smoothing before a frame is compared with its re-projection
    vertical : refine dy too
    """
    n_tilt, n_y, n_x = frames.shape
    geometry = TiltGeometry.square(tilt_deg, n_x)
    rays, columns = inverse_sums(geometry)
    smoothed = smooth(frames, sigma_px=sigma_px)
    filled = fill_invalid(frames)
    valid = np.isfinite(frames)
    shifts = np.array(start, np.float64)
    volume: FloatArray | None = None
    residual = np.zeros(n_tilt)
    misfit: list[float] = []
    move, done = np.inf, 0
    for round_ in range(rounds):
        data = sinogram_blocks(shifted(filled, shifts))
        if volume is None:
            volume = np.zeros((data.shape[0], n_x, n_x, data.shape[3]), np.float32)
        for _ in range(sirt_iterations * (2 if round_ == 0 else 1)):
            difference = (data - forward(volume, geometry)) * rays[None, :, :, None]
            volume += adjoint(difference, geometry) * columns[None, :, :, None]
            np.maximum(volume, 0, out=volume)
        reprojection = projections_from_blocks(forward(volume, geometry), n_y)
        fixed = smooth(reprojection, sigma_px=sigma_px)
        weights = _where_seen(valid, shifts)
        guess = (
            shifts if round_ > 0 else shifts + _large_misfits(smoothed, fixed, shifts, max_shift_px, vertical)
        )
        new, residual = refine_shifts(smoothed, fixed, weights, guess, iterations=12, free_gain=False)
        if not vertical:
            new[:, 0] = shifts[:, 0]
        far = (np.abs(new - start).max(axis=1) > max_shift_px) | ~np.isfinite(residual)
        new[far] = shifts[far]
        move = float(np.sqrt(np.mean((new - shifts) ** 2)))
        shifts = new
        misfit.append(float(np.nanmean(residual)))
        done = round_ + 1
        if on_iteration is not None:
            on_iteration(done, rounds)
        if move < 0.02:
            break
    return TiltAlignment(shifts, residual, move, done, np.array(misfit))


def shifted(frames: FloatArray, shifts: Float64Array) -> FloatArray:
    """Move the content of each frame back by its shift with cubic interpolation, for looking at only."""
    return np.stack(
        [
            scipy.ndimage.shift(f, -s, order=3, mode="nearest", prefilter=True)
            for f, s in zip(frames, shifts, strict=True)
        ]
    ).astype(np.float32)


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
    moving: FloatArray, fixed: FloatArray, shifts: Float64Array, max_shift_px: float, vertical: bool
) -> Float64Array:
    """Whole-pixel corrections where a cross-correlation finds the frame more than 1.5 px from its re-projection."""
    extra = coarse_shifts(shifted(moving, shifts), fixed, max_shift_px=max_shift_px / 2)
    extra[np.abs(extra).max(axis=1) < 1.5] = 0
    if not vertical:
        extra[:, 0] = 0
    return extra


def _profile_cost(profile: Float64Array, mean: Float64Array, rows: Float64Array, shift: float) -> float:
    moved = np.interp(rows + shift, rows, profile)
    return float(np.mean((moved - mean) ** 2))


def _parabola_step(
    profile: Float64Array, mean: Float64Array, rows: Float64Array, shift: float, step: float
) -> float:
    """Move towards the minimum of the parabola through three costs, by one step at most."""
    low, mid, high = (_profile_cost(profile, mean, rows, shift + d) for d in (-step, 0.0, step))
    bend = low - 2 * mid + high
    if bend <= 0:
        return shift
    return shift + float(np.clip(0.5 * step * (low - high) / bend, -step, step))
