"""Structure of the illumination that moves between the flat field and the frames."""

import numpy as np
from scipy.ndimage import fourier_gaussian, fourier_shift

from oxytomo.arrays import Float64Array, FloatArray


def beam_structure(
    shape: tuple[int, int], *, contrast: float, length_px: float, rng: np.random.Generator
) -> Float64Array:
    """Random structure of the beam: smoothed Gaussian noise, periodic over the field.

    Parameters
    ----------
    shape : (n_y, n_x)
    contrast : its standard deviation, relative to the beam
    length_px : standard deviation of the Gaussian that smooths the noise, pixels

    Returns
    -------
    (n_y, n_x) float64 with mean 0
    """
    spectrum = fourier_gaussian(np.fft.fft2(rng.normal(size=shape)), length_px)
    spectrum[0, 0] = 0
    smooth = np.fft.ifft2(spectrum).real
    return np.asarray(contrast * smooth / max(float(smooth.std()), 1e-12), np.float64)


def moved(structure: Float64Array, shift_px: Float64Array) -> FloatArray:
    """Relative intensity ``1 + structure(y − dy, x − dx)`` of each frame.

    The result is exact for a periodic structure.

    Parameters
    ----------
    structure : (n_y, n_x), see :func:`beam_structure`
    shift_px : (n_frame, 2) pixels (dy, dx)

    Returns
    -------
    (n_frame, n_y, n_x) float32, at least 0.1
    """
    spectrum = np.fft.fft2(structure)
    frames = np.empty((len(shift_px), *structure.shape), np.float32)
    for i, shift in enumerate(shift_px):
        frames[i] = 1 + np.fft.ifft2(fourier_shift(spectrum, shift)).real
    return np.maximum(frames, np.float32(0.1))
