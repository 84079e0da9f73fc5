"""Profiles of the void fraction across ridges."""

import math

import numba
import numpy as np

from oxytomo.arrays import FloatArray, IntArray
from oxytomo.slabs import Field, read, slabs
from oxytomo.threads import parallel_kernel

DISC_PX = 2


@numba.njit(cache=True, fastmath=True)
def _sample(part, first, n_z, z, y, x):  # type: ignore[no-untyped-def]
    """Trilinear interpolation in a volume of n_z rows, of which those from ``first`` on are given.

    The edge voxels are repeated.
    """
    _, n_y, n_x = part.shape
    z, y, x = min(max(z, 0.0), n_z - 1.0), min(max(y, 0.0), n_y - 1.0), min(max(x, 0.0), n_x - 1.0)
    a, b, c = int(z), int(y), int(x)
    u, v, w = z - a, y - b, x - c
    d, e, g = min(a + 1, n_z - 1) - first, min(b + 1, n_y - 1), min(c + 1, n_x - 1)
    a -= first
    low = (1 - v) * ((1 - w) * part[a, b, c] + w * part[a, b, g]) + v * (
        (1 - w) * part[a, e, c] + w * part[a, e, g]
    )
    top = (1 - v) * ((1 - w) * part[d, b, c] + w * part[d, b, g]) + v * (
        (1 - w) * part[d, e, c] + w * part[d, e, g]
    )
    return (1 - u) * low + u * top


def profiles(fraction: Field, index: IntArray, normal: FloatArray, reach: int) -> FloatArray:
    """Return the void fraction along each ridge voxel's normal, averaged over a disc.

    The disc has a radius of 2 voxels.

    Parameters
    ----------
    fraction : (n_z, n_y, n_x) float32
    index, normal : ridge voxels, see :func:`oxytomo.segment.plates.ridges`; the middle of the
        profile is the ridge, not the voxel's centre
    reach : the profile goes from −reach to +reach in steps of one voxel

    Returns
    -------
    (n, 2 reach + 1) float32
    """
    out = np.empty((len(index), 2 * reach + 1), np.float32)
    for slab in slabs(fraction.shape, halo=reach + 2 * DISC_PX + 2):
        own = np.flatnonzero((index[:, 0] >= slab.rows.start) & (index[:, 0] < slab.rows.stop))
        if own.size:
            part = read(fraction, slab.wide)
            out[own] = _profiles(part, slab.wide.start, fraction.shape[0], index[own], normal[own], reach)
    return out


@parallel_kernel(element_ns=30, fastmath=True)
def _profiles(part, first, n_z, index, normal, reach):  # type: ignore[no-untyped-def]
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
                            part,
                            first,
                            n_z,
                            z + t * nz + p * az + q * bz,
                            y + t * ny + p * ay + q * by,
                            x + t * nx + p * ax + q * bx,
                        )
                        count += 1
            out[i, k] = total / count
    return out
