"""Point spread of the instrument: a separable Gaussian over detector columns and rows."""

import math

import numpy as np
from numba import prange

from oxytomo.arrays import FloatArray
from oxytomo.reconstruct.blocks import empty_blocks
from oxytomo.reconstruct.lines import add_lines
from oxytomo.threads import parallel_kernel


def gaussian_taps(sigma_px: float) -> FloatArray:
    """Half of a normalised Gaussian from the middle on, truncated at three standard deviations.

    It is [1] for sigma 0.
    """
    if sigma_px <= 0:
        return np.ones(1, np.float32)
    offsets = np.arange(math.ceil(3 * sigma_px) + 1)
    # Integrated over the pixel, so that narrow Gaussians keep their width.
    edges = np.array([math.erf((o + 0.5) / (sigma_px * math.sqrt(2))) for o in offsets])
    taps = np.diff(np.concatenate([[0.0], edges]))
    taps[1:] /= 2
    return (taps / (taps[0] + 2 * taps[1:].sum())).astype(np.float32)


def blur(sinogram: FloatArray, taps: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Blur sinogram blocks (block, tilt, s, slice) along s and along the slices.

    The sinogram is zero outside, so the blur is its own adjoint.

    Writes to ``out``, which must not be ``sinogram``, or to new blocks; without a blur the sinogram
    itself is returned.
    """
    if taps.size == 1:
        return sinogram
    result = empty_blocks(sinogram.shape) if out is None else out
    _blur(np.ascontiguousarray(sinogram), taps, result)
    return result


@parallel_kernel(element_ns=5, nogil=True, error_model="numpy")
def _blur(sinogram, taps, result):  # type: ignore[no-untyped-def]
    n_block, n_t, n_s, n_k = sinogram.shape
    reach = taps.size - 1
    out = result.reshape(-1)
    for job in prange(n_block * n_t):
        block, t = job // n_t, job % n_t
        result[block, t] = np.float32(0)
        padded = np.zeros(n_k + 2 * reach, np.float32)
        along = np.zeros(
            n_s * n_k, np.float32
        )  # blurred along the slices, one tilt: it stays in the second-level cache
        for s in range(n_s):
            if block > 0:
                padded[:reach] = sinogram[block - 1, t, s, n_k - reach :]
            padded[reach : reach + n_k] = sinogram[block, t, s]
            if block + 1 < n_block:
                padded[reach + n_k :] = sinogram[block + 1, t, s, :reach]
            add_lines(along, s * n_k, padded, (reach, reach), (taps[0], np.float32(0)), n_k)
            for j in range(1, reach + 1):
                add_lines(along, s * n_k, padded, (reach - j, reach + j), (taps[j], taps[j]), n_k)
        for s in range(n_s):
            to = ((block * n_t + t) * n_s + s) * n_k
            add_lines(out, to, along, (s * n_k, s * n_k), (taps[0], np.float32(0)), n_k)
            for j in range(1, reach + 1):
                before, after = np.float32(s >= j), np.float32(s + j < n_s)
                offsets = (max(s - j, 0) * n_k, min(s + j, n_s - 1) * n_k)
                add_lines(out, to, along, offsets, (taps[j] * before, taps[j] * after), n_k)
