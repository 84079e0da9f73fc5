"""The inner loops of the projector pair, compiled for one width of blocks or for any.

A width that is known when the loops are compiled makes them 3 % (forward) to 15 % (back) faster than one that is read
from the array. See :mod:`pipeline.reconstruct.projector` for the method and the layout.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numba import njit, prange

TILE: Final = 8
TILTS: Final = 8
"""Back-projection works on TILE × TILE pixels and TILTS tilts at a time: their detector lines stay near."""
GROUP: Final = 16
STRIPE: Final = 8
PIECE: Final = 8
"""Forward projection lets up to GROUP tilts meet a piece of PIECE voxels of STRIPE lines while it is in the first cache."""

_PARALLEL: Final = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "reassoc"}}


def forward_kernel(width: int | None) -> Callable[..., None]:
    """Compile the forward projection of blocks of ``width`` slices, or of any width (None).

    The kernel takes (volume, cos, sin, groups, axis_column, centre_y, centre_x, sinogram) and adds to ``sinogram``.
    """

    @njit(**_PARALLEL)
    def project(volume, cos, sin, groups, axis_column, centre_y, centre_x, sinogram):  # type: ignore[no-untyped-def]
        n_block, n_y, n_x, _ = volume.shape
        n_k = width or volume.shape[3]
        n_s = sinogram.shape[2]
        n_group = groups.size - 1
        flat = volume.reshape(-1)
        for job in prange(n_block * n_group):
            block, group = job // n_group, job % n_group
            t0, t1 = groups[group], groups[group + 1]
            steep = abs(cos[t0]) >= abs(sin[t0])
            if steep:
                n_march, n_across, march_step, across_step = n_y, n_x, n_x * n_k, n_k
                c_march, c_across = centre_y, centre_x
            else:
                n_march, n_across, march_step, across_step = n_x, n_y, n_k, n_x * n_k
                c_march, c_across = centre_x, centre_y
            base = block * n_y * n_x * n_k
            # A stripe of lines, a piece of them: voxels stay in the first cache while the tilts of a group meet them.
            for stripe in range(0, n_march, STRIPE):
                stop = min(stripe + STRIPE, n_march)
                middle = 0.5 * (stripe + stop - 1)
                for piece in range(-STRIPE, n_across + STRIPE, PIECE):
                    for t in range(t0, t1):
                        d_march, d_across = (sin[t], cos[t]) if steep else (cos[t], sin[t])
                        length = np.float32(1.0 / abs(d_across))
                        slope = -d_march / d_across
                        shift = axis_column - c_across * d_across + d_march * (middle - c_march)
                        edge0 = _column_from(float(piece), d_across, shift)
                        edge1 = _column_from(float(piece + PIECE), d_across, shift)
                        for s in range(max(0, min(edge0, edge1)), min(n_s, max(edge0, edge1))):
                            across0 = (s - axis_column) / d_across + c_across - slope * c_march
                            low, high = across0 + slope * stripe, across0 + slope * (stop - 1)
                            if max(low, high) <= -1.0 or min(low, high) >= n_across:
                                continue
                            ray = sinogram[block, t, s]
                            if (
                                min(low, high) >= 0.0
                                and max(low, high) < n_across - 1
                                and stop - stripe == STRIPE
                            ):
                                for m in range(stripe, stop, 4):
                                    p0 = across0 + slope * m
                                    p1 = across0 + slope * (m + 1)
                                    p2 = across0 + slope * (m + 2)
                                    p3 = across0 + slope * (m + 3)
                                    i0, i1, i2, i3 = int(p0), int(p1), int(p2), int(p3)
                                    f0 = np.float32(p0 - i0) * length
                                    f1 = np.float32(p1 - i1) * length
                                    f2 = np.float32(p2 - i2) * length
                                    f3 = np.float32(p3 - i3) * length
                                    b0 = base + m * march_step + i0 * across_step
                                    b1 = base + (m + 1) * march_step + i1 * across_step
                                    b2 = base + (m + 2) * march_step + i2 * across_step
                                    b3 = base + (m + 3) * march_step + i3 * across_step
                                    v00, v01 = flat[b0:], flat[b0 + across_step :]
                                    v10, v11 = flat[b1:], flat[b1 + across_step :]
                                    v20, v21 = flat[b2:], flat[b2 + across_step :]
                                    v30, v31 = flat[b3:], flat[b3 + across_step :]
                                    g0, g1, g2, g3 = length - f0, length - f1, length - f2, length - f3
                                    for k in range(n_k):
                                        ray[k] += (
                                            (g0 * v00[k] + f0 * v01[k])
                                            + (g1 * v10[k] + f1 * v11[k])
                                            + (g2 * v20[k] + f2 * v21[k])
                                            + (g3 * v30[k] + f3 * v31[k])
                                        )
                            else:
                                for m in range(stripe, stop):
                                    p = across0 + slope * m
                                    i = math.floor(p)
                                    f = np.float32(p - i) * length
                                    b = base + m * march_step + i * across_step
                                    if 0 <= i < n_across:
                                        g = length - f
                                        v = flat[b : b + n_k]
                                        for k in range(n_k):
                                            ray[k] += g * v[k]
                                    if -1 <= i < n_across - 1:
                                        v = flat[b + across_step : b + across_step + n_k]
                                        for k in range(n_k):
                                            ray[k] += f * v[k]

    return project


def gather_kernel(width: int | None) -> Callable[..., None]:
    """Compile the back-projection of blocks of ``width`` slices, or of any width (None).

    The kernel takes (sinogram, cos, sin, narrow, axis_column, centre_y, centre_x, volume) and fills ``volume``.
    """

    @njit(**_PARALLEL)
    def gather(sinogram, cos, sin, narrow, axis_column, centre_y, centre_x, volume):  # type: ignore[no-untyped-def]
        n_block, n_y, n_x, _ = volume.shape
        n_k = width or volume.shape[3]
        n_tilt, n_s = sinogram.shape[1], sinogram.shape[2]
        tiles_y, tiles_x = (n_y + TILE - 1) // TILE, (n_x + TILE - 1) // TILE
        flat = sinogram.reshape(-1)
        for job in prange(n_block * tiles_y * tiles_x):
            block = job // (tiles_y * tiles_x)
            tile = job % (tiles_y * tiles_x)
            y0, x0 = (tile // tiles_x) * TILE, (tile % tiles_x) * TILE
            y1, x1 = min(y0 + TILE, n_y), min(x0 + TILE, n_x)
            base = block * n_tilt * n_s * n_k
            start = np.empty(4, np.int64)
            first = np.empty(4, np.float32)
            second = np.empty(4, np.float32)
            volume[block, y0:y1, x0:x1] = np.float32(0)
            for t0 in range(0, n_tilt, TILTS):
                t1 = min(t0 + TILTS, n_tilt)
                for y in range(y0, y1):
                    for x in range(x0, x1):
                        out = volume[block, y, x]
                        t = t0
                        while t < t1:
                            n = 0
                            while n < 4 and t < t1:
                                s = (x - centre_x) * cos[t] + (y - centre_y) * sin[t] + axis_column
                                i = math.floor(s)
                                if -1 <= i < n_s:
                                    f = s - i
                                    w = narrow[t]
                                    g0 = max(0.0, 1.0 - f * w) * w
                                    g1 = max(0.0, 1.0 - (1.0 - f) * w) * w
                                    if i < 0:
                                        i, g0, g1 = 0, g1, 0.0
                                    elif i == n_s - 1:
                                        i, g0, g1 = n_s - 2, 0.0, g0
                                    start[n] = base + (t * n_s + i) * n_k
                                    first[n], second[n] = np.float32(g0), np.float32(g1)
                                    n += 1
                                t += 1
                            if n == 4:
                                g00, g01, g10, g11 = first[0], second[0], first[1], second[1]
                                g20, g21, g30, g31 = first[2], second[2], first[3], second[3]
                                a0 = flat[start[0] : start[0] + 2 * n_k]
                                a1 = flat[start[1] : start[1] + 2 * n_k]
                                a2 = flat[start[2] : start[2] + 2 * n_k]
                                a3 = flat[start[3] : start[3] + 2 * n_k]
                                for k in range(n_k):
                                    out[k] += (
                                        (g00 * a0[k] + g01 * a0[k + n_k])
                                        + (g10 * a1[k] + g11 * a1[k + n_k])
                                        + (g20 * a2[k] + g21 * a2[k + n_k])
                                        + (g30 * a3[k] + g31 * a3[k + n_k])
                                    )
                            else:
                                for j in range(n):
                                    a = flat[start[j] : start[j] + 2 * n_k]
                                    for k in range(n_k):
                                        out[k] += first[j] * a[k] + second[j] * a[k + n_k]

    return gather


@njit(nogil=True, cache=True)
def _column_from(across, d_across, shift):  # type: ignore[no-untyped-def]
    """First detector column whose ray lies at ``across`` or beyond in the direction of growing columns.

    Without re-association of sums, so that the end of one piece is exactly the beginning of the next.
    """
    column = across * d_across + shift
    return math.ceil(column) if d_across > 0 else math.floor(column) + 1
