"""Free-space propagation of a wave behind a thin sample, and the grid of the computation.

Sign convention: ``n = 1 − δ + iβ`` and a wave ``exp(+ikz)``. A sample then leaves ``u = exp(−B −
iP)`` with the amplitude's absorption ``B = k ∫ β dl`` (half the optical density) and the phase lag
``P = k ∫ δ dl``, positive for matter. Fresnel propagation over z multiplies the spectrum of u by
``exp(−iχ)``, ``χ = π λ z |f|²``.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from oxytomo.arrays import Float64Array, FloatArray

OVERSHOOT = 1.5
"""Fringes reach λ z f beyond an edge; the padding is this many times the width of the first
fringe."""


@dataclass(frozen=True)
class Frame:
    """The padded grid on which frames are propagated.

    Attributes
    ----------
    shape : (n_y, n_x) of the frames
    padded : (n_y, n_x) of the grid; the frame sits in its middle
    """

    shape: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def around(cls, shape: tuple[int, int], *, margin_px: int) -> "Frame":
        """Return the grid with at least ``margin_px`` on all sides and a fast size."""
        n_y, n_x = (_fast_length(n, n + 2 * margin_px) for n in shape)
        return cls(shape, (n_y, n_x))

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the frame's first pixel on the grid."""
        return (self.padded[0] - self.shape[0]) // 2, (self.padded[1] - self.shape[1]) // 2

    def pad(self, frames: FloatArray) -> FloatArray:
        """Continue frames (n, n_y, n_x) by their border pixels to the grid."""
        (top, left), (rows, columns) = self.corner, self.padded
        below, right = rows - self.shape[0] - top, columns - self.shape[1] - left
        return np.pad(frames, ((0, 0), (top, below), (left, right)), mode="edge")

    def crop(self, frames: FloatArray) -> FloatArray:
        """Undo :meth:`pad`."""
        top, left = self.corner
        return frames[..., top : top + self.shape[0], left : left + self.shape[1]]

    def squared_frequency(self, pixel_nm: float, *, real: bool) -> Float64Array:
        """``|f|²`` on the grid in 1/nm², for transforms of real frames or of waves."""
        f_y = scipy.fft.fftfreq(self.padded[0], pixel_nm)
        last = scipy.fft.rfftfreq if real else scipy.fft.fftfreq
        f_x = last(self.padded[1], pixel_nm)
        return np.add.outer(f_y**2, f_x**2)


def _fast_length(n: int, at_least: int) -> int:
    """Length with a fast transform that differs from n by an even number."""
    length = int(scipy.fft.next_fast_len(at_least, real=True))
    while (length - n) % 2:
        length = int(scipy.fft.next_fast_len(length + 1, real=True))
    return length


def margin_px(*, wavelength: float, longest_nm: float, pixel_nm: float, shape: tuple[int, int]) -> int:
    """Padding against wrap-around of fringes: some fringe widths, at most half a frame.

    The first fringe has the width ``sqrt(λ z)``.
    """
    reach = OVERSHOOT * 2 * np.sqrt(wavelength * longest_nm) / pixel_nm
    return int(np.clip(np.ceil(reach), 8, max(8, max(shape) // 2)))


def wave_spectrum(lag: FloatArray, absorption: FloatArray, *, workers: int) -> NDArray[np.complex64]:
    """Spectrum of the wave ``exp(−B − iP)`` behind a thin sample.

    Parameters
    ----------
    lag, absorption : (n, n_y, n_x) float32, P in rad and B, on a padded grid
    workers : threads
    """
    amplitude = np.exp(-absorption)
    wave = np.empty(lag.shape, np.complex64)
    wave.real, wave.imag = amplitude * np.cos(lag), -amplitude * np.sin(lag)
    spectrum: NDArray[np.complex64] = scipy.fft.fft2(wave, workers=workers, overwrite_x=True)
    return spectrum


def propagated_intensity(spectrum: NDArray[np.complex64], chi: FloatArray, *, workers: int) -> FloatArray:
    """Intensity of a wave after free-space propagation, relative to the beam without sample.

    Parameters
    ----------
    spectrum : (n, n_y, n_x) of the wave behind the sample
    chi : (n_y, n_x) ``π λ z |f|²`` on that grid, complex-transform order
    workers : threads

    Returns
    -------
    (n, n_y, n_x) float32
    """
    phase = np.empty(chi.shape, np.complex64)
    phase.real, phase.imag = np.cos(chi), -np.sin(chi)
    wave = scipy.fft.ifft2(spectrum * phase, workers=workers, overwrite_x=True)
    return (wave.real**2 + wave.imag**2).astype(np.float32, copy=False)
