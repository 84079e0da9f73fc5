"""Ranks among the eight neighbours of every pixel."""

import numpy as np
from numba import njit

from oxytomo.arrays import FloatArray


def second_highest_and_lowest(frame: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the second largest and the second smallest of the eight neighbours of every pixel.

    The numbers are those of :func:`scipy.ndimage.rank_filter` (mode ``reflect``) in one pass.

    Parameters
    ----------
    frame : (n_y, n_x) float32 without NaN
    """
    high, low = np.empty_like(frame), np.empty_like(frame)
    _ranks(np.pad(frame, 1, mode="symmetric"), high, low)
    return high, low


@njit(cache=True, nogil=True)
def _ranks(padded, high, low):  # type: ignore[no-untyped-def]
    n_y, n_x = high.shape
    most, least = np.empty(n_x, np.float32), np.empty(n_x, np.float32)
    for y in range(n_y):
        second, last = high[y], low[y]
        most[:], second[:] = -np.inf, -np.inf
        least[:], last[:] = np.inf, np.inf
        for k in range(9):
            if k == 4:  # the pixel itself
                continue
            row = padded[y + k // 3, k % 3 : k % 3 + n_x]
            for x in range(n_x):
                v = row[x]
                below = v if v < most[x] else most[x]
                above = v if v > least[x] else least[x]
                second[x] = below if below > second[x] else second[x]
                last[x] = above if above < last[x] else last[x]
                most[x] = v if v > most[x] else most[x]
                least[x] = v if v < least[x] else least[x]
