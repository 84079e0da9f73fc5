"""Valence in three dimensions: components by hand, known valences recovered, and refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.arrays import ReplicateKind, Spectrum
from oxytomo.chemical_state.columns import StateColumns, mean_valence
from oxytomo.chemical_state.decomposition import StateAmounts, StateSeries, decompose_states
from oxytomo.chemical_state.errors import BORDER_PX, REPLICATE_SCALE, SIGMA_FLOOR, steepest, valence_sigma
from oxytomo.chemical_state.reconstruction import ChemicalState, reconstruct_state
from oxytomo.chemical_state.spectra import SpectraOptions, component_spectra
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.replicates import Chain, replicates_of
from oxytomo.errors import InputError
from oxytomo.oxidation.spectra import Reference
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.simulate.acquisition import Acquisition
from oxytomo.simulate.states import (
    StateTruth,
    simulate_states,
    state_energies_ev,
    state_particle,
    state_references,
)

PIXEL_NM, PHOTONS, BASE = 10.0, 1e4, 3.2
SOLVER = DeviationSolver(
    iterations=200, tv_weight=None, l1_weight=0.0, element_iterations=60, element_tv_weight=None, psf_px=0.8
)
OPTIONS = SpectraOptions("Ni", "auto", None, 4.2, None, None, False, 100.0)


def references() -> list[Reference]:
    return [Reference(f"Ni_{v:g}", v, one) for v, one in state_references("Ni").items()]


def measured(*, seed: int, size: int, tilts: int, energies: int, noise: bool = True) -> Any:
    """Optical densities of a particle with domains of ± 0.3, perfectly aligned, and the truth."""
    rng = np.random.default_rng(seed)
    spectra, diameter = state_references("Ni"), 0.7 * size * PIXEL_NM
    phantom = state_particle(
        rng,
        valences=(2.0, 4.0),
        diameter_nm=diameter,
        base_valence=BASE,
        step=0.3,
        n_domains=6,
        n_pores=3,
        uniform=False,
    )
    acquisition = Acquisition(
        energies_ev={f"Ni_{i}": float(e) for i, e in enumerate(state_energies_ev("Ni", energies))},
        tilt_deg=np.linspace(-65, 65, tilts),
        n_rows=size,
        n_cols=size,
        pixel_nm=PIXEL_NM,
        magnification_spread=0.0,
        jitter_px=0.0,
        drift_px=0.0,
        psf_px=0.6,
        subsamples=2,
        photons_per_pixel=PHOTONS,
        dark_level=0.0,
        beam_structure=0.0,
        i0_drift=0.0,
        hot_fraction=0.0,
        n_flat=0,
        n_dark=0,
        noise=noise,
        truth_subsamples=3,
    )
    series, truth = simulate_states(
        phantom, acquisition, spectra, largest_od=2.0, diameter_nm=diameter, rng=rng
    )
    counts = np.maximum(np.stack([one.frames for one in series.values()]).astype(np.float32), 1)
    value = -np.log(counts / np.float32(PHOTONS))
    return StateSeries("Ni", value, 1 / counts, truth.energies_ev, PIXEL_NM), truth


def decomposed(series: StateSeries, **changes: Any) -> StateAmounts:
    return decompose_states(
        series,
        references(),
        replace(OPTIONS, **changes),
        method="rays",
        energy_offset_ev=0.0,
        progress=lambda *_: None,
    )


def by_voxels(series: StateSeries, truth: StateTruth) -> ChemicalState:
    """Reconstruct by fits of every voxel."""
    found = decompose_states(
        series, references(), OPTIONS, method="voxels", energy_offset_ev=0.0, progress=lambda *_: None
    )
    return reconstruct_state(columns(found, truth, 0.0), solver=None, reference=None)


def columns(found: StateAmounts, truth: StateTruth, reference: float) -> StateColumns:
    return StateColumns(
        found.areal,
        found.covariance,
        truth.tilt_deg,
        np.ones(2),
        PIXEL_NM / 1000,
        found.spectra.valences,
        reference,
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_components_by_hand() -> None:
    """A ray of 30 % and 70 % of two references above a free background is solved exactly."""
    energies = state_energies_ev("Ni", 6)
    spectra = component_spectra(energies, references(), OPTIONS)
    assert spectra.free
    ray = spectra.absorption @ [0.3, 0.7] + 0.4 * (energies.min() / energies) ** 3
    value = np.tile(ray[:, None, None, None], (1, 3, 24, 24)).astype(np.float32)
    found = decomposed(StateSeries("Ni", value, np.full_like(value, 1e-4), energies, PIXEL_NM))
    areal = np.asarray(found.areal)
    # Float32 densities: relative errors of 1e-7 times a condition number below 10
    assert np.allclose(areal[1] / areal.sum(axis=0), 0.7, atol=1e-4)
    assert found.record["chi_square_per_dof"] < 1e-4


def test_combinations_are_density_and_valence() -> None:
    """The two combinations of the deviation method are the density and its product with 1 + V − V₀."""
    areal = np.array([[[[0.4]]], [[[0.6]]]], np.float32)
    covariance = np.array([1e-4, -5e-5, 2e-4], np.float32).reshape(3, 1, 1, 1)
    data = StateColumns(areal, covariance, np.zeros(1), np.ones(2), 1.0, np.array([2.0, 4.0]), 3.0)
    difference, weight = data.sinogram(data.metal - data.oxygen)
    assert float(difference[0, 0, 0]) == pytest.approx(0.6 - 0.4)
    # (−1, 1) Σ (−1, 1)ᵀ = 1e-4 + 2e-4 + 2 · 5e-5
    assert float(1 / weight[0, 0, 0]) == pytest.approx(4e-4, rel=1e-5)
    assert mean_valence(data) == pytest.approx(3.2, rel=1e-6)
    both = data.expected(np.full((1, 2), 2.0, np.float32), np.full((1, 2), 2.6, np.float32))
    assert np.allclose(both.sum(axis=0), 2.0)
    assert np.allclose(data.metal @ both.reshape(2, -1), 2.6)


def test_domains_of_valence_are_recovered() -> None:
    """Figures of the branch, on a seed that chose nothing: 12 energies, ±65°, 10⁴ photons, OD 2."""
    series, truth = measured(seed=101, size=40, tilts=45, energies=12)
    found = decomposed(series)
    assert 0.8 < found.record["chi_square_per_dof"] < 1.2
    state = reconstruct_state(columns(found, truth, 0.0), solver=SOLVER, reference=None)
    assert state.reference_valence == pytest.approx(BASE, abs=0.02)
    particle, valence = np.asarray(state.result.particle), np.asarray(state.valence[:])
    inside = particle & np.isfinite(truth.valence)
    error = (valence - truth.valence)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.04
    assert abs(error.mean()) < 0.01
    for sign in (1, -1):
        there = (sign * (truth.valence - BASE) > 0.15) & inside
        seen = (sign * (valence - state.reference_valence) > 0.15) & inside
        assert dice(there, seen) > 0.85
    components = np.asarray(state.components)
    assert np.allclose(
        components.sum(axis=0)[inside], np.asarray(state.result.elements[0])[inside], atol=1e-5
    )
    # The common way is several times worse on the same data.
    plain = np.asarray(by_voxels(series, truth).valence[:])
    assert np.nanstd((plain - truth.valence)[inside]) > 2 * error.std()
    _sigma_holds(columns(found, truth, state.reference_valence), state.result, truth, valence)


def test_fits_of_every_voxel() -> None:
    """Energies reconstructed one by one, and every voxel fitted: the same valences to rounding."""
    series, truth = measured(seed=11, size=24, tilts=15, energies=6)
    state = by_voxels(series, truth)
    geometry = TiltGeometry.square(truth.tilt_deg, 24)
    volumes = np.stack([filtered_backprojection(one, geometry) for one in np.asarray(series.value)])
    spectra = component_spectra(series.energy_ev, references(), OPTIONS)
    low, high, _ = np.tensordot(np.linalg.pinv(spectra.matrix(1.0)), volumes, axes=1)
    particle = np.asarray(state.result.particle)
    expected = np.clip((2 * low + 4 * high)[particle] / (low + high)[particle], 2, 4)
    assert particle.sum() > 500
    # Float32 volumes, and a quotient
    assert np.allclose(np.asarray(state.valence[:])[particle], expected, atol=2e-3)
    density = np.asarray(state.components).sum(axis=0)
    assert np.allclose(density, np.asarray(state.result.elements[0]), atol=1e-5)
    assert state.reference_valence == pytest.approx(BASE, abs=0.1)


def test_border_adds_to_sigma() -> None:
    """A step of 0.3 between voxels adds a tenth of it on either side; the outline of the particle adds nothing."""
    particle = np.zeros((8, 8, 8), bool)
    particle[1:7, 1:7, 1:7] = True
    deviation = np.where(particle, np.float32(0.5), np.float32(np.nan))
    deviation[:, :, 4:] += np.float32(0.3)
    sigma = np.asarray(valence_sigma([deviation, deviation], deviation, particle, scale=1.0))
    assert np.isnan(sigma[~particle]).all()
    expected = np.where(np.isin(np.arange(8), [3, 4]), np.hypot(SIGMA_FLOOR, 0.3 * BORDER_PX), SIGMA_FLOOR)
    assert np.allclose(sigma[3, 3, 1:7], expected[1:7], rtol=1e-4)
    assert steepest(deviation, particle)[1, 1, 1] == 0


def _sigma_holds(data: StateColumns, result: Any, truth: StateTruth, valence: np.ndarray) -> None:
    """In and around domains 60 to 76 % lie within one standard error, and 90 to 99 % within two.

    One small particle has some ten independent domain borders: 5 points about the shares of many.
    """
    counts: dict[ReplicateKind, int] = {"noise": 4, "null": 1}
    chain = Chain(data, result, SOLVER, own_reference=False, threads=1)
    found = replicates_of(chain, counts, {}, lambda _: lambda *_: None, seed=0)
    sigma = np.asarray(
        valence_sigma(list(found["noise"]), result.deviation, result.particle, scale=REPLICATE_SCALE)
    )
    inside = np.asarray(result.particle) & np.isfinite(truth.valence)
    domains = (np.abs(truth.valence - BASE) > 0.05) & inside
    near = scipy.ndimage.binary_dilation(domains, iterations=2) & inside
    far = np.abs(valence - truth.valence)[near] / sigma[near]
    assert 0.55 < (far < 1).mean() < 0.81
    assert 0.88 < (far < 2).mean() < 0.995
    # A uniform particle gives no domains.
    assert np.nanmax(np.abs(np.asarray(found["null"][0], np.float32))) < 0.15


def test_energies_that_cannot_tell_components_apart() -> None:
    """The message states the condition number."""
    spectra = references()
    twins = [spectra[0], replace(spectra[0], valence=4.0, name="twin")]
    with pytest.raises(InputError, match="condition number of at most 100, got"):
        component_spectra(state_energies_ev("Ni", 6), twins, OPTIONS)
    with pytest.raises(InputError, match="at least 3 energies for 2 references and a background"):
        component_spectra(np.array([853.0, 855.0]), spectra, OPTIONS)


def test_two_energies_with_a_formula() -> None:
    """A background that is tied to the element by the formula needs no energy of its own."""
    options = replace(OPTIONS, formula={"Ni": 1.0, "O": 1.0}, density_g_cm3=6.7)
    spectra = component_spectra(np.array([853.3, 856.0]), references(), options)
    assert not spectra.free
    assert spectra.matrix(spectra.jump_per_um or 0.0).shape == (2, 2)


def test_references_of_another_energy_scale() -> None:
    """References moved by 1 eV are noticed, and the offset that mends it is named."""
    series, _ = measured(seed=5, size=24, tilts=9, energies=12)
    with pytest.raises(InputError, match=r"energy_offset_ev: -1'"):
        decomposed(replace(series, energy_ev=series.energy_ev + 1.0))
    found = decompose_states(
        replace(series, energy_ev=series.energy_ev + 1.0),
        references(),
        OPTIONS,
        method="rays",
        energy_offset_ev="fit",
        progress=lambda *_: None,
    )
    # Steps of 0.1 eV are tried.
    assert found.record["energy_offset_ev"] == pytest.approx(-1.0, abs=0.051)
    far = replace(series, energy_ev=series.energy_ev + 4.0)
    options: dict[str, Any] = {
        "references": references(),
        "options": OPTIONS,
        "method": "rays",
        "progress": lambda *_: None,
    }
    with pytest.raises(InputError, match="got -3 eV, the end of them"):
        decompose_states(far, energy_offset_ev="fit", **options)
    # References of an energy scale that leaves no energy below the edge, or of another element
    away = [
        replace(one, spectrum=replace(one.spectrum, energy_ev=one.spectrum.energy_ev + 5))
        for one in references()
    ]
    for offset, words in (("fit", "the end of them"), (0.0, "expected spectra of the sample, within 20 %")):
        with pytest.raises(InputError, match=words):
            decompose_states(series, energy_offset_ev=offset, **options | {"references": away})
    # A large offset that is given is right: others are tried around it.
    found = decompose_states(far, energy_offset_ev=-4.0, **options)
    assert found.record["best_energy_offset_ev"] == pytest.approx(-4.0, abs=0.051)


def test_reference_that_does_not_reach_the_energies() -> None:
    """A short reference is refused with its range."""
    one, other = references()
    keep = one.spectrum.energy_ev < 857
    short = Spectrum(one.spectrum.energy_ev[keep], one.spectrum.absorption[keep])
    options = replace(OPTIONS, references_normalized=True)
    with pytest.raises(InputError, match="a spectrum that covers the fit"):
        component_spectra(state_energies_ev("Ni", 12), [replace(one, spectrum=short), other], options)


def test_three_references() -> None:
    """A reference of another valence in between: the valence holds, and a component that is absent stays small."""
    series, truth = measured(seed=9, size=28, tilts=31, energies=12)
    middle = np.mean([one.spectrum.absorption for one in references()], axis=0)
    energy = references()[0].spectrum.energy_ev
    # Another spectrum of valence 3: its white line lies between those of the other two
    other = middle + 1.5 * np.exp(-0.5 * ((energy - 855.3) / 0.5) ** 2)
    low, high = references()
    three = [low, Reference("Ni_3", 3.0, Spectrum(energy, other)), high]
    options = replace(OPTIONS, references_normalized=True)
    found = decompose_states(
        series, three, options, method="rays", energy_offset_ev=0.0, progress=lambda *_: None
    )
    data = replace(columns(found, truth, 0.0), atoms=np.ones(3), valences=found.spectra.valences)
    state = reconstruct_state(data, solver=SOLVER, reference=None)
    inside = np.asarray(state.result.particle) & np.isfinite(truth.valence)
    error = (np.asarray(state.valence[:]) - truth.valence)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert abs(error.mean()) < 0.01
    absent = np.asarray(state.components[1])[inside]
    # Densities are not negative, so noise leaves some of it.
    assert absent.mean() < 0.1
