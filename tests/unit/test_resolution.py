"""Fourier shell correlation against volumes whose answer is known."""

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.composition.noise import project
from oxytomo.errors import ShapeError
from oxytomo.measure.resolution import fourier_shell_correlation, tilt_series_resolution
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry


def signal(rng: np.random.Generator, n: int = 48) -> np.ndarray:
    """White signal inside a ball."""
    z, y, x = np.mgrid[:n, :n, :n] - (n - 1) / 2
    return (rng.normal(0, 1, (n, n, n)) * (np.sqrt(z**2 + y**2 + x**2) < 0.35 * n)).astype(np.float32)


def test_identical_volumes_correlate_to_the_last_shell(rng: np.random.Generator) -> None:
    volume = signal(rng)
    shells = fourier_shell_correlation(volume, volume, voxel_nm=10.0)
    np.testing.assert_allclose(shells.correlation, 1, atol=1e-5)
    assert shells.resolution_nm == 20.0
    assert shells.frequency_per_nm[-1] == pytest.approx(1 / 20)


def test_pure_noise_has_no_resolution(rng: np.random.Generator) -> None:
    a, b = rng.normal(0, 1, (2, 48, 48, 48)).astype(np.float32)
    shells = fourier_shell_correlation(a, b, voxel_nm=10.0)
    # The taper leaves about a third of the samples independent: three standard errors of the mean of the outer shells.
    assert abs(np.mean(shells.correlation[8:])) < 0.03
    assert shells.resolution_nm > 60


def test_known_signal_to_noise_gives_the_known_correlation(rng: np.random.Generator) -> None:
    volume = rng.normal(0, 1, (64, 64, 64)).astype(np.float32)
    halves = [volume + rng.normal(0, 1, volume.shape).astype(np.float32) for _ in range(2)]
    shells = fourier_shell_correlation(halves[0], halves[1], voxel_nm=1.0)
    # Equal power of signal and noise: 1 / (1 + 1).
    assert np.mean(shells.correlation[10:]) == pytest.approx(0.5, abs=0.02)


def test_blur_along_one_direction_shows_in_that_direction_only(rng: np.random.Generator) -> None:
    volume = scipy.ndimage.gaussian_filter1d(signal(rng, 64), 2.5, axis=1)
    halves = [volume + 0.05 * rng.normal(0, 1, volume.shape).astype(np.float32) for _ in range(2)]
    along = fourier_shell_correlation(*halves, voxel_nm=1.0, direction=(0, 1, 0))
    across = fourier_shell_correlation(*halves, voxel_nm=1.0, direction=(0, 0, 1))
    assert along.resolution_nm > 1.5 * across.resolution_nm


def test_halves_of_different_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="half volumes"):
        fourier_shell_correlation(
            np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 5), np.float32), voxel_nm=1.0
        )


def test_the_missing_wedge_shows_along_the_beam(rng: np.random.Generator) -> None:
    tilt_deg = np.arange(-60.0, 61.0, 2.0)
    frames = project(signal(rng), tilt_deg)
    frames = frames + rng.normal(0, 0.5 * frames.std(), frames.shape).astype(np.float32)
    halves = [
        filtered_backprojection(np.ascontiguousarray(frames[k::2]), TiltGeometry.square(tilt_deg[k::2], 48))
        for k in (0, 1)
    ]
    found = tilt_series_resolution(*halves, tilt_deg, voxel_nm=1.0)
    at = found["all"].frequency_per_nm < 0.25
    mean = {name: np.nanmean(curve.correlation[at]) for name, curve in found.items()}
    # Nothing is measured in the wedge, so odd and even tilts have only their common leakage there.
    assert mean["along_beam"] < mean["across_beam"] - 0.2
    assert mean["along_beam"] < mean["tilt_axis"] - 0.2


def test_empty_volumes_have_no_resolution() -> None:
    empty = np.zeros((8, 8, 8), np.float32)
    assert fourier_shell_correlation(empty, empty, voxel_nm=1.0).resolution_nm == np.inf
