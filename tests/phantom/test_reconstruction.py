"""Reconstructions of analytic discs and ellipses: units, bias, backends."""

import numpy as np
import pytest
from discs import HALF_TURN, WEDGE, N, disc_projections, inside

from oxytomo.reconstruct import total_variation as solver
from oxytomo.reconstruct.blocks import from_blocks, projections_from_blocks, sinogram_blocks, to_blocks
from oxytomo.reconstruct.blur import blur, gaussian_taps
from oxytomo.reconstruct.denoising import _STEP as STEP
from oxytomo.reconstruct.denoising import ROWS, Denoiser
from oxytomo.reconstruct.fbp import (
    MANY_TILTS,
    filter_projections,
    filtered_backprojection,
    ramp_response,
)
from oxytomo.reconstruct.geometry import TiltGeometry, tilt_weights_rad
from oxytomo.reconstruct.projector import backproject_linear, forward
from oxytomo.reconstruct.sirt import sirt
from oxytomo.reconstruct.total_variation import bounding_box, gradient_noise, solver_slabs, total_variation


def test_fbp_is_quantitative_over_a_half_turn() -> None:
    volume = filtered_backprojection(disc_projections(HALF_TURN), TiltGeometry.square(HALF_TURN, N))
    assert volume[0][inside(radius=20)].mean() == pytest.approx(1, abs=2e-3)
    assert (
        np.abs(volume[0][~inside(radius=30) & (np.hypot(*np.mgrid[-47.5:48.5, -47.5:48.5]) < 45)]).max()
        < 0.06
    )


def test_fbp_of_a_wedge_keeps_the_share_of_angles_it_saw() -> None:
    volume = filtered_backprojection(disc_projections(WEDGE), TiltGeometry.square(WEDGE, N))
    # 66 tilts in 2° steps stand for 132° of 180°; the middle of a disc sees the mean over angles.
    assert volume[0][inside(radius=8)].mean() == pytest.approx(132 / 180, abs=0.02)


def test_fbp_is_linear(rng: np.random.Generator) -> None:
    geometry = TiltGeometry.square(WEDGE, 32)
    a, b = (rng.standard_normal((WEDGE.size, 2, 32), dtype=np.float32) for _ in range(2))
    both = filtered_backprojection(a + 2 * b, geometry)
    apart = filtered_backprojection(a, geometry) + 2 * filtered_backprojection(b, geometry)
    np.testing.assert_allclose(both, apart, atol=1e-5)


def test_many_tilts_by_gridding_agree_with_back_projection() -> None:
    tilt_deg = np.arange(0.0, 180.0, 0.9) - 7
    theta = np.deg2rad(tilt_deg)[:, None]
    s = np.arange(60)[None] - 27.4
    blobs = np.stack(
        [
            np.exp(-((s - a * np.cos(theta) - b * np.sin(theta)) ** 2) / (2 * 4**2))
            for a, b in ((3, 2), (-9, 5), (0, -12))
        ],
        axis=1,
    ).astype(np.float32)
    geometry = TiltGeometry(tilt_deg, 60, 27.4, 44, 53, 20.0, 26.5)
    assert geometry.n_tilt >= MANY_TILTS
    gridded = filtered_backprojection(blobs, geometry)
    filtered = filter_projections(blobs, tilt_weights_rad(tilt_deg))
    interpolated = from_blocks(backproject_linear(sinogram_blocks(filtered), geometry), 3)
    # Linear interpolation lowers a blob of 4 px by up to 1/(8·4²) = 0.8 %, and its ramp-filtered projections by twice that.
    assert np.abs(gridded - interpolated).max() < 0.016 * gridded.max()
    y, x = np.mgrid[:44, :53]
    truth = np.exp(-((x - 26.5 + 9) ** 2 + (y - 20 - 5) ** 2) / (2 * 4**2)) / (np.sqrt(2 * np.pi) * 4)
    assert np.abs(gridded[1] - truth).max() < 2e-3 * truth.max()


def test_many_tilts_are_quantitative_and_linear(rng: np.random.Generator) -> None:
    tilt_deg = np.arange(0.0, 180.0, 0.75)
    geometry = TiltGeometry.square(tilt_deg, N)
    disc = disc_projections(tilt_deg)
    noise = rng.standard_normal(disc.shape, dtype=np.float32)
    volume = filtered_backprojection(disc, geometry)
    assert volume[0][inside(radius=20)].mean() == pytest.approx(1, abs=2e-3)
    both = filtered_backprojection(disc + noise, geometry)
    # The transform is accurate to 1e-4 of its largest value.
    np.testing.assert_allclose(both, volume + filtered_backprojection(noise, geometry), atol=1e-3)


