"""Exact chord lengths through ellipsoids, and the share of each voxel that they fill.

An ellipsoid is its centre and its shape matrix ``C = R diag(a², b², c²) Rᵀ`` in (z, y, x) order. In
the direction ``n`` it reaches ``sqrt(nᵀ C n)`` from its centre, so its shadow on the detector is
the ellipse with the shape matrix ``C`` restricted to (z, s).
"""

import math

import numpy as np
from numba import njit, prange

from oxytomo.threads import parallel_kernel

UM_PER_NM = 1e-3


@parallel_kernel(element_ns=100, nogil=True)
def add_chords(  # type: ignore[no-untyped-def]
    tilt_rad, lean_rad, z_nm, s_nm, centres_nm, shapes, inverses, amounts, out
):
    """Add ``amount × chord length`` in µm of every ellipsoid to ``out``.

    Parameters
    ----------
    tilt_rad : (n_tilt,) float64
    lean_rad : float, in-plane tilt of the rotation axis, towards +s for increasing z
    z_nm, s_nm : (n_tilt, n_z), (n_tilt, n_s) float64, ascending detector coordinates of each
        projection
    centres_nm : (n_ellipsoid, 3) float64
    shapes, inverses : (n_ellipsoid, 3, 3) float64, shape matrices in nm² and their inverses
    amounts : (n_ellipsoid, n_channel) float64
    out : (n_channel, n_tilt, n_z, n_s) float32, changed in place
    """
    n_channel = out.shape[0]
    u, v = math.cos(lean_rad), math.sin(lean_rad)
    for t in prange(tilt_rad.size):
        cos, sin = math.cos(tilt_rad[t]), math.sin(tilt_rad[t])
        z, s = z_nm[t], s_nm[t]
        for e in range(centres_nm.shape[0]):
            shape, inverse = shapes[e], inverses[e]
            a_zz = shape[0, 0]
            a_zs = sin * shape[0, 1] + cos * shape[0, 2]
            a_ss = sin * sin * shape[1, 1] + 2 * sin * cos * shape[1, 2] + cos * cos * shape[2, 2]
            c_zz = u * u * a_zz - 2 * u * v * a_zs + v * v * a_ss
            c_zs = u * v * (a_zz - a_ss) + (u * u - v * v) * a_zs
            c_ss = v * v * a_zz + 2 * u * v * a_zs + u * u * a_ss
            along = cos * cos * inverse[1, 1] - 2 * sin * cos * inverse[1, 2] + sin * sin * inverse[2, 2]
            p_ss = c_zz / (c_zz * c_ss - c_zs * c_zs)
            scale = 2.0 * math.sqrt(p_ss / along) * UM_PER_NM
            along_s = centres_nm[e, 2] * cos + centres_nm[e, 1] * sin
            z0 = u * centres_nm[e, 0] - v * along_s
            s0 = v * centres_nm[e, 0] + u * along_s
            reach = math.sqrt(c_zz)
            for i in range(np.searchsorted(z, z0 - reach), np.searchsorted(z, z0 + reach)):
                dz = z[i] - z0
                half2 = (1.0 - dz * dz / c_zz) / p_ss
                if half2 <= 0.0:
                    continue
                middle = s0 + dz * c_zs / c_zz
                half = math.sqrt(half2)
                for j in range(np.searchsorted(s, middle - half), np.searchsorted(s, middle + half)):
                    ds = s[j] - middle
                    length = scale * math.sqrt(max(0.0, half2 - ds * ds))
                    for k in range(n_channel):
                        out[k, t, i, j] += np.float32(amounts[e, k] * length)


@parallel_kernel(element_ns=100, nogil=True)
def add_fractions(pixel_nm, subsamples, centres_nm, shapes, inverses, amounts, out):  # type: ignore[no-untyped-def]
    """Add ``amount × filled share`` of every ellipsoid to each voxel of ``out``.

    The share is counted on ``subsamples``³ points per voxel, only in voxels that the surface may
    cross.

    Parameters
    ----------
    pixel_nm : float
    subsamples : int
    centres_nm, shapes, inverses, amounts : as in :func:`add_chords`
    out : (n_channel, n_z, n_y, n_x) float32, changed in place
    """
    n_channel, n_z, n_y, n_x = out.shape
    step = pixel_nm / subsamples
    for i in prange(n_z):
        z = (i - (n_z - 1) / 2) * pixel_nm
        for e in range(centres_nm.shape[0]):
            q = inverses[e]
            cz, cy, cx = centres_nm[e]
            # Half a voxel's diagonal, in units of the ellipsoid's own radius, is at most this much.
            margin = 0.5 * math.sqrt(3.0) * pixel_nm * math.sqrt(q[0, 0] + q[1, 1] + q[2, 2])
            reach_y = math.sqrt(shapes[e, 1, 1]) + pixel_nm
            reach_x = math.sqrt(shapes[e, 2, 2]) + pixel_nm
            if abs(z - cz) > math.sqrt(shapes[e, 0, 0]) + pixel_nm:
                continue
            j0 = max(0, math.floor((cy - reach_y) / pixel_nm + (n_y - 1) / 2))
            j1 = min(n_y, math.ceil((cy + reach_y) / pixel_nm + (n_y - 1) / 2) + 1)
            k0 = max(0, math.floor((cx - reach_x) / pixel_nm + (n_x - 1) / 2))
            k1 = min(n_x, math.ceil((cx + reach_x) / pixel_nm + (n_x - 1) / 2) + 1)
            for j in range(j0, j1):
                y = (j - (n_y - 1) / 2) * pixel_nm
                for k in range(k0, k1):
                    x = (k - (n_x - 1) / 2) * pixel_nm
                    radius = math.sqrt(_form(q, z - cz, y - cy, x - cx))
                    if radius >= 1.0 + margin:
                        continue
                    share = 1.0
                    if radius > 1.0 - margin:
                        count = 0
                        first = 0.5 * (step - pixel_nm)
                        for a in range(subsamples):
                            for b in range(subsamples):
                                for c in range(subsamples):
                                    dz = z - cz + first + a * step
                                    dy = y - cy + first + b * step
                                    dx = x - cx + first + c * step
                                    if _form(q, dz, dy, dx) <= 1.0:
                                        count += 1
                        share = count / subsamples**3
                    for channel in range(n_channel):
                        out[channel, i, j, k] += np.float32(amounts[e, channel] * share)


@njit(cache=True, nogil=True, inline="always")
def _form(q, z, y, x):  # type: ignore[no-untyped-def]
    return (
        q[0, 0] * z * z
        + q[1, 1] * y * y
        + q[2, 2] * x * x
        + 2.0 * (q[0, 1] * z * y + q[0, 2] * z * x + q[1, 2] * y * x)
    )
