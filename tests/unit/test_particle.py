"""The particle mask of blurred and noisy bodies of known volume."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oxytomo.errors import InputError
from oxytomo.segment.particle import particle_mask

CENTRE = (0.21, -0.37, 0.13)
"""Off the grid, so that no shell of voxels lies exactly on the surface."""


def ball(radius: float, *, half: int, ndim: int = 3) -> np.ndarray:
    """Return the partial-volume image of a ball, 4 samples per voxel and axis."""
    line = (np.arange(4 * (2 * half + 1)) + 0.5) / 4 - (2 * half + 1) / 2
    squares = sum(np.ix_(*[(line - centre) ** 2 for centre in CENTRE[:ndim]]))
    fine = (squares <= radius**2).astype(np.float32)
    for axis in range(ndim):
        shape = (*fine.shape[:axis], fine.shape[axis] // 4, 4, *fine.shape[axis + 1 :])
        fine = fine.reshape(shape).mean(axis=axis + 1)
    return fine


@pytest.mark.parametrize(("radius", "blur"), [(15, 0.0), (18, 0.7), (20, 0.85), (24, 1.2)])
def test_the_volume_of_a_blurred_sphere_is_within_one_percent(radius, blur):
    # The half level of a sphere blurred with σ lies σ²/R too far inside: volume −3σ²/R²; the voxel itself
    # blurs with σ² = 1/12. What is left, edges placed to 0.04 voxel on the grid, is 3 · 0.04/R.
    density = ball(radius, half=radius + 8)
    if blur > 0:
        density = gaussian_filter(density, blur)
    error = particle_mask(3.7 * density).sum() / (4 / 3 * np.pi * radius**3) - 1
    assert error == pytest.approx(-3 * (blur**2 + 1 / 12) / radius**2, abs=3 * 0.04 / radius)
    assert abs(error) < 0.01


def test_noise_of_a_tenth_of_the_density_changes_the_volume_little():
    radius = 18
    density = gaussian_filter(ball(radius, half=28), 0.7)
    noise = 0.1 * np.random.default_rng(0).standard_normal(density.shape).astype(np.float32)
    assert particle_mask(density + noise).sum() == pytest.approx(particle_mask(density).sum(), rel=3e-3)


def test_a_disc_in_two_dimensions():
    radius, blur = 30, 1.0
    mask = particle_mask(gaussian_filter(ball(radius, half=40, ndim=2), blur))
    # The edge lies σ²/(2R) inside: area −σ²/R² = −0.1 %; an edge placed to 0.1 pixel is 2 · 0.1/R = 0.7 %.
    assert mask.sum() / (np.pi * radius**2) == pytest.approx(1 - blur**2 / radius**2, abs=2 * 0.1 / radius)


def test_a_void_stays_a_hole():
    density = ball(15, half=22) - np.pad(ball(5, half=8), 14)
    mask = particle_mask(density)
    assert not mask[22, 22, 22]
    assert mask[22, 22, 22 + 10]
    # The walls of both balls are placed to 0.05 voxel.
    area = 4 * np.pi * (15**2 + 5**2)
    assert mask.sum() == pytest.approx(4 / 3 * np.pi * (15**3 - 5**3), abs=0.05 * area)


def test_the_smaller_of_two_bodies_is_dropped():
    density = np.zeros((20, 20, 40), np.float32)
    density[4:16, 4:16, 3:18] = 1.0
    density[4:16, 4:16, 24:34] = 1.0
    mask = particle_mask(density)
    assert mask[10, 10, 10]
    assert not mask[:, :, 20:].any()


def test_bodies_that_meet_at_an_edge_are_two():
    density = np.zeros((30, 30, 30), np.float32)
    density[3:16, 3:16, 5:25] = 1.0
    density[16:26, 16:26, 5:25] = 1.0
    assert not particle_mask(density)[20, 20, 15]


def test_a_particle_cut_by_the_edge_of_the_volume_reaches_the_edge():
    density = np.zeros((20, 24, 24), np.float32)
    density[:, 6:18, 6:18] = 1.0
    mask = particle_mask(density)
    np.testing.assert_array_equal(mask[0], mask[10])
    assert mask[0].sum() == 144


def test_the_level_does_not_depend_on_the_unit():
    density = gaussian_filter(ball(12, half=18), 1.0)
    np.testing.assert_array_equal(particle_mask(density), particle_mask(1e-4 * density))


def test_missing_values_are_not_solid_and_the_input_is_untouched():
    density = ball(12, half=18)
    density[:, :, 0] = np.nan
    before = density.copy()
    mask = particle_mask(density)
    assert mask.dtype == bool
    assert not mask[:, :, 0].any()
    assert mask[18, 18, 18]
    np.testing.assert_array_equal(density, before)


@pytest.mark.parametrize(
    ("density", "got"),
    [
        (np.zeros((8, 8, 8), np.float32), "no positive density"),
        (np.full((8, 8, 8), -1, np.float32), "no positive density"),
        (np.full((8, 8, 8), np.nan, np.float32), "no positive density"),
        (np.ones((8, 8, 8), np.float32), "the same density everywhere"),
        (1 + 0.01 * np.random.default_rng(0).random((8, 8, 8)).astype(np.float32), "solid in every voxel"),
    ],
)
def test_no_particle_or_no_background_is_one_clear_line(density, got):
    with pytest.raises(
        InputError, match=f"^total density: expected a particle that stands out.*got {got}.*fix"
    ):
        particle_mask(density, name="total density")
