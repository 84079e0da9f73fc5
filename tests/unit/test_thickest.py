"""The thickest part of maps of a known sample, whatever is around it."""

import numpy as np
import pytest

from oxytomo.measure.thickest import thickest_part


def ball(size: int, radius: float) -> np.ndarray:
    y, x = np.indices((size, size)) - (size - 1) / 2
    return 2 * np.sqrt(np.maximum(radius**2 - y**2 - x**2, 0))


@pytest.mark.parametrize("size", [50, 300])
def test_air_around_the_sample_does_not_enter(size: int) -> None:
    rng = np.random.default_rng(0)
    noise = 0.4
    values = ball(size, 10.0) + noise * rng.standard_normal((size, size))
    # The middle of 20; the median distance from it over five pixels is 2.1, which makes 19.54; noise adds at most one
    # standard deviation, and takes at most that of a median of 25.
    assert 19.54 - 0.25 * noise < thickest_part(values.astype(np.float32)) < 20 + noise


def test_single_pixels_and_unknown_ones_do_not_enter() -> None:
    values = ball(60, 10.0)
    values[5, 5] = 1e6
    values[30, 30] = np.inf
    values[20:40:3] = np.nan
    assert thickest_part(values.astype(np.float32)) == pytest.approx(20, rel=0.03)


def test_small_and_unknown_maps() -> None:
    assert thickest_part(np.array([[1.0, 2.0, 4.0]], np.float32)) == 2
    assert np.isnan(thickest_part(np.full((9, 9), np.nan, np.float32)))
    mostly = np.full((5, 5), np.nan, np.float32)
    mostly[0, 0] = 3
    assert np.isnan(thickest_part(mostly))
