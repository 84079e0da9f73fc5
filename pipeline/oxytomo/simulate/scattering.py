"""Simulated maps of resonant inelastic scattering with known truth."""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from oxytomo.arrays import Float64Array, Spectrum
from oxytomo.scattering.elastic import FWHM
from oxytomo.scattering.maps import bin_edges
from oxytomo.scattering.self_absorption import Slab

VALENCES = (-2.0, -1.0)
"""Oxygen of the lattice, and oxidised oxygen."""
BAND = ((525.6, 1.1, 0.72), (522.4, 1.6, 0.28))
"""Emission lines of the valence band: energy, standard deviation in eV, share."""
FEATURE_EXCITATION = (531.0, 0.4)
FEATURE_EMISSION = (523.7, 0.45)
"""Energy and standard deviation of the feature of oxidised oxygen, eV."""
ELASTIC_SHARE = 0.15
SLICES = 4000
"""Slices of the sample in which absorption and emission are added up."""


@dataclass(frozen=True)
class MapAcquisition:
    """A simulated map.

    Attributes
    ----------
    photons : mean photons of the band for each excitation above the edge
    resolution_ev : full width at half maximum of the emission, also of the elastic line
    offset_ev : recorded emission energy − true one
    feature : strength of the feature relative to the band above the edge, at its maximum; it takes
        the place of emission of the band, so that the absorption is unchanged
    oxidised : fraction of oxidised oxygen in the absorption of the bulk
    oxidised_surface : the same in the electron yield
    background : photons of the whole row that do not depend on energies, relative to the band
    amount : factor on all emission of the sample
    step_ev : emission step
    slab : attenuation of a thick sample; None: no self-absorption
    """

    photons: float
    resolution_ev: float
    offset_ev: float
    feature: float
    oxidised: float
    oxidised_surface: float
    background: float
    amount: float
    step_ev: float
    slab: Slab | None = None


@dataclass(frozen=True)
class SimulatedMap:
    """A simulated map and its truth.

    Attributes
    ----------
    counts : (n_excitation, n_emission) detected photons
    expected : the same without counting noise
    flux : (n_excitation,) incident flux, any unit
    excitation_ev, emission_ev : energies as recorded
    electron_yield, electron_truth : (n_excitation,) electron yield × flux, with and without noise
    absorption : (n_excitation,) absorption of the edge, 1 above it
    feature_counts : expected photons of the feature alone in all of the map
    """

    counts: Float64Array
    expected: Float64Array
    flux: Float64Array
    excitation_ev: Float64Array
    emission_ev: Float64Array
    electron_yield: Float64Array
    electron_truth: Float64Array
    absorption: Float64Array
    feature_counts: float


def excitation_energies() -> Float64Array:
    """Return the excitation energies of a simulated O K map, eV: fine near the edge."""
    parts = [np.arange(522.0, 527.0, 0.5), np.arange(527.0, 536.0, 0.2), np.arange(536.0, 562.1, 0.75)]
    return np.concatenate(parts)


def oxygen_absorption(energy_ev: Float64Array, oxidised: float) -> Float64Array:
    """Return the absorption of the O K edge, 0 below and 1 far above, (n,).

    It is linear in the fraction of oxidised oxygen.
    """
    step = 0.5 * (1 + erf((energy_ev - 536.0) / 2.5))
    wide = 0.9 * np.exp(-((energy_ev - 540.0) ** 2) / (2 * 2.6**2))
    lattice = 0.85 * np.exp(-((energy_ev - 529.6) ** 2) / (2 * 0.6**2))
    lattice = lattice + 0.65 * np.exp(-((energy_ev - 532.0) ** 2) / (2 * 0.8**2))
    other = 0.9 * np.exp(-((energy_ev - 528.9) ** 2) / (2 * 0.6**2))
    other = other + 1.3 * np.exp(-((energy_ev - 531.0) ** 2) / (2 * 0.7**2))
    return np.asarray(step + wide + (1 - oxidised) * lattice + oxidised * other)


def oxygen_references() -> dict[float, Spectrum]:
    """Return the reference spectra of both kinds of oxygen, by valence."""
    energy = np.arange(505.0, 600.0, 0.1)
    return {
        valence: Spectrum(energy, oxygen_absorption(energy, share))
        for valence, share in zip(VALENCES, (0.0, 1.0), strict=True)
    }


