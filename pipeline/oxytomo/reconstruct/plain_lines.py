"""Arithmetic on lines of slices, as plain loops for other compiled functions.

It is the reference for :mod:`oxytomo.reconstruct.vector_lines`, and the kernels use it where that
does not compile. Arrays are one-dimensional, contiguous float32; offsets count their elements.
"""

from typing import Final

import numpy as np
from numba import njit

WIDTH: Final = 16
"""The length of a line is a multiple of this number of values: 64 bytes, a cache line."""


@njit(nogil=True, error_model="numpy")
def add_lines(out, to, source, offsets, weights, n):  # type: ignore[no-untyped-def]
    """``out[to : to + n] += Σⱼ weights[j] · source[offsets[j] : offsets[j] + n]``.

    ``offsets`` and ``weights`` are tuples of the same even length. Terms are summed in two chains:
    those of odd j are added to ``out``, those of even j are summed separately.
    """
    for k in range(n):
        total, apart = out[to + k], np.float32(0)
        for j in range(len(offsets)):
            term = np.float32(weights[j]) * source[offsets[j] + k]
            if j % 2:
                total += term
            else:
                apart += term
        out[to + k] = total + apart


@njit(nogil=True, error_model="numpy")
def shrink_line(  # type: ignore[no-untyped-def]
    out, to, noisy, inside, dz, dy, dx, at, up, left, below, has_up, has_left, first, stop, l1, least
):
    """Primal step of :mod:`oxytomo.reconstruct.denoising` on part of the line at ``at``.

    ``out = inside · S(noisy + (dz − dz₋) + (dy − dy₋) + (dx − dx₋))`` on vectors first … stop − 1,
    where S is the soft threshold by ``l1``, not below ``least``. ``up`` and ``left`` are the starts
    of the neighbouring lines of dy and dx; ``has_up`` and ``has_left`` (1 or 0) say whether they
    count. ``below`` is the value of dz under the first value of the line.
    """
    for k in range(first * WIDTH, stop * WIDTH):
        before = dz[at + k - 1] if k > 0 else below
        value = noisy[at + k] + (dz[at + k] - before)
        value += dy[at + k] - has_up * dy[up + k]
        value += dx[at + k] - has_left * dx[left + k]
        above = max(value - l1, np.float32(0))
        under = min(value + l1, np.float32(0))
        out[to + k] = (above + max(under, least)) * inside[at + k]


@njit(nogil=True, error_model="numpy")
def ascend_line(  # type: ignore[no-untyped-def]
    dz,
    dy,
    dx,
    at,
    values,
    here,
    down,
    right,
    inside,
    mask_down,
    mask_right,
    has_down,
    has_right,
    above,
    mask_above,
    first,
    stop,
    n,
    step,
    limit,
):
    """Dual step of :mod:`oxytomo.reconstruct.denoising` on part of the line at ``at``.

    On vectors first … stop − 1 of its n, the dual moves along the differences of ``values`` (lines
    at ``here``, ``down`` and ``right``) and is projected on the ball of radius ``limit``.
    Differences count where both ends are ``inside``. ``above`` and ``mask_above`` belong to the
    value over the last one of the line.
    """
    for k in range(first * WIDTH, stop * WIDTH):
        own, own_mask = values[here + k], inside[at + k]
        last = k + 1 == n * WIDTH
        over = above if last else values[here + k + 1]
        over_mask = mask_above if last else inside[at + k + 1]
        gz = (dz[at + k] + step * (over - own)) * (over_mask * own_mask)
        gy = dy[at + k] + step * (values[down + k] - own)
        gy *= has_down * inside[mask_down + k] * own_mask
        gx = dx[at + k] + step * (values[right + k] - own)
        gx *= has_right * inside[mask_right + k] * own_mask
        factor = limit / max(limit, np.sqrt(gx * gx + (gy * gy + gz * gz)))
        dz[at + k], dy[at + k], dx[at + k] = gz * factor, gy * factor, gx * factor


@njit(cache=True)
def probe(a, b):  # type: ignore[no-untyped-def]
    """Change two arrays of 8 WIDTH values by each function once, for a comparison of modules."""
    n, one, half = WIDTH, np.float32(1), np.float32(0.5)
    add_lines(a, n, b, (0, n, 2 * n, 3 * n), (one, half, one, half), 2 * n)
    shrink_line(a, 0, b, b, b, b, b, 2 * n, 0, n, one, one, one, 0, 2, half, -half)
    ascend_line(b, b, b, 0, a, 0, n, 3 * n, a, n, 3 * n, one, half, one, one, 0, 2, 2, half, one)
