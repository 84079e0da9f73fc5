"""Tilt axis of a series without jitter: the column at which the data agree best with a volume."""

from collections.abc import Callable

import numpy as np

from oxytomo.align.register import coarse_shifts, fill_invalid, refine_shifts, smooth
from oxytomo.arrays import Float64Array, FloatArray, IntArray
from oxytomo.reconstruct.blocks import SLICES, sinogram_blocks, zero_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import forward
from oxytomo.reconstruct.sirt import inverse_sums, sirt_step

OnIteration = Callable[[int, int], None]
LARGEST_STEP_DEG = 2.0
"""Frames whose angles differ from 180° by more than this do not form a pair."""
FINER = 8
"""Factor by which the fine trials have more iterations."""


def find_axis(
    frames: FloatArray,
    tilt_deg: Float64Array,
    *,
    max_shift_px: float,
    iterations: int,
    on_iteration: OnIteration | None = None,
) -> tuple[float, Float64Array, Float64Array]:
    """Find the tilt axis by the misfit of short non-negative SIRT reconstructions about trial axes.

    The method works for any tilt range; it needs no 180° pair. Trial columns are 2 px apart at
    first, then closer around the best one and with more iterations, because a short reconstruction
    of a wedge prefers an axis that is off by a few tenths of a pixel. A parabola through the last
    trials gives the result.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, air at 0; NaN where invalid
    tilt_deg : (n_tilt,) degrees
    max_shift_px : largest distance of a trial axis from the middle column
    iterations : SIRT iterations per trial

    Returns
    -------
    axis_column : float, detector column
    tried : (n,) the coarse trial columns; misfit : (n,) their rms misfit relative to the data's rms
    """
    _, n_y, n_x = frames.shape
    rows = np.unique(np.linspace(0, n_y - 1, min(n_y, SLICES)).astype(int))
    data = sinogram_blocks(np.ascontiguousarray(fill_invalid(frames)[:, rows]))
    norm = float(np.linalg.norm(data)) or 1.0
    middle = (n_x - 1) / 2
    coarse = middle + np.arange(-max_shift_px, max_shift_px + 1e-9, 2.0)
    fine_steps = (1.0, 0.5, 0.25)
    tried: dict[tuple[float, int], float] = {}
    total = len(coarse) + FINER * (1 + 2 * len(fine_steps))
    spent = 0

    def misfit(column: float, effort: int = FINER) -> float:
        nonlocal spent
        if (column, effort) not in tried:
            geometry = TiltGeometry(tilt_deg, n_x, column, n_x, n_x, middle, middle)
            rays, columns = inverse_sums(geometry)
            volume = zero_blocks((data.shape[0], n_x, n_x, data.shape[3]))
            for _ in range(iterations * effort):
                sirt_step(volume, data, geometry, rays, columns, nonnegative=True)
            difference = data - forward(volume, geometry)
            tried[column, effort] = float(np.linalg.norm(difference)) / norm
            spent += effort
            if on_iteration is not None:
                on_iteration(min(spent, total), total)
        return tried[column, effort]

    best = min((float(c) for c in coarse), key=lambda column: misfit(column, 1))
    for step in fine_steps:
        best = min((best - step, best, best + step), key=misfit)
    low, mid, high = (misfit(best + d) for d in (-0.25, 0.0, 0.25))
    bend = low - 2 * mid + high
    axis = best + (0.125 * (low - high) / bend if bend > 0 else 0.0)
    columns_tried = np.array(sorted(column for column, effort in tried if effort == 1))
    return axis, columns_tried, np.array([tried[c, 1] for c in columns_tried])


def opposite_pairs(tilt_deg: Float64Array) -> IntArray:
    """Indices of frames half a turn apart, (n_pair, 2).

    Pairs match within a quarter of the usual step, or within one step where there are none.

    A scan over half a turn often leaves out its last frame; one step of the rotation moves a
    particle near the axis by much less than a pixel.
    """
    order = np.argsort(tilt_deg, kind="stable")
    ordered = tilt_deg[order]
    if ordered.size < 2:
        return np.zeros((0, 2), np.int64)
    step = float(np.median(np.diff(ordered)))
    for tolerance in (step / 4, 1.01 * step):
        after = np.clip(np.searchsorted(ordered, ordered + 180), 1, ordered.size - 1)
        nearer = np.abs(ordered[after - 1] - ordered - 180) < np.abs(ordered[after] - ordered - 180)
        partner = after - nearer
        good = np.abs(ordered[partner] - ordered - 180) <= tolerance
        if good.any() and step < LARGEST_STEP_DEG:
            return np.stack([order[good], order[partner[good]]], axis=1).astype(np.int64)
    return np.zeros((0, 2), np.int64)


def axis_from_pairs(
    first: FloatArray, opposite: FloatArray, *, max_shift_px: float, sigma_px: float
) -> tuple[Float64Array, Float64Array]:
    """Rotation axis from frames half a turn apart.

    One frame is the mirror image of the other about the axis.

    Parameters
    ----------
    first, opposite : (n_pair, n_y, n_x) float32; NaN where invalid
    max_shift_px : largest distance of the axis from the middle column
    sigma_px : Gaussian smoothing before the frames are compared

    Returns
    -------
    axis_column : (n_pair,) float64, detector column
    residual : (n_pair,) rms misfit of the mirrored frame, in units of the frame's standard
        deviation
    """
    fixed, moving = smooth(first, sigma_px=sigma_px), smooth(opposite[..., ::-1], sigma_px=sigma_px)
    start = coarse_shifts(moving, fixed, max_shift_px=2 * max_shift_px)
    weights = np.isfinite(first)
    shifts, residual = refine_shifts(moving, fixed, weights, start, iterations=30, free_gain=True)
    return (first.shape[-1] - 1 - shifts[:, 1]) / 2, residual