def emitted_from_slab(edge: Float64Array, slab: Slab) -> Float64Array:
    """Return the emission of a slab per incident photon, summed over slices of its depth, (n,).

    Independent of the equation of the correction: each slice absorbs what reaches it, and its
    emission is attenuated on its way out.
    """
    incidence, leaving = (np.sin(np.radians(angle)) for angle in (slab.incidence_deg, slab.exit_deg))
    total = edge + slab.other
    deepest = min(slab.thickness_um, float(25.0 * incidence / total.min()))
    faces = np.linspace(0, 1, SLICES + 1) ** 2 * deepest
    depth, step = (faces[1:] + faces[:-1]) / 2, np.diff(faces)
    out = np.empty(edge.size)
    for at, (own, every) in enumerate(zip(edge, total, strict=True)):
        reaches = np.exp(-every * depth / incidence)
        absorbed = reaches * own * step / incidence
        out[at] = float((absorbed * np.exp(-slab.emitted * depth / leaving)).sum())
    return out


def simulate_map(acquisition: MapAcquisition, *, rng: np.random.Generator) -> SimulatedMap:
    """Simulate an O K map with band emission, the feature, an elastic line and a background.

    Expected counts are integrals of normal lines over the emission bins.

    Parameters
    ----------
    acquisition : what is simulated
    rng : of the counting noise
    """
    a = acquisition
    excitation = excitation_energies()
    emission = np.arange(508.0, 568.0, a.step_ev) + a.offset_ev
    true_edges = bin_edges(emission) - a.offset_ev
    absorption = oxygen_absorption(excitation, a.oxidised)
    emits = absorption if a.slab is None else _per_step(absorption, a.slab)
    sigma = a.resolution_ev / FWHM
    flux = 1.0 - 0.18 * np.exp(-((excitation - 532.5) ** 2) / (2 * 2.0**2)) + 0.004 * (excitation - 540.0)
    band = sum(share * _line(true_edges, centre, np.hypot(width, sigma)) for centre, width, share in BAND)
    at, width = FEATURE_EXCITATION
    resonance = a.feature * np.exp(-((excitation - at) ** 2) / (2 * width**2))
    rows = np.outer(np.maximum(emits - resonance, 0.0), np.asarray(band))
    centre, own = FEATURE_EMISSION
    feature = np.outer(resonance, _line(true_edges, centre, np.hypot(own, sigma)))
    elastic = np.stack([ELASTIC_SHARE * _line(true_edges, ev, sigma) for ev in excitation])
    flat = np.diff(true_edges) / (true_edges[-1] - true_edges[0])
    per_flux = a.amount * a.photons * (rows + feature + elastic + a.background * flat)
    expected = per_flux * flux[:, None]
    electrons = (0.2 + oxygen_absorption(excitation, a.oxidised_surface)) * flux
    return SimulatedMap(
        counts=rng.poisson(expected).astype(np.float64),
        expected=expected,
        flux=flux,
        excitation_ev=excitation,
        emission_ev=emission,
        electron_yield=electrons * (1 + 0.002 * rng.normal(size=excitation.size)),
        electron_truth=electrons,
        absorption=absorption,
        feature_counts=float((a.amount * a.photons * feature * flux[:, None]).sum()),
    )


def edge_in_slab(absorption: Float64Array, slab: Slab) -> Float64Array:
    """Return the absorption of an edge of a given shape that follows the tables above it, 1/µm."""
    return absorption * np.where(slab.edge > 0, slab.edge, slab.edge.max())


def _per_step(absorption: Float64Array, slab: Slab) -> Float64Array:
    """Return the emission of a slab, 1 at the last energy."""
    emitted = emitted_from_slab(edge_in_slab(absorption, slab), slab)
    return emitted / emitted[-1]


def _line(edges: Float64Array, centre: float, sigma: float) -> Float64Array:
    """Return the integrals of a normal line over bins."""
    return np.diff(0.5 * (1 + erf((edges - centre) / (np.sqrt(2) * sigma))))
