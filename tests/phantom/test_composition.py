"""Decomposition by hand, the constant-ratio invariant, the null run, and departures recovered."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.composition.column_densities import ColumnDensities, halved_rays
from oxytomo.composition.decomposition import (
    combine,
    decompose_differences,
    decompose_weighted,
    pair_index,
    scale_signals,
    tie_background,
)
from oxytomo.composition.deviation import deviation_of_difference, reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.noise import (
    deviation_sigma,
    draw,
    expected_sinograms,
    noise_factor,
    project,
    replicate,
    uniform_composition,
)
from oxytomo.composition.ratio import RatioSolver, reconstruct_ratio
from oxytomo.composition.result import Composition, mode_of
from oxytomo.errors import ConfigError, InputError
from oxytomo.io.scratch import ScratchField, scratch_fields
from oxytomo.reconstruct.blocks import SLICES, projections_from_blocks, to_blocks
from oxytomo.reconstruct.blur import blur, gaussian_taps
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import forward

TILTS = np.arange(-65.0, 66.0, 2.5)
N = 48
PIXEL_UM = 0.01
SOLVER = DeviationSolver(
    iterations=60, tv_weight=None, l1_weight=None, element_iterations=40, element_tv_weight=None, psf_px=0.0
)


def particle_density(n_z: int = 24) -> np.ndarray:
    """Smooth-edged ellipsoid of density 1 with a void: (n_z, N, N) float32."""
    z, y, x = np.mgrid[:n_z, :N, :N]
    z, y, x = z - (n_z - 1) / 2, y - (N - 1) / 2, x - (N - 1) / 2
    radius = np.sqrt((z / 9) ** 2 + (y / 15) ** 2 + (x / 16) ** 2)
    void = np.sqrt(z**2 + (y - 3) ** 2 + (x + 4) ** 2)
    solid = np.clip((1 - radius) * 12 + 0.5, 0, 1) * np.clip(void - 3 + 0.5, 0, 1)
    return solid.astype(np.float32)


def domains(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two balls of radius 4 voxels inside the particle: (oxygen-poor, oxygen-rich) masks."""
    z, y, x = np.mgrid[: density.shape[0], :N, :N]
    middle = (density.shape[0] - 1) / 2
    poor = (z - middle) ** 2 + (y - 17) ** 2 + (x - 29) ** 2 <= 16
    rich = (z - middle) ** 2 + (y - 32) ** 2 + (x - 26) ** 2 <= 16
    return poor, rich


def measurement(
    oxygen: np.ndarray, metal: np.ndarray, *, sigma_um: float, rng: np.random.Generator | None
) -> ColumnDensities:
    """Sinograms of O and two metals with equal independent noise."""
    sinograms = np.stack([project(v, TILTS) * np.float32(PIXEL_UM) for v in (oxygen, metal, metal)])
    covariance = np.zeros((6, *sinograms.shape[1:]), np.float32)
    for row, (i, j) in enumerate(pair_index(3)):
        covariance[row] = sigma_um**2 if i == j else 0
    if rng is not None:
        sinograms = sinograms + rng.normal(0, sigma_um, sinograms.shape).astype(np.float32)
    return ColumnDensities(sinograms, covariance, TILTS, np.array([2.0, 0.6, 0.2]), PIXEL_UM)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_weighted_decomposition_by_hand() -> None:
    """Two energies, two elements: the solution of a 2 × 2 system, and its covariance (AᵀWA)⁻¹."""
    attenuation = np.array([[1.0, 2.0], [3.0, 1.0]])
    truth = np.array([0.5, 0.25])
    density = (attenuation @ truth).astype(np.float32).reshape(2, 1)
    variance = np.array([[0.04], [0.01]], np.float32)
    areal, covariance = decompose_weighted(density, variance, attenuation)
    np.testing.assert_allclose(areal[:, 0], truth, rtol=1e-6)
    expected = np.linalg.inv(attenuation.T @ np.diag([25.0, 100.0]) @ attenuation)
    np.testing.assert_allclose(covariance[:, 0], [expected[0, 0], expected[0, 1], expected[1, 1]], rtol=1e-5)


def test_a_lost_energy_leaves_an_overdetermined_pixel_solvable_and_a_determined_one_not() -> None:
    attenuation = np.array([[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]])
    truth = np.array([0.5, 0.25])
    density = np.repeat((attenuation @ truth)[:, None], 2, axis=1).astype(np.float32)
    variance = np.full((3, 2), 0.01, np.float32)
    density[0, :] = np.nan
    variance[0, :] = np.inf
    variance[1, 1] = np.inf
    areal, covariance = decompose_weighted(density, variance, attenuation)
    np.testing.assert_allclose(areal[:, 0], truth, rtol=1e-5)
    assert np.isnan(areal[:, 1]).all()
    assert np.isinf(covariance[:, 1]).all()


