"""The thickest part of a map that is mostly air."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from oxytomo.arrays import FloatArray

SIDE_PX = 5
FEWEST_SHARE = 0.5
STEP_PX = 2
AT_ONCE_ROWS = 64


def thickest_part(values: FloatArray) -> float:
    """Return the largest median over squares of 5 × 5 pixels.

    NaN where fewer than half of the pixels are known in every square.

    Neither the amount of air around the sample nor a single pixel affects it. Noise with standard
    deviation s per pixel raises it by about 0.25 s times the number of standard deviations of the
    best of all squares in the thickest part: at most s.

    Parameters
    ----------
    values : (n_y, n_x), NaN where nothing is known; smaller maps are one square
    """
    side = tuple(min(SIDE_PX, n) for n in values.shape)
    windows = sliding_window_view(np.asarray(values, np.float32), side)[::STEP_PX, ::STEP_PX]
    best = -np.inf
    for start in range(0, windows.shape[0], AT_ONCE_ROWS):
        part = windows[start : start + AT_ONCE_ROWS].reshape(-1, side[0] * side[1])
        part = np.sort(np.where(np.isfinite(part), part, np.nan), axis=1)
        count = np.isfinite(part).sum(axis=1)
        part, count = (found[count >= FEWEST_SHARE * part.shape[1]] for found in (part, count))
        if count.size:
            row = np.arange(count.size)
            median = (part[row, (count - 1) // 2] + part[row, count // 2]) / 2
            best = max(best, float(median.max()))
    return best if np.isfinite(best) else float("nan")
