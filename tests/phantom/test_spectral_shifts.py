"""Shifts between energies from spectra: blind to chemistry, and found beside it."""

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.align.series import Solution, shifted
from oxytomo.align.spectral_shifts import energy_shifts, shifts_between_energies, spectral_moment
from oxytomo.preprocess.averaged_rays import averaged_rays

# Attenuation of an oxide and of carbon at eight energies, 1/µm, rounded from tables.
METAL = np.array([0.3, 0.3, 0.3, 2.4, 2.2, 2.2, 1.9, 2.2])
OXYGEN = np.array([0.2, 3.1, 2.2, 2.1, 1.3, 1.3, 1.1, 1.0])
CARBON = np.array([2.1, 2.0, 1.3, 1.2, 0.8, 0.7, 0.6, 0.5])
PHOTONS = 2e4
N_TILT = 6


def frames(rng, *, clump: bool, gradient: float, shifts: np.ndarray | None):  # type: ignore[no-untyped-def]
    """Aligned optical densities of a ball, (8, 6, 72, 90), with chemistry beside it and within, and shifts (8, 6, 2)."""
    y, x = np.indices((72, 90)).astype(float)
    value = np.empty((8, N_TILT, 72, 90))
    for t in range(N_TILT):
        depth = np.sqrt(np.maximum(24**2 - (y - 36) ** 2 - (x - 45) ** 2, 0)) / 24 * 0.55
        carbon = np.zeros_like(depth)
        if clump:
            centre = 45 + 22 * np.cos(0.4 * t)
            carbon = 0.25 * np.sqrt(np.maximum(1 - ((y - 52) ** 2 + (x - centre) ** 2) / 64, 0))
        tilted = 1 + gradient * (x - 45) / 24
        for e in range(8):
            density = (METAL[e] * tilted + OXYGEN[e]) * depth + CARBON[e] * carbon
            blurred = -np.log(scipy.ndimage.gaussian_filter(np.exp(-density), 1.0))
            if shifts is not None:
                blurred = scipy.ndimage.shift(blurred, shifts[e, t], order=5)
            counts = rng.poisson(PHOTONS * np.exp(-blurred))
            value[e, t] = -np.log(counts / PHOTONS)
    return value.astype(np.float32), (np.exp(value) / PHOTONS).astype(np.float32)


@pytest.mark.slow
def test_a_carbon_clump_and_a_gradient_are_no_shift(rng):
    value, variance = frames(rng, clump=True, gradient=0.15, shifts=None)
    assert shifts_between_energies(value, variance) is None


def test_shifts_are_found_beside_a_carbon_clump_and_a_gradient(rng):
    true = np.zeros((8, N_TILT, 2))
    true[0] = (0.2, -0.25)
    true[4] = (-0.1, 0.15)
    value, variance = frames(rng, clump=True, gradient=0.15, shifts=true)
    found = shifts_between_energies(value, variance)
    assert found is not None
    departure = true - true.mean(axis=0)
    moved = np.abs(found.shift_px).max(axis=(1, 2)) > 0
    assert moved[[0, 4]].all()
    error = (found.shift_px - departure)[moved]
    # Stated errors are 0.005 to 0.02 px; the mean over all energies takes part in every one.
    assert np.sqrt((error**2).mean()) < 0.05
    assert np.sqrt((departure[moved] ** 2).mean()) > 0.08


def test_errors_hold_the_noise(rng):
    value, variance = frames(rng, clump=False, gradient=0.0, shifts=None)
    moment = spectral_moment(averaged_rays(value, variance))
    found = [energy_shifts(value[:, t], variance[:, t], moment) for t in range(N_TILT)]
    scaled = np.array([f.shift_px / f.error_px for f in found])
    # 96 values of a standard normal, with the floor of 0.005 px in the errors: rms 1 or less, never above 1.3
    assert np.sqrt((scaled**2).mean()) < 1.3
    assert all((f.error_px < 0.03).all() for f in found)


def test_too_few_energies_or_rays_tell_nothing(rng):
    value, variance = frames(rng, clump=False, gradient=0.0, shifts=None)
    assert shifts_between_energies(value[:3], variance[:3]) is None
    empty = np.zeros((8, 2, 40, 40), np.float32)
    assert shifts_between_energies(empty, np.full_like(empty, 1e-4)) is None


def test_a_solution_moves_by_aligned_pixels_in_the_raw_frame():
    solution = Solution(np.zeros((1, 2)), np.zeros((1, 2)), np.array([1.5]), 90.0)
    moved = shifted(solution, np.array([[[1.0, 0.0]]]), np.array([False, True]))
    # the lean of 90 degrees takes a step along rows to one along columns, 1.5 raw pixels an aligned one
    np.testing.assert_allclose(moved.dy_px, [[0, 0]], atol=1e-12)
    np.testing.assert_allclose(moved.dx_px, [[0, 1.5]])
