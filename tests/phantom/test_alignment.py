"""Known shifts recovered: registration of pairs, of tilt series, the tilt axis, and the one resampling."""

import numpy as np
import pytest

from oxytomo.align.axis import find_axis
from oxytomo.align.energies import FixedFrames, register_energies
from oxytomo.align.matching import match_projections
from oxytomo.align.register import coarse_shifts, fill_invalid
from oxytomo.align.resample import resample
from oxytomo.align.starts import background_free, centre_of_mass_shifts, vertical_shifts

N_Y, N_X = 48, 64
TILTS = np.arange(-64.0, 65.0, 4.0)
BLOBS = [  # z, y, x, width, amount; nothing symmetric
    (22.0, 3.0, -7.0, 5.0, 1.0),
    (27.0, -6.0, 6.0, 3.5, 0.8),
    (17.0, 1.0, 4.0, 4.0, 0.6),
]


def projections(
    tilt_deg: np.ndarray, dy: np.ndarray, dx: np.ndarray, *, axis_offset: float = 0.0
) -> np.ndarray:
    """Exact projections of Gaussian blobs, content moved by (dy, dx): (n_tilt, N_Y, N_X) float32."""
    theta = np.deg2rad(tilt_deg)[:, None, None]
    y = np.arange(N_Y)[None, :, None] - dy[:, None, None]
    x = np.arange(N_X)[None, None, :] - (N_X - 1) / 2 - axis_offset - dx[:, None, None]
    total = np.zeros((tilt_deg.size, N_Y, N_X))
    for bz, by, bx, width, amount in BLOBS:
        s = bx * np.cos(theta) + by * np.sin(theta)
        total += amount * np.exp(-((y - bz) ** 2 + (x - s) ** 2) / (2 * width**2))
    return total.astype(np.float32)


def unobservable_removed(error: np.ndarray, tilt_deg: np.ndarray) -> np.ndarray:
    """Shift errors less a global translation of the volume: (dy, dx) residuals."""
    theta = np.deg2rad(tilt_deg)
    basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    fit = basis @ np.linalg.lstsq(basis, error[:, 1], rcond=None)[0]
    return np.stack([error[:, 0] - error[:, 0].mean(), error[:, 1] - fit], axis=1)


def test_registration_finds_a_subpixel_shift_between_different_contrasts(rng: np.random.Generator) -> None:
    n = 6
    shift = rng.uniform(-9, 9, (n, 2))
    tilts = np.linspace(-40, 40, n)
    reference = projections(tilts, np.zeros(n), np.zeros(n))
    moved = 0.4 * projections(tilts, shift[:, 0], shift[:, 1]) + 0.1
    noisy = moved + rng.normal(0, 0.01, moved.shape).astype(np.float32)
    registered = register_energies(noisy, FixedFrames(reference, 1.0), max_shift_px=15, chemistry=True)
    found, residual = registered.shifts, registered.residual
    # Cramér–Rao: noise over contrast (0.01 / 0.4) / sqrt(Σ gradient²) with Σ gradient² ≈ 6 px⁻²: 0.010 px.
    assert np.sqrt(np.mean((found - shift) ** 2)) < 0.03
    assert residual.max() < 0.2


def test_registration_ignores_a_fixed_pattern_that_does_not_move(rng: np.random.Generator) -> None:
    shift = np.array([[-10.0, -6.0]])
    pattern = rng.normal(0, 0.03, (1, N_Y, N_X)).astype(np.float32)
    reference = projections(np.zeros(1), np.zeros(1), np.zeros(1)) + pattern
    moved = projections(np.zeros(1), shift[:, 0], shift[:, 1]) + pattern
    found = register_energies(moved, FixedFrames(reference, 1.5), max_shift_px=20, chemistry=True).shifts
    np.testing.assert_allclose(found, shift, atol=0.1)


def test_coarse_shift_is_within_a_pixel() -> None:
    shift = np.array([[4.0, -7.0]])
    fixed = projections(np.zeros(1), np.zeros(1), np.zeros(1))
    moving = projections(np.zeros(1), shift[:, 0], shift[:, 1])
    np.testing.assert_allclose(coarse_shifts(moving, fixed, max_shift_px=12), shift, atol=1.0)


def test_tilt_series_with_jitter_is_aligned(rng: np.random.Generator) -> None:
    dy, dx = rng.uniform(-4, 4, (2, TILTS.size))
    offset = 2.3
    frames = projections(TILTS, dy, dx, axis_offset=offset)
    frames += rng.normal(0, 0.01, frames.shape).astype(np.float32)
    clean = background_free(frames)
    start = np.zeros((TILTS.size, 2))
    start[:, 0] = vertical_shifts(clean, max_shift_px=10, rounds=4)
    start[:, 1] = centre_of_mass_shifts(clean, TILTS)
    result = match_projections(
        clean, TILTS, start, rounds=6, sirt_iterations=15, max_shift_px=12, sigma_px=1.0
    )
    truth = np.stack([dy, dx + offset], axis=1)
    error = unobservable_removed(result.shifts - truth, TILTS)
    rms_y, rms_x = np.sqrt((error**2).mean(axis=0))
    # Issue figures: 0.15 px vertical, 0.25 px horizontal.
    assert rms_y < 0.05
    assert rms_x < 0.10


