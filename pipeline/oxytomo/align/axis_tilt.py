"""In-plane tilt of the rotation axis, from consistency conditions without a reconstruction.

With a vertical axis, the sum of every detector row is the same at all tilts, and the first moment
of every row follows ``X cosθ + Y sinθ``. These are the Helgason-Ludwig conditions of order 0 and 1,
row by row. Let M₀, M₁, M₂ be the moments of row v. An axis inclined by φ adds ``φ ∂M₁/∂v`` to the
sum and ``φ (∂M₂/∂v + v M₀)`` to the first moment. These are known patterns over rows and tilts;
their amplitude φ is fitted.
"""

import numpy as np
import scipy.ndimage

from oxytomo.align.resample import turned, turned_shifts
from oxytomo.arrays import Float64Array, FloatArray

PASSES = 4
"""The conditions are linear in the angle only for small angles, so the frames are rotated back and
fitted again."""
SWEEPS = 40
MIN_ROWS = 16
SMOOTHING_ROWS = 1.5


def axis_tilt(
    frames: FloatArray, tilt_deg: Float64Array, shifts: Float64Array, weights: Float64Array
) -> tuple[float, float]:
    """Estimate the in-plane angle between the tilt axis and the detector columns.

    Every frame must show air to the left and right of the particle. The shifts of single frames are
    fitted together with the angle, so rough shifts are good enough.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, air at 0, no NaN
    tilt_deg : (n_tilt,) degrees
    shifts : (n_tilt, 2) (dy, dx) that bring the axis to the middle column, px
    weights : (n_tilt,) 1 for a good frame, 0 for a frame to leave out

    Returns
    -------
    angle, standard error : degrees, positive towards +x for increasing row. The error is from the
        scatter between the frames.

    References
    ----------
    Helgason, Acta Math. 113, 153 (1965); Ludwig, Commun. Pure Appl. Math. 19, 49 (1966).
    """
    lean, error = 0.0, np.inf
    n_y, n_x = frames.shape[1:]
    good = weights > 0
    for _ in range(PASSES):
        moved = turned_shifts(shifts, -lean)
        # Rows that leave the field in some frame carry no information; a rotation also brings in
        # corners.
        margin = np.abs(moved[good, 0]).max() + abs(np.deg2rad(lean)) * n_x / 2
        rows = slice(int(np.ceil(margin)), n_y - int(np.ceil(margin)))
        if rows.stop - rows.start < MIN_ROWS:
            return 0.0, np.inf
        step, error = _fit(turned(frames, lean, moved)[good, rows], np.deg2rad(tilt_deg[good]))
        lean += step
    return lean, error


def _fit(frames: FloatArray, theta: Float64Array) -> tuple[float, float]:
    """One linear fit of the remaining angle and its standard error, degrees."""
    sums, first, second = _row_moments(frames)
    constant = np.ones((theta.size, 1))
    waves = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    mean_sums, mean_first = sums.mean(axis=0), first.mean(axis=0)
    rows = np.arange(sums.shape[1]) - (sums.shape[1] - 1) / 2
    conditions = (
        (sums, np.gradient(first, axis=1), constant, [np.gradient(mean_sums)]),
        (
            first,
            np.gradient(second, axis=1) + rows * sums,
            waves,
            [mean_sums, np.gradient(mean_first)],
        ),
    )
    above, below, spread = 0.0, 0.0, np.zeros(theta.size)
    for target, pattern, over_tilts, over_rows in conditions:
        y, x = (_without(a, over_tilts, np.stack(over_rows, axis=1)) for a in (target, pattern))
        power = float((x * x).sum())
        if power <= 1e-12 * float((pattern * pattern).sum()):
            continue
        rest = y - (float((x * y).sum()) / power) * x
        precision = 1 / max(float((rest**2).mean()), 1e-30)
        above += precision * float((x * y).sum())
        below += precision * power
        spread += precision * (x * rest).sum(axis=1)
    if below == 0:
        return 0.0, np.inf
    return float(np.rad2deg(above / below)), float(np.rad2deg(np.sqrt((spread**2).sum()) / below))


def _row_moments(frames: FloatArray) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Sum, first and second moment of every row about the middle column: (n_tilt, n_y) each.

    They are smoothed over the rows.
    """
    n_x = frames.shape[2]
    u = np.arange(n_x) - (n_x - 1) / 2
    # Outside the particle, noise times distance would dominate.
    profile = np.abs(frames.sum(axis=1, dtype=np.float64)).mean(axis=0)
    window = scipy.ndimage.binary_dilation(profile > 0.05 * profile.max(), iterations=6)
    stack = np.stack([window, window * u, window * u * u], axis=1).astype(np.float64)
    moments = scipy.ndimage.gaussian_filter1d(frames.astype(np.float64) @ stack, SMOOTHING_ROWS, axis=1)
    return moments[..., 0], moments[..., 1], moments[..., 2]


def _without(values: Float64Array, over_tilts: Float64Array, over_rows: Float64Array) -> Float64Array:
    """Remove what ``over_tilts`` explains in every row and ``over_rows`` in every tilt.

    The values are (n_tilt, n_row).
    """
    q_tilts, q_rows = np.linalg.qr(over_tilts)[0], np.linalg.qr(over_rows)[0]
    rest = values.copy()
    for _ in range(SWEEPS):
        rest -= q_tilts @ (q_tilts.T @ rest)
        rest -= (rest @ q_rows) @ q_rows.T
    return rest
