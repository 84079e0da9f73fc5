"""The projector pair: Joseph's line integrals and their exact adjoint, slice index innermost.

All slices of a parallel-beam scan share one geometry, so the slice index is the innermost, contiguous axis: volumes are
``(block, y, x, slice)`` and sinograms ``(block, tilt, s, slice)``. Index and weight arithmetic is done once per
(pixel, tilt) and the inner loop is a multiply-add over slices without gathers.

Joseph's method (Joseph 1982, IEEE Trans. Med. Imaging 1, 192) interpolates linearly along the axis that the ray crosses
more steeply. Seen from a pixel it is a triangle of half width ``c = max(|cosθ|, |sinθ|)`` around the pixel's detector
position, with unit area: two detector columns at most. Forward projection gathers along rays and back-projection gathers
over tilts with the same weights, so the two are adjoint to float precision, no output element is written by two threads,
and the result does not depend on the number of threads.
"""

import math
from typing import Final

import numpy as np
from numba import njit, prange

from pipeline.arrays import FloatArray
from pipeline.errors import ShapeError
from pipeline.reconstruct.geometry import TiltGeometry

SLICES: Final = 128
"""Slices per block, at most: 512 bytes of float32, eight cache lines."""
LINE: Final = 16
"""The slices of a block are a multiple of a cache line's."""
TILE: Final = 8
TILTS: Final = 8
"""Back-projection works on TILE × TILE pixels and TILTS tilts at a time: their detector lines stay in the first cache."""
STRIPE: Final = 8
"""Forward projection works on so many lines of the volume at a time."""


