"""Tilt axis of a series whose frames do not move: the column for which the data agree best with a volume."""

from collections.abc import Callable

import numpy as np

from pipeline.align.register import fill_invalid
from pipeline.arrays import Float64Array, FloatArray
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.projector import SLICES, forward, sinogram_blocks
from pipeline.reconstruct.sirt import inverse_sums, sirt_step

OnIteration = Callable[[int, int], None]
FINER = 8
"""How many times more iterations the fine trials get."""


def find_axis(
    frames: FloatArray,
    tilt_deg: Float64Array,
    *,
    max_shift_px: float,
    iterations: int,
    on_iteration: OnIteration | None = None,
) -> tuple[float, Float64Array, Float64Array]:
    """Find the tilt axis by the misfit of short non-negative SIRT reconstructions about trial axes.

    Works for any tilt range (no 180° pair is needed). Trial columns every 2 px, then finer around the best with more iterations
    (a short reconstruction of a wedge prefers an axis that is off by a few tenths of a pixel), then a parabola.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, air at 0; NaN where invalid
    tilt_deg : (n_tilt,) degrees
    max_shift_px : trial axes lie so far from the middle column at most
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
            volume = np.zeros((data.shape[0], n_x, n_x, data.shape[3]), np.float32)
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
