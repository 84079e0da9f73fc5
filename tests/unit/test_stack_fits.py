"""From a registered stack to valence maps, mean spectra and tables of particles, on stacks of a few pixels."""

from dataclasses import replace

import numpy as np
import pytest

from oxytomo.arrays import AreaProfile, Spectrum, ValenceMap
from oxytomo.config.elements import SYMBOLS
from oxytomo.config.elements import TRANSITION_METALS as SYMBOLS_OF_METALS
from oxytomo.config.stage_settings import FitValenceStage, MeasureOxidationStage
from oxytomo.errors import InputError
from oxytomo.measure.valence_particles import (
    ParticleOptions,
    find_particles,
    largest_profile,
    particle_rows,
    particle_tables,
    profile_rows,
    shell_rows,
)
from oxytomo.oxidation.edges import Windows
from oxytomo.oxidation.energy_scale import energy_scale, peak_energy, sample_spectrum
from oxytomo.oxidation.fit_setup import TRANSITION_METALS, FitOptions, FitSetup, chosen_windows, fit_setup
from oxytomo.oxidation.judgement import fit_spectrum
from oxytomo.oxidation.oxygen_loss import ModelFit
from oxytomo.oxidation.particle_spectra import (
    FittedElement,
    explore_particles,
    left_out,
    mean_spectra,
    particle_spectra,
    valence_per_energy,
    with_spectra,
)
from oxytomo.oxidation.spectra import Reference
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.summary import loss_models, oxidation_summary, plain_model
from oxytomo.oxidation.valence_maps import MapOptions, block_rows, edge_jump, error_scale, valence_maps

ENERGY = np.arange(622.0, 692.0, 0.5)
OPTIONS = FitOptions(
    element="Mn",
    background="linear",
    energy_offset_ev=0.0,
    white_line_ev=None,
    window_ev=None,
    pre_edge_ev=None,
    post_edge_ev=None,
    fractions_sum="free",
    references_normalized=True,
    max_condition=1e3,
)
MAPS = MapOptions("Mn", "free", thick_od=3.0, thin_sigma=3.0, thin_share=0.1)


def edge(energy: np.ndarray, valence: float) -> np.ndarray:
    """A smooth edge with a white line; both lie 1 eV higher per unit of valence."""
    place = energy - 639.0 - valence
    return 0.5 + np.arctan(2 * place) / np.pi + 2 * np.exp(-((place - 1) ** 2) / 2)


def references(*valences: float) -> list[Reference]:
    fine = np.arange(610.0, 700.0, 0.05)
    return [Reference(f"Mn_{v:g}", v, Spectrum(fine, edge(fine, v))) for v in valences]


def stack_of(od: np.ndarray, variance: float = 1e-6) -> EnergyStack:
    """A stack with the spectra od (n_energy, n_y, n_x)."""
    return EnergyStack(
        value=od.astype(np.float32),
        variance=np.full(od.shape, variance, np.float32),
        energy_ev=ENERGY,
        lost=np.zeros(ENERGY.size, bool),
        variance_factor=np.ones(ENERGY.size),
        pixel_nm=10.0,
        rows_at_once=1,
    )


def mixture(valence: np.ndarray, jump: np.ndarray | float = 0.8, energy: np.ndarray = ENERGY) -> np.ndarray:
    """Spectra (n_energy, n_y, n_x) of a mixture of the valences 2 and 4 with a mean valence (n_y, n_x)."""
    low, high = (edge(energy, v)[:, None, None] for v in (2.0, 4.0))
    share = (valence - 2) / 2
    return jump * ((1 - share) * low + share * high)


def test_means_keep_the_noise_that_neighbours_share() -> None:
    stack = stack_of(np.zeros((ENERGY.size, 2, 2)))
    assert stack.shared_noise == 1.0
    # A quarter of the variance of single pixels is half of their error; sums keep all of it.
    assert replace(stack, variance_factor=np.full(ENERGY.size, 0.25)).shared_noise == 2.0


def test_a_peak_between_energies() -> None:
    energy = np.arange(640.0, 645.0, 0.5)
    assert peak_energy(energy, 3 - (energy - 642.2) ** 2, (640.0, 645.0)) == pytest.approx(642.2)
    # On the rim of the window there is no parabola, and without values there is no peak.
    assert peak_energy(energy, energy, (640.0, 645.0)) == 644.5
    assert np.isnan(peak_energy(energy, np.full(energy.size, np.nan), (640.0, 645.0)))