def test_ramp_has_the_slope_of_a_ramp_and_the_right_mean() -> None:
    response = ramp_response(512)
    frequency = np.arange(257) / 512
    np.testing.assert_allclose(response[20:200], frequency[20:200], rtol=2e-3)
    # The sampled kernel keeps a little at zero frequency: 1/4 less the sum of the odd terms that fit.
    assert 0 < response[0] < 2 / (np.pi**2 * 256)


def test_sirt_converges_to_the_disc() -> None:
    volume = sirt(
        disc_projections(HALF_TURN), TiltGeometry.square(HALF_TURN, N), iterations=80, nonnegative=True
    )
    assert volume[0][inside(radius=20)].mean() == pytest.approx(1, abs=5e-3)
    assert volume.min() >= 0


@pytest.mark.slow
def test_tv_recovers_a_disc_from_a_wedge_where_fbp_cannot() -> None:
    projections, geometry = disc_projections(WEDGE), TiltGeometry.square(WEDGE, N)
    weights = np.ones_like(projections)
    result = total_variation(
        projections,
        weights,
        geometry,
        support=np.ones((1, N, N), bool),
        psf_px=0.0,
        tv_weight=2.0,
        l1_weight=0.0,
        nonnegative=True,
        iterations=300,
        tolerance=1e-6,
    )
    truth = inside(radius=25).astype(np.float32)
    fbp = filtered_backprojection(projections, geometry)[0]
    error, fbp_error = (np.sqrt(np.mean((v - truth) ** 2)) for v in (result.volume[0], fbp))
    assert error < 0.09  # the partial pixels of the rim alone make 0.06
    assert error < fbp_error / 2


def noisy_ball(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, TiltGeometry, np.ndarray]:
    """Projections of a ball of density 1, blurred by 0.8 px, with a noise of 0.5, their weights, the scan, and a support."""
    z, y, x = np.mgrid[:40, :N, :N]
    distance = np.sqrt((z - 19.5) ** 2 + (y - (N - 1) / 2) ** 2 + (x - (N - 1) / 2) ** 2)
    geometry = TiltGeometry.square(WEDGE, N)
    sinogram = forward(to_blocks((distance < 14).astype(np.float32)), geometry)
    clean = projections_from_blocks(blur(sinogram, gaussian_taps(0.8)), 40)
    noisy = clean + 0.5 * rng.standard_normal(clean.shape, dtype=np.float32)
    return noisy, np.full_like(noisy, 4.0), geometry, distance < 18


def test_the_step_follows_from_a_bound_on_the_largest_eigenvalue(rng: np.random.Generator) -> None:
    n, geometry = 20, TiltGeometry.square(np.arange(-60.0, 61.0, 10.0), 20)
    weights = rng.uniform(0.5, 2, (geometry.n_tilt, 1, n)).astype(np.float32)
    support = inside(radius=25)[::5, ::5][:n, :n][None]
    columns = []
    for pixel in range(n * n):
        unit = np.zeros((1, n, n), np.float32)
        unit.ravel()[pixel] = 1
        columns.append(projections_from_blocks(forward(to_blocks(unit * support), geometry), 1).ravel())
    matrix = np.array(columns, np.float64).T
    exact = np.linalg.eigvalsh(matrix.T @ (weights.ravel()[:, None] * matrix))[-1]
    bound = solver.largest_eigenvalue(
        sinogram_blocks(weights), to_blocks(support.astype(np.float32)), geometry, np.ones(1, np.float32)
    )
    assert exact <= bound < 1.1 * exact  # 4 power iterations leave a few percent


def test_tv_ends_when_the_conditions_of_the_minimum_are_met(rng: np.random.Generator) -> None:
    projections, weights, geometry, support = noisy_ball(rng)
    noise = gradient_noise(weights, geometry, support)
    settings = {"support": support, "psf_px": 0.8, "tv_weight": noise, "l1_weight": 0.0, "nonnegative": True}
    ended = total_variation(
        projections, weights, geometry, iterations=500, tolerance=0.05 * noise, **settings
    )
    assert ended.reached.iterations < 200
    assert ended.reached.residual < 0.05 * noise
    assert ended.reached.misfit == pytest.approx(1, abs=0.05)
    longer = total_variation(projections, weights, geometry, iterations=400, tolerance=0.0, **settings)
    assert longer.reached.iterations == 400
    assert np.sqrt(np.mean((longer.volume - ended.volume)[support] ** 2)) < 0.01


