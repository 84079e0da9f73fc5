"""Phase lag from one distance, for a sample of one material."""

import numpy as np
import scipy.fft

from oxytomo.arrays import FloatArray
from oxytomo.phase.propagation import Frame

SMALLEST = 1e-4
"""Lower limit of the filtered transmission before the logarithm is taken."""


def paganin(
    intensity: FloatArray,
    frame: Frame,
    *,
    wavelength: float,
    distance_nm: float,
    pixel_nm: float,
    delta_beta: float,
    workers: int,
) -> FloatArray:
    """Phase lag of a sample with one ratio δ/β from a single distance.

    ``P = −½ (δ/β) ln F⁻¹{F{I} / (1 + π λ z (δ/β) |f|²)}``

    Parameters
    ----------
    intensity : (n, n_y, n_x) float32, relative to the beam without sample; all finite
    frame : padded grid of these frames
    wavelength, distance_nm, pixel_nm : nm; the distance is that of the equivalent parallel beam
    delta_beta : δ/β
    workers : threads

    Returns
    -------
    (n, n_y, n_x) float32, rad

    Notes
    -----
    The result is too smooth beyond the first zone of the transfer function, ``λ z |f|² ≳ ½``, and
    wrong where there are other materials.

    References
    ----------
    Paganin, Mayo, Gureyev, Miller & Wilkins, J. Microsc. 206, 33 (2002).
    """
    response = 1 + np.pi * wavelength * distance_nm * delta_beta * frame.squared_frequency(
        pixel_nm, real=True
    )
    spectrum = scipy.fft.rfft2(frame.pad(intensity), workers=workers)
    spectrum /= response.astype(np.float32)
    smooth = frame.crop(scipy.fft.irfft2(spectrum, frame.padded, workers=workers))
    return (-0.5 * delta_beta * np.log(np.maximum(smooth, SMALLEST))).astype(np.float32)
