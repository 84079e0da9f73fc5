"""Gaussian smoothing with the threads of the job."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numba
import numpy as np
from scipy.ndimage import gaussian_filter1d

from pipeline.arrays import FloatArray


def gaussian(
    values: FloatArray,
    sigma_px: float,
    *,
    mode: Literal["nearest", "constant"] = "nearest",
    truncate: float = 4.0,
) -> FloatArray:
    """Smooth as :func:`scipy.ndimage.gaussian_filter`, to the last bit, with as many threads as the job has.

    Along each axis in turn, the array cut across another one; SciPy's filter lets other threads run.
    """
    threads = numba.get_num_threads()
    given = np.asarray(values, np.float32)
    with ThreadPoolExecutor(threads) as pool:
        for axis in range(given.ndim):
            across = 0 if axis else min(1, given.ndim - 1)
            smooth = np.empty_like(given)
            edges = np.linspace(0, given.shape[across], threads + 1).round().astype(int)
            parts = [
                (slice(None),) * across + (slice(a, b),)
                for a, b in itertools.pairwise(edges.tolist())
                if b > a
            ]

            def filtered(
                part: tuple[slice, ...], axis: int = axis, source: FloatArray = given, to: FloatArray = smooth
            ) -> None:
                gaussian_filter1d(
                    source[part], sigma_px, axis=axis, output=to[part], mode=mode, truncate=truncate
                )

            list(pool.map(filtered, parts if given.ndim > 1 else [(slice(None),)]))
            given = smooth
    return given