def test_one_bad_frame_does_not_pull_the_others(rng: np.random.Generator) -> None:
    dy, dx = rng.uniform(-3, 3, (2, TILTS.size))
    frames = projections(TILTS, dy, dx)
    frames[7] = rng.normal(0, 0.3, frames[7].shape)
    clean = background_free(frames)
    vertical = vertical_shifts(clean, max_shift_px=8, rounds=4)
    good = np.arange(TILTS.size) != 7
    error = (vertical - dy)[good]
    assert np.std(error) < 0.05


@pytest.mark.parametrize("offset", [-4.6, 0.0, 3.2])
def test_axis_is_found_without_a_180_degree_pair(offset: float) -> None:
    none = np.zeros(TILTS.size)
    frames = projections(TILTS, none, none, axis_offset=offset)
    axis, tried, misfit = find_axis(frames, TILTS, max_shift_px=10, iterations=12)
    assert axis == pytest.approx((N_X - 1) / 2 + offset, abs=0.1)
    assert tried.size == misfit.size


def test_resampling_undoes_shift_and_magnification() -> None:
    tilt = np.array([0.0, 20.0])
    dy, dx = np.array([1.37, -2.2]), np.array([-0.61, 3.4])
    raw = projections(tilt, dy, dx)
    variance = np.full_like(raw, 0.04)
    value, out = resample(
        raw, variance, dy_px=dy, dx_px=dx, magnification=1.0, rotation_deg=0.0, shape=(N_Y, N_X)
    )
    still = projections(tilt, np.zeros(2), np.zeros(2))
    middle = np.s_[:, 8:-8, 8:-8]
    # Fourth-order kernel on a Gaussian of 3.5 px: error of order (1/3.5)⁴ / 40 of the amplitude.
    np.testing.assert_allclose(value[middle], still[middle], atol=1e-3)
    np.testing.assert_allclose(out[middle], 0.04, rtol=1e-5)
    assert np.isnan(value[1, :, -1]).all()
    assert np.isinf(out[1, :, -1]).all()


def test_resampling_scales_about_the_middle_and_rotates_as_stated() -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    raw = np.exp(-((y - 6) ** 2 + (x - 2) ** 2) / 8)[None].astype(np.float32)
    none = np.zeros(1)
    value, _ = resample(
        raw,
        np.ones_like(raw),
        dy_px=none,
        dx_px=none,
        magnification=0.8,
        rotation_deg=0.0,
        shape=(41, 41),
    )
    filled = np.nan_to_num(value[0])
    # 0.8 raw pixels per output pixel: content at (6, 2) raw sits at (7.5, 2.5).
    assert (filled * y).sum() / filled.sum() == pytest.approx(7.5, abs=0.02)
    assert (filled * x).sum() / filled.sum() == pytest.approx(2.5, abs=0.02)
    turned, _ = resample(
        raw,
        np.ones_like(raw),
        dy_px=none,
        dx_px=none,
        magnification=1.0,
        rotation_deg=90.0,
        shape=(41, 41),
    )
    filled = np.nan_to_num(turned[0])
    # Output (y, x) is read at raw (−x, y): raw (6, 2) comes from output y = 2, x = −6.
    assert (filled * y).sum() / filled.sum() == pytest.approx(2, abs=0.02)
    assert (filled * x).sum() / filled.sum() == pytest.approx(-6, abs=0.02)


def test_resampling_never_invents_near_an_invalid_pixel() -> None:
    raw = np.ones((1, 20, 20), np.float32)
    raw[0, 10, 10] = np.nan
    variance = np.where(np.isnan(raw), np.inf, 1).astype(np.float32)
    half = np.array([0.5])
    value, out = resample(
        raw, variance, dy_px=half, dx_px=half, magnification=1.0, rotation_deg=0.0, shape=(20, 20)
    )
    # Read half way between four raw pixels: the four output pixels that touch (10, 10) are gone.
    assert np.isnan(value[0, 9:11, 9:11]).all()
    assert np.isinf(out[0, 9:11, 9:11]).all()
    np.testing.assert_allclose(value[0, 4:8, 4:8], 1, atol=1e-5)


def test_invalid_pixels_are_filled_for_looking_only() -> None:
    frames = np.full((1, 9, 9), 3.0, np.float32)
    frames[0, 4, 4] = np.nan
    filled = fill_invalid(frames)
    assert filled[0, 4, 4] == pytest.approx(3.0)
    assert np.isnan(frames[0, 4, 4])
