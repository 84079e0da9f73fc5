"""Simultaneous iterative reconstruction (SIRT)."""

from collections.abc import Callable

import numpy as np
from numba import prange

from oxytomo.arrays import FloatArray
from oxytomo.reconstruct.blocks import LINE, from_blocks, sinogram_blocks, zero_blocks
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import adjoint, forward
from oxytomo.threads import parallel_kernel

OnIteration = Callable[[int, int], None]
"""Called after each iteration with (done, total), so that a caller can show progress."""


def inverse_sums(geometry: TiltGeometry) -> tuple[FloatArray, FloatArray]:
    """Inverse ray lengths (n_tilt, n_s) and inverse column sums (n_y, n_x) of the system matrix.

    0 where a sum is 0.
    """
    ones = np.ones((1, geometry.n_y, geometry.n_x, LINE), np.float32)
    rays = forward(ones, geometry)
    columns = adjoint(np.ones_like(rays), geometry)

    def inverse(sums: FloatArray) -> FloatArray:
        return np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 1e-3)

    return inverse(rays[0, ..., 0]), inverse(columns[0, ..., 0])


def sirt(
    projections: FloatArray,
    geometry: TiltGeometry,
    *,
    iterations: int,
    nonnegative: bool,
    on_iteration: OnIteration | None = None,
) -> FloatArray:
    """Reconstruct by SIRT, ``x ← x + C Aᵀ R (b − A x)``.

    R and C are the inverse row and column sums of A.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, unit · pixel
    geometry : the scan
    iterations : number of iterations; the only regularisation, so it sets the resolution
    nonnegative : clip negative values after each iteration (makes the method nonlinear)

    Returns
    -------
    (n_z, n_y, n_x) float32

    References
    ----------
    Gregor & Benson, IEEE Trans. Med. Imaging 27, 918 (2008).
    """
    rays, columns = inverse_sums(geometry)
    data = sinogram_blocks(projections)
    volume = zero_blocks((data.shape[0], geometry.n_y, geometry.n_x, data.shape[3]))
    for i in range(iterations):
        sirt_step(volume, data, geometry, rays, columns, nonnegative=nonnegative)
        if on_iteration is not None:
            on_iteration(i + 1, iterations)
    return from_blocks(volume, projections.shape[1])


def sirt_step(
    volume: FloatArray,
    data: FloatArray,
    geometry: TiltGeometry,
    rays: FloatArray,
    columns: FloatArray,
    *,
    nonnegative: bool,
) -> None:
    """One iteration of SIRT, in place.

    Parameters
    ----------
    volume : (n_block, n_y, n_x, slice) float32, changed
    data : (n_block, n_tilt, n_s, slice) float32, see
        :func:`oxytomo.reconstruct.projector.sinogram_blocks`
    rays, columns : from :func:`inverse_sums`; ``rays`` times a weight per ray or tilt makes a
        weighted step
    """
    residual = forward(volume, geometry)
    _weighted_difference(residual, data, rays)
    _add_weighted(volume, adjoint(residual, geometry), columns, nonnegative)


@parallel_kernel(nogil=True)
def _weighted_difference(projected, data, rays):  # type: ignore[no-untyped-def]
    """``rays · (data − projected)`` in place of ``projected``: one pass over memory."""
    n_block, n_tilt, n_s, n_slice = data.shape
    for job in prange(n_block * n_tilt):
        block, t = job // n_tilt, job % n_tilt
        for s in range(n_s):
            weight = rays[t, s]
            p, d = projected[block, t, s], data[block, t, s]
            for k in range(n_slice):
                p[k] = weight * (d[k] - p[k])


@parallel_kernel(nogil=True)
def _add_weighted(volume, update, columns, nonnegative):  # type: ignore[no-untyped-def]
    """``volume += columns · update``, clipped at 0 if requested: one pass over memory."""
    n_block, n_y, n_x, n_slice = volume.shape
    floor = np.float32(0.0) if nonnegative else np.float32(-np.inf)
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        for x in range(n_x):
            weight = columns[y, x]
            v, u = volume[block, y, x], update[block, y, x]
            for k in range(n_slice):
                v[k] = max(floor, v[k] + weight * u[k])
