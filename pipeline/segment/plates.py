"""Voids as thin plates: curvature of the void fraction, its ridges, and profiles across them.

A plate of aperture a, blurred to a standard deviation s, has at its middle the second derivative
−a / (√(2π) s³) along its normal and none along its plane (Hessian plate filters: Sato et al. 2000; ridges with
sub-voxel offsets: Steger 1998). Everything here is symmetric under a change of sign of the image but for the
argument ``sign``, so that the sign-flipped image is the null of the image.
"""

import math

import numba
import numpy as np

from pipeline.arrays import BoolArray, FloatArray, IntArray

ROUND = 0.6
"""Largest ratio of the second curvature to the first: 0 for a plate, 1 for a rod and a ball."""

STEP_OUT = 0.8
"""Largest distance in voxels of a ridge from the plane of its neighbour on the same sheet."""

SAME_PLANE_COSINE, SAME_PLANE_PX = 0.9, 1.5
"""What lies in the plane of a ridge voxel: about its direction and its place."""

OFF_RIDGE = 1.2
"""Largest distance to the ridge in voxels; the wall of a wide void is farther from any ridge."""


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
    """Curvature of a plate of the wanted sign, 0 where there is none."""
    value = -low if sign > 0 else high
    other = high if sign > 0 else -low
    if value > other and abs(middle) < ROUND * value:
        return value
    return 0.0