def test_the_sample_is_where_absorption_rises() -> None:
    od = np.zeros((ENERGY.size, 10, 10))
    od[:, :3] = mixture(np.full((3, 10), 3.0))
    od[5, 0, 0] = np.nan
    stack = stack_of(od, variance=0.04)
    spectrum, error = sample_spectrum(stack, chosen_windows(ENERGY, OPTIONS))
    expected = mixture(np.full((1, 1), 3.0))[:, 0, 0]
    np.testing.assert_allclose(spectrum, expected, rtol=1e-6)
    # 30 pixels of the variance 0.04, at the sixth energy 29.
    assert error[0] == pytest.approx(0.2 / np.sqrt(30))
    assert error[5] == pytest.approx(0.2 / np.sqrt(29))


@pytest.mark.parametrize("moved_ev", [-0.35, 0.6])
def test_the_offset_of_the_energies_is_found_and_a_wrong_one_remarked(moved_ev: float) -> None:
    """The recorded energies are too low by ``moved_ev``."""
    od = np.zeros((ENERGY.size, 8, 8))
    od[:, :4] = mixture(np.full((4, 8), 2.7), energy=ENERGY + moved_ev)
    stack, known = stack_of(od), references(2, 4)
    windows = chosen_windows(ENERGY, OPTIONS)
    curves = [reference.spectrum.absorption for reference in known]
    found = energy_scale(stack, windows, known, curves, replace(OPTIONS, energy_offset_ev="fit"))
    # The scan has steps of 0.05 eV and is refined by a parabola.
    assert found.offset_ev == pytest.approx(moved_ev, abs=0.01)
    assert found.remarks == ()
    given = energy_scale(stack, windows, known, curves, OPTIONS)
    assert given.offset_ev == 0.0
    assert f"{moved_ev:+.2f} eV" in given.remarks[0]
    peak = replace(OPTIONS, white_line_ev=found.white_line_ev + moved_ev)
    assert energy_scale(stack, windows, known, curves, peak).offset_ev == pytest.approx(moved_ev)


def test_an_offset_beyond_the_search_is_refused() -> None:
    od = np.zeros((ENERGY.size, 8, 8))
    od[:, :4] = mixture(np.full((4, 8), 2.7), energy=ENERGY + 4)
    known = references(2, 4)
    curves = [reference.spectrum.absorption for reference in known]
    windows = chosen_windows(ENERGY, OPTIONS)
    with pytest.raises(InputError, match="the best offset at the limit"):
        energy_scale(stack_of(od), windows, known, curves, replace(OPTIONS, energy_offset_ev="fit"))


def test_metals_are_those_of_the_settings() -> None:
    assert {SYMBOLS[number - 1] for number in TRANSITION_METALS} == SYMBOLS_OF_METALS


def test_given_windows_take_the_place_of_the_default_ones() -> None:
    found = chosen_windows(ENERGY, replace(OPTIONS, window_ev=(639.0, 650.0)))
    default = chosen_windows(ENERGY, OPTIONS)
    assert found == replace(default, fit=(639.0, 650.0))
    assert isinstance(found, Windows)


def test_settings_hold_every_option() -> None:
    """An option without a setting of its name would fail in the stage only."""
    settings = FitValenceStage(element="Mn", references=())
    assert settings.options(FitOptions).element == settings.options(MapOptions).element == "Mn"
    assert MeasureOxidationStage(elements=("Mn",)).options(ParticleOptions).shells > 0


def test_error_scale_of_a_perfect_fit_is_one(rng: np.random.Generator) -> None:
    for freedom in (5, 40):
        chi_square = rng.chisquare(freedom, 200_000) / freedom
        # The median of so many has a relative error of 0.2 %; the approximation is good to 0.1 %.
        assert error_scale(chi_square, freedom=freedom) == pytest.approx(1, abs=0.005)
        assert error_scale(4 * chi_square, freedom=freedom) == pytest.approx(2, abs=0.01)


def test_blocks_are_whole_pieces_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oxytomo.oxidation.valence_maps.BLOCK_BYTES", 8 * 100 * 25)
    assert block_rows(10, 100) == 20
    assert block_rows(30, 100) == 25
    assert block_rows(1, 10**9) == 1


def setup_of(stack: EnergyStack, options: FitOptions = OPTIONS) -> FitSetup:
    return fit_setup(stack, references(2, 4), options)


