"""Filtered back-projection with the ramp filter, quantitative for any tilt range."""

import numpy as np
import scipy.fft

from oxytomo.arrays import FloatArray
from oxytomo.reconstruct.blocks import SLICES, from_blocks, sinogram_blocks
from oxytomo.reconstruct.geometry import TiltGeometry, tilt_weights_rad
from oxytomo.reconstruct.gridding import gridded_backprojection
from oxytomo.reconstruct.projector import backproject_linear

MANY_TILTS = 180
"""From this number of tilts, gridding is faster than back-projection, at equal or better accuracy
(benchmarks/many_projections.py)."""


def padded_length(n_s: int) -> int:
    """Even length to which rows are zero-padded: at least twice their own length."""
    return 2 * int(scipy.fft.next_fast_len(n_s, real=True))


def ramp_response(n_padded: int) -> FloatArray:
    """Frequency response of the band-limited ramp on ``n_padded`` samples (rfft order), unit pixel.

    It is the transform of the exact samples in space (Kak & Slaney 1988, eq. 61). These keep the
    mean level correct, which a ramp sampled in frequency does not.
    """
    kernel = np.zeros(n_padded)
    offsets = np.minimum(np.arange(n_padded), n_padded - np.arange(n_padded))
    odd = offsets % 2 == 1
    kernel[odd] = -1.0 / (np.pi * offsets[odd]) ** 2
    kernel[0] = 0.25
    return scipy.fft.rfft(kernel).real.astype(np.float32)


def filter_projections(projections: FloatArray, weights_rad: np.ndarray) -> FloatArray:
    """Ramp-filter each row and multiply by the tilt's weight.

    Rows are zero-padded to twice their length.
    """
    n_s = projections.shape[-1]
    n_padded = padded_length(n_s)
    response = ramp_response(n_padded)
    filtered = np.empty(projections.shape, np.float32)
    # One tilt at a time bounds the memory of the padded spectrum
    for t in range(projections.shape[0]):
        spectrum = scipy.fft.rfft(projections[t], n_padded, axis=-1)
        spectrum *= response * np.float32(weights_rad[t])
        filtered[t] = scipy.fft.irfft(spectrum, n_padded, axis=-1)[:, :n_s]
    return filtered


def filtered_backprojection(projections: FloatArray, geometry: TiltGeometry) -> FloatArray:
    """Reconstruct a volume by filtered back-projection.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, line integrals in unit · pixel
    geometry : the scan

    Returns
    -------
    (n_z, n_y, n_x) float32 in the unit of the line integral per pixel

    Notes
    -----
    The method is linear in the projections. Nothing is extrapolated outside the measured tilt
    range: edges whose normal lies in the missing wedge fade, and the volume has the streaks of the
    wedge. Many tilts are summed in Fourier space, few by back-projection.
    """
    weights = tilt_weights_rad(geometry.tilt_deg)
    if geometry.n_tilt >= MANY_TILTS:
        response = ramp_response(padded_length(geometry.n_columns))
        return gridded_backprojection(projections, geometry, response=response, weights_rad=weights)
    n_z = projections.shape[1]
    volume = np.empty((n_z, geometry.n_y, geometry.n_x), np.float32)
    for z in range(0, n_z, SLICES):
        slab = filter_projections(projections[:, z : z + SLICES], weights)
        volume[z : z + SLICES] = from_blocks(
            backproject_linear(sinogram_blocks(slab), geometry), slab.shape[1]
        )
    return volume