def test_energies_that_do_not_tell_elements_apart_are_refused() -> None:
    with pytest.raises(ConfigError, match="tell 2 elements apart"):
        decompose_weighted(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32), np.ones((2, 2)))


def test_differences_are_biased_by_what_the_other_element_does() -> None:
    attenuation = np.array(
        [[1.0, 2.0], [3.0, 1.8]]
    )  # the second element falls by 0.2 across the first's edge
    density = (attenuation @ np.array([0.5, 0.5])).astype(np.float32).reshape(2, 1)
    areal, covariance = decompose_differences(
        density, np.full((2, 1), 0.01, np.float32), attenuation[:, :1], pairs=[(0, 1)]
    )
    assert areal[0, 0] == pytest.approx((0.5 * 2 - 0.5 * 0.2) / 2)
    assert covariance[0, 0] == pytest.approx(0.02 / 4)


def test_background_is_shared_by_oxygen_and_metals() -> None:
    tied = tie_background(np.zeros((1, 3)), np.array([1.0]), np.array([2.0, 0.6, 0.2]))
    np.testing.assert_allclose(tied, [[0.5, 0.375, 0.125]])
    np.testing.assert_allclose(tie_background(np.zeros((1, 1)), np.array([1.0]), np.array([1.0])), [[1.0]])


def test_combination_carries_the_covariance() -> None:
    areal = np.array([[2.0], [3.0]], np.float32)
    covariance = np.array([[0.4], [0.1], [0.9]], np.float32)
    value, variance = combine(areal, covariance, np.array([-1.0, 1.0]), slice(0, 1))
    assert value[0] == pytest.approx(1.0)
    assert variance[0] == pytest.approx(0.4 + 0.9 - 2 * 0.1)
    covariance[2] = np.inf
    assert np.isinf(combine(areal, covariance, np.array([-1.0, 1.0]), slice(0, 1))[1]).all()


def test_noise_factor_reproduces_the_covariance(rng: np.random.Generator) -> None:
    root = rng.standard_normal((3, 3))
    full = root @ root.T
    covariance = np.array([full[i, j] for i, j in pair_index(3)], np.float32)[:, None]
    factor = noise_factor(covariance)[:, 0]
    lower = np.zeros((3, 3))
    for row, (i, j) in enumerate(pair_index(3)):
        lower[j, i] = factor[row]
    np.testing.assert_allclose(lower @ lower.T, full, rtol=1e-4)
    assert (noise_factor(np.full((3, 1), np.inf, np.float32)) == 0).all()


def test_draws_have_the_covariance_of_the_measurement(rng: np.random.Generator) -> None:
    shape = (1, 1, 40_000)
    covariance = np.empty((3, *shape), np.float32)
    covariance[0], covariance[1], covariance[2] = 4.0, -1.0, 1.0
    data = ColumnDensities(np.zeros((2, *shape), np.float32), covariance, np.zeros(1), np.ones(2), 1.0)
    drawn = draw(np.zeros(shape, np.float32), np.zeros(shape, np.float32), data, rng=rng).areal
    # Standard error of a covariance from 40 000 draws: about 0.02 × the variances.
    np.testing.assert_allclose(np.cov(drawn.reshape(2, -1)), [[4, -1], [-1, 1]], atol=0.1)


@pytest.mark.parametrize("method", ["deviation", "ratio"])
def test_constant_ratio_is_exact_whatever_the_wedge_does(method: str) -> None:
    """A uniform particle without noise at ±65°: |deviation| < 0.5 % in every interior voxel."""
    density = particle_density()
    data = measurement(density, density, sigma_um=1e-3, rng=None)
    if method == "deviation":
        result = reconstruct_deviation(data, solver=SOLVER, reference_tm_o=1.0, start=None, with_metals=False)
    else:
        solver = RatioSolver(algorithm="fbp", backend="oxytomo", iterations=1, smoothing_px=0.0)
        result = reconstruct_ratio(data, solver=solver, reference_tm_o=1.0, threads=1)
    inside = density > 0.99
    assert inside.sum() > 5000
    assert np.nanmax(np.abs(result.deviation[inside & result.particle])) < 0.005


def test_a_constant_ratio_off_nominal_is_found_as_the_mode() -> None:
    density = particle_density()
    data = measurement(density, 1.1 * density, sigma_um=1e-3, rng=None)
    result = reconstruct_deviation(data, solver=SOLVER, reference_tm_o=None, start=None, with_metals=False)
    assert result.reference_tm_o == pytest.approx(1.1, rel=2e-3)
    assert np.abs(result.deviation[density > 0.99]).max() < 0.005


