"""Voids as thin plates: curvature of the void fraction and its ridges.

A plate of aperture a, blurred to a standard deviation s, has at its middle the second derivative −a
/ (√(2π) s³) along its normal and zero along its plane (Hessian plate filters: Sato et al. 2000;
ridges with sub-voxel offsets: Steger 1998). All functions are symmetric under a change of sign of
the image except for the argument ``sign``, so the sign-flipped image is the null of the image.
"""

import math

import numba
import numpy as np

from oxytomo.arrays import BoolArray, FloatArray, IntArray
from oxytomo.threads import parallel_kernel

ROUND = 0.6
"""Largest ratio of the second curvature to the first: 0 for a plate, 1 for a rod and a ball."""

OFF_RIDGE = 1.2
"""Largest distance to the ridge in voxels; the wall of a wide void is further from any ridge."""


@numba.njit(cache=True, fastmath=True, inline="always")
def _hessian(f, z, y, x):  # type: ignore[no-untyped-def]
    """Second differences (zz, yy, xx, zy, zx, yx) with the edge voxels repeated."""
    n_z, n_y, n_x = f.shape
    a, b = max(z - 1, 0), min(z + 1, n_z - 1)
    c, d = max(y - 1, 0), min(y + 1, n_y - 1)
    e, g = max(x - 1, 0), min(x + 1, n_x - 1)
    twice = 2 * f[z, y, x]
    zz = f[a, y, x] + f[b, y, x] - twice
    yy = f[z, c, x] + f[z, d, x] - twice
    xx = f[z, y, e] + f[z, y, g] - twice
    zy = 0.25 * (f[b, d, x] + f[a, c, x] - f[b, c, x] - f[a, d, x])
    zx = 0.25 * (f[b, y, g] + f[a, y, e] - f[b, y, e] - f[a, y, g])
    yx = 0.25 * (f[z, d, g] + f[z, c, e] - f[z, d, e] - f[z, c, g])
    return zz, yy, xx, zy, zx, yx


@numba.njit(cache=True, fastmath=True, inline="always")
def _eigenvalues(zz, yy, xx, zy, zx, yx):  # type: ignore[no-untyped-def]
    """Eigenvalues in increasing order (Smith 1961)."""
    mean = (zz + yy + xx) / 3
    p = (zz - mean) ** 2 + (yy - mean) ** 2 + (xx - mean) ** 2 + 2 * (zy * zy + zx * zx + yx * yx)
    p = math.sqrt(p / 6)
    if p < 1e-12:
        return mean, mean, mean
    a, b, c = (zz - mean) / p, (yy - mean) / p, (xx - mean) / p
    d, e, g = zy / p, zx / p, yx / p
    half = 0.5 * (a * (b * c - g * g) - d * (d * c - g * e) + e * (d * g - b * e))
    angle = math.acos(min(1.0, max(-1.0, half))) / 3
    high = mean + 2 * p * math.cos(angle)
    low = mean + 2 * p * math.cos(angle + 2 * math.pi / 3)
    return low, 3 * mean - low - high, high


@numba.njit(cache=True, fastmath=True, inline="always")
def _strength(low, middle, high, sign):  # type: ignore[no-untyped-def]
    """Curvature of a plate of the given sign, 0 if there is none."""
    value = -low if sign > 0 else high
    other = high if sign > 0 else -low
    if value > other and abs(middle) < ROUND * value:
        return value
    return 0.0


