"""Photon-noise limits: smallest detectable deviation of a domain, and the dose of a scan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.arrays import Float64Array
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.composition.decomposition import tie_background
from oxytomo.errors import ShapeError
from oxytomo.units import NM_PER_UM

JOULE_PER_EV: Final = 1.602176634e-19
CUBIC_UM_TO_KG: Final = 1e-15
"""1 µm³ at 1 g/cm³, in kg."""
FINE: Final = 4
"""Points per pixel edge over which the chords through a domain are averaged."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A planned scan of a ball of the reference composition.

    Attributes
    ----------
    attenuation : (n_energy, n_element) 1/µm, oxygen first; unmeasured elements are added to the
        measured ones
    atoms : (n_element,) atoms per formula unit
    particle_nm, pixel_nm, psf_px : diameter, pixel size, and standard deviation of the point spread
    photons, n_tilt : counts per pixel and frame without sample, and number of frames per energy
    """

    attenuation: Float64Array
    atoms: Float64Array
    particle_nm: float
    pixel_nm: float
    psf_px: float
    photons: float
    n_tilt: int


def element_attenuation(
    formula: Mapping[str, float],
    *,
    density_g_cm3: float,
    energies_ev: Float64Array,
    elements: tuple[str, ...],
) -> Float64Array:
    """Attenuation including unmeasured elements: (n_energy, n_element), 1/µm."""
    rest = tuple(name for name in formula if name not in elements)
    measured = attenuation_per_um(
        formula, density_g_cm3=density_g_cm3, energies_ev=energies_ev, elements=elements
    )
    if not rest:
        return measured
    light = attenuation_per_um(formula, density_g_cm3=density_g_cm3, energies_ev=energies_ev, elements=rest)
    return tie_background(measured, light.sum(axis=1), np.array([formula[name] for name in elements]))


def difference_variance(exposure: Exposure, length_um: Float64Array) -> Float64Array:
    """Variance of ``m_TM − m_O`` of one ray through a length of the reference composition, µm².

    Only counting noise is included: ``σ²(OD) = exp(OD) / N``, propagated through the weighted least
    squares of all energies.

    Parameters
    ----------
    exposure : the scan
    length_um : (…) path through the solid

    Returns
    -------
    (…) float64
    """
    matrix, atoms = exposure.attenuation, exposure.atoms
    if matrix.shape[0] < matrix.shape[1] or atoms.shape != matrix.shape[1:]:
        raise ShapeError(
            "attenuation and atoms",
            expected="two energies per element, oxygen first",
            got=f"{matrix.shape} and {atoms.shape}",
            fix="give as many columns as elements, and no fewer energies",
        )
    coefficients = np.concatenate([[-1.0], atoms[1:] / atoms[1:].sum()])
    length = np.asarray(length_um, np.float64)
    counts = exposure.photons * np.exp(-length[..., None] * matrix.sum(axis=1))
    normal = np.einsum("ek,...e,el->...kl", matrix, counts, matrix)
    solved = np.linalg.solve(normal, np.broadcast_to(coefficients[:, None], (*length.shape, atoms.size, 1)))
    return np.asarray(solved[..., 0] @ coefficients, np.float64)


def domain_sigma(exposure: Exposure, diameter_nm: float) -> float:
    """Standard deviation of the TM/O deviation of one round domain at the centre of the particle.

    It is the error of the best possible estimate, ``1 / σ² = n_tilt Σ (A v)² / var(s)`` over the
    pixels of the domain's shadow: everything but the domain's deviation is known. No reconstruction
    reaches this limit (Cramér–Rao bound).

    Parameters
    ----------
    exposure : the scan
    diameter_nm : diameter of the domain, at most that of the particle
    """
    radius_px = diameter_nm / 2 / exposure.pixel_nm
    half = int(np.ceil(radius_px + 4 * exposure.psf_px)) + 1
    fine = (np.arange((2 * half + 1) * FINE) + 0.5) / FINE - half - 0.5
    squared = fine[:, None] ** 2 + fine[None, :] ** 2
    chord_px = 2 * np.sqrt(np.maximum(radius_px**2 - squared, 0))
    seen = gaussian_filter(chord_px, exposure.psf_px * FINE, mode="constant")
    seen_um = (
        seen.reshape(2 * half + 1, FINE, 2 * half + 1, FINE).mean(axis=(1, 3)) * exposure.pixel_nm / NM_PER_UM
    )
    pixels = np.arange(-half, half + 1) * exposure.pixel_nm
    inside = (exposure.particle_nm / 2) ** 2 - (pixels[:, None] ** 2 + pixels[None, :] ** 2)
    length_um = 2 * np.sqrt(np.maximum(inside, 0)) / NM_PER_UM
    weight = seen_um**2 / difference_variance(exposure, length_um)
    return float(1 / np.sqrt(exposure.n_tilt * weight.sum()))


def surface_dose_mgy(
    exposure: Exposure, *, energies_ev: Float64Array, density_g_cm3: float, efficiency: float
) -> float:
    """Dose of the whole scan at the surface that faces the beam, MGy.

    ``D = Σ_e n_tilt N / (η a²) · E · μ / ρ``, with N counts per pixel of area a² and η the share of
    the photons that is counted. All attenuated photons count as absorbed, which holds for soft
    X-rays.
    """
    per_um = exposure.attenuation.sum(axis=1)
    per_area = exposure.n_tilt * exposure.photons / efficiency / (exposure.pixel_nm / NM_PER_UM) ** 2
    joule_per_kg = per_area * energies_ev * JOULE_PER_EV * per_um / (density_g_cm3 * CUBIC_UM_TO_KG)
    return float(joule_per_kg.sum() / 1e6)
