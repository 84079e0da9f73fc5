"""Simultaneous iterative reconstruction (SIRT)."""

from collections.abc import Callable

import numpy as np

from pipeline.arrays import FloatArray
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.projector import SLICES, adjoint, forward, from_blocks, sinogram_blocks

OnIteration = Callable[[int, int], None]
"""Called after each iteration with (done, total), so that a caller can show progress."""


def inverse_sums(geometry: TiltGeometry) -> tuple[FloatArray, FloatArray]:
    """Inverse ray lengths (n_tilt, n_s) and inverse column sums (n_y, n_x) of the system matrix; 0 where a sum is 0."""
    ones = np.ones((1, geometry.n_y, geometry.n_x, SLICES), np.float32)
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
    """Reconstruct by SIRT, ``x ← x + C Aᵀ R (b − A x)`` with R, C the inverse row and column sums of A.

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
    rays, columns = rays[None, :, :, None], columns[None, :, :, None]
    data = sinogram_blocks(projections)
    volume = np.zeros((data.shape[0], geometry.n_y, geometry.n_x, data.shape[3]), np.float32)
    for i in range(iterations):
        residual = forward(volume, geometry)
        np.subtract(data, residual, out=residual)
        residual *= rays
        update = adjoint(residual, geometry)
        update *= columns
        volume += update
        if nonnegative:
            np.maximum(volume, 0, out=volume)
        if on_iteration is not None:
            on_iteration(i + 1, iterations)
    return from_blocks(volume, projections.shape[1])
