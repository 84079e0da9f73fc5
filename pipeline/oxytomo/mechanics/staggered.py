"""The staggered grid: displacements on faces, normal stress in cells, shear stress on edges.

Component c of the displacement (0 along x, 1 along y, 2 along z) of face ``i`` lies between cells
``i - 1`` and ``i``. The share of solid scales the stiffness of a cell, and that of an edge by the
mean of its four cells. Where two or more of these are empty, the edge lies on a surface along the
grid, or between the two sides of a crack: it is 0, so the surface is free of traction. An edge with
one empty cell is the inner corner of a staircase. It carries shear: without it surfaces at an angle
to the grid are too soft, and stress is 10 to 15 % too low beside those along it.
Lengths are in voxels: forces are per voxel edge, and displacements in voxels.
"""

import numba
import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.threads import parallel_kernel

EMPTY = 1e-6


def edge_shares(share: FloatArray) -> FloatArray:
    """Return the share of solid on edges, (3, n_z, n_y, n_x): those of xy, xz and yz shear."""
    edges = np.zeros((3, *share.shape), np.float32)
    _edge_shares(share, edges)
    return edges


@parallel_kernel(element_ns=3, fastmath=True)
def _edge_shares(share: FloatArray, edges: FloatArray) -> None:
    n_z, n_y, n_x = share.shape
    for k in numba.prange(1, n_z):
        for j in range(1, n_y):
            for i in range(1, n_x):
                here, left, front, below = (
                    share[k, j, i],
                    share[k, j, i - 1],
                    share[k, j - 1, i],
                    share[k - 1, j, i],
                )
                edges[0, k, j, i] = _edge_share(here, left, front, share[k, j - 1, i - 1])
                edges[1, k, j, i] = _edge_share(here, left, below, share[k - 1, j, i - 1])
                edges[2, k, j, i] = _edge_share(here, front, below, share[k - 1, j - 1, i])


@numba.njit(cache=True)
def _edge_share(a: float, b: float, c: float, d: float) -> np.float32:
    """Return the share of solid around an edge, 0 if fewer than three of its cells hold solid."""
    full = (a > EMPTY) + (b > EMPTY) + (c > EMPTY) + (d > EMPTY)
    return np.float32(0.25) * (a + b + c + d) if full >= 3 else np.float32(0.0)


@parallel_kernel(element_ns=3, fastmath=True)
def apply_stiffness(
    u: FloatArray, out: FloatArray, share: FloatArray, edges: FloatArray, lame: FloatArray
) -> None:
    """Write the forces of a displacement into ``out``.

    Both are (3, n_z, n_y, n_x); ``lame`` is (λ, µ).
    """
    n_z, n_y, n_x = share.shape
    lam, mu = lame[0], lame[1]
    stiff = lam + 2 * mu
    for k in numba.prange(1, n_z - 1):
        for j in range(1, n_y - 1):
            for i in range(1, n_x - 1):
                p = share[k, j, i]
                ex = u[0, k, j, i + 1] - u[0, k, j, i]
                ey = u[1, k, j + 1, i] - u[1, k, j, i]
                ez = u[2, k + 1, j, i] - u[2, k, j, i]
                q = share[k, j, i - 1]
                fx = p * (stiff * ex + lam * (ey + ez)) - q * (
                    stiff * (u[0, k, j, i] - u[0, k, j, i - 1])
                    + lam
                    * (u[1, k, j + 1, i - 1] - u[1, k, j, i - 1] + u[2, k + 1, j, i - 1] - u[2, k, j, i - 1])
                )
                q = share[k, j - 1, i]
                fy = p * (stiff * ey + lam * (ex + ez)) - q * (
                    stiff * (u[1, k, j, i] - u[1, k, j - 1, i])
                    + lam
                    * (u[0, k, j - 1, i + 1] - u[0, k, j - 1, i] + u[2, k + 1, j - 1, i] - u[2, k, j - 1, i])
                )
                q = share[k - 1, j, i]
                fz = p * (stiff * ez + lam * (ex + ey)) - q * (
                    stiff * (u[2, k, j, i] - u[2, k - 1, j, i])
                    + lam
                    * (u[0, k - 1, j, i + 1] - u[0, k - 1, j, i] + u[1, k - 1, j + 1, i] - u[1, k - 1, j, i])
                )
                xy = edges[0, k, j, i] * (
                    u[0, k, j, i] - u[0, k, j - 1, i] + u[1, k, j, i] - u[1, k, j, i - 1]
                )
                xz = edges[1, k, j, i] * (
                    u[0, k, j, i] - u[0, k - 1, j, i] + u[2, k, j, i] - u[2, k, j, i - 1]
                )
                yz = edges[2, k, j, i] * (
                    u[1, k, j, i] - u[1, k - 1, j, i] + u[2, k, j, i] - u[2, k, j - 1, i]
                )
                fx += mu * (
                    edges[0, k, j + 1, i]
                    * (u[0, k, j + 1, i] - u[0, k, j, i] + u[1, k, j + 1, i] - u[1, k, j + 1, i - 1])
                    - xy
                    + edges[1, k + 1, j, i]
                    * (u[0, k + 1, j, i] - u[0, k, j, i] + u[2, k + 1, j, i] - u[2, k + 1, j, i - 1])
                    - xz
                )
                fy += mu * (
                    edges[0, k, j, i + 1]
                    * (u[0, k, j, i + 1] - u[0, k, j - 1, i + 1] + u[1, k, j, i + 1] - u[1, k, j, i])
                    - xy
                    + edges[2, k + 1, j, i]
                    * (u[1, k + 1, j, i] - u[1, k, j, i] + u[2, k + 1, j, i] - u[2, k + 1, j - 1, i])
                    - yz
                )
                fz += mu * (
                    edges[1, k, j, i + 1]
                    * (u[0, k, j, i + 1] - u[0, k - 1, j, i + 1] + u[2, k, j, i + 1] - u[2, k, j, i])
                    - xz
                    + edges[2, k, j + 1, i]
                    * (u[1, k, j + 1, i] - u[1, k - 1, j + 1, i] + u[2, k, j + 1, i] - u[2, k, j, i])
                    - yz
                )
                out[0, k, j, i] = -fx
                out[1, k, j, i] = -fy
                out[2, k, j, i] = -fz


