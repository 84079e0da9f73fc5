"""Point spread of the instrument on sinogram blocks: a separable Gaussian over detector columns and rows."""

import math

import numpy as np
from numba import njit, prange

from pipeline.arrays import FloatArray


def gaussian_taps(sigma_px: float) -> FloatArray:
    """Half of a normalised Gaussian, taps[0] the middle, cut at three standard deviations; [1] for sigma 0."""
    if sigma_px <= 0:
        return np.ones(1, np.float32)
    offsets = np.arange(math.ceil(3 * sigma_px) + 1)
    # Integrated over the pixel, so that narrow Gaussians keep their width.
    edges = np.array([math.erf((o + 0.5) / (sigma_px * math.sqrt(2))) for o in offsets])
    taps = np.diff(np.concatenate([[0.0], edges]))
    taps[1:] /= 2
    return (taps / (taps[0] + 2 * taps[1:].sum())).astype(np.float32)


def blur(sinogram: FloatArray, taps: FloatArray) -> FloatArray:
    """Blur sinogram blocks (block, tilt, s, slice) along s and along the slices; zero outside, so it is its own adjoint."""
    if taps.size == 1:
        return sinogram
    across = np.empty_like(sinogram)
    _blur_columns(sinogram, taps, across)
    result = np.empty_like(sinogram)
    _blur_slices(across, taps, result)
    return result


@njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _blur_columns(sinogram, taps, result):  # type: ignore[no-untyped-def]
    n_block, n_t, n_s, n_k = sinogram.shape
    for job in prange(n_block * n_t):
        block, t = job // n_t, job % n_t
        for s in range(n_s):
            out, line = result[block, t, s], sinogram[block, t, s]
            for k in range(n_k):
                out[k] = taps[0] * line[k]
            for j in range(1, taps.size):
                w = taps[j]
                if s >= j:
                    line = sinogram[block, t, s - j]
                    for k in range(n_k):
                        out[k] += w * line[k]
                if s + j < n_s:
                    line = sinogram[block, t, s + j]
                    for k in range(n_k):
                        out[k] += w * line[k]


@njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _blur_slices(sinogram, taps, result):  # type: ignore[no-untyped-def]
    n_block, n_t, n_s, n_k = sinogram.shape
    reach = taps.size - 1
    for job in prange(n_block * n_t):
        block, t = job // n_t, job % n_t
        padded = np.zeros(n_k + 2 * reach, np.float32)
        for s in range(n_s):
            padded[:] = np.float32(0)
            padded[reach : reach + n_k] = sinogram[block, t, s]
            if block > 0:
                padded[:reach] = sinogram[block - 1, t, s, n_k - reach :]
            if block + 1 < n_block:
                padded[reach + n_k :] = sinogram[block + 1, t, s, :reach]
            out = result[block, t, s]
            for k in range(n_k):
                out[k] = taps[0] * padded[reach + k]
            for j in range(1, reach + 1):
                w = taps[j]
                for k in range(n_k):
                    out[k] += w * (padded[reach + k - j] + padded[reach + k + j])
