"""Phase lag from several distances: contrast transfer functions (CTF), then nonlinear terms.

To first order a sample changes the spectrum of the intensity by ``−2 B cos χ − 2 P sin χ``. Several
distances fill each other's zeros. For a sample of one material, ``B = P / (δ/β)``, only one unknown
is left, and low frequencies are determined, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.special

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.errors import ConfigError
from oxytomo.phase.beam import border_level, relative_levels
from oxytomo.phase.propagation import Frame, propagated_intensity, wave_spectrum

TRANSITION = 0.2
"""Width of the step between the low- and the high-frequency weight, relative to its frequency."""
WORSE = 1.1
"""A frame whose misfit exceeds its best by this factor is not iterated further."""
SETTLED = 2
"""Levels of the distances are fitted after this number of iterations, when the computed intensity
is close to the measured one."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """Quantities of a set of distances that do not depend on the frames.

    Attributes
    ----------
    frame : padded grid
    chi : (n_distance, n_y, n_x) ``π λ z |f|²`` on the grid, complex-transform order
    low, high : (n_y, n_x // 2 + 1) Tikhonov weights towards the previous solution and towards zero
    beta_delta : β/δ; None: absorption and phase are independent
    """

    frame: Frame
    chi: FloatArray
    low: FloatArray
    high: FloatArray
    beta_delta: float | None

    @property
    def half(self) -> FloatArray:
        """``chi`` for transforms of real frames."""
        return self.chi[..., : self.frame.padded[1] // 2 + 1]


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Solution for some frames.

    Attributes
    ----------
    lag : (n, n_y, n_x) float32, phase lag in rad
    absorption : (n, n_y, n_x) float32, ``k ∫ β dl``, half the optical density
    misfit : (n_distance, n) rms of measured − computed intensity, relative to the rms contrast of
        the measured intensity
    """

    lag: FloatArray
    absorption: FloatArray
    misfit: Float64Array


def transfer(
    frame: Frame,
    *,
    wavelength: float,
    distances_nm: Sequence[float],
    pixel_nm: float,
    delta_beta: float | None,
    low_weight: float,
    high_weight: float,
) -> Transfer:
    """Prepare the inversion for one set of distances.

    The Tikhonov weight is ``low_weight`` below the first maximum of the longest distance's transfer
    function, ``|f| = 1 / sqrt(2 λ z)``, and ``high_weight`` above, with a smooth step between
    (Cloetens et al. 1999).
    """
    if delta_beta is None and len(set(distances_nm)) < 2:
        raise ConfigError(
            "phase retrieval",
            expected="at least two different distances, or delta_beta",
            got=f"{len(distances_nm)} distance and no delta_beta",
            fix="give delta_beta (or formula and density), or more distances",
        )
    squared = frame.squared_frequency(pixel_nm, real=False)
    chi = np.pi * wavelength * np.asarray(distances_nm, np.float64)[:, None, None] * squared
    cut = 1 / np.sqrt(2 * wavelength * max(distances_nm))
    frequency = np.sqrt(frame.squared_frequency(pixel_nm, real=True))
    step = 0.5 * (1 + scipy.special.erf((frequency - cut) / (TRANSITION * cut)))
    return Transfer(
        frame,
        chi.astype(np.float32),
        (low_weight * (1 - step)).astype(np.float32),
        (high_weight * step).astype(np.float32),
        None if delta_beta is None else 1 / delta_beta,
    )


def ctf(
    intensities: FloatArray, setup: Transfer, *, isolated: bool, iterations: int, workers: int
) -> Retrieved:
    """Phase lag from holograms at several distances.

    The first solution is the linear one. Each iteration then computes the full intensity of the
    present solution and solves for the difference, so that strong phases and edges are modelled to
    all orders. At low frequency, where the holograms carry little information, the weight pulls
    towards the previous solution instead of zero. Two constraints are imposed on that previous
    solution: matter delays and absorbs (nothing is negative), and there is air beyond the frame
    (``isolated``). The solution itself follows from the data and the weights; the constraints act
    on the starting point of the next iteration only, so that the noise stays uniform. For an
    isolated sample the beam's level in each frame is taken from its border, and the differences
    between the distances are fitted.

    Parameters
    ----------
    intensities : (n_distance, n, n_y, n_x) float32, relative to the beam without sample, on one
        pixel grid; all finite
    setup : from :func:`transfer`
    isolated : the sample lies within the frame
    iterations : number after the linear solution; 0: the plain contrast-transfer-function method
    workers : threads

    References
    ----------
    Cloetens et al., Appl. Phys. Lett. 75, 2912 (1999); Zabler et al., Rev. Sci. Instrum. 76, 073705
    (2005); one material: Turner et al., Opt. Express 12, 2960 (2004); beyond the linear model:
    Davidoiu et al., Opt. Express 19, 22809 (2011); constraints: Huhn et al., Opt. Express 30, 32871
    (2022).
    """
    frame = setup.frame
    level = border_level(intensities) if isolated else np.ones(intensities.shape[:2])
    residual = np.stack([frame.pad(one) for one in intensities / _expanded(level)]) - 1
    invert = _inverter(setup, workers)
    state = np.zeros((2, *residual.shape[1:]), np.float32)
    kept, misfit = state, np.full(level.shape, np.inf)
    best, active = np.full(level.shape[1], np.inf), np.ones(level.shape[1], bool)
    for done in range(1 + iterations):
        solved = invert(state, residual)
        state = _constrained(solved, setup) if isolated and iterations else solved
        computed = _computed(state, setup, workers)
        if isolated and done >= SETTLED:
            level = relative_levels(intensities, computed, level)
        difference = intensities / _expanded(level) - computed
        contrast = np.sqrt(np.mean((intensities / _expanded(level) - 1) ** 2, axis=(2, 3)))
        new_misfit = np.sqrt(np.mean(difference**2, axis=(2, 3))) / np.maximum(contrast, 1e-12)
        total = np.sqrt((new_misfit**2).mean(axis=0))
        active &= np.isfinite(total) & (total < WORSE * best)
        if not active.any():
            break
        kept = np.where(active[:, None, None], solved, kept)
        misfit = np.where(active, new_misfit, misfit)
        if done:  # the linear answer, before anything is imposed on it, is no measure
            best = np.where(active, np.minimum(best, total), best)
        residual = np.zeros_like(residual)
        frame.crop(residual)[...] = difference
    return Retrieved(frame.crop(kept[0]), frame.crop(kept[1]), misfit)


def _expanded(level: Float64Array) -> FloatArray:
    """Levels per distance and frame as factors of the frames."""
    return level[:, :, None, None].astype(np.float32)


def _inverter(setup: Transfer, workers: int) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Return a function of (state, residual contrast): the least-squares P and B.

    The result has the shape (2, n, n_y, n_x).
    """
    cos, sin = np.cos(setup.half), np.sin(setup.half)
    low, high = setup.low, setup.high
    shape = setup.frame.padded

    def spectra(frames: FloatArray) -> list[np.ndarray]:
        return [scipy.fft.rfft2(one, workers=workers) for one in frames]

    if setup.beta_delta is not None:
        ratio = np.float32(setup.beta_delta)
        response = sin + ratio * cos
        inverse = 1 / ((response**2).sum(axis=0) + low + high)

        def one_material(state: FloatArray, residual: FloatArray) -> FloatArray:
            lag = scipy.fft.rfft2(state[0], workers=workers)
            missing = -0.5 * sum(a * s for a, s in zip(response, spectra(residual), strict=True)) - high * lag
            solved = scipy.fft.irfft2(lag + missing * inverse, shape, workers=workers)
            return np.stack([solved, solved * ratio])

        return one_material
    cc, ss = ((part**2).sum(axis=0) + low + high for part in (cos, sin))
    cs = (cos * sin).sum(axis=0)
    inverse = 1 / (cc * ss - cs**2)

    def independent(state: FloatArray, residual: FloatArray) -> FloatArray:
        lag, absorption = spectra(state)
        parts = spectra(residual)
        by_sin = -0.5 * sum(a * s for a, s in zip(sin, parts, strict=True)) - high * lag
        by_cos = -0.5 * sum(a * s for a, s in zip(cos, parts, strict=True)) - high * absorption
        lag = lag + (cc * by_sin - cs * by_cos) * inverse
        absorption = absorption + (ss * by_cos - cs * by_sin) * inverse
        return np.stack([scipy.fft.irfft2(one, shape, workers=workers) for one in (lag, absorption)])

    return independent


def _constrained(solved: FloatArray, setup: Transfer) -> FloatArray:
    """Impose the constraints: nothing negative, and air beyond the frame."""
    state = np.zeros_like(solved)
    np.maximum(setup.frame.crop(solved), 0, out=setup.frame.crop(state))
    return state


def _computed(state: FloatArray, setup: Transfer, workers: int) -> FloatArray:
    """Full intensity of a solution within the frames, (n_distance, n, n_y, n_x) float32."""
    spectrum = wave_spectrum(*state, workers=workers)
    return np.stack(
        [setup.frame.crop(propagated_intensity(spectrum, chi, workers=workers)) for chi in setup.chi]
    )