@parallel_kernel(element_ns=3, fastmath=True)
def keep_active(share: FloatArray, u: FloatArray) -> None:
    """Set a displacement, (3, n_z, n_y, n_x), to 0 on faces that are not next to solid."""
    n_z, n_y, n_x = share.shape
    for k in numba.prange(n_z):
        for j in range(n_y):
            for i in range(n_x):
                p = np.float32(0.0)
                within = 0 < k < n_z - 1 and 0 < j < n_y - 1 and 0 < i < n_x - 1
                if within:
                    p = share[k, j, i]
                if not within or p + share[k, j, i - 1] <= EMPTY:
                    u[0, k, j, i] = 0.0
                if not within or p + share[k, j - 1, i] <= EMPTY:
                    u[1, k, j, i] = 0.0
                if not within or p + share[k - 1, j, i] <= EMPTY:
                    u[2, k, j, i] = 0.0


@parallel_kernel(element_ns=3, fastmath=True)
def eigenstrain_forces(eigenstrain: FloatArray, share: FloatArray, out: FloatArray, bulk: float) -> None:
    """Write the forces of a stress-free linear strain into ``out``; ``bulk`` is 3 λ + 2 µ."""
    n_z, n_y, n_x = share.shape
    for k in numba.prange(1, n_z - 1):
        for j in range(1, n_y - 1):
            for i in range(1, n_x - 1):
                s = share[k, j, i] * eigenstrain[k, j, i]
                out[0, k, j, i] = -bulk * (s - share[k, j, i - 1] * eigenstrain[k, j, i - 1])
                out[1, k, j, i] = -bulk * (s - share[k, j - 1, i] * eigenstrain[k, j - 1, i])
                out[2, k, j, i] = -bulk * (s - share[k - 1, j, i] * eigenstrain[k - 1, j, i])


@parallel_kernel(element_ns=5, fastmath=True)
def cell_strain(u: FloatArray, edges: FloatArray, share: FloatArray, strain: FloatArray) -> None:
    """Write the strain in cells that hold solid into ``strain``, (6, n_z, n_y, n_x).

    The order is xx, yy, zz, xy, xz, yz.

    Shear is the mean over those of the four edges of a cell that lie in solid.
    """
    n_z, n_y, n_x = share.shape
    for k in numba.prange(1, n_z - 1):
        for j in range(1, n_y - 1):
            for i in range(1, n_x - 1):
                if share[k, j, i] <= EMPTY:
                    continue
                strain[0, k, j, i] = u[0, k, j, i + 1] - u[0, k, j, i]
                strain[1, k, j, i] = u[1, k, j + 1, i] - u[1, k, j, i]
                strain[2, k, j, i] = u[2, k + 1, j, i] - u[2, k, j, i]
                xy, xz, yz = 0.0, 0.0, 0.0
                n_xy, n_xz, n_yz = 0, 0, 0
                for b in range(2):
                    for a in range(2):
                        if edges[0, k, j + b, i + a] > 0:
                            n_xy += 1
                            xy += u[0, k, j + b, i + a] - u[0, k, j + b - 1, i + a]
                            xy += u[1, k, j + b, i + a] - u[1, k, j + b, i + a - 1]
                        if edges[1, k + b, j, i + a] > 0:
                            n_xz += 1
                            xz += u[0, k + b, j, i + a] - u[0, k + b - 1, j, i + a]
                            xz += u[2, k + b, j, i + a] - u[2, k + b, j, i + a - 1]
                        if edges[2, k + b, j + a, i] > 0:
                            n_yz += 1
                            yz += u[1, k + b, j + a, i] - u[1, k + b - 1, j + a, i]
                            yz += u[2, k + b, j + a, i] - u[2, k + b, j + a - 1, i]
                strain[3, k, j, i] = 0.5 * xy / max(n_xy, 1)
                strain[4, k, j, i] = 0.5 * xz / max(n_xz, 1)
                strain[5, k, j, i] = 0.5 * yz / max(n_yz, 1)


@parallel_kernel(element_ns=3, fastmath=True)
def to_stress(strain: FloatArray, eigenstrain: FloatArray, share: FloatArray, lame: FloatArray) -> None:
    """Replace a strain in cells by Hooke's stress; ``lame`` is (λ, µ) in the unit of the stress.

    It is 0 where there is no solid.
    """
    n_z, n_y, n_x = share.shape
    lam, mu = lame[0], lame[1]
    for k in numba.prange(n_z):
        for j in range(n_y):
            for i in range(n_x):
                there = np.float32(1.0) if share[k, j, i] > 0 else np.float32(0.0)
                pressure = lam * (strain[0, k, j, i] + strain[1, k, j, i] + strain[2, k, j, i])
                pressure -= (3 * lam + 2 * mu) * eigenstrain[k, j, i]
                for c in range(6):
                    value = 2 * mu * strain[c, k, j, i]
                    strain[c, k, j, i] = there * (value + pressure if c < 3 else value)