def test_the_jump_is_above_what_falls_from_below_the_edge() -> None:
    """What other elements absorb falls as E⁻³."""
    setup = setup_of(stack_of(mixture(np.full((2, 2), 3.0))))
    below, above = (np.flatnonzero(where)[:1] for where in (setup.below, setup.above))
    one = [np.isin(np.arange(ENERGY.size), where) for where in (below, above)]
    setup = replace(setup, below=one[0], above=one[1])
    od = np.where(ENERGY > 640, 0.5, 0.0)[:, None, None] + 0.9 * (600 / ENERGY[:, None, None]) ** 3
    jump, error = edge_jump(stack_of(od, variance=0.01), setup, slice(0, 1))
    assert jump == pytest.approx(0.5, rel=1e-5)
    falling = float(ENERGY[below[0]] / ENERGY[above[0]]) ** 3
    assert error == pytest.approx(0.1 * np.hypot(1, falling) / 0.5, rel=1e-5)


@pytest.mark.parametrize("fractions_sum", ["free", "one"])
def test_valences_of_exact_mixtures_come_back(fractions_sum: str, rng: np.random.Generator) -> None:
    valence = np.linspace(2.2, 3.8, 24).reshape(4, 6)
    jump = np.where(np.arange(24).reshape(4, 6) == 0, 0.0, 0.8)
    noise = 1e-3 * rng.standard_normal((ENERGY.size, 4, 6))
    stack = stack_of(mixture(valence, jump) + noise)
    options = replace(OPTIONS, fractions_sum=fractions_sum)
    chosen = replace(MAPS, fractions_sum=fractions_sum)
    done = []
    maps = valence_maps(
        stack, setup_of(stack, options), chosen, progress=lambda n, total: done.append((n, total))
    )
    assert not maps.good[0, 0]
    assert np.isnan(maps.fit.valence[0, 0])
    assert maps.good.sum() == 23
    # Noise of 0.1 % of the edge jump on some forty energies; divided pixels add that of their jump.
    np.testing.assert_allclose(maps.fit.valence[maps.good], valence[maps.good], atol=0.02)
    if fractions_sum == "free":  # the tails of the edge make the jump of divided pixels a little wrong
        assert maps.error_scale == pytest.approx(1, abs=0.15)
    assert done[-1] == (4, 4)
    assert maps.described().startswith("23 pixels with a valence")


def test_no_pixel_with_the_element_is_refused(rng: np.random.Generator) -> None:
    stack = stack_of(mixture(np.full((3, 3), 3.0)))
    setup = setup_of(stack)
    flat = stack_of(1e-3 * rng.standard_normal((ENERGY.size, 3, 3)))
    with pytest.raises(InputError, match="pixels with an edge jump of Mn"):
        valence_maps(flat, setup, replace(MAPS, thin_sigma=50.0), progress=lambda *_: None)


def test_mean_spectra_of_labels() -> None:
    od = np.arange(ENERGY.size)[:, None, None] + np.array([[0.0, 1.0, 2.0], [np.nan, 10.0, 20.0]])
    stack = replace(stack_of(od, variance=0.09), variance_factor=np.full(ENERGY.size, 0.25))
    mean, error = mean_spectra(stack, np.array([[1, 1, 0], [1, 2, 0]]), n_labels=3)
    np.testing.assert_allclose(mean[0], np.arange(ENERGY.size) + 0.5)
    np.testing.assert_allclose(mean[1], np.arange(ENERGY.size) + 10)
    assert np.isnan(mean[2]).all()
    # Two pixels of the error 0.3, and twice that as neighbours share noise.
    np.testing.assert_allclose(error[0], 2 * 0.3 / np.sqrt(2), rtol=1e-6)


@pytest.fixture(scope="module")
def element() -> tuple[EnergyStack, FittedElement, np.ndarray]:
    """Two shells of the valences 2.5 and 3.5, with what was fitted, and the shells."""
    shells = np.ones((8, 12), np.uint8)
    shells[:, 6:] = 2
    valence = np.where(shells == 1, 2.5, 3.5)
    noise = 1e-3 * np.random.default_rng(1).standard_normal((ENERGY.size, *shells.shape))
    stack = stack_of(mixture(valence) + noise)
    setup = fit_setup(stack, references(2, 3, 4), OPTIONS)
    maps = valence_maps(stack, setup, MAPS, progress=lambda *_: None)
    facts = {**setup.facts, "names": setup.names, "valences": [2.0, 3.0, 4.0], "fractions_sum": "free"}
    return (
        stack,
        FittedElement(
            map=ValenceMap("Mn", maps.fit.valence, maps.fit.valence_error, maps.fit.amount, 10.0, 1.0),
            status=maps.status,
            chi_square=maps.fit.chi_square,
            r_factor=maps.fit.r_factor,
            used=setup.used,
            references=setup.references,
            background=setup.background,
            all_references=setup.all_references,
            valences=setup.valences,
            facts={**facts, "error_scale": maps.error_scale, "remarks": ()},
        ),
        shells,
    )


