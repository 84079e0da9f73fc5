"""Terms of instrument and sample: found where they are, not found where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from oxytomo.arrays import Spectrum
from oxytomo.composition.adaptive_prior import adapted
from oxytomo.composition.amounts import allowed_terms
from oxytomo.composition.components import KNOWN, component
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.composition.decomposition import decompose_weighted, decompose_with_priors, tie_background
from oxytomo.composition.instrument import (
    Model,
    Term,
    bounds_of,
    judged,
    within_rays,
    without_stray_light,
)
from oxytomo.composition.model_choice import (
    Choice,
    candidates,
    choose_model,
    decompose_with_model,
    likely_causes,
    model_record,
)
from oxytomo.composition.near_edge import MeasuredFactor
from oxytomo.errors import ConfigError
from oxytomo.io.spectra import read_spectrum
from oxytomo.preprocess.averaged_rays import AveragedRays, averaged_rays

ELEMENTS = ["O", "Mn", "Co", "Ni"]
FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
ENERGIES = np.array([525.0, 540.0, 636.0, 645.0, 772.0, 788.0, 846.0, 866.0])
PAIRS = [(0, 1), (2, 3), (4, 5), (6, 7)]
ATOMS = np.array([FORMULA[e] for e in ELEMENTS])
METAL = np.concatenate([[0.0], ATOMS[1:]]) / ATOMS[1:].sum()
OWN = attenuation_per_um(FORMULA, density_g_cm3=4.2, energies_ev=ENERGIES, elements=ELEMENTS)
LITHIUM = attenuation_per_um(FORMULA, density_g_cm3=4.2, energies_ev=ENERGIES, elements=["Li"]).sum(axis=1)
MATRIX = tie_background(OWN, LITHIUM, ATOMS)
AUTO = Choice("auto", "auto", "auto", (), (KNOWN["carbon"],))
PHOTONS = 2e4


def measured(
    rng: np.random.Generator,
    *,
    n: int = 3000,
    stray: float | np.ndarray = 0.0,
    oxygen: float = 0.0,
    spread: float = 0.0,
    carbon_um: float = 0.0,
) -> AveragedRays:
    """Rays of a particle on target with ± 10 % departures, averaged over 16 pixels, with what an instrument adds."""
    thickness = rng.uniform(0.15, 0.7, n)
    amounts = thickness[:, None] * (1 + 0.1 * rng.standard_normal((n, 4)))
    density = amounts @ MATRIX.T
    density[:, 1] += (oxygen + spread * rng.standard_normal(n)) * OWN[1, 0] * amounts[:, 0]
    has_carbon = rng.random(n) < 0.2
    density += (carbon_um * has_carbon * rng.random(n))[:, None] * KNOWN["carbon"].attenuation_per_um(
        ENERGIES
    )
    transmission = (1 - stray) * np.exp(-density) + stray
    counts = rng.poisson(16 * PHOTONS * transmission)
    block = np.column_stack([np.zeros(n), np.arange(n), np.zeros(n)]).astype(np.int64)
    return AveragedRays(-np.log(counts / (16 * PHOTONS)), 1 / counts, block, (1, n, 1))


def fit_of(rays: AveragedRays, choice: Choice = AUTO):  # type: ignore[no-untyped-def]
    terms, forced = candidates(ELEMENTS, ENERGIES, OWN, PAIRS, choice)
    return terms, choose_model(MATRIX, terms, forced, rays, METAL)


def values(tested) -> dict[str, float]:  # type: ignore[no-untyped-def]
    return dict(zip([t.name for t in tested.model.terms], tested.model.values.tolist(), strict=True))


def test_clean_rays_ask_for_nothing_and_fit_to_noise(rng):
    _terms, tested = fit_of(measured(rng))
    assert values(tested) == {}
    assert tested.without == {}
    # 4 degrees of freedom times 3000 rays: standard error of the mean χ²/dof is sqrt(2/12000) = 0.013
    assert tested.fit.per_dof == pytest.approx(1, abs=0.05)
    assert tested.systematic["misfit"] < 0.001


def test_stray_light_is_found_and_taken_off(rng):
    rays = measured(rng, stray=0.02)
    _terms, tested = fit_of(rays)
    found = values(tested)
    assert tested.plain.per_dof > 10
    assert found["stray"] == pytest.approx(0.02, abs=0.0005)  # 2.5 % of it, the noise leaves 0.1 %
    assert tested.fit.per_dof < 1.2
    # The other reading: the model without the only term is that of the elements alone.
    assert set(tested.without) == {"stray"}
    assert tested.without["stray"].terms == ()
    density, _ = without_stray_light(rays.density, rays.variance, found["stray"])
    amounts = np.linalg.lstsq(MATRIX, density.T, rcond=None)[0]
    assert float((METAL @ amounts).sum() / amounts[0].sum()) == pytest.approx(1, abs=0.003)


@pytest.mark.slow
def test_stray_light_of_single_edges_is_told_apart(rng):
    rays = measured(rng, stray=np.array([0.03, 0.03, 0.01, 0.01, 0, 0, 0, 0]))
    _terms, tested = fit_of(rays)
    np.testing.assert_allclose(tested.model.stray, [0.03, 0.03, 0.01, 0.01, 0, 0, 0, 0], atol=0.003)
    assert tested.fit.per_dof < 1.2


def test_near_edge_factor_of_oxygen_is_found(rng):
    _terms, tested = fit_of(measured(rng, oxygen=0.1))
    assert values(tested)["near_edge_O"] == pytest.approx(0.1, abs=0.005)
    assert tested.fit.per_dof < 1.2


def test_carbon_and_a_spread_of_the_near_edge_are_found_together(rng):
    _terms, tested = fit_of(measured(rng, oxygen=0.05, spread=0.05, carbon_um=0.3, stray=0.01))
    found = values(tested)
    assert {"carbon", "near_edge_O", "stray", "near_edge_spread_O"} <= set(found)
    assert found["near_edge_O"] == pytest.approx(0.05, abs=0.01)
    assert found["near_edge_spread_O"] == pytest.approx(0.05, abs=0.01)
    assert tested.fit.per_dof < 1.5


def test_what_is_forbidden_is_named_as_the_cause(rng):
    rays = measured(rng, stray=0.02)
    forbidden = Choice("none", "none", "none", (), ())
    _, tested = fit_of(rays, forbidden)
    everything, _ = candidates(ELEMENTS, ENERGIES, OWN, PAIRS, AUTO)
    assert values(tested) == {}
    causes = likely_causes(everything, tested, rays)
    assert causes[0] == "stray"
    record = model_record(tested, [f"{e}_{k}" for e in ELEMENTS for k in ("pre", "post")], causes)
    assert record["fails"]
    assert record["systematic"]["misfit"] > 0.01


def test_given_terms_are_not_fitted(rng):
    choice = Choice(0.015, {"O": 1.1}, "none", (), ())
    _, tested = fit_of(measured(rng, stray=0.02, oxygen=0.1), choice)
    assert values(tested) == {"stray": 0.015, "near_edge_O": pytest.approx(0.1)}
    assert np.allclose(np.diag(tested.model.covariance), 0, atol=1e-9)


def test_a_measured_factor_corrects_the_last_edge_which_the_data_cannot_tell(rng):
    """Ni absorbs 1.5 times its tabulated step at its own edge: the spectra fit as well without it."""
    rays = measured(rng)
    # The post-edge energy of the last edge alone carries it.
    nickel = np.linalg.lstsq(MATRIX, rays.density.T, rcond=None)[0][3]
    density = rays.density.copy()
    density[:, 7] += 0.5 * (OWN[7, 3] - OWN[6, 3]) * nickel
    rays = replace(rays, density=density)
    choice = replace(AUTO, measured={"Ni": MeasuredFactor(1.5, 0.05)})
    _terms, tested = fit_of(rays, choice)
    place = [term.name for term in tested.model.terms].index("near_edge_Ni")
    below = OWN[6, 3] / OWN[7, 3]
    # The data do not move it, and its error is that of the other measurement.
    assert tested.model.values[place] == pytest.approx(0.5 * (1 - below), rel=0.02)
    assert np.sqrt(tested.model.covariance[place, place]) == pytest.approx(0.05 * (1 - below), rel=0.1)
    assert tested.systematic["near_edge_Ni"] > 5 * fit_of(measured(rng))[1].systematic["misfit"]
    assert "near_edge_Ni" not in tested.without
    amounts = np.linalg.lstsq(tested.model.matrix, density.T, rcond=None)[0]
    assert amounts[3].sum() / nickel.sum() == pytest.approx(1, abs=0.01)
    plain = np.linalg.lstsq(MATRIX, density.T, rcond=None)[0]
    assert plain[3].sum() / nickel.sum() > 1.2
    record = model_record(tested, [f"s{k}" for k in range(8)], [])
    assert record["terms"]["near_edge_Ni"]["measured"] == pytest.approx(
        [1 + 0.5 * (1 - below), 0.05 * (1 - below)]
    )


def test_the_last_edge_tells_no_factor():
    terms, _ = candidates(ELEMENTS, ENERGIES, OWN, PAIRS, AUTO)
    assert "near_edge_Co" in [t.name for t in terms]
    assert "near_edge_Ni" not in [t.name for t in terms]


def test_taking_stray_light_off_inverts_adding_it():
    density = np.linspace(0, 3, 7).astype(np.float32)[None]
    seen = -np.log((1 - 0.03) * np.exp(-density) + 0.03)
    back, variance = without_stray_light(seen.astype(np.float32), np.full_like(seen, 1e-4), 0.03)
    np.testing.assert_allclose(back, density, atol=2e-5)  # float32
    # d(−ln(T − f))/d(−ln T) = T/(T − f)
    t = np.exp(-seen)
    np.testing.assert_allclose(variance, 1e-4 * (t / (t - 0.03)) ** 2, rtol=1e-4)


def test_rays_at_the_level_of_stray_light_are_invalid():
    density, variance = without_stray_light(
        np.array([[5.0]], np.float32), np.array([[0.1]], np.float32), 0.03
    )
    assert np.isnan(density).all()
    assert np.isinf(variance).all()


def test_priors_without_width_change_nothing(rng):
    density = (rng.uniform(0.2, 1, (4, 1, 50)) * 1.0).astype(np.float32)
    od = np.einsum("ek,kyx->eyx", MATRIX, density).astype(np.float32)
    variance = np.full_like(od, 1e-4)
    areal, covariance = decompose_weighted(od, variance, MATRIX)
    column = KNOWN["carbon"].attenuation_per_um(ENERGIES)[:, None]
    none = np.zeros((1, 1, 50), np.float32)
    solved = decompose_with_priors(od, variance, MATRIX, column, none, np.full_like(none, 1e12))
    np.testing.assert_allclose(solved.areal, areal, rtol=1e-4)
    np.testing.assert_allclose(solved.covariance, covariance, rtol=1e-3)
    np.testing.assert_allclose(solved.extra, 0, atol=1e-6)


def test_a_clump_of_carbon_is_followed_and_costs_no_noise_elsewhere(rng):
    n_y, n_x = 40, 60
    y, x = np.indices((n_y, n_x))
    oxide = 0.4 * np.ones((n_y, n_x))
    clump = 0.2 * (np.hypot(y - 20, x - 15) < 6)
    density = np.einsum("ek,kyx->eyx", MATRIX, np.stack([oxide] * 4))
    density += KNOWN["carbon"].attenuation_per_um(ENERGIES)[:, None, None] * clump
    counts = rng.poisson(PHOTONS * np.exp(-density))
    od, variance = (-np.log(counts / PHOTONS)).astype(np.float32), (1 / counts).astype(np.float32)
    term = Term("carbon", "component", KNOWN["carbon"].attenuation_per_um(ENERGIES))
    model = Model(MATRIX, (term,), np.array([0.05]), np.zeros((1, 1)))
    solved = decompose_with_model(od, variance, model, adapt=True)
    inside, far = np.hypot(y - 20, x - 15) < 4, np.hypot(y - 20, x - 15) > 14
    ratio = np.tensordot(METAL, solved.areal, 1) / solved.areal[0] - 1
    alone, _ = decompose_weighted(od, variance, MATRIX)
    wrong = np.tensordot(METAL, alone, 1) / alone[0] - 1
    assert abs(wrong[inside].mean()) > 0.05
    assert abs(ratio[inside].mean()) < 0.015  # noise of the mean over 49 pixels is 0.4 %
    assert abs(solved.extra[0][inside].mean() - 0.2) < 0.02
    assert ratio[far].std() < 1.08 * wrong[far].std()


def test_the_prior_of_a_neighbourhood_without_anything_is_narrow(rng):
    first = (0.01 * rng.standard_normal((40, 40))).astype(np.float32)
    variance = np.full_like(first, 1e-4)
    mean, precision = adapted(first, variance, np.full((40, 40), 0.05), 2.0)
    assert np.abs(mean).max() < 0.01
    # what is left is the error of the local mean, 0.01/sqrt(4π·4), and the scatter of the scatter
    assert np.sqrt(1 / precision).mean() < 0.004


def test_averaged_rays_leave_out_rims_and_air():
    density = np.zeros((2, 1, 16, 16), np.float32)
    density[:, 0, :, 6:] = 1.0
    rays = averaged_rays(density, np.full_like(density, 1e-4))
    assert set(rays.block[:, 2].tolist()) == {2, 3}
    np.testing.assert_allclose(rays.variance, 1e-4 / 16)


def test_unknown_components_are_one_line():
    with pytest.raises(ConfigError, match="carbon"):
        component("teflon", None, None)
    with pytest.raises(ConfigError, match="density"):
        component("skin", {"Li": 2, "C": 1, "O": 3}, None)
    with pytest.raises(ConfigError, match="symbols"):
        component("skin", {"Xx": 2}, 1.0)


def test_judging_is_the_same_for_any_order_of_rays(rng):
    rays = measured(rng, n=500)
    order = rng.permutation(500)
    other = AveragedRays(rays.density[order], rays.variance[order], rays.block[order], rays.grid)
    a, b = judged(Model(MATRIX), rays), judged(Model(MATRIX), other)
    assert a.deviance == pytest.approx(b.deviance)
    np.testing.assert_allclose(a.chi_square[order], b.chi_square)


def test_a_misfit_is_shared_by_all_rays_or_their_own(rng):
    clean = measured(rng)
    noise = np.sqrt(np.median(clean.variance, axis=0))
    # of no spectrum of the elements, three standard errors of an averaged ray
    away = np.linalg.svd((MATRIX / noise[:, None]).T)[2][-1] * 3 * noise
    signs = np.where(rng.random(len(clean)) < 0.5, -1.0, 1.0)[:, None]
    nothing = Choice("none", "none", "none", (), ())
    found = []
    for sign in (1.0, signs):
        rays = AveragedRays(clean.density + sign * away, clean.variance, clean.block, clean.grid)
        _, tested = fit_of(rays, nothing)
        found.append((tested.systematic["misfit"], tested.systematic["misfit_of_single_rays"]))
    (shared, own), (less, local) = found
    assert shared > 5 * less
    assert local > 3 * own
    # both hold the same size: 3 standard errors in 4 directions, 1.5 in each
    assert shared == pytest.approx(local, rel=0.3)


def test_a_trace_of_stray_light_that_matters_nowhere_is_not_reported(rng):
    # 0.05 %: found at many times its error, but χ² and TM/O are the same without it.
    _terms, tested = fit_of(measured(rng, stray=0.0005))
    assert values(tested) == {}
    assert tested.steps == []
    # Forced, it is kept.
    forced = Choice(0.0005, "auto", "auto", (), (KNOWN["carbon"],))
    assert values(fit_of(measured(rng, stray=0.0005), forced)[1]) == {"stray": 0.0005}


def test_stray_light_cannot_exceed_what_the_darkest_ray_transmits(rng):
    rays = measured(rng)
    terms, _ = candidates(ELEMENTS, ENERGIES, OWN, PAIRS, AUTO)
    limits = {t.name: t.most for t in within_rays(terms, rays) if t.kind == "stray"}
    darkest = np.exp(-rays.density).min(axis=0)
    # Three errors of at most 1 % above it.
    assert darkest[:2].min() <= limits["stray_O"] <= 1.04 * darkest[:2].min()
    assert limits["stray"] <= min(limits.values()) * 1.001
    assert bounds_of(replace(terms[0], most=0.003)) == (0.0, 0.003)


def test_a_factor_far_below_the_tables_is_not_fitted_and_one_at_its_limit_is_marked(rng):
    rays = measured(rng, oxygen=-0.5)
    _terms, tested = fit_of(rays, Choice("none", "auto", "none", (), ()))
    assert values(tested)["near_edge_O"] == pytest.approx(-0.3)
    record = model_record(tested, [f"{e}_{k}" for e in ELEMENTS for k in ("pre", "post")], [])
    assert record["terms"]["near_edge_O"]["at_limit"]
    assert record["fails"]
    _terms, tested = fit_of(measured(rng, oxygen=0.1))
    record = model_record(tested, [f"{e}_{k}" for e in ELEMENTS for k in ("pre", "post")], [])
    assert not record["terms"]["near_edge_O"]["at_limit"]


def test_a_measured_spectrum_of_a_substance_takes_its_absorption_off(rng, tmp_path):
    # A binder whose formula nobody knows: its spectrum was measured, in arbitrary units.
    energy = np.arange(500.0, 900.0, 2.0)
    binder = 3e3 * component("binder", {"C": 3, "F": 2, "S": 1}, 1.5).attenuation_per_um(energy)
    path = tmp_path / "binder.txt"
    np.savetxt(path, np.column_stack([energy, binder]), header="energy mu")
    measured_one = read_spectrum(path, group=None, energy_unit=None)
    named = {"name": "binder", "formula": None, "density_g_cm3": None, "spectrum": str(path)}
    choice = allowed_terms("none", [named], {"binder": measured_one}, {})
    rays = measured(rng)
    there = 0.3 * rng.random(len(rays))
    density = rays.density + there[:, None] * component(
        "x", {"C": 3, "F": 2, "S": 1}, 1.5
    ).attenuation_per_um(ENERGIES)
    moved = ENERGIES - 1.0  # the tables are looked up elsewhere; the spectrum is not
    terms, forced = candidates(ELEMENTS, moved, OWN, PAIRS, choice, ENERGIES)
    tested = choose_model(
        MATRIX, terms, forced, AveragedRays(density, rays.variance, rays.block, rays.grid), METAL
    )
    assert set(values(tested)) == {"binder"}
    assert tested.plain.per_dof > 5
    assert tested.fit.per_dof < 1.1
    too_short = Spectrum(energy[energy < 700], binder[energy < 700])
    with pytest.raises(ConfigError, match="reaches from 525 to 866 eV"):
        component("binder", None, None, too_short).attenuation_per_um(ENERGIES)
    with pytest.raises(ConfigError, match="above 0"):
        component("binder", None, None, Spectrum(energy, binder - 1e4)).attenuation_per_um(ENERGIES)
