"""The staggered grid: displacements on faces, normal stress in cells, shear stress on edges.

Component c of the displacement (0 along x, 1 along y, 2 along z) of face ``i`` lies between cells
``i - 1`` and ``i``. The share of solid scales the stiffness of a cell. An edge has the harmonic
mean of its four cells, and 0 where one of them is empty, so every surface is free of traction.
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
                corner = share[k, j - 1, i - 1]
                if min(min(here, left), min(front, corner)) > EMPTY:
                    edges[0, k, j, i] = 4 / (1 / here + 1 / left + 1 / front + 1 / corner)
                corner = share[k - 1, j, i - 1]
                if min(min(here, left), min(below, corner)) > EMPTY:
                    edges[1, k, j, i] = 4 / (1 / here + 1 / left + 1 / below + 1 / corner)
                corner = share[k - 1, j - 1, i]
                if min(min(here, front), min(below, corner)) > EMPTY:
                    edges[2, k, j, i] = 4 / (1 / here + 1 / front + 1 / below + 1 / corner)


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
def mark_active(share: FloatArray, active: FloatArray) -> None:
    """Write 1 into ``active``, (3, n_z, n_y, n_x), for faces next to solid, 0 for the others."""
    n_z, n_y, n_x = share.shape
    for k in numba.prange(1, n_z - 1):
        for j in range(1, n_y - 1):
            for i in range(1, n_x - 1):
                p = share[k, j, i]
                active[0, k, j, i] = 1.0 if p + share[k, j, i - 1] > EMPTY else 0.0
                active[1, k, j, i] = 1.0 if p + share[k, j - 1, i] > EMPTY else 0.0
                active[2, k, j, i] = 1.0 if p + share[k - 1, j, i] > EMPTY else 0.0


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
