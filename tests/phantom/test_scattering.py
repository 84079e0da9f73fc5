"""Maps of resonant inelastic scattering against simulated maps with known truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

from oxytomo.errors import InputError
from oxytomo.oxidation.fit_setup import FitOptions
from oxytomo.oxidation.spectra import Reference
from oxytomo.scattering.difference import feature_change, map_difference, scale_factor
from oxytomo.scattering.elastic import FWHM, elastic_light, find_elastic_line
from oxytomo.scattering.feature import Calibrated, FeatureOptions
from oxytomo.scattering.maps import EmissionMap, emission_map
from oxytomo.scattering.self_absorption import slab_of, without_self_absorption
from oxytomo.scattering.valences import yield_valence
from oxytomo.scattering.yields import Yield, fluorescence_yield
from oxytomo.simulate.scattering import (
    BAND,
    MapAcquisition,
    SimulatedMap,
    edge_in_slab,
    excitation_energies,
    oxygen_references,
    simulate_map,
)

FORMULA = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
PLAIN = MapAcquisition(
    photons=1000.0,
    resolution_ev=1.4,
    offset_ev=0.0,
    feature=0.1,
    oxidised=0.1,
    oxidised_surface=0.02,
    background=0.05,
    amount=1.0,
    step_ev=0.25,
)
FEATURE = FeatureOptions(
    excitation_ev=(530.5, 531.5), emission_ev=(523.0, 524.0), scale="rest", permutations=999, level=0.05
)


def read(simulated: SimulatedMap, counts: np.ndarray | None = None) -> EmissionMap:
    return emission_map(
        simulated.counts if counts is None else counts,
        simulated.flux,
        simulated.excitation_ev,
        simulated.emission_ev,
        units_per_photon=1.0,
        flux_error=0.0,
    )


def calibrated(simulated: SimulatedMap, scale_error_ev: float = 0.0) -> Calibrated:
    return Calibrated(read(simulated), 1.4, scale_error_ev)


@pytest.mark.parametrize("offset_ev", [-3.1, 0.0, 2.4])
@pytest.mark.parametrize("photons", [150.0, 3000.0])
def test_elastic_line(offset_ev: float, photons: float) -> None:
    """The line is found within 0.1 eV at a resolution of 1.4 eV, and its width is the resolution."""
    made = simulate_map(
        replace(PLAIN, photons=photons, offset_ev=offset_ev), rng=np.random.default_rng(int(photons))
    )
    line = find_elastic_line(read(made), search_ev=5.0, linear=False, name="O")
    assert abs(line.offset_ev - offset_ev) < 0.1
    # Four standard errors: one false alarm in 16 000
    assert abs(line.offset_ev - offset_ev) < 4 * line.offset_error_ev
    assert line.fwhm_ev == pytest.approx(1.4, abs=max(4 * line.fwhm_error_ev, 0.03))


def test_elastic_line_with_a_wrong_dispersion() -> None:
    """An emission scale that is stretched by 1 % is found and undone."""
    made = simulate_map(replace(PLAIN, photons=3000.0), rng=np.random.default_rng(3))
    stretched = 540.0 + 1.01 * (made.emission_ev - 540.0) + 0.4
    one = emission_map(
        made.counts, made.flux, made.excitation_ev, stretched, units_per_photon=1.0, flux_error=0.0
    )
    line = find_elastic_line(one, search_ev=5.0, linear=True, name="O")
    assert line.slope == pytest.approx(0.01, abs=4 * line.slope_error)
    # 0.02 eV: the offset and 20 eV times four errors of the slope
    assert np.abs(line.calibrated(stretched) - made.emission_ev).max() < 0.05


def test_a_map_without_elastic_line_is_refused() -> None:
    made = simulate_map(PLAIN, rng=np.random.default_rng(0))
    below = made.emission_ev < 521.0
    one = emission_map(
        made.counts[:, below],
        made.flux,
        made.excitation_ev,
        made.emission_ev[below],
        units_per_photon=1.0,
        flux_error=0.0,
    )
    with pytest.raises(InputError, match="emission_offset_ev"):
        find_elastic_line(one, search_ev=0.5, linear=False, name="O")


def band_between(low: float, high: float, resolution_ev: float) -> float:
    """Return the share of the band in a window, from normal distributions."""
    share = 0.0
    for centre, width, weight in BAND:
        sigma = np.sqrt(2) * np.hypot(width, resolution_ev / FWHM)
        share += weight * 0.5 * (erf((high - centre) / sigma) - erf((low - centre) / sigma))
    return share


def test_yields_are_the_analytic_sums() -> None:
    """Yields of a map agree with integrals over the window within counting noise."""
    made = simulate_map(replace(PLAIN, feature=0.0, background=0.0), rng=np.random.default_rng(5))
    found = fluorescence_yield(read(made), (521.125, 526.125), name="PFY", elastic=None)
    far = made.excitation_ev > 532.0  # the elastic line is outside the window
    scale = made.flux.mean()  # the flux is relative to its mean
    truth = scale * 1000.0 * made.absorption * band_between(521.125, 526.125, 1.4)
    pulls = ((found.value - truth) / found.error)[far]
    # χ² of n normal values: mean n, standard deviation √(2n); four of them
    assert abs((pulls**2).sum() - far.sum()) < 4 * np.sqrt(2 * far.sum())
    assert abs(pulls.mean()) < 4 / np.sqrt(far.sum())


def test_limits_inside_a_bin_count_by_their_share() -> None:
    """Without noise, a window that cuts bins differs from the integral by the curvature alone."""
    made = simulate_map(
        replace(PLAIN, feature=0.0, background=0.0, step_ev=0.1), rng=np.random.default_rng(0)
    )
    found = fluorescence_yield(read(made, made.expected), (523.0, 524.0), name="sPFY", elastic=None)
    truth = made.flux.mean() * 1000.0 * made.absorption * band_between(523.0, 524.0, 1.4)
    # A bin of width h that is cut in half is wrong by slope · h²/8: here 0.05 % of the window
    assert found.value[-10:] == pytest.approx(truth[-10:], rel=1e-3)


def test_elastic_light_is_taken_off_a_partial_yield() -> None:
    made = simulate_map(replace(PLAIN, photons=1e5, background=0.0), rng=np.random.default_rng(6))
    one = read(made)
    light = elastic_light(one, find_elastic_line(one, search_ev=3.0, linear=False, name="O"))
    with_line, without = (
        fluorescence_yield(one, (520.0, 530.0), name="PFY", elastic=light_or_none)
        for light_or_none in (None, light)
    )
    below = made.excitation_ev < 526.0
    assert (with_line.value[below] > 0.1e5).all()  # the line alone
    # Five standard errors of 8 energies
    assert np.abs(without.value[below] / without.error[below]).max() < 5


@pytest.mark.parametrize(
    ("thickness_um", "incidence_deg", "exit_deg"),
    [(np.inf, 45.0, 45.0), (np.inf, 20.0, 70.0), (0.3, 45.0, 45.0)],
)
def test_self_absorption_of_a_slab(thickness_um: float, incidence_deg: float, exit_deg: float) -> None:
    """The corrected yield is the absorption within 2 %; without correction it is 35 to 80 % off."""
    energy = excitation_energies()
    slab = slab_of(
        FORMULA,
        density_g_cm3=4.2,
        element="O",
        edge_ev=528.0,
        excitation_ev=energy,
        emission_ev=525.0,
        thickness_um=thickness_um,
        incidence_deg=incidence_deg,
        exit_deg=exit_deg,
    )
    acquisition = replace(PLAIN, photons=1e6, feature=0.0, background=0.0, slab=slab)
    one = read(simulate_map(acquisition, rng=np.random.default_rng(1)))
    light = elastic_light(one, find_elastic_line(one, search_ev=3.0, linear=False, name="O"))
    found = fluorescence_yield(one, (515.0, 530.0), name="PFY", elastic=light)
    above = energy > 548.0
    corrected = without_self_absorption(found.value, found.error, slab, below=energy < 527.0, above=above)
    absorption = simulate_map(acquisition, rng=np.random.default_rng(1)).absorption
    truth = edge_in_slab(absorption, slab) / slab.edge[above].mean()
    strong = truth > 0.3
    assert not corrected.saturated[strong].any()
    assert np.abs(corrected.value / truth - 1)[strong].max() < 0.02
    plain = found.value / found.value[above].mean()
    assert np.abs(plain / truth - 1)[strong].max() > 0.3


def test_saturated_emission_has_no_corrected_value() -> None:
    """Emission beyond what any absorption gives is left out, not made plausible."""
    energy = excitation_energies()
    slab = slab_of(
        FORMULA,
        density_g_cm3=4.2,
        element="O",
        edge_ev=528.0,
        excitation_ev=energy,
        emission_ev=525.0,
        thickness_um=np.inf,
        incidence_deg=45.0,
        exit_deg=45.0,
    )
    value = np.where(energy > 528.0, 1.0, 0.0)
    at = int(np.abs(energy - 530.0).argmin())
    value[at] = 5.0
    found = without_self_absorption(
        value, np.full(energy.size, 0.01), slab, below=energy < 527.0, above=energy > 548.0
    )
    assert found.saturated[at]
    assert np.isnan(found.value[at])
    assert found.saturated.sum() == 1


def test_a_change_of_the_feature_is_found() -> None:
    """A window with 3 % more emission is found at 5 σ if it has 60 000 photons or more."""
    first = simulate_map(replace(PLAIN, photons=2.5e5), rng=np.random.default_rng(1))
    second = simulate_map(replace(PLAIN, photons=2.5e5, amount=1.4), rng=np.random.default_rng(2))
    rows = (first.excitation_ev > 530.4) & (first.excitation_ev < 531.6)
    columns = (first.emission_ev > 522.8) & (first.emission_ev < 524.2)
    # What is added is 3 % of what is there, also noise-free
    rng = np.random.default_rng(3)
    brighter = second.counts + np.where(np.outer(rows, columns), rng.poisson(0.03 * second.expected), 0)
    pair = calibrated(first), Calibrated(read(second, brighter), 1.4, 0.0)
    found = feature_change(*pair, FEATURE, rng=np.random.default_rng(0))
    assert min(found.photons) > 6e4
    assert found.change == pytest.approx(0.03, abs=3 * found.counting_error)
    assert found.sigma > 5
    assert found.p_value == 1 / 1000
    assert found.detected
    assert found.elsewhere == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_pairs_without_a_change() -> None:
    """In 200 pairs of equal samples the feature is reported no more often than the stated 5 %."""
    rng, reported, pulls = np.random.default_rng(11), 0, []
    base = simulate_map(replace(PLAIN, photons=4000.0), rng=rng)
    other = simulate_map(replace(PLAIN, photons=4000.0, amount=0.7), rng=rng)
    options = replace(FEATURE, permutations=199)
    for _ in range(200):
        pair = [
            Calibrated(read(one, rng.poisson(one.expected).astype(float)), 1.4, 0.0) for one in (base, other)
        ]
        found = feature_change(*pair, options, rng=rng)
        reported += found.detected
        pulls.append(found.sigma)
    # 95 % of binomial numbers of 200 with 0.05 are at most 15, 99.9 % at most 20
    assert reported <= 20
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)  # four standard errors of a standard deviation


def scans_of(made: SimulatedMap, factors: np.ndarray, rng: np.random.Generator) -> Calibrated:
    """Return a map of several scans, whose feature differs by a factor from scan to scan."""
    rows = (made.excitation_ev > 530.4) & (made.excitation_ev < 531.6)
    columns = (made.emission_ev > 522.8) & (made.emission_ev < 524.2)
    inside = np.outer(rows, columns)
    counts = [rng.poisson(made.expected * np.where(inside, one, 1.0)).astype(float) for one in factors]
    scans = tuple(read(made, one) for one in counts)
    return Calibrated(read(made, np.sum(counts, axis=0)), 1.4, 0.0, scans)


@pytest.mark.parametrize(("n", "test"), [((5, 6), "scans"), ((3, 3), "scans, Welch")])
def test_scans_that_scatter_without_a_change(n: tuple[int, int], test: str) -> None:
    """Scans that scatter by 5 % are found no more often than stated; photons alone find them often."""
    rng = np.random.default_rng(5)
    made = simulate_map(replace(PLAIN, photons=2e4, step_ev=0.5), rng=rng)
    options = replace(FEATURE, permutations=199)
    pairs, by_scans, by_photons = 60, 0, 0
    for _ in range(pairs):
        pair = [scans_of(made, np.exp(rng.normal(scale=0.05, size=size)), rng) for size in n]
        found = feature_change(*pair, options, rng=rng)
        alone = feature_change(*(replace(one, scans=()) for one in pair), options, rng=rng)
        assert (found.test, alone.test) == (test, "photons")
        by_scans += found.detected
        by_photons += alone.detected
        assert found.standard_error >= alone.standard_error
    # 99.9 % of binomial numbers of 60 with 0.05 are at most 9
    assert by_scans <= 9
    assert by_photons > 20


def test_a_change_beyond_the_scatter_of_scans_is_found() -> None:
    rng = np.random.default_rng(6)
    made = simulate_map(replace(PLAIN, photons=2e4, step_ev=0.5), rng=rng)
    scatter = [np.exp(rng.normal(scale=0.02, size=6)) for _ in range(2)]
    pair = scans_of(made, scatter[0], rng), scans_of(made, 1.3 * scatter[1], rng)
    found = feature_change(*pair, FEATURE, rng=rng)
    # Two of 924 redistributions give as much: p is 0.002, here from 999 random ones
    assert found.p_value < 0.01
    assert found.scans == (6, 6)
    assert found.change == pytest.approx(0.3, abs=4 * found.standard_error)
    # 2 % in √6 scans of both maps, of a change of 1.3: 0.015
    assert found.scan_error == pytest.approx(0.015, rel=0.8)


def test_an_error_of_the_emission_scale_widens_the_error_of_a_change() -> None:
    pair = [simulate_map(replace(PLAIN, photons=1e5), rng=np.random.default_rng(i)) for i in (1, 2)]
    sure, unsure = (
        feature_change(*(calibrated(one, error) for one in pair), FEATURE, rng=np.random.default_rng(0))
        for error in (0.0, 0.1)
    )
    assert sure.calibration_error == 0.0
    assert unsure.calibration_error > sure.counting_error
    assert abs(unsure.sigma) < abs(sure.sigma)


def test_excitations_that_are_read_back_are_the_same() -> None:
    """Energies that differ by some meV have a permutation test, other energies have none."""
    first, second = (simulate_map(PLAIN, rng=np.random.default_rng(i)) for i in (1, 2))
    shaken = second.excitation_ev + np.random.default_rng(0).uniform(-0.004, 0.004, second.excitation_ev.size)
    for energies, tested in ((shaken, True), (second.excitation_ev + 0.1, False)):
        pair = calibrated(first), calibrated(replace(second, excitation_ev=energies))
        found = feature_change(*pair, FEATURE, rng=np.random.default_rng(0))
        assert np.isfinite(found.p_value) == tested
        assert found.detected == (tested and found.p_value <= FEATURE.level)


def test_difference_of_maps_on_other_grids() -> None:
    """Two maps of one sample on shifted emission bins differ by noise alone, and photons are kept."""
    first = simulate_map(replace(PLAIN, photons=1e4), rng=np.random.default_rng(1))
    second = simulate_map(
        replace(PLAIN, photons=1e4, offset_ev=0.1, amount=0.8), rng=np.random.default_rng(2)
    )
    maps = read(first), read(second).moved(second.emission_ev - 0.1 + 0.07)
    one, two = (Calibrated(m, 1.4, 0.0) for m in maps)
    factor = scale_factor(one, two, FEATURE)
    found = map_difference(*maps, factor=factor)
    assert factor == pytest.approx(1 / 0.8, rel=0.01)
    same = map_difference(maps[0], maps[0], factor=1.0)
    assert np.nanmax(np.abs(same.value)) < 1e-9
    total = np.nansum(found.value, axis=1)
    spread = np.sqrt(np.nansum(found.error**2, axis=1))
    # Lines that are cut at the end of the range and neighbours that share photons: within 6 σ
    assert np.abs(total / spread).max() < 6


def test_valence_of_a_yield() -> None:
    """A mixture of both references has the mean valence of its fractions."""
    energy = excitation_energies()
    references = [Reference(f"O {v:g}", v, spectrum) for v, spectrum in oxygen_references().items()]
    options = FitOptions(
        element="O",
        background="constant",
        energy_offset_ev=0.0,
        white_line_ev=None,
        window_ev=(527.0, 536.0),
        pre_edge_ev=(521.0, 527.0),
        post_edge_ev=(548.0, 590.0),
        fractions_sum="free",
        references_normalized=False,
        max_condition=100.0,
    )
    made = simulate_map(replace(PLAIN, photons=1e5, oxidised=0.3), rng=np.random.default_rng(0))
    rng = np.random.default_rng(4)
    truth = 700.0 * made.absorption + 20.0
    noisy = Yield("PFY", energy, truth + rng.normal(size=energy.size) * 3.0, np.full(energy.size, 3.0))
    found = yield_valence(noisy, references, options)
    assert found.valence == pytest.approx(-1.7, abs=4 * found.error)
    assert found.error < 0.02
    assert found.chi_square < 2.0
