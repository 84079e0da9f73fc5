"""Counts to optical density: hand-computed values, variances, and every reason for which a pixel is not valid."""

from dataclasses import replace

import numpy as np
import pytest

from oxytomo.arrays import TiltSeries
from oxytomo.errors import InputError, ShapeError
from oxytomo.preprocess.optical_density import (
    air_levels,
    check_same_shape,
    density_of_transmission,
    flats_in_time,
    hot_pixels,
    optical_density,
    signal,
)

SETTINGS = {
    "flat_field": "mean",
    "air_rescale": False,
    "opaque_transmission": 0.005,
    "hot_pixel_sigma": 8.0,
    "saturation_counts": 65535.0,
    "illumination": "none",
}


def series(frames: np.ndarray, *, flat: float = 1100, dark: float = 100, n_flat: int = 1) -> TiltSeries:
    n, n_y, n_x = frames.shape
    return TiltSeries(
        frames=frames,
        tilt_deg=np.linspace(-1, 1, n),
        energy_ev=np.full(n, 525.0),
        pixel_nm=np.full(n, 10.0),
        quantity="counts",
        flat=np.full((n_flat, n_y, n_x), flat, np.float32),
        dark=np.full((1, n_y, n_x), dark, np.float32),
    )


def test_value_and_variance_by_hand() -> None:
    frames = np.full((1, 9, 9), 100 + 500, np.uint16)
    result = optical_density(series(frames), **SETTINGS)
    np.testing.assert_allclose(result.value, np.log(2), rtol=1e-6)
    # 1/500 (counts) + 100/500² (dark under the signal) + 1/1000 (one flat of 1000 counts)
    np.testing.assert_allclose(result.variance, 1 / 500 + 100 / 500**2 + 1 / 1000, rtol=1e-5)
    assert result.value.dtype == np.float32
    assert result.invalid == {"hot_or_dead": 0, "zinger": 0, "saturated": 0, "opaque": 0, "not_finite": 0}


def test_variance_is_that_of_repeated_measurements(rng: np.random.Generator) -> None:
    expected = 400.0
    frames = (rng.poisson(expected, (400, 12, 12)) + 100).astype(np.uint16)
    result = optical_density(series(frames, n_flat=1000), **SETTINGS)
    scatter = np.nanvar(result.value, axis=0).mean()
    # 400 frames × 144 pixels: standard error of a variance 0.6 %; the dark term of 100/400² is not in the simulation.
    predicted = result.variance.mean() - 100 / expected**2
    assert scatter == pytest.approx(predicted, rel=0.03)


def test_every_reason_is_marked_and_counted(rng: np.random.Generator) -> None:
    frames = (rng.poisson(500, (1, 20, 20)) + 100).astype(np.float32)
    frames[0, 3, 3] = 40_000  # hot
    frames[0, 6, 6] = 65_535  # saturated
    frames[0, 9, 9] = np.nan
    frames[0, 12:17, 12:17] = 100 + 2  # opaque: at the dark level
    result = optical_density(series(frames), **SETTINGS)
    assert result.invalid == {"hot_or_dead": 1, "zinger": 0, "saturated": 1, "opaque": 25, "not_finite": 1}
    bad = ~np.isfinite(result.value[0])
    assert bad.sum() == 28
    assert np.isinf(result.variance[0][bad]).all()


def test_a_pixel_hot_in_one_frame_is_a_zinger_and_in_most_frames_hot(rng: np.random.Generator) -> None:
    frames = (rng.poisson(500, (5, 20, 20)) + 100).astype(np.float32)
    frames[2, 7, 8] = 30_000
    frames[:4, 12, 5] = 30_000
    result = optical_density(series(frames), **SETTINGS)
    assert result.invalid["zinger"] == 1
    assert result.invalid["hot_or_dead"] == 4


def test_an_edge_of_the_sample_is_not_hot(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:40, :40] - 20
    expected = np.where(x**2 + y**2 < 144, 150, 2000)
    hot, _ = hot_pixels(rng.poisson(expected).astype(np.float32), sigma=8.0, saturation=np.inf)
    assert hot.sum() == 0


def test_exposure_and_ring_current_are_divided_out() -> None:
    frames = np.stack([np.full((9, 9), 100 + 500), np.full((9, 9), 100 + 1000)]).astype(np.uint16)
    raw = replace(
        series(frames),
        exposure_s=np.array([1.0, 2.0]),
        ring_current_ma=np.array([300.0, 300.0]),
        flat_exposure_s=np.array([1.0]),
        flat_ring_current_ma=np.array([300.0]),
    )
    np.testing.assert_allclose(optical_density(raw, **SETTINGS).value, np.log(2), rtol=1e-6)