def test_spectra_of_shells_have_the_valence_of_their_pixels(
    element: tuple[EnergyStack, FittedElement, np.ndarray],
) -> None:
    stack, fitted, shells = element
    assert fitted.solid.all()
    spectra = particle_spectra(stack, fitted, shells=shells, particles=shells, n_shells=3)
    rows = with_spectra([{"shell": i} for i in (1, 2, 3)], spectra)
    assert list(rows[0]) == ["shell", "spectrum_valence", "spectrum_error", "structured_residual"]
    # Means of 48 pixels with noise of 0.1 %.
    assert [row["spectrum_valence"] for row in rows[:2]] == pytest.approx([2.5, 3.5], abs=0.01)
    assert np.isnan(rows[2]["spectrum_valence"])
    assert spectra.structured_shells == []
    assert spectra.whole_fit.valence == pytest.approx(3.0, abs=0.01)
    models = spectra.shell_models(fitted.used)
    np.testing.assert_allclose(models[0][fitted.used], spectra.shells[0][fitted.used], atol=2e-3)
    assert np.isnan(models[2]).all()
    assert np.isnan(models[0][~fitted.used]).all()


def test_what_rests_on_references_and_energies(
    element: tuple[EnergyStack, FittedElement, np.ndarray],
) -> None:
    stack, fitted, shells = element
    spectra = particle_spectra(stack, fitted, shells=shells, particles=shells, n_shells=2)
    without = [fit for fit in left_out(fitted, spectra) if fit is not None]
    assert len(without) == 3
    assert without[1].valence == pytest.approx(3.0, abs=0.01)  # mixtures of 2 and 4 need no 3
    assert without[1].chi_square < without[0].chi_square
    # The same from the edges themselves, which the stack samples in steps of 0.5 eV only.
    used = fitted.used
    moved = [
        fit_spectrum(
            spectra.whole[used],
            spectra.whole_error[used],
            np.stack([edge(ENERGY[used] + offset, v) for v in (2, 3, 4)], axis=1),
            fitted.background,
            fitted.valences,
        ).valence
        for offset in (-0.05, 0.05)
    ]
    assert moved[1] - moved[0] > 0.05
    assert valence_per_energy(fitted, spectra) == pytest.approx(moved[1] - moved[0], rel=0.2)
    summary = oxidation_summary(
        replace(fitted, facts=_all_facts(fitted)),
        shells > 0,
        spectra,
        [],
        n_significant=1,
        time_s=None,
    )
    assert summary["mean_valence"] == pytest.approx(3.0, abs=0.01)
    assert summary["n_pixels"] == summary["pixels"]["fitted"] == 96
    # 48 pixels half a unit below and 48 half a unit above.
    assert summary["standard_deviation"] == pytest.approx(0.5, abs=0.01)


def _all_facts(fitted: FittedElement) -> dict[str, object]:
    scale = dict.fromkeys(("energy_offset_ev", "energy_offset_error_ev", "white_line_ev"), 0.0)
    return {**fitted.facts, **scale}


def test_clusters_are_the_shells(element: tuple[EnergyStack, FittedElement, np.ndarray]) -> None:
    stack, fitted, shells = element
    lost = np.arange(ENERGY.size) == 3
    found = explore_particles(replace(stack, lost=lost), fitted, shells, n_clusters=2)
    np.testing.assert_array_equal(found.cluster, shells)  # by increasing mean energy, as the valences
    assert found.variances[0] > 0.9  # one direction tells them apart
    assert np.isnan(found.spectra[:, 3]).all()
    assert np.isfinite(found.spectra[:, ~lost]).all()


PARTICLES = ParticleOptions(min_particle_pixels=20, split_touching=True, shells=4, profile_bins=5)


def disc_map(radius: int = 12) -> tuple[ValenceMap, np.ndarray]:
    """A disc whose valence is 2 plus the share of its area that lies further out; error 0.1."""
    y, x = np.indices((40, 40)) - 19.5
    r = np.hypot(y, x)
    solid = r <= radius
    valence = np.where(solid, 3 - (r / radius) ** 2, np.nan).astype(np.float32)
    error, jump = (np.where(solid, v, np.nan).astype(np.float32) for v in (0.1, 0.5))
    return ValenceMap("Mn", valence, error, jump, 10.0, 2.0), solid


