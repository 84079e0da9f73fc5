"""Gaussian smoothing with the threads of the job."""

from typing import Literal

import numpy as np
from numba import prange
from scipy.ndimage import gaussian_filter1d

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.threads import parallel_kernel

LINES = 32
"""Number of lines along the last axis that are smoothed together."""


def gaussian(
    values: FloatArray,
    sigma_px: float,
    *,
    mode: Literal["nearest", "constant"] = "nearest",
    truncate: float = 4.0,
    axes: tuple[int, ...] | None = None,
) -> FloatArray:
    """Smooth exactly as :func:`scipy.ndimage.gaussian_filter`, in several threads.

    The axes are processed in turn, all of them or those given, such as the rows and columns of a
    stack of frames. Sums are in double precision and in SciPy's order, over vectors
    of neighbouring voxels.
    """
    given = np.ascontiguousarray(values, np.float32)
    shape = (1,) * (3 - given.ndim) + given.shape
    source, smooth = given.reshape(shape), np.empty(shape, np.float32)
    chosen = range(given.ndim) if axes is None else axes
    for axis in (3 - given.ndim + one for one in chosen):
        for lines, out in zip(_side_by_side(source, axis), _side_by_side(smooth, axis), strict=True):
            _smooth_lines(lines, out, _taps(sigma_px, truncate), mode == "nearest")
        source = smooth  # lines are copied before they are overwritten
    return smooth.reshape(values.shape)


def _side_by_side(values: FloatArray, axis: int) -> list[FloatArray]:
    """Return views (n, m, k) of a contiguous volume along one axis.

    The axis is the second; k voxels are contiguous.
    """
    if axis < 2:
        return [np.moveaxis(values, axis, 1)]
    lines = values.reshape(-1, values.shape[2])
    most = len(lines) // LINES * LINES
    parts = [lines[:most].reshape(-1, LINES, lines.shape[1]), lines[None, most:]]
    return [np.swapaxes(part, 1, 2) for part in parts]


def _taps(sigma_px: float, truncate: float) -> Float64Array:
    """Return SciPy's weights, from the middle outwards."""
    reach = int(truncate * sigma_px + 0.5)
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1.0
    taps: Float64Array = gaussian_filter1d(impulse, sigma_px, mode="constant", truncate=truncate)[reach:]
    return taps


@parallel_kernel(element_ns=10)
def _smooth_lines(lines, out, taps, edge):  # type: ignore[no-untyped-def]
    """Smooth along the second axis of (n, m, k), as vectors of k."""
    n, m, n_x = lines.shape
    reach = taps.size - 1
    for i in prange(n):
        total = np.empty(n_x, np.float64)
        # A copy: lines a power of two apart would evict each other from the cache.
        near = np.zeros((m + 2 * reach, n_x), np.float32)
        for k in range(m + 2 * reach):
            place = min(max(k - reach, 0), m - 1)
            if edge or place == k - reach:
                for x in range(n_x):
                    near[k, x] = lines[i, place, x]
        for k in range(m):
            for x in range(n_x):
                total[x] = np.float64(near[reach + k, x]) * taps[0]
            for t in range(reach, 0, -1):
                weight = taps[t]
                for x in range(n_x):
                    total[x] += (
                        np.float64(near[reach + k - t, x]) + np.float64(near[reach + k + t, x])
                    ) * weight
            for x in range(n_x):
                out[i, k, x] = total[x]
