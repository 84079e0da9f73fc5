"""First guesses of the shifts between the tilts of a series, without a reconstruction.

Vertical: the optical density summed along a row does not depend on the tilt (conservation of mass),
so the row profiles of all tilts coincide. Horizontal: the centre of mass follows ``a cosθ + b sinθ
+ axis``. Where the particle leaves the field neither holds. Then neighbouring tilts are compared,
from the first frame outwards in the order of acquisition.
"""

import numpy as np
import scipy.ndimage

from oxytomo.align.register import coarse_shifts, fill_invalid, smooth
from oxytomo.arrays import Float64Array, FloatArray, IntArray

AXIS_PRIOR = 0.1
"""Standard deviation of the particle's distance from the tilt axis along the detector at 0°, as a
share of its width."""


def background_free(frames: FloatArray) -> FloatArray:
    """Fill invalid pixels and subtract each frame's air level.

    The level is the median of the two outermost columns at either side.
    """
    filled = fill_invalid(frames)
    border = np.concatenate([filled[:, :, :2], filled[:, :, -2:]], axis=2)
    return filled - np.median(border, axis=(1, 2))[:, None, None].astype(np.float32)


def vertical_shifts(frames: FloatArray, *, max_shift_px: float, rounds: int) -> Float64Array:
    """Vertical shift of each frame from its row profile: (n_tilt,) px, mean 0.

    The profile is compared with the mean profile of all frames.

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
        # The first rounds compare with the median, which a few bad frames do not affect.
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
    """Horizontal shift of each frame from its centre of mass: (n_tilt,) px.

    It comes from a robust fit of ``a cosθ + b sinθ + c``.

    The constant c is the offset of the tilt axis from the middle column; it is part of the shift.
    For a narrow tilt range with large jitter, c and a cannot be separated. A prior that the
    particle lies near the axis then decides.
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


def walked_shifts(
    frames: FloatArray, tilt_deg: Float64Array, acquisition_order: IntArray, *, max_shift_px: float
) -> Float64Array:
    """Sum of the shifts of each frame against its nearest neighbour in angle.

    The neighbour is the nearest one that was recorded before it.

    A series that starts at 0° and proceeds outwards is followed outwards. A series that runs from
    end to end is followed along. The steps are whole pixels. The sum follows the particle's own
    path, so it works where the centre of mass fails: when something else enters the field or the
    particle leaves it.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, air at 0
    tilt_deg : (n_tilt,) degrees
    acquisition_order : (n_tilt,) when each frame was recorded
    max_shift_px : largest step between two neighbours

    Returns
    -------
    (n_tilt, 2) float64 (dy, dx), px; the particle's path about the axis is treated as a point on
    the axis
    """
    order = np.argsort(acquisition_order, kind="stable")
    smoothed = smooth(frames, sigma_px=2.0)
    before = [
        int(order[np.abs(tilt_deg[order[:k]] - tilt_deg[order[k]]).argmin()]) for k in range(1, order.size)
    ]
    steps = coarse_shifts(smoothed[order[1:]], smoothed[before], max_shift_px=max_shift_px)
    shifts = np.zeros((tilt_deg.size, 2))
    columns = np.arange(frames.shape[2]) - (frames.shape[2] - 1) / 2
    profile = np.maximum(frames[order[0]].sum(axis=0, dtype=np.float64), 0)
    shifts[order[0], 1] = (profile * columns).sum() / max(float(profile.sum()), 1e-12)
    for frame, neighbour, step in zip(order[1:], before, steps, strict=True):
        shifts[frame] = shifts[neighbour] + step
    shifts[:, 0] -= np.median(shifts[:, 0])
    return shifts


def _profile_cost(profile: Float64Array, mean: Float64Array, rows: Float64Array, shift: float) -> float:
    moved = np.interp(rows + shift, rows, profile)
    return float(np.mean((moved - mean) ** 2))


def _parabola_step(
    profile: Float64Array, mean: Float64Array, rows: Float64Array, shift: float, step: float
) -> float:
    """Move by at most one step towards the minimum of the parabola through three costs."""
    low, mid, high = (_profile_cost(profile, mean, rows, shift + d) for d in (-step, 0.0, step))
    bend = low - 2 * mid + high
    if bend <= 0:
        return shift
    return shift + float(np.clip(0.5 * step * (low - high) / bend, -step, step))