def test_shells_of_a_disc_have_equal_areas() -> None:
    found, solid = disc_map()
    particles = find_particles(solid, PARTICLES, element="Mn", step_nm=found.step_nm)
    rows = shell_rows(found, particles, n_shells=4)
    assert [(r["shell_outer"], r["shell_inner"]) for r in rows] == [(0, 25), (25, 50), (50, 75), (75, 100)]
    # Mean of 3 − r² over rings of a quarter of the area; pixels are up to one in twelve of the radius.
    assert [r["mean_valence"] for r in rows] == pytest.approx([2.125, 2.375, 2.625, 2.875], abs=0.04)
    assert sum(r["n_pixels"] for r in rows) == solid.sum()
    for row in rows:
        assert row["standard_error"] == pytest.approx(2 * 0.1 / np.sqrt(row["n_pixels"]), rel=1e-5)


def test_row_of_a_disc() -> None:
    found, solid = disc_map()
    particles = find_particles(solid, PARTICLES, element="Mn", step_nm=found.step_nm)
    clump, part = particle_rows(found, particles)
    assert (clump["kind"], part["kind"]) == ("agglomerate", "particle")
    assert clump["equivalent_diameter_nm"] == pytest.approx(240, rel=0.01)
    assert (clump["centroid_y_nm"], clump["centroid_x_nm"]) == pytest.approx((195, 195))
    assert clump["mean_valence"] == clump["weighted_valence"] == pytest.approx(2.5, abs=0.01)
    assert clump["mean_edge_jump"] == pytest.approx(0.5)
    assert clump["standard_error"] == pytest.approx(0.2 / np.sqrt(solid.sum()), rel=1e-5)
    assert np.isnan(found.mean_error(np.zeros_like(solid)))
    assert particles.described(found).startswith("1 particles in 1 agglomerates; mean valence 2.5")


def test_profiles_of_a_disc() -> None:
    found, solid = disc_map(16)
    particles = find_particles(solid, PARTICLES, element="Mn", step_nm=found.step_nm)
    rows = profile_rows(found, particles, bins=5)
    assert [row["axis"] for row in rows] == ["depth_nm"] * 5 + ["edge_jump"] * 5 + ["area_outside"] * 5
    outside = [row["mean_valence"] for row in rows[10:]]
    # The valence is 2 plus the share of the area outside.
    assert outside == pytest.approx([2.1, 2.3, 2.5, 2.7, 2.9], abs=0.03)
    profile = largest_profile(found, particles, bins=5)
    assert profile is not None
    assert profile.mean == pytest.approx(outside)
    assert profile.area_px == solid.sum()
    assert profile.inside_share == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
    few, small = disc_map(8)
    of_few = find_particles(small, PARTICLES, element="Mn", step_nm=few.step_nm)
    assert particle_tables(few, of_few, PARTICLES).largest is None


def test_nothing_large_enough_to_be_a_particle() -> None:
    with pytest.raises(InputError, match="at least 20, got 9 pixels in smaller parts"):
        find_particles(np.ones((3, 3), bool), PARTICLES, element="Mn", step_nm=10.0)


def test_the_surface_of_a_sphere_lies_beyond_the_map() -> None:
    """A rim of 0.2 R; the map ends where the chord is 0.3 of the diameter."""
    thin, core, radius_px = 0.3, 0.8, 60.0
    mapped = 1 - thin**2
    share = np.linspace(1, 0, 41)
    r2 = mapped * (share[:-1] + share[1:]) / 2
    inner = np.sqrt(np.maximum(core**2 - r2, 0)) / np.sqrt(1 - r2)
    mean = 2.8 + 0.8 * inner
    area_px = round(np.pi * mapped * radius_px**2)
    profile = AreaProfile(mean, np.full(40, 0.003), share, area_px)
    best = loss_models(profile, step_nm=10.0, thin_share=thin)[0]
    assert best.name == "core_shell"
    # Forty bins resolve the rim to some percent of its width.
    assert best.parameters["shell_nm"] == pytest.approx(0.2 * 600, rel=0.03)
    assert loss_models(None, step_nm=10.0, thin_share=thin) == []


def test_diffusivity_needs_a_time() -> None:
    nothing = np.zeros(0)
    model = ModelFit("diffusion", {"dt_nm2": 300.0}, {"dt_nm2": 30.0}, 1.0, 1.0, 1.0, 1.0, nothing)
    assert "d_cm2_per_s" not in plain_model(model, None)["parameters"]
    timed = plain_model(model, 60.0)
    assert timed["parameters"]["d_cm2_per_s"] == pytest.approx(5e-14)
    assert timed["standard_errors"]["d_cm2_per_s"] == pytest.approx(5e-15)
    assert "d_cm2_per_s" not in model.parameters
