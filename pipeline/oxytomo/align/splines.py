"""Frames read at shifted places by cubic splines; for registration and display only.

The numbers are those of :func:`scipy.ndimage.shift` (order 3, mode ``nearest``). All pixels of a
frame move by the same shift, so the spline is summed along columns first and along rows then: 8
terms per pixel in place of 16, and the weights of a row and of a column are found once.
"""

from typing import TypeVar

import numpy as np
import scipy.ndimage
from numba import njit
from numpy.typing import NDArray

from oxytomo.arrays import Float64Array

Number = TypeVar("Number", np.float32, np.float64)

PAD = 12
"""Pixels of its own edge by which a frame is extended before the fit of the spline, as in SciPy."""


def read_at(frame: NDArray[Number], shift_px: Float64Array) -> NDArray[Number]:
    """Return the frame read at ``r + shift``: content at +shift moves to its place.

    Parameters
    ----------
    frame : (n_y, n_x) float32 or float64 without NaN
    shift_px : (2,) rows and columns, px

    Returns
    -------
    (n_y, n_x), dtype of the frame
    """
    spline = scipy.ndimage.spline_filter(np.pad(frame, PAD, mode="edge"), order=3, mode="nearest")
    moved = np.empty(frame.shape, frame.dtype)
    _read(np.asarray(spline, np.float64), float(shift_px[0]), float(shift_px[1]), moved)
    return moved


@njit(cache=True, nogil=True)
def _places(n, shift, length, at, weights):  # type: ignore[no-untyped-def]
    """Indices and weights of the four terms of n places; beyond the ends the last value is held."""
    for i in range(n):
        place = min(max(i + shift + PAD, 0.0), length - 1.0)
        low = int(np.floor(place))
        x = place - low
        weights[0, i] = (1 - x) ** 3 / 6
        weights[1, i] = (4 - 6 * x * x + 3 * x * x * x) / 6
        weights[2, i] = (1 + 3 * x + 3 * x * x - 3 * x * x * x) / 6
        weights[3, i] = x * x * x / 6
        for j in range(4):
            index = abs(low - 1 + j)  # mirrored at both ends
            at[j, i] = index if index < length else 2 * (length - 1) - index


@njit(cache=True, nogil=True)
def _read(spline, dy, dx, moved):  # type: ignore[no-untyped-def]
    n_y, n_x = moved.shape
    length = spline.shape[1]
    at_y, at_x = np.empty((4, n_y), np.int64), np.empty((4, n_x), np.int64)
    w_y, w_x = np.empty((4, n_y)), np.empty((4, n_x))
    _places(n_y, dy, spline.shape[0], at_y, w_y)
    _places(n_x, dx, length, at_x, w_x)
    line = np.empty(length)
    for y in range(n_y):
        a, b, c, d = w_y[0, y], w_y[1, y], w_y[2, y], w_y[3, y]
        r0, r1, r2, r3 = spline[at_y[0, y]], spline[at_y[1, y]], spline[at_y[2, y]], spline[at_y[3, y]]
        for x in range(length):
            line[x] = a * r0[x] + b * r1[x] + c * r2[x] + d * r3[x]
        for x in range(n_x):
            moved[y, x] = (
                w_x[0, x] * line[at_x[0, x]]
                + w_x[1, x] * line[at_x[1, x]]
                + w_x[2, x] * line[at_x[2, x]]
                + w_x[3, x] * line[at_x[3, x]]
            )