@parallel_kernel(element_ns=100, fastmath=True)
def plate_strength(smooth: FloatArray, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the curvature of bright and of dark plates, 0 where a voxel is not in a plate.

    Parameters
    ----------
    smooth : (n_z, n_y, n_x) float32, the smoothed void fraction
    inside : bool array of the same shape; nothing is computed elsewhere

    Returns
    -------
    bright, dark : float32, 1/voxel²
    """
    bright = np.zeros(smooth.shape, np.float32)
    dark = np.zeros(smooth.shape, np.float32)
    n_z, n_y, n_x = smooth.shape
    for z in numba.prange(n_z):
        for y in range(n_y):
            for x in range(n_x):
                if inside[z, y, x]:
                    zz, yy, xx, zy, zx, yx = _hessian(smooth, z, y, x)
                    low, middle, high = _eigenvalues(zz, yy, xx, zy, zx, yx)
                    bright[z, y, x] = _strength(low, middle, high, 1)
                    dark[z, y, x] = _strength(low, middle, high, -1)
    return bright, dark


@numba.njit(cache=True, fastmath=True, inline="always")
def _normal(zz, yy, xx, zy, zx, yx, value):  # type: ignore[no-untyped-def]
    """Unit eigenvector of an eigenvalue: the largest cross product of two rows of H − value."""
    a, b, c = zz - value, yy - value, xx - value
    p0, p1, p2 = zy * yx - zx * b, zx * zy - a * yx, a * b - zy * zy
    q0, q1, q2 = zy * c - zx * yx, zx * zx - a * c, a * yx - zy * zx
    r0, r1, r2 = b * c - yx * yx, yx * zx - zy * c, zy * yx - b * zx
    p = p0 * p0 + p1 * p1 + p2 * p2
    q = q0 * q0 + q1 * q1 + q2 * q2
    r = r0 * r0 + r1 * r1 + r2 * r2
    if q > p and q >= r:
        p0, p1, p2, p = q0, q1, q2, q
    elif r > p:
        p0, p1, p2, p = r0, r1, r2, r
    if p < 1e-30:
        return 1.0, 0.0, 0.0
    p = 1 / math.sqrt(p)
    return p0 * p, p1 * p, p2 * p


@numba.njit(cache=True, fastmath=True)
def _ridge_at(smooth, strength, z, y, x, sign, out):  # type: ignore[no-untyped-def]
    """Compute normal and offset of a ridge voxel; return whether it is one."""
    n_z, n_y, n_x = smooth.shape
    zz, yy, xx, zy, zx, yx = _hessian(smooth, z, y, x)
    value = -sign * strength[z, y, x]
    nz, ny, nx = _normal(zz, yy, xx, zy, zx, yx, value)
    dz, dy, dx = 0, 0, 0
    if abs(nz) >= abs(ny) and abs(nz) >= abs(nx):
        dz = 1
    elif abs(ny) >= abs(nx):
        dy = 1
    else:
        dx = 1
    here = strength[z, y, x]
    a, b, c = z + dz, y + dy, x + dx
    if a < n_z and b < n_y and c < n_x and strength[a, b, c] > here:
        return False
    a, b, c = z - dz, y - dy, x - dx
    if a >= 0 and b >= 0 and c >= 0 and strength[a, b, c] >= here:
        return False
    gz = 0.5 * (smooth[min(z + 1, n_z - 1), y, x] - smooth[max(z - 1, 0), y, x])
    gy = 0.5 * (smooth[z, min(y + 1, n_y - 1), x] - smooth[z, max(y - 1, 0), x])
    gx = 0.5 * (smooth[z, y, min(x + 1, n_x - 1)] - smooth[z, y, max(x - 1, 0)])
    offset = sign * (gz * nz + gy * ny + gx * nx) / here
    out[0], out[1], out[2], out[3] = nz, ny, nx, offset
    return abs(offset) <= OFF_RIDGE


@parallel_kernel(element_ns=30)
def ridges(
    smooth: FloatArray, strength: FloatArray, level: float, sign: int, low: int, high: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the voxels at which a plate's curvature has its maximum along the main axis.

    The main axis is the one nearest to the plate's normal.

    A plane has exactly one such voxel in every column along that axis, so that its area is the sum
    of 1 / |largest component of the normal|.

    Parameters
    ----------
    smooth, strength : from :func:`plate_strength`
    level : lowest curvature
    sign : 1 for bright plates, −1 for dark ones
    low, high : rows that are searched; those before and after are a halo

    Returns
    -------
    index : (n, 3) int64 voxel, z y x
    normal_offset : (n, 4) float32, unit normal and distance of the ridge along it in voxels
    value : (n,) float32 curvature
    """
    _, n_y, n_x = smooth.shape
    rows = max(high - low, 0)
    counts = np.zeros(rows + 1, np.int64)
    for row in numba.prange(rows):
        out = np.empty(4)
        z = low + row
        for y in range(n_y):
            for x in range(n_x):
                if strength[z, y, x] > level and _ridge_at(smooth, strength, z, y, x, sign, out):
                    counts[row + 1] += 1
    first = np.cumsum(counts)
    index = np.empty((first[-1], 3), np.int64)
    normal = np.empty((first[-1], 4), np.float32)
    value = np.empty(first[-1], np.float32)
    for row in numba.prange(rows):
        out = np.empty(4)
        z = low + row
        i = first[row]
        for y in range(n_y):
            for x in range(n_x):
                if strength[z, y, x] > level and _ridge_at(smooth, strength, z, y, x, sign, out):
                    index[i, 0], index[i, 1], index[i, 2] = z, y, x
                    for k in range(4):
                        normal[i, k] = out[k]
                    value[i] = strength[z, y, x]
                    i += 1
    return index, normal, value