def to_blocks(array: FloatArray) -> FloatArray:
    """Move the slice axis innermost: (n_z, a, b) → (block, a, b, slice), the last block padded with zeros.

    Slices are spread evenly over as few blocks as hold them, so that little is padded.
    """
    n_z, n_a, n_b = array.shape
    n_k = slices_per_block(n_z)
    blocks = np.zeros((-(-n_z // n_k), n_a, n_b, n_k), np.float32)
    _to_blocks(np.ascontiguousarray(array, np.float32), blocks)
    return blocks


def slices_per_block(n_z: int) -> int:
    """Width of the blocks that ``n_z`` slices are kept in."""
    fewest = max(1, -(-n_z // SLICES))
    return LINE * max(1, -(-n_z // (fewest * LINE)))


def from_blocks(blocks: FloatArray, n_z: int) -> FloatArray:
    """Undo :func:`to_blocks`: (block, a, b, slice) → (n_z, a, b)."""
    array = np.empty((n_z, blocks.shape[1], blocks.shape[2]), np.float32)
    _from_blocks(blocks, array)
    return array


def sinogram_blocks(projections: FloatArray) -> FloatArray:
    """Projections (n_tilt, n_z, n_s) → sinogram blocks (block, tilt, s, slice)."""
    return to_blocks(projections.transpose(1, 0, 2))


def projections_from_blocks(blocks: FloatArray, n_z: int) -> FloatArray:
    """Sinogram blocks (block, tilt, s, slice) → projections (n_tilt, n_z, n_s)."""
    return np.ascontiguousarray(from_blocks(blocks, n_z).transpose(1, 0, 2))


def forward(volume: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Line integrals of a volume, in pixels times the volume's unit.

    Parameters
    ----------
    volume : (block, n_y, n_x, slice) float32
    geometry : the scan

    Returns
    -------
    (block, n_tilt, n_columns, slice) float32
    """
    _check(volume, (geometry.n_y, geometry.n_x), "volume")
    sinogram = np.zeros((volume.shape[0], geometry.n_tilt, geometry.n_columns, volume.shape[3]), np.float32)
    theta = np.deg2rad(geometry.tilt_deg)
    _forward(
        volume,
        np.cos(theta),
        np.sin(theta),
        geometry.axis_column,
        geometry.centre_y,
        geometry.centre_x,
        sinogram,
    )
    return sinogram


def adjoint(sinogram: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Exact transpose of :func:`forward`: (block, n_tilt, n_columns, slice) → (block, n_y, n_x, slice)."""
    _check(sinogram, (geometry.n_tilt, geometry.n_columns), "sinogram")
    theta = np.deg2rad(geometry.tilt_deg)
    cos, sin = np.cos(theta), np.sin(theta)
    return _backproject(sinogram, geometry, cos, sin, 1 / np.maximum(np.abs(cos), np.abs(sin)))


def backproject_linear(sinogram: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Back-projection with linear interpolation on the detector, as filtered back-projection wants it (not the adjoint)."""
    _check(sinogram, (geometry.n_tilt, geometry.n_columns), "sinogram")
    theta = np.deg2rad(geometry.tilt_deg)
    return _backproject(sinogram, geometry, np.cos(theta), np.sin(theta), np.ones(geometry.n_tilt))


def _backproject(
    sinogram: FloatArray, geometry: TiltGeometry, cos: np.ndarray, sin: np.ndarray, narrow: np.ndarray
) -> FloatArray:
    """Gather over tilts with triangles of half width 1 / ``narrow`` columns and unit area."""
    volume = np.empty((sinogram.shape[0], geometry.n_y, geometry.n_x, sinogram.shape[3]), np.float32)
    _gather_tilts(
        sinogram, cos, sin, narrow, geometry.axis_column, geometry.centre_y, geometry.centre_x, volume
    )
    return volume


def _check(array: FloatArray, shape: tuple[int, int], name: str) -> None:
    if array.ndim != 4 or array.shape[1:3] != shape or array.dtype != np.float32:
        raise ShapeError(
            name,
            expected=f"float32 blocks (n, {shape[0]}, {shape[1]}, slices)",
            got=f"{array.dtype} {array.shape}",
            fix="use to_blocks or sinogram_blocks, and the geometry that the data were made with",
        )


@njit(parallel=True, cache=True, nogil=True)
def _to_blocks(array, blocks):  # type: ignore[no-untyped-def]
    n_z, n_a, n_b = array.shape
    n_k = blocks.shape[3]
    for a in prange(n_a):
        for z in range(n_z):
            block, k = z // n_k, z % n_k
            for b in range(n_b):
                blocks[block, a, b, k] = array[z, a, b]


@njit(parallel=True, cache=True, nogil=True)
def _from_blocks(blocks, array):  # type: ignore[no-untyped-def]
    n_z, n_a, n_b = array.shape
    n_k = blocks.shape[3]
    for a in prange(n_a):
        for z in range(n_z):
            block, k = z // n_k, z % n_k
            for b in range(n_b):
                array[z, a, b] = blocks[block, a, b, k]


@njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _forward(volume, cos, sin, axis_column, centre_y, centre_x, sinogram):  # type: ignore[no-untyped-def]
    n_block, n_y, n_x, n_k = volume.shape
    n_tilt, n_s = sinogram.shape[1], sinogram.shape[2]
    flat = volume.reshape(-1)
    for job in prange(n_block * n_tilt):
        block, t = job // n_tilt, job % n_tilt
        # March along the axis that the ray runs along; interpolate along the other ("across").
        if abs(cos[t]) >= abs(sin[t]):
            n_march, n_across, march_step, across_step = n_y, n_x, n_x * n_k, n_k
            d_march, d_across, c_march, c_across = sin[t], cos[t], centre_y, centre_x
        else:
            n_march, n_across, march_step, across_step = n_x, n_y, n_k, n_x * n_k
            d_march, d_across, c_march, c_across = cos[t], sin[t], centre_x, centre_y
        base = block * n_y * n_x * n_k
        length = np.float32(1.0 / abs(d_across))
        slope = -d_march / d_across
        for stripe in range(0, n_march, STRIPE):
            stop = min(stripe + STRIPE, n_march)
            for s in range(n_s):
                across0 = (s - axis_column) / d_across + c_across - slope * c_march
                low, high = across0 + slope * stripe, across0 + slope * (stop - 1)
                if max(low, high) <= -1.0 or min(low, high) >= n_across:
                    continue
                ray = sinogram[block, t, s]
                if min(low, high) >= 0.0 and max(low, high) < n_across - 1 and stop - stripe == STRIPE:
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
                        v00, v01 = flat[b0 : b0 + n_k], flat[b0 + across_step : b0 + across_step + n_k]
                        v10, v11 = flat[b1 : b1 + n_k], flat[b1 + across_step : b1 + across_step + n_k]
                        v20, v21 = flat[b2 : b2 + n_k], flat[b2 + across_step : b2 + across_step + n_k]
                        v30, v31 = flat[b3 : b3 + n_k], flat[b3 + across_step : b3 + across_step + n_k]
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


@njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _gather_tilts(sinogram, cos, sin, narrow, axis_column, centre_y, centre_x, volume):  # type: ignore[no-untyped-def]
    n_block, n_y, n_x, n_k = volume.shape
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