def test_flats_in_time() -> None:
    frames = np.full((3, 4, 4), 600, np.uint16)
    flat = np.stack([np.full((4, 4), 1100), np.full((4, 4), 2100)]).astype(np.float32)
    raw = replace(series(frames), flat=flat, flat_position=np.array([-1.0, 3.0]))
    dark = np.full((4, 4), 100, np.float32)
    for flat_field, levels, variance in (
        ("mean", [1500, 1500, 1500], 1500 / 2),
        ("nearest", [1000, 1000, 2000], 1000),
        ("interpolate", [1250, 1500, 1750], 1500 * 0.5),
    ):
        flats = flats_in_time(raw, dark, flat_field=flat_field)
        found = [flats.of_frame(i) for i in range(3)]
        np.testing.assert_allclose([flat[0, 0] for flat, _ in found], levels)
        np.testing.assert_allclose(found[1][1][0, 0], variance)


def test_air_is_found_and_brought_to_one(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:60, :80]
    sample = 2 * np.exp(-((y - 30) ** 2 + (x - 40) ** 2) / 200)
    level = np.array([0.03, -0.02, 0.0])
    value = (sample + level[:, None, None] + rng.normal(0, 0.02, (3, 60, 80))).astype(np.float32)
    found_level, found = air_levels(value)
    assert found.all()
    # The tail of the sample reaches into the air: a bias of a hundredth of an optical density at most.
    np.testing.assert_allclose(found_level, level, atol=0.01)


def test_no_air_is_said_not_guessed(rng: np.random.Generator) -> None:
    ramp = np.broadcast_to(np.linspace(0.5, 3, 50), (40, 50))
    _, found = air_levels((ramp + rng.normal(0, 0.001, (1, 40, 50))).astype(np.float32))
    assert not found.any()


def test_bad_flats_are_refused() -> None:
    frames = np.full((1, 4, 4), 600, np.uint16)
    with pytest.raises(InputError, match="flat field: expected frames without the sample"):
        optical_density(replace(series(frames), flat=None), **SETTINGS)
    with pytest.raises(InputError, match="positive counts above the dark level"):
        optical_density(series(frames, flat=100), **SETTINGS)
    with pytest.raises(InputError, match="not finite"):
        optical_density(series(frames, flat=np.nan), **SETTINGS)
    with pytest.raises(ShapeError, match="4 × 4 pixels, got 5 × 4"):
        check_same_shape("flat", frames, np.zeros((1, 5, 4), np.float32))
    with pytest.raises(InputError, match="positive numbers for every frame"):
        optical_density(replace(series(frames), exposure_s=np.array([0.0])), **SETTINGS)


def test_signal_keeps_counts_and_their_variance(rng: np.random.Generator) -> None:
    counts = rng.poisson(3.0, (2, 30, 30)).astype(np.uint16)
    raw = replace(series(counts), flat=None, dark=None, quantity="signal")
    result = signal(raw)
    np.testing.assert_array_equal(result.value, counts)
    assert result.variance.mean() == pytest.approx(3.0, rel=0.05)


def test_noise_of_a_signal_that_is_no_count_is_measured(rng: np.random.Generator) -> None:
    smooth = 5 * np.exp(-((np.mgrid[:60, :60] - 30) ** 2).sum(axis=0) / 400)
    frames = (smooth + rng.normal(0, 0.2, (1, 60, 60))).astype(np.float32)
    raw = replace(series(frames), flat=None, dark=None)
    assert np.sqrt(signal(raw).variance.mean()) == pytest.approx(0.2, rel=0.1)


def test_transmission_becomes_optical_density() -> None:
    frames = np.full((1, 6, 6), 0.25, np.float32)
    frames[0, 1, 1] = 0.001
    frames[0, 2, 2] = np.nan
    result = density_of_transmission(series(frames), is_transmission=True, opaque_transmission=0.005)
    assert result.value[0, 0, 0] == pytest.approx(np.log(4))
    assert result.invalid == {"not_finite": 1, "opaque": 1}
    assert np.isinf(result.variance[0, 1, 1])


def test_input_frames_are_not_modified(rng: np.random.Generator) -> None:
    frames = rng.poisson(500, (2, 8, 8)).astype(np.float32)
    before = frames.copy()
    optical_density(series(frames), **(SETTINGS | {"air_rescale": True}))
    np.testing.assert_array_equal(frames, before)