def test_slabs_show_no_seams(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    projections, weights, geometry, support = noisy_ball(rng)
    noise = gradient_noise(weights, geometry, support)

    def solve() -> solver.TotalVariationResult:
        return total_variation(
            projections,
            weights,
            geometry,
            support=support,
            psf_px=0.8,
            tv_weight=noise,
            l1_weight=0.0,
            nonnegative=True,
            iterations=150,
            tolerance=0.0,
        )

    whole = solve()
    monkeypatch.setattr(solver, "SLAB_BYTES", 30 * solver.STATE_BYTES * 36 * 36)
    parts = solver_slabs(bounding_box(support)[2], solver.STATE_BYTES * 36 * 36)
    assert len(parts) == 3
    cut = solve()
    # Seams have to vanish beside the error that noise makes in the whole.
    z, y, x = np.mgrid[:40, :N, :N]
    ball = np.sqrt((z - 19.5) ** 2 + (y - (N - 1) / 2) ** 2 + (x - (N - 1) / 2) ** 2) < 14
    error = np.sqrt(np.mean((whole.volume - ball)[support] ** 2))
    difference = cut.volume - whole.volume
    assert np.sqrt(np.mean(difference[support] ** 2)) < 0.05 * error
    for core, _ in parts[1:]:
        seam = slice(core.start - 1, core.start + 1)
        assert np.sqrt(np.mean(difference[seam][support[seam]] ** 2)) < 0.1 * error


def test_slabs_cover_all_slices_once() -> None:
    per_slice = solver.SLAB_BYTES // 50
    parts = solver_slabs(slice(3, 240), per_slice)
    assert [z for core, _ in parts for z in range(core.start, core.stop)] == list(range(3, 240))
    assert all(around.stop - around.start <= 51 for _, around in parts)
    assert all(
        around.start == max(3, core.start - solver.HALO) and around.stop == min(240, core.stop + solver.HALO)
        for core, around in parts
    )
    assert solver_slabs(slice(3, 40), per_slice) == [(slice(3, 40), slice(3, 40))]


def test_tv_ignores_values_without_weight(rng: np.random.Generator) -> None:
    projections, geometry = disc_projections(WEDGE), TiltGeometry.square(WEDGE, N)
    weights = np.ones_like(projections)
    bad = rng.random(projections.shape) < 0.05
    weights[bad] = 0
    spoiled = np.where(bad, np.float32(1e4), projections)
    settings = {
        "support": np.ones((1, N, N), bool),
        "psf_px": 0.0,
        "tv_weight": 2.0,
        "l1_weight": 0.0,
        "nonnegative": True,
        "iterations": 40,
        "tolerance": 0.0,
    }
    clean = total_variation(np.where(bad, 0, projections), weights, geometry, **settings).volume
    np.testing.assert_array_equal(total_variation(spoiled, weights, geometry, **settings).volume, clean)


def test_tv_stays_inside_its_support_and_l1_silences_noise(rng: np.random.Generator) -> None:
    geometry = TiltGeometry.square(WEDGE, N)
    noise = rng.standard_normal((WEDGE.size, 1, N), dtype=np.float32)
    support = inside(radius=25)[None]
    weights = np.ones_like(noise)
    level = gradient_noise(weights, geometry, support)
    quiet = total_variation(
        noise,
        weights,
        geometry,
        support=support,
        psf_px=0.0,
        tv_weight=level,
        l1_weight=6 * level,
        nonnegative=False,
        iterations=30,
        tolerance=0.0,
    )
    assert np.count_nonzero(quiet.volume) == 0
    loud = total_variation(
        noise,
        weights,
        geometry,
        support=support,
        psf_px=0.0,
        tv_weight=0.0,
        l1_weight=0.0,
        nonnegative=False,
        iterations=30,
        tolerance=0.0,
    )
    assert np.count_nonzero(loud.volume[~support]) == 0
    assert np.count_nonzero(loud.volume[support]) > 1000


def test_gradient_noise_is_what_white_noise_gives(rng: np.random.Generator) -> None:
    from oxytomo.reconstruct.blocks import from_blocks, sinogram_blocks
    from oxytomo.reconstruct.projector import adjoint

    geometry = TiltGeometry.square(WEDGE, N)
    n_z = 40
    weights = np.full((WEDGE.size, n_z, N), 4.0, np.float32)
    noise = rng.standard_normal(weights.shape, dtype=np.float32) / 2  # variance 1/4 = 1/weight
    gradient = from_blocks(adjoint(sinogram_blocks(weights * noise), geometry), n_z)
    support = np.broadcast_to(inside(radius=25), gradient.shape)
    # 2/3 stands for the mean square of the two interpolation weights; Joseph's are 3 % to 6 % larger at steep tilts.
    assert gradient_noise(weights, geometry, support.copy()) == pytest.approx(
        gradient[support].std(), rel=0.1
    )


def test_denoise_known_answer_of_a_step() -> None:
    """TV of a two-level line: each plateau moves towards the other by λ / its length."""
    line = np.zeros((1, 1, 20, 64), np.float32)
    line[0, 0, :5, 0] = 1
    inside_blocks = np.zeros_like(line)
    inside_blocks[..., 0] = 1
    result = np.zeros_like(line)
    Denoiser(inside_blocks).denoise(
        line, result, tv_weight=0.5, l1_weight=0.0, nonnegative=False, iterations=4000
    )
    np.testing.assert_allclose(result[0, 0, :5, 0], 1 - 0.5 / 5, atol=2e-3)
    np.testing.assert_allclose(result[0, 0, 5:, 0], 0.5 / 15, atol=2e-3)


def test_denoise_couples_slices_across_the_seam_of_blocks() -> None:
    column = np.zeros((2, 1, 1, 64), np.float32)
    column[1] = 1  # a step exactly at the seam
    result = np.zeros_like(column)
    Denoiser(np.ones_like(column)).denoise(
        column, result, tv_weight=6.4, l1_weight=0.0, nonnegative=False, iterations=6000
    )
    # λ/64 = 0.1 off each plateau; the dual iteration is within 1 % of it after 6000 steps.
    np.testing.assert_allclose(result[0].mean(), 0.1, atol=5e-3)
    np.testing.assert_allclose(result[1].mean(), 0.9, atol=5e-3)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_denoise_is_the_method_written_out(rng: np.random.Generator, nonnegative: bool) -> None:
    """Two blocks, rows of several chunks, a support with a hole and an empty line, against the equations in NumPy."""
    n_z, n_y, n_x, steps = 2 * 48, ROWS + 9, 11, 7
    noisy = rng.standard_normal((n_z, n_y, n_x)).astype(np.float32) * np.float32(0.3)
    mask = np.ones((n_z, n_y, n_x), np.float32)
    mask[:, 3, 4] = mask[:20, 8] = mask[70:, :, 2] = mask[40:60, 5:9, 5:8] = 0
    limit, threshold = 0.07, 0.02

    def image(dual: np.ndarray) -> np.ndarray:
        value = noisy.astype(float)
        for axis in range(3):
            value += dual[axis] - np.roll(dual[axis], 1, axis)  # the last of each axis is 0
        value = np.sign(value) * np.maximum(np.abs(value) - threshold, 0)
        return (np.maximum(value, 0) if nonnegative else value) * mask

    dual = np.zeros((3, *noisy.shape))
    for _ in range(steps):
        now = image(dual)
        for axis in range(3):
            both = mask * np.roll(mask, -1, axis)
            both[(slice(None),) * axis + (-1,)] = 0
            dual[axis] = (dual[axis] + (np.roll(now, -1, axis) - now) * STEP) * both
        dual /= np.maximum(1, np.sqrt((dual**2).sum(axis=0)) / limit)

    def blocks(volume: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(volume.reshape(2, 48, n_y, n_x).transpose(0, 2, 3, 1))

    result = blocks(np.zeros_like(noisy))
    Denoiser(blocks(mask)).denoise(
        blocks(noisy),
        result,
        tv_weight=limit,
        l1_weight=threshold,
        nonnegative=nonnegative,
        iterations=steps,
    )
    # float32 sums of ten terms near 1
    np.testing.assert_allclose(result, blocks(image(dual)), atol=2e-6)


def test_bounding_box_of_an_empty_support_is_one_voxel() -> None:
    assert bounding_box(np.zeros((3, 4, 5), bool)) == (slice(0, 1), slice(0, 1), slice(0, 1))
    mask = np.zeros((3, 4, 5), bool)
    mask[1, 2, 3] = mask[2, 2, 1] = True
    assert bounding_box(mask) == (slice(2, 3), slice(1, 4), slice(1, 3))
