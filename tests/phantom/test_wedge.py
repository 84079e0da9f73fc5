"""What the missing wedge hides of a rim, and what the outline and the resolution do to fractions."""

import numpy as np
import pytest
import scipy.ndimage

from oxytomo.arrays import OXYGEN_POOR, TARGET
from oxytomo.measure.shells import depth_below_surface
from oxytomo.measure.wedge import (
    OUTLINE_PX,
    half_height_fractions,
    missing_wedge,
    outline_moved,
    rim_counts,
    rim_like_the_seen,
    unseen_normals,
)

N, RADIUS, SHELL_PX = 40, 15.0, 2
Z, Y, X = np.mgrid[:N, :N, :N] - (N - 1) / 2
BALL = np.sqrt(Z**2 + Y**2 + X**2) <= RADIUS
TILT_DEG = np.arange(-60.0, 61.0, 3.0)


def test_the_wedge_is_the_gap_in_the_measured_directions():
    wedge = missing_wedge(TILT_DEG)
    # At tilt 0 the beam is along y, 90° from x.
    assert np.rad2deg(wedge.middle) == pytest.approx(90)
    assert np.rad2deg(wedge.half_width) == pytest.approx(30)
    turned = missing_wedge(TILT_DEG + 20)
    assert np.rad2deg(turned.middle) == pytest.approx(110)
    assert missing_wedge(np.arange(0.0, 180.0, 2.0)) is None


def test_normals_along_the_beam_are_not_seen():
    unseen = unseen_normals(BALL, missing_wedge(TILT_DEG))
    c = N // 2
    assert unseen[c, c - 14, c]  # y: the beam
    assert unseen[c, c + 13, c]
    assert not unseen[c, c, c - 14]  # x: across
    assert not unseen[c - 14, c, c]  # z: the tilt axis
    # Of a ball's surface, the share of directions within 30° of y in the plane, and steep: |n_z| < √3/2.
    depth = depth_below_surface(BALL, voxel_nm=1.0)
    surface = BALL & (depth < 1)
    assert unseen[surface].mean() == pytest.approx(np.sqrt(3) / 2 / 3, abs=0.04)  # the voxels are few


def test_a_shell_that_the_wedge_hides_is_found_by_the_rest_of_the_rim():
    depth = depth_below_surface(BALL, voxel_nm=1.0)
    unseen = unseen_normals(BALL, missing_wedge(TILT_DEG))
    shell = BALL & (depth < SHELL_PX)
    truth = shell.sum() / BALL.sum()
    found = np.where(BALL, TARGET, 0).astype(np.uint8)
    found[shell & ~unseen] = OXYGEN_POOR
    counts = rim_counts(found, depth, unseen)
    assert (found == OXYGEN_POOR).sum() / BALL.sum() < 0.8 * truth
    assert rim_like_the_seen(counts)["oxygen_poor"] == pytest.approx(truth)
    # Nothing is added where there is nothing.
    plain = rim_like_the_seen(rim_counts(np.where(BALL, TARGET, 0), depth, unseen))
    assert plain == {"target": 1.0, "oxygen_poor": 0.0, "oxygen_rich": 0.0}


def test_the_outline_moves_the_fraction_of_a_shell_by_its_surface():
    depth = depth_below_surface(BALL, voxel_nm=1.0)
    phases = np.where(BALL, np.where(depth < SHELL_PX, OXYGEN_POOR, TARGET), 0)
    value, surface = (depth < SHELL_PX).sum() / BALL.sum(), (depth < 1).sum() / BALL.sum()
    further, nearer = outline_moved(rim_counts(phases, depth, np.zeros(BALL.shape, bool)))
    assert further["oxygen_poor"] - value == pytest.approx(OUTLINE_PX * surface * (1 - value), rel=0.05)
    assert value - nearer["oxygen_poor"] == pytest.approx(OUTLINE_PX * surface * (1 - value), rel=0.05)


@pytest.mark.parametrize(("height", "side"), [(0.25, -1), (0.07, 1)])
def test_borders_at_half_height_are_those_before_the_blur(height, side):
    domain = (np.sqrt(Z**2 + Y**2 + (X - 3) ** 2) <= 7).astype(np.float32)
    deviation = np.where(BALL, height * scipy.ndimage.gaussian_filter(domain, 0.8), np.nan).astype(np.float32)
    truth = domain.sum() / BALL.sum()
    with np.errstate(invalid="ignore"):
        found = (deviation > 0.05).sum() / BALL.sum()
    half = half_height_fractions(deviation, BALL, threshold=0.05)
    assert (found - truth) * side < -0.1 * truth
    # The height is looked for within two voxels, where a small domain is not at its full height: a tenth.
    assert half["oxygen_poor"] == pytest.approx(truth, rel=0.1)
    assert half["oxygen_rich"] == 0
