"""White lines in three dimensions without references: known energies recovered, errors, and refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oxytomo.chemical_state.columns import StateColumns
from oxytomo.chemical_state.decomposition import StateSeries, decompose_own
from oxytomo.chemical_state.own_spectra import (
    OwnOptions,
    OwnSpectra,
    energies_at,
    energy_errors,
    own_spectra,
)
from oxytomo.chemical_state.reconstruction import reconstruct_state
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.errors import InputError
from oxytomo.oxidation.white_line import flattening
from oxytomo.simulate.acquisition import Acquisition
from oxytomo.simulate.states import simulate_states, state_particle, state_references

PIXEL_NM, PHOTONS, SIZE = 10.0, 1e4, 36
ENERGIES = np.concatenate([[847.7, 850.0], np.arange(851.0, 859.6, 0.5), [862.0, 865.7]])
OPTIONS = OwnOptions("Ni", "auto", None, None, None, 4)
SOLVER = DeviationSolver(200, None, 0.0, 60, None, psf_px=0.8)


def measured(*, base: float, step: float, od: float = 2.0) -> Any:
    """Optical densities of a particle with domains, steps of 0.5 eV, and its true valences."""
    rng, spectra = np.random.default_rng(77), state_references("Ni")
    diameter = 0.7 * SIZE * PIXEL_NM
    phantom = state_particle(
        rng,
        valences=(2.0, 4.0),
        diameter_nm=diameter,
        base_valence=base,
        step=step,
        n_domains=5,
        n_pores=2,
        uniform=step == 0,
    )
    acquisition = Acquisition(
        energies_ev={f"Ni_{i}": float(e) for i, e in enumerate(ENERGIES)},
        tilt_deg=np.linspace(-65, 65, 31),
        n_rows=SIZE,
        n_cols=SIZE,
        pixel_nm=PIXEL_NM,
        magnification_spread=0.0,
        jitter_px=0.0,
        drift_px=0.0,
        psf_px=0.6,
        subsamples=1,
        photons_per_pixel=PHOTONS,
        dark_level=0.0,
        beam_structure=0.0,
        i0_drift=0.0,
        hot_fraction=0.0,
        n_flat=0,
        n_dark=0,
        noise=True,
        truth_subsamples=2,
    )
    series, truth = simulate_states(
        phantom, acquisition, spectra, largest_od=od, diameter_nm=diameter, rng=rng
    )
    counts = np.maximum(np.stack([one.frames for one in series.values()]).astype(np.float32), 1)
    value = -np.log(counts / np.float32(PHOTONS))
    return StateSeries("Ni", value, 1 / counts, ENERGIES, PIXEL_NM), truth


def true_line(valence: np.ndarray) -> np.ndarray:
    """Return the energy of the maximum of a mixture of the two spectra of the simulation."""
    fine, spectra = np.arange(850.0, 861.0, 0.01), state_references("Ni")
    low, high = (np.interp(fine, spectra[v].energy_ev, spectra[v].absorption) for v in (2.0, 4.0))
    grid = np.linspace(2, 4, 201)
    energies = [fine[np.argmax((4 - v) / 2 * low + (v - 2) / 2 * high)] for v in grid]
    return np.asarray(np.interp(valence, grid, energies))


def volume(series: StateSeries, tilt_deg: np.ndarray) -> tuple[OwnSpectra, Any]:
    own = own_spectra(series, OPTIONS)
    found = decompose_own(series, own.spectra, progress=lambda *_: None)
    assert 0.8 < found.record["chi_square_per_dof"] < 1.2
    data = StateColumns(
        found.areal, found.covariance, tilt_deg, np.ones(2), PIXEL_NM / 1000, found.spectra.valences, 0.0
    )
    return own, reconstruct_state(data, solver=SOLVER, reference=None)


@pytest.mark.parametrize("od", [1.2, 2.0])
def test_white_lines_of_domains(od: float) -> None:
    """Domains of ± 0.3 valence: rms of 0.05 eV against the true maximum, and the domains are seen."""
    series, truth = measured(base=3.6, step=0.3, od=od)
    own, state = volume(series, truth.tilt_deg)
    assert own.facts["varies"]
    energy = energies_at(np.asarray(state.valence[:]), (own.place, own.white_line_ev))
    inside = np.asarray(state.result.particle) & np.isfinite(truth.valence)
    off = energy[inside] - true_line(truth.valence[inside])
    assert np.isfinite(off).mean() > 0.97
    # A shoulder of these spectra draws the polynomial by 0.03 eV.
    assert np.sqrt(np.nanmean(off**2)) < 0.05
    low, high = (energy[inside & (np.abs(truth.valence - one) < 0.02)] for one in (3.3, 3.9))
    assert np.nanmedian(high) - np.nanmedian(low) > 0.1
    # The density is flat inside: 1 in a ball, within the noise of a small volume.
    assert np.std(np.asarray(state.result.elements[0])[inside]) < 0.3


def test_spectra_that_do_not_vary() -> None:
    """A uniform particle: said so, and the same energy everywhere."""
    series, truth = measured(base=2.2, step=0.0)
    own, state = volume(series, truth.tilt_deg)
    assert not own.facts["varies"]
    assert "do not vary beyond noise" in own.remarks[-1]
    energy = energies_at(np.asarray(state.valence[:]), (own.place, own.white_line_ev))
    inside = np.asarray(state.result.particle)
    true = float(true_line(np.array([2.2]))[0])
    assert np.nanmean(energy[inside]) == pytest.approx(true, abs=0.05)
    assert np.nanstd(energy[inside]) < 0.02


def test_errors_of_energies() -> None:
    """A slope of 0.5 eV per place: half of σ; beyond the table neither energy nor error."""
    table = ([-1.0, 0.0, 1.0], [854.5, 855.0, None])
    places = np.array([-0.5, -0.9, 0.5, 3.0, np.nan], np.float32)
    assert np.allclose(energies_at(places, table)[:2], [854.75, 854.55])
    assert np.isnan(energies_at(places, table)[2:]).all()
    errors = energy_errors(places, np.full(5, 0.2, np.float32), table)
    # At the end of the table one side counts.
    assert np.allclose(errors[:2], 0.1, atol=1e-4)
    assert np.isnan(errors[2:]).all()


def test_flattened_white_lines() -> None:
    """White lines that saturate in thick rays are noticed; proportional ones are not."""
    thickness = np.linspace(0.2, 2.0, 90)[:, None]
    density = thickness * np.array([0.0, 1.0, 0.3])
    above = np.array([False, False, True])
    assert flattening(density, above) == pytest.approx(1.0)
    flat = -np.log(0.9 * np.exp(-density) + 0.1)  # a tenth of stray light
    assert float(flattening(flat, above) or 1) < 0.95
    assert flattening(density, np.zeros(3, bool)) is None


def test_refused_energies() -> None:
    """Too few energies around a white line, and one at the end of the recorded range."""
    series, _ = measured(base=3.6, step=0.0)
    few = np.isin(ENERGIES, [850.0, 853.0, 856.0, 857.0, 859.0])
    for keep, words in (
        (few, "6 or more of them within"),
        (ENERGIES < 856.6, "a maximum of the mean spectrum between"),
    ):
        part = replace(
            series, value=series.value[keep], variance=series.variance[keep], energy_ev=ENERGIES[keep]
        )
        with pytest.raises(InputError, match=words):
            own_spectra(part, OPTIONS)