@numba.njit(cache=True, fastmath=True, parallel=True)
def plate_strength(smooth: FloatArray, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the curvature of bright and of dark plates, 0 where a voxel is no plate.

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
    """Fill normal and offset of a ridge voxel; says whether it is one."""
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


@numba.njit(cache=True)
def ridges(
    smooth: FloatArray, strength: FloatArray, level: float, sign: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the voxels where a plate's curvature is largest along the axis nearest to its normal.

    A plane has exactly one such voxel in every column along that axis, so that its area is the sum of
    1 / |largest component of the normal|.

    Parameters
    ----------
    smooth, strength : from :func:`plate_strength`
    level : lowest curvature
    sign : 1 for bright plates, −1 for dark ones

    Returns
    -------
    index : (n, 3) int64 voxel, z y x
    normal_offset : (n, 4) float32, unit normal and distance of the ridge along it in voxels
    value : (n,) float32 curvature
    """
    n_z, n_y, n_x = smooth.shape
    out = np.empty(4)
    count = 0
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                if strength[z, y, x] > level and _ridge_at(smooth, strength, z, y, x, sign, out):
                    count += 1
    index = np.empty((count, 3), np.int64)
    normal = np.empty((count, 4), np.float32)
    value = np.empty(count, np.float32)
    i = 0
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                if strength[z, y, x] > level and _ridge_at(smooth, strength, z, y, x, sign, out):
                    index[i, 0], index[i, 1], index[i, 2] = z, y, x
                    for k in range(4):
                        normal[i, k] = out[k]
                    value[i] = strength[z, y, x]
                    i += 1
    return index, normal, value


@numba.njit(cache=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True)
def sheets_of_ridges(index: IntArray, normal: FloatArray, lookup: IntArray, cosine: float) -> IntArray:
    """Join ridge voxels within two voxels of each other that lie in each other's planes.

    Parameters
    ----------
    index, normal : from :func:`ridges`
    lookup : (n_z, n_y, n_x) int32, −1 or the row of the ridge voxel there
    cosine : smallest |n · n'| of neighbours on one sheet

    Returns
    -------
    sheet : (n,) int64, 0 …, numbered in the order of their first voxel
    """
    n = index.shape[0]
    n_z, n_y, n_x = lookup.shape
    parent = np.arange(n)
    for i in range(n):
        z, y, x = index[i]
        for a in range(max(z - 2, 0), min(z + 3, n_z)):
            for b in range(max(y - 2, 0), min(y + 3, n_y)):
                for c in range(max(x - 2, 0), min(x + 3, n_x)):
                    j = lookup[a, b, c]
                    if j > i:
                        dot, out_i, out_j = 0.0, -normal[i, 3], normal[j, 3]
                        for k in range(3):
                            step = index[j, k] - index[i, k]
                            dot += normal[i, k] * normal[j, k]
                            out_i += step * normal[i, k]
                            out_j += step * normal[j, k]
                        # Normals have no sign: an offset along the one is that along the other times the dot.
                        out_i += normal[j, 3] * dot
                        out_j -= normal[i, 3] * dot
                        if abs(dot) >= cosine and max(abs(out_i), abs(out_j)) <= STEP_OUT:
                            p, q = _root(parent, i), _root(parent, j)
                            parent[max(p, q)] = min(p, q)
    sheet = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        r = _root(parent, i)
        if r == i:
            sheet[i] = count
            count += 1
        else:
            sheet[i] = sheet[r]
    return sheet


@numba.njit(cache=True, parallel=True)
def sums_around(
    index: IntArray, normal: FloatArray, sheet: IntArray, values: FloatArray, lookup: IntArray, reach: int
) -> FloatArray:
    """Return the sums of values over the own sheet around each ridge voxel, as far as it lies in the voxel's plane.

    Parameters
    ----------
    index, normal, sheet : (n, 3), (n, 4) and (n,) of ridge voxels, see :func:`ridges`
    values : (n, k) what is summed
    lookup : (n_z, n_y, n_x) int32, −1 or the row of the ridge voxel there
    reach : radius of the ball in voxels

    Returns
    -------
    (n, k) float32
    """
    n_z, n_y, n_x = lookup.shape
    n, n_values = values.shape
    out = np.zeros((n, n_values), np.float32)
    for i in numba.prange(n):
        z, y, x = index[i]
        for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
            for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                for c in range(max(x - reach, 0), min(x + reach + 1, n_x)):
                    j = lookup[a, b, c]
                    dz, dy, dx = a - z, b - y, c - x
                    if j < 0 or sheet[j] != sheet[i] or dz * dz + dy * dy + dx * dx > reach * reach:
                        continue
                    dot, out_of_plane = 0.0, dz * normal[i, 0] + dy * normal[i, 1] + dx * normal[i, 2]
                    for k in range(3):
                        dot += normal[i, k] * normal[j, k]
                    out_of_plane += normal[j, 3] * dot - normal[i, 3]
                    if abs(dot) >= SAME_PLANE_COSINE and abs(out_of_plane) <= SAME_PLANE_PX:
                        for k in range(n_values):
                            out[i, k] += values[j, k]
    return out


@numba.njit(cache=True, fastmath=True)
def _sample(f, z, y, x):  # type: ignore[no-untyped-def]
    """Trilinear value; the edge voxels repeat."""
    n_z, n_y, n_x = f.shape
    z, y, x = min(max(z, 0.0), n_z - 1.0), min(max(y, 0.0), n_y - 1.0), min(max(x, 0.0), n_x - 1.0)
    a, b, c = int(z), int(y), int(x)
    d, e, g = min(a + 1, n_z - 1), min(b + 1, n_y - 1), min(c + 1, n_x - 1)
    u, v, w = z - a, y - b, x - c
    low = (1 - v) * ((1 - w) * f[a, b, c] + w * f[a, b, g]) + v * ((1 - w) * f[a, e, c] + w * f[a, e, g])
    top = (1 - v) * ((1 - w) * f[d, b, c] + w * f[d, b, g]) + v * ((1 - w) * f[d, e, c] + w * f[d, e, g])
    return (1 - u) * low + u * top


@numba.njit(cache=True, fastmath=True, parallel=True)
def profiles(fraction: FloatArray, index: IntArray, normal: FloatArray, reach: int) -> FloatArray:
    """Return the void fraction along the normal of each ridge voxel, averaged over a disc of radius 2.

    Parameters
    ----------
    fraction : (n_z, n_y, n_x) float32
    index, normal : from :func:`ridges`; the middle of the profile is the ridge, not the voxel's centre
    reach : the profile goes from −reach to +reach in steps of one voxel

    Returns
    -------
    (n, 2 reach + 1) float32
    """
    n = index.shape[0]
    out = np.zeros((n, 2 * reach + 1), np.float32)
    for i in numba.prange(n):
        nz, ny, nx, offset = normal[i, 0], normal[i, 1], normal[i, 2], normal[i, 3]
        # Two directions in the plane.
        if abs(nz) < 0.7:
            az, ay, ax = 0.0, nx, -ny
        else:
            az, ay, ax = nx, 0.0, -nz
        length = math.sqrt(az * az + ay * ay + ax * ax)
        az, ay, ax = az / length, ay / length, ax / length
        bz, by, bx = ny * ax - nx * ay, nx * az - nz * ax, nz * ay - ny * az
        z, y, x = index[i, 0] + offset * nz, index[i, 1] + offset * ny, index[i, 2] + offset * nx
        for k in range(2 * reach + 1):
            t = k - reach
            total = 0.0
            count = 0
            for p in range(-2, 3):
                for q in range(-2, 3):
                    if p * p + q * q <= 5:
                        total += _sample(
                            fraction,
                            z + t * nz + p * az + q * bz,
                            y + t * ny + p * ay + q * by,
                            x + t * nx + p * ax + q * bx,
                        )
                        count += 1
            out[i, k] = total / count
    return out