def test_domains_are_recovered_from_noisy_projections(rng: np.random.Generator) -> None:
    density = particle_density()
    poor, rich = domains(density)
    oxygen = density * np.where(poor, np.float32(0.85), 1)
    metal = density * np.where(rich, np.float32(0.85), 1)
    # About 3 % of the particle's thickness per ray: a dose at which single-ray ratios mean nothing.
    data = measurement(oxygen, metal, sigma_um=0.03 * 30 * PIXEL_UM, rng=rng)
    result = reconstruct_deviation(data, solver=SOLVER, reference_tm_o=1.0, start=None, with_metals=True)
    with np.errstate(invalid="ignore"):
        found_poor, found_rich = result.deviation > 0.05, result.deviation < -0.05
    assert dice(result.particle, density > 0.5) > 0.95
    assert dice(found_poor, poor) > 0.75
    assert dice(found_rich, rich) > 0.75
    # Plain reconstruction and division drowns in the same noise: this is what the method is for.
    plain = reconstruct_ratio(
        data,
        solver=RatioSolver(algorithm="fbp", backend="oxytomo", iterations=1, smoothing_px=0.0),
        reference_tm_o=1.0,
        threads=1,
    )
    with np.errstate(invalid="ignore"):
        assert dice(plain.deviation > 0.05, poor) < 0.3
    assert result.elements.shape == (3, *density.shape)


def test_null_run_of_a_uniform_particle_stays_on_target(rng: np.random.Generator) -> None:
    density = particle_density()
    data = measurement(density, density, sigma_um=0.03 * 30 * PIXEL_UM, rng=rng)
    result = reconstruct_deviation(data, solver=SOLVER, reference_tm_o=1.0, start=None, with_metals=False)

    def again(noisy: ColumnDensities, start: Composition) -> Composition:
        return reconstruct_deviation(noisy, solver=SOLVER, reference_tm_o=1.0, start=start, with_metals=False)

    null = replicate(uniform_composition(result), data, psf_px=SOLVER.psf_px, solve=again, rng=rng)
    inside = (density > 0.99) & np.isfinite(null)
    assert (np.abs(null[inside]) <= 0.05).mean() > 0.97
    sigma = deviation_sigma([null], np.zeros_like(null), result.particle, smoothing_px=2.0)
    assert 0 < np.nanmedian(sigma) < 0.05


def test_expected_sinograms_follow_the_composition() -> None:
    density = particle_density()
    composition = Composition(
        elements=density[None],
        difference=0.2 * density,
        deviation=np.zeros_like(density),
        particle=density > 0.5,
        total=density,
        reference_tm_o=1.1,
    )
    data = measurement(density, density, sigma_um=1e-3, rng=None)
    oxygen, metal = expected_sinograms(composition, data, psf_px=0.0)
    np.testing.assert_allclose(metal, 1.3 * oxygen, rtol=1e-4, atol=1e-6)
    blurred, _ = expected_sinograms(composition, data, psf_px=0.8)
    # The point spread is integrated over the pixel, which adds its variance of 1/12; cut off at 3 σ, that is 0.3 % of it.
    width = np.sqrt(0.8**2 + 1 / 12)
    smooth = scipy.ndimage.gaussian_filter(oxygen, (0, width, width), mode="constant")
    assert np.abs(blurred - smooth).max() < 0.01 * oxygen.max()
    assert np.abs(blurred - oxygen).max() > 0.05 * oxygen.max()


def test_deviation_is_the_quotient_with_a_floor_under_oxygen() -> None:
    oxygen = np.array([1.0, 0.5, 0.01, 1.0], np.float32).reshape(4, 1, 1)
    difference = np.full((4, 1, 1), 0.1, np.float32)
    particle = np.array([True, True, True, False]).reshape(4, 1, 1)
    deviation = deviation_of_difference(difference, oxygen, particle, reference_tm_o=2.0)
    np.testing.assert_allclose(deviation[:3, 0, 0], [0.05, 0.1, 0.1 / (2 * 0.2 * 0.5)])
    assert np.isnan(deviation[3])
    with pytest.raises(InputError, match="positive oxygen density"):
        deviation_of_difference(difference, 0 * oxygen, particle, reference_tm_o=1.0)


