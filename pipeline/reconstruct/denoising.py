"""Proximal map of total variation and the L1 norm on blocks of slices, by projected gradients on its dual.

Reference: Beck & Teboulle, IEEE Trans. Image Process. 18, 2419 (2009).
"""

import numpy as np
from numba import njit, prange

from pipeline.arrays import FloatArray


def denoise(
    noisy: FloatArray,
    inside: FloatArray,
    dual: FloatArray,
    result: FloatArray,
    tv_weight: float,
    l1_weight: float,
    nonnegative: bool,
    iterations: int,
) -> None:
    """Proximal map of λ TV + μ L1 (+ x ≥ 0) in blocks, by projected gradients on its dual; ``dual`` is a warm start.

    Arrays are (block, y, x, slice) float32; ``dual`` is (3, block, y, x, slice). Writes ``result`` and ``dual``.
    """
    if tv_weight <= 0:
        _primal(noisy, inside, dual * np.float32(0), result, np.float32(l1_weight), nonnegative)
        return
    step = np.float32(1.0 / 12.0)  # 1 / ‖D‖² in three dimensions
    for _ in range(iterations):
        _primal(noisy, inside, dual, result, np.float32(l1_weight), nonnegative)
        _ascend(result, inside, dual, step, np.float32(tv_weight))
    _primal(noisy, inside, dual, result, np.float32(l1_weight), nonnegative)


@njit(parallel=True, cache=True, nogil=True)
def _primal(noisy, inside, dual, result, l1_weight, nonnegative):  # type: ignore[no-untyped-def]
    """Compute x = prox(noisy − Dᵀ dual), 0 outside."""
    n_block, n_y, n_x, n_k = noisy.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        value = np.empty(n_k, np.float32)
        for x in range(n_x):
            line, mask, out = noisy[block, y, x], inside[block, y, x], result[block, y, x]
            dz, dy, dx = dual[0, block, y, x], dual[1, block, y, x], dual[2, block, y, x]
            for k in range(n_k):
                value[k] = line[k] + dz[k] + dy[k] + dx[k]
            for k in range(1, n_k):
                value[k] -= dz[k - 1]
            if block > 0:
                value[0] -= dual[0, block - 1, y, x, n_k - 1]
            if y > 0:
                before = dual[1, block, y - 1, x]
                for k in range(n_k):
                    value[k] -= before[k]
            if x > 0:
                before = dual[2, block, y, x - 1]
                for k in range(n_k):
                    value[k] -= before[k]
            for k in range(n_k):
                v = value[k]
                v = np.maximum(v - l1_weight, np.float32(0)) + np.minimum(v + l1_weight, np.float32(0))
                if nonnegative:
                    v = np.maximum(v, np.float32(0))
                out[k] = v * mask[k]


@njit(parallel=True, cache=True, nogil=True)
def _ascend(volume, inside, dual, step, limit):  # type: ignore[no-untyped-def]
    """Move the dual along the differences and project it on the ball of radius ``limit``."""
    n_block, n_y, n_x, n_k = volume.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        above = np.zeros(n_k, np.float32)
        above_mask = np.zeros(n_k, np.float32)
        nothing = np.zeros(n_k, np.float32)
        for x in range(n_x):
            v, m = volume[block, y, x], inside[block, y, x]
            dz, dy, dx = dual[0, block, y, x], dual[1, block, y, x], dual[2, block, y, x]
            for k in range(n_k - 1):
                above[k], above_mask[k] = v[k + 1], m[k + 1]
            if block + 1 < n_block:
                above[n_k - 1] = volume[block + 1, y, x, 0]
                above_mask[n_k - 1] = inside[block + 1, y, x, 0]
            else:
                above_mask[n_k - 1] = np.float32(0)
            if y + 1 < n_y:
                vy, my = volume[block, y + 1, x], inside[block, y + 1, x]
            else:
                vy, my = nothing, nothing
            if x + 1 < n_x:
                vx, mx = volume[block, y, x + 1], inside[block, y, x + 1]
            else:
                vx, mx = nothing, nothing
            for k in range(n_k):
                gz = (dz[k] + step * (above[k] - v[k])) * above_mask[k] * m[k]
                gy = (dy[k] + step * (vy[k] - v[k])) * my[k] * m[k]
                gx = (dx[k] + step * (vx[k] - v[k])) * mx[k] * m[k]
                shrink = limit / np.maximum(limit, np.sqrt(gz * gz + gy * gy + gx * gx))
                dz[k], dy[k], dx[k] = gz * shrink, gy * shrink, gx * shrink
