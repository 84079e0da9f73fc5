"""The inner loops of the projector pair, compiled for one width of blocks or for any.

A width known at compile time makes the loops 15 % to 20 % faster than one read from the array. See
:mod:`oxytomo.reconstruct.projector` for the method and :mod:`oxytomo.reconstruct.blocks` for the
layout.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit, prange

from oxytomo.reconstruct.lines import add_lines
from oxytomo.threads import parallel_kernel

TILE: Final = 8
"""Back-projection processes TILE × TILE pixels and four tilts at a time: their detector lines stay
in cache."""
GROUP: Final = 16
STRIPE: Final = 8
PIECE: Final = 8
"""Forward projection applies up to GROUP tilts to a piece of PIECE voxels of STRIPE lines while it
is in the first-level cache."""

_PARALLEL: Final[dict[str, Any]] = {
    "element_ns": 10.0,
    "nogil": True,
    "fastmath": {"contract", "reassoc"},
    "error_model": "numpy",
}


def forward_kernel(width: int | None) -> Callable[..., None]:
    """Compile the forward projection of blocks of ``width`` slices, or of any width (None).

    The kernel takes (volume, lines, cos, sin, groups, axis_column, centre_y, centre_x, sinogram)
    and fills ``sinogram``. Pieces without any line marked in ``lines`` (block, y, x) are skipped.
    """

    @parallel_kernel(**_PARALLEL)
    def project(volume, lines, cos, sin, groups, axis_column, centre_y, centre_x, sinogram):  # type: ignore[no-untyped-def]
        n_block, n_y, n_x, _ = volume.shape
        n_k = width or volume.shape[3]
        n_tilt, n_s = sinogram.shape[1], sinogram.shape[2]
        n_group = groups.size - 1
        voxels, rays = volume.reshape(-1), sinogram.reshape(-1)
        for job in prange(n_block * n_group):
            block, group = job // n_group, job % n_group
            t0, t1 = groups[group], groups[group + 1]
            steep = abs(cos[t0]) >= abs(sin[t0])
            if steep:
                n_march, n_across, march, across = n_y, n_x, n_x * n_k, n_k
                c_march, c_across = centre_y, centre_x
            else:
                n_march, n_across, march, across = n_x, n_y, n_k, n_x * n_k
                c_march, c_across = centre_x, centre_y
            base = block * n_y * n_x * n_k
            sinogram[block, t0:t1] = np.float32(0)
            counted = np.zeros(n_across + 1, np.int64)
            # A piece of a stripe of lines: its voxels stay in the first-level cache for all tilts
            # of a group.
            for stripe in range(0, n_march, STRIPE):
                stop = min(stripe + STRIPE, n_march)
                middle = 0.5 * (stripe + stop - 1)
                for a in range(n_across):
                    some = False
                    for m in range(stripe, stop):
                        some = some or (lines[block, m, a] if steep else lines[block, a, m])
                    counted[a + 1] = counted[a] + (1 if some else 0)
                for piece in range(-STRIPE, n_across + STRIPE, PIECE):
                    # Rays move sideways by at most their advance: half a stripe to either side.
                    least, most = piece - STRIPE // 2, piece + PIECE + STRIPE // 2
                    if counted[min(max(most + 1, 0), n_across)] == counted[max(0, min(least - 1, n_across))]:
                        continue
                    deep = stop - stripe == STRIPE and least >= 0 and most < n_across - 1
                    for t in range(t0, t1):
                        d_march, d_across = (sin[t], cos[t]) if steep else (cos[t], sin[t])
                        length = np.float32(1.0 / abs(d_across))
                        per_column = 1.0 / d_across
                        slope = -d_march * per_column
                        shift = axis_column - c_across * d_across + d_march * (middle - c_march)
                        edge0 = _column_from(float(piece), d_across, shift)
                        edge1 = _column_from(float(piece + PIECE), d_across, shift)
                        origin = c_across - slope * (c_march - stripe) - axis_column * per_column
                        rise = slope * (stop - stripe - 1)
                        for s in range(max(0, min(edge0, edge1)), min(n_s, max(edge0, edge1))):
                            p = s * per_column + origin
                            ray = ((block * n_tilt + t) * n_s + s) * n_k
                            if deep:
                                for m in range(0, STRIPE, 4):
                                    p0 = p + slope * m
                                    p1 = p + slope * (m + 1)
                                    p2 = p + slope * (m + 2)
                                    p3 = p + slope * (m + 3)
                                    i0, i1, i2, i3 = int(p0), int(p1), int(p2), int(p3)
                                    f0 = np.float32(p0 - i0) * length
                                    f1 = np.float32(p1 - i1) * length
                                    f2 = np.float32(p2 - i2) * length
                                    f3 = np.float32(p3 - i3) * length
                                    b0 = base + (stripe + m) * march + i0 * across
                                    b1 = base + (stripe + m + 1) * march + i1 * across
                                    b2 = base + (stripe + m + 2) * march + i2 * across
                                    b3 = base + (stripe + m + 3) * march + i3 * across
                                    add_lines(
                                        rays,
                                        ray,
                                        voxels,
                                        (b0, b0 + across, b1, b1 + across, b2, b2 + across, b3, b3 + across),
                                        (length - f0, f0, length - f1, f1, length - f2, f2, length - f3, f3),
                                        n_k,
                                    )
                            elif max(p, p + rise) > -1.0 and min(p, p + rise) < n_across:
                                for m in range(stop - stripe):
                                    q = p + slope * m
                                    if -1.0 < q < n_across:
                                        i = min(max(math.floor(q), 0), max(n_across - 2, 0))
                                        b = base + (stripe + m) * march + i * across
                                        after = min(i + 1, n_across - 1) - i
                                        g0 = np.float32(max(0.0, 1.0 - abs(q - i))) * length
                                        g1 = np.float32(after * max(0.0, 1.0 - abs(q - i - 1))) * length
                                        add_lines(rays, ray, voxels, (b, b + after * across), (g0, g1), n_k)

    return project


def gather_kernel(width: int | None) -> Callable[..., None]:
    """Compile the back-projection of blocks of ``width`` slices, or of any width (None).

    The kernel takes (sinogram, lines, cos, sin, narrow, axis_column, centre_y, centre_x, volume)
    and fills ``volume``, with 0 where ``lines`` (block, y, x) is not set.
    """

    @parallel_kernel(**_PARALLEL)
    def gather(sinogram, lines, cos, sin, narrow, axis_column, centre_y, centre_x, volume):  # type: ignore[no-untyped-def]
        n_block, n_y, n_x, _ = volume.shape
        n_k = width or volume.shape[3]
        n_tilt, n_s = sinogram.shape[1], sinogram.shape[2]
        tiles_y, tiles_x = (n_y + TILE - 1) // TILE, (n_x + TILE - 1) // TILE
        voxels, rays = volume.reshape(-1), sinogram.reshape(-1)
        beside = 1.0 if n_s > 1 else 0.0
        after = n_k if n_s > 1 else 0
        for job in prange(n_block * tiles_y * tiles_x):
            block = job // (tiles_y * tiles_x)
            tile = job % (tiles_y * tiles_x)
            y0, x0 = (tile // tiles_x) * TILE, (tile % tiles_x) * TILE
            y1, x1 = min(y0 + TILE, n_y), min(x0 + TILE, n_x)
            volume[block, y0:y1, x0:x1] = np.float32(0)
            at = np.empty(TILE * TILE, np.int64)
            from_centre = np.empty((2, TILE * TILE), np.float64)
            n = 0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if lines[block, y, x]:
                        at[n] = ((block * n_y + y) * n_x + x) * n_k
                        from_centre[0, n], from_centre[1, n] = x - centre_x, y - centre_y
                        n += 1
            start = np.empty((4, TILE * TILE), np.int64)
            first = np.empty((4, TILE * TILE), np.float32)
            second = np.empty((4, TILE * TILE), np.float32)
            for t0 in range(0, n_tilt, 4):
                # Positions and weights of the pixels in four tilts; with fewer tilts the last one
                # is repeated.
                for j in range(4):
                    t = min(t0 + j, n_tilt - 1)
                    c, d, w = cos[t], sin[t], narrow[t]
                    height = w if t0 + j < n_tilt else 0.0
                    line = (block * n_tilt + t) * n_s
                    for p in range(n):
                        s = from_centre[0, p] * c + from_centre[1, p] * d + axis_column
                        i = max(0, min(int(s), n_s - 2))
                        f = s - i
                        start[j, p] = (line + i) * n_k
                        first[j, p] = np.float32(max(0.0, 1.0 - abs(f) * w) * height)
                        second[j, p] = np.float32(max(0.0, 1.0 - abs(f - 1.0) * w) * height * beside)
                for p in range(n):
                    a0, a1, a2, a3 = start[0, p], start[1, p], start[2, p], start[3, p]
                    add_lines(
                        voxels,
                        at[p],
                        rays,
                        (a0, a0 + after, a1, a1 + after, a2, a2 + after, a3, a3 + after),
                        (
                            *(first[0, p], second[0, p], first[1, p], second[1, p]),
                            *(first[2, p], second[2, p], first[3, p], second[3, p]),
                        ),
                        n_k,
                    )

    return gather


@njit(nogil=True, cache=True)
def _column_from(across, d_across, shift):  # type: ignore[no-untyped-def]
    """First detector column whose ray lies at ``across`` or beyond, for growing columns.

    Sums are not re-associated, so that the end of one piece is exactly the start of the next.
    """
    column = across * d_across + shift
    return math.ceil(column) if d_across > 0 else math.floor(column) + 1
