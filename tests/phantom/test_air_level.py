"""One air for all energies: offsets of single energies are found and taken off, a film that all of them see is no offset."""

import numpy as np
import scipy.ndimage

from oxytomo.align.air_level import air_beside, common_air_levels

CARBON = np.array([2.1, 2.0, 1.3, 1.2, 0.8, 0.7, 0.6, 0.5])
OXIDE = np.array([0.5, 3.4, 2.5, 4.5, 3.5, 3.5, 3.0, 3.2])
PHOTONS = 2e4
SHAPE = (60, 72)


def frames(rng, level: np.ndarray, film_um: float):  # type: ignore[no-untyped-def]
    """Optical densities (8, n_tilt, 60, 72) of a ball on a film with a hole, each frame off by its level (8, n_tilt)."""
    y, x = np.indices(SHAPE).astype(float)
    ball = 0.6 * np.sqrt(np.maximum(1 - ((y - 30) ** 2 + (x - 36) ** 2) / 18**2, 0))
    film = film_um * ((y - 8) ** 2 + (x - 8) ** 2 > 36)
    density = OXIDE[:, None, None] * ball + CARBON[:, None, None] * film
    clean = np.repeat(density[:, None], level.shape[1], axis=1)
    counts = rng.poisson(PHOTONS * np.exp(-clean))
    value = -np.log(np.maximum(counts, 1) / PHOTONS) + level[:, :, None, None]
    return value.astype(np.float32), (1 / np.maximum(counts, 1)).astype(np.float32)


def test_air_that_is_at_zero_is_left_alone(rng):
    value, variance = frames(rng, np.zeros((8, 5)), 0.0)
    assert common_air_levels(value, variance) is None


def test_levels_of_single_energies_are_found_but_for_the_spectrum_of_the_film(rng):
    # Each energy was levelled to another mixture of film and hole: off by a part of the film's optical density.
    share = rng.uniform(-1, 0, (8, 5))
    level = 0.03 * CARBON[:, None] * share
    value, variance = frames(rng, level, 0.03)
    found = common_air_levels(value, variance)
    assert found is not None
    left = level - found
    # What is left is the film's spectrum times one number per tilt; 2,000 pixels of 0.7 % noise leave 1.6e-4.
    amount = CARBON @ left / (CARBON @ CARBON)
    assert np.abs(left - CARBON[:, None] * amount).max() < 6e-4
    assert np.abs(level - CARBON[:, None] * (CARBON @ level / (CARBON @ CARBON))).max() > 5e-3


def test_the_sample_is_no_air_and_a_full_frame_has_none(rng):
    value, _ = frames(rng, np.zeros((8, 1)), 0.0)
    region = air_beside(value[:, 0])
    y, x = np.indices(SHAPE)
    distance = np.hypot(y - 30, x - 36)
    assert not region[distance < 19].any()
    assert region[distance > 25].all()
    full = np.ones((8, *SHAPE), np.float32) * 2
    full += rng.normal(0, 0.01, full.shape).astype(np.float32)
    assert air_beside(full) is None
    assert air_beside(np.full((8, *SHAPE), np.nan, np.float32)) is None


def test_a_wild_pixel_does_not_count(rng):
    level = np.zeros((8, 3))
    level[2] = 0.01
    value, variance = frames(rng, level, 0.0)
    value[5, :, 3, 3] = 50.0
    found = common_air_levels(value, variance)
    np.testing.assert_allclose(found, level, atol=6e-4)
    assert (
        scipy.ndimage.gaussian_filter(value[5, 0], 1.5)[3, 3] > 1
    )  # it would have been taken for the sample