def test_volumes_on_disk_give_the_same_composition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Fields in files, slabs of a few rows: the same numbers as in memory, and replicates of them too."""
    density = particle_density()
    data = measurement(density, 1.1 * density, sigma_um=0.03 * 30 * PIXEL_UM, rng=rng)
    solver = replace(SOLVER, iterations=8, element_iterations=8)

    def run() -> tuple[Composition, np.ndarray]:
        def solve(data: ColumnDensities, start: Composition | None) -> Composition:
            return reconstruct_deviation(
                data, solver=solver, reference_tm_o=None, start=start, with_metals=start is None
            )

        found = solve(data, None)
        random = np.random.default_rng(5)
        null = replicate(uniform_composition(found), data, psf_px=0.8, solve=solve, rng=random)
        one = np.asarray(null[:])
        return found, np.asarray(
            deviation_sigma([null], found.deviation, found.particle, smoothing_px=2.0)[:]
        ) + np.nan_to_num(one)

    whole, noise = run()
    monkeypatch.setattr("oxytomo.slabs.SLAB_VOXELS", 1)
    monkeypatch.setattr("oxytomo.slabs.FEWEST_ROWS", 12)
    monkeypatch.setattr("oxytomo.io.scratch.FIELD_BYTES", 0)
    with scratch_fields(tmp_path / "x.zarr"):
        parts, noise_of_parts = run()
        for name in ("elements", "difference", "deviation", "particle", "total"):
            assert isinstance(getattr(parts, name), ScratchField)
            np.testing.assert_array_equal(getattr(parts, name)[:], getattr(whole, name), err_msg=name)
    assert parts.reference_tm_o == whole.reference_tm_o
    np.testing.assert_array_equal(noise_of_parts, noise)


@pytest.mark.parametrize("cut", [0, 1])
def test_a_first_look_at_half_resolution_finds_the_same_particle(
    cut: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Also with a row and a column left over, which only the first look drops."""
    density = particle_density(25 - cut)[:, cut:, cut:]
    data = measurement(density, density, sigma_um=0.03 * 30 * PIXEL_UM, rng=rng)
    run = partial(
        reconstruct_deviation, data, solver=SOLVER, reference_tm_o=1.0, start=None, with_metals=False
    )
    fine = run()
    monkeypatch.setattr("oxytomo.composition.first_look.COARSE_COLUMNS", 16)
    coarse = run()
    # The support differs at its rim, and the iterations start elsewhere; both end within 3 % of the gradient's noise.
    assert dice(coarse.particle, fine.particle) > 0.99
    both = coarse.particle & fine.particle
    assert np.sqrt(np.mean((coarse.total - fine.total)[both] ** 2)) < 0.01
    assert np.abs((coarse.deviation - fine.deviation)[both]).mean() < 0.002


def test_halved_rays_keep_the_line_integral(rng: np.random.Generator) -> None:
    values = np.full((2, 5, 7), 12.0, np.float32)
    weights = rng.uniform(1, 2, values.shape).astype(np.float32)
    weights[0, :2, :2] = 0
    small, weight = halved_rays(values, weights)
    assert small.shape == weight.shape == (2, 2, 3)
    assert small[0, 0, 0] == weight[0, 0, 0] == 0
    # 12 pixels of length are 6 of twice the size; four rays of variance 1/w make one of variance 1/(4 · 4 w) in those.
    np.testing.assert_allclose(small[1], 6)
    np.testing.assert_allclose(weight[1, 1, 2], 4 * weights[1, 2:4, 4:6].sum(), rtol=1e-6)


def test_long_volumes_are_projected_in_parts_without_seams(rng: np.random.Generator) -> None:
    volume = rng.random((SLICES + 40, 12, 12), dtype=np.float32)
    parts = project(volume, TILTS[:5], psf_px=0.8)
    geometry = TiltGeometry.square(TILTS[:5], 12)
    whole = projections_from_blocks(
        blur(forward(to_blocks(volume), geometry), gaussian_taps(0.8)), len(volume)
    )
    np.testing.assert_allclose(
        parts, whole, rtol=1e-5
    )  # other widths of blocks: float32 sums in another order


def test_mode_is_that_of_the_majority(rng: np.random.Generator) -> None:
    values = np.concatenate([rng.normal(0.03, 0.01, 8000), rng.normal(0.2, 0.02, 2000)]).astype(np.float32)
    assert mode_of(values) == pytest.approx(0.03, abs=2e-3)
    assert mode_of(np.full(10, 0.25, np.float32)) == pytest.approx(0.25)
    assert mode_of(np.zeros(0, np.float32)) == 0.0


def test_signals_are_scaled_to_densities_of_about_one() -> None:
    density = particle_density()
    counts = np.stack([40 * project(density, TILTS), 10 * project(density, TILTS)])
    areal, covariance, totals = scale_signals(counts, counts, pixel_um=PIXEL_UM)
    np.testing.assert_allclose(areal[0], areal[1], rtol=1e-5)
    np.testing.assert_allclose(totals, [0.8, 0.2], rtol=1e-5)
    truth = project(density, TILTS) * PIXEL_UM
    # The mean chord of a ball stands for that of any particle: right within its departure from a ball.
    assert areal[0].sum() / truth.sum() == pytest.approx(1, abs=0.35)
    assert (covariance[1] == 0).all()
    with pytest.raises(InputError, match="positive signal of every element"):
        scale_signals(np.stack([counts[0], 0 * counts[1]]), counts, pixel_um=PIXEL_UM)
