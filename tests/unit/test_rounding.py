"""Stores in fewer bits: rounding is far below the noise, shifts no mean, and is written down."""

import numpy as np
import pytest

from oxytomo.io.rounding import (
    LARGEST_SIGMA,
    LEAST_BITS,
    MANTISSA_BITS,
    bits_for,
    in_fewer_bits,
    rounded,
    with_variances,
)
from oxytomo.io.stores import NamedArray, Provenance, read_store, write_store


@pytest.fixture
def noisy(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Optical densities of 0 to 3 as photon noise leaves them: 0.3 % to 3 % of a unit."""
    value = rng.uniform(0, 3, (20, 64, 64))
    sigma = 0.003 * np.exp(0.5 * value) * rng.uniform(1, 2, value.shape)
    return (value + rng.normal(0, sigma)).astype(np.float32), (sigma**2).astype(np.float32)


def test_rounding_by_hand() -> None:
    values = np.array([1.0, 1.125, 1.375, 1.3750001, -1.125, 0.0, 1e-30], np.float32)
    # Two bits: quarters. 1.125 and 1.375 lie in the middle and go to the even neighbour.
    np.testing.assert_array_equal(
        rounded(values, 2)[:6], np.array([1.0, 1.0, 1.5, 1.5, -1.0, 0.0], np.float32)
    )
    assert rounded(values, 2)[6:][0] == pytest.approx(1e-30, rel=1 / 8)
    np.testing.assert_array_equal(values[:2], np.array([1.0, 1.125], np.float32), "the input is not touched")


def test_missing_values_stay_missing() -> None:
    words = np.array([0x7F800000, 0xFF800000, 0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32)
    found = rounded(words.view(np.float32), 3)[:]
    np.testing.assert_array_equal(found[:2], [np.inf, -np.inf])
    assert np.isnan(found[2:]).all(), "a payload of ones would be carried into the sign"


def test_errors_are_below_a_tenth_of_the_noise_and_have_no_mean(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    value, variance = noisy
    small = in_fewer_bits(value, variance)
    error = (np.asarray(small.value[:], np.float64) - value) / np.sqrt(variance)
    assert np.abs(error).max() <= LARGEST_SIGMA
    assert np.abs(error).max() > LARGEST_SIGMA / 4, "no more bits than needed: one less might be too few"
    # Uniform errors: their mean scatters by their deviation / sqrt(n).
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(error.size)
    assert np.abs(np.asarray(small.variance[:]) / variance - 1).max() <= 2.0**-9
    assert small.record["value"]["mantissa_bits"] == bits_for(value, variance, largest_sigma=LARGEST_SIGMA)


def test_without_noise_nothing_is_dropped(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    value, variance = noisy
    variance[3, 5, 7] = 0.0
    assert bits_for(value, variance, largest_sigma=LARGEST_SIGMA) == MANTISSA_BITS
    assert rounded(value, MANTISSA_BITS) is value
    value[3, 5, 7] = np.nan  # what is not known needs no bits
    assert bits_for(value, variance, largest_sigma=LARGEST_SIGMA) < MANTISSA_BITS


@pytest.mark.parametrize("overstated", [1e2, 1e6, 1e30])
def test_rounding_is_bounded_where_the_noise_is_overstated(
    noisy: tuple[np.ndarray, np.ndarray], overstated: float
) -> None:
    """Counts in arbitrary units state a noise that is far too large: the signal is still there."""
    value, variance = noisy
    small = in_fewer_bits(value, (overstated * variance).astype(np.float32))
    assert small.record["value"]["mantissa_bits"] >= LEAST_BITS
    assert np.abs(np.asarray(small.value[:]) / value - 1).max() <= 2.0**-9
    nothing = np.zeros_like(value)
    assert bits_for(nothing, variance, largest_sigma=LARGEST_SIGMA) == LEAST_BITS


def test_amounts_are_rounded_by_the_diagonal_of_their_covariance(rng: np.random.Generator) -> None:
    areal = rng.uniform(0.1, 1, (3, 4, 5, 6)).astype(np.float32)
    covariance = np.full((6, 4, 5, 6), 0.5, np.float32)
    covariance[[0, 3, 5]] = np.array([1e-2, 1e-4, 1e-6], np.float32)[:, None, None, None] ** 2
    small = with_variances(areal, covariance)
    error = np.abs(np.asarray(small.value[:]) - areal).max(axis=(1, 2, 3))
    assert error[2] <= LARGEST_SIGMA * 1e-6
    assert small.variance is covariance


def test_a_store_takes_about_half_the_bytes_and_says_so(
    noisy: tuple[np.ndarray, np.ndarray], tmp_path
) -> None:
    value, variance = noisy
    small = in_fewer_bits(value, variance)
    sizes = []
    for name, pair in (("whole", (value, variance)), ("small", (small.value, small.variance))):
        arrays = {
            key: NamedArray(one, ("tilt", "y", "x"), "1")
            for key, one in zip(("value", "variance"), pair, strict=True)
        }
        provenance = Provenance("normalize", 1, {}, {}, "0", "2026-01-01")
        write_store(
            tmp_path / name, arrays, provenance=provenance, attributes={"rounding": dict(small.record)}
        )
        sizes.append(sum(one.stat().st_size for one in (tmp_path / name).rglob("*") if one.is_file()))
    assert sizes[1] < 0.6 * sizes[0]
    store = read_store(tmp_path / "small")  # its digest is that of the rounded values
    np.testing.assert_array_equal(store["value"], small.value[:])
    assert store.attributes["rounding"]["value"]["largest_error_in_sigma"] == LARGEST_SIGMA
