"""Damage in one scan: found in the sums over the frames where it is, and not where it is not."""

import numpy as np
import pytest

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.damage import damage_record, frame_sums, separable, trend

TILT_DEG = np.linspace(-60.0, 60.0, 41)
N_Z, N_S = 36, 40
PIXEL_UM = 0.02
NOISE_UM = 0.02
USUAL = np.concatenate([np.arange(20, 41), np.arange(19, -1, -1)]).argsort()
"""From 0 to one end, then to the other."""


def scan(rng, frame, *, oxygen_loss=0.0, shrinkage=0.0, rays_lost=0.0, shear=0.0, axis_deg=0.0):  # type: ignore[no-untyped-def]
    """Amounts of O and one metal of an ellipsoid of half axes 13, 14 and 11 pixels, in closed form.

    It may be sheared along the beam, and the tilt axis inclined in the plane of the detector.
    """
    v, u = np.mgrid[:N_Z, :N_S] - np.array([(N_Z - 1) / 2, (N_S - 1) / 2])[:, None, None]
    inclined = np.deg2rad(axis_deg)
    z, across = v * np.cos(inclined) - u * np.sin(inclined), v * np.sin(inclined) + u * np.cos(inclined)
    dose = frame / frame.max()
    areal = np.zeros((2, TILT_DEG.size, N_Z, N_S))
    for t, angle in enumerate(np.deg2rad(TILT_DEG)):
        smaller = 1 - shrinkage * dose[t]
        s = across - shear * z * np.sin(angle)
        a, b, c = 13 * smaller, 14 * smaller, 11 * smaller
        wide = np.hypot(b * np.cos(angle), c * np.sin(angle))
        path = 2 * b * c / wide * np.sqrt(np.maximum(0, 1 - (z / a) ** 2 - (s / wide) ** 2))
        # What is kept has the same mass; thick rays lose a share, as from stray light.
        path = path * PIXEL_UM / smaller**3
        areal[:, t] = path * (1 - rays_lost * path), path
        areal[0, t] *= 1 - oxygen_loss * dose[t]
    areal += rng.normal(0, NOISE_UM, areal.shape)
    covariance = np.zeros((3, *areal.shape[1:]), np.float32)
    covariance[[0, 2]] = NOISE_UM**2
    return ColumnDensities(areal.astype(np.float32), covariance, TILT_DEG, np.array([2.0, 1.0]), PIXEL_UM)


@pytest.mark.parametrize("rays_lost", [0.0, 0.1])
def test_a_loss_of_oxygen_is_found_with_its_error(rng, rays_lost):
    record = damage_record(scan(rng, USUAL, oxygen_loss=0.1, rays_lost=rays_lost), USUAL, 4)
    found = record["tm_o"]
    assert found["found"]
    # TM/O rises by 1/0.9 over the scan, nearly linearly: the chord and the fitted line differ by less than 0.3 %.
    assert found["change"] == pytest.approx(1 / 0.95 * 0.1 * 1.005, abs=4 * found["standard_error"] + 0.003)
    assert found["standard_error"] < 0.01
    assert not record["size"]["found"]


def test_a_particle_that_shrinks_is_found_with_its_error(rng):
    record = damage_record(scan(rng, USUAL, shrinkage=0.02), USUAL, 4)
    assert record["size"]["found"]
    assert record["size"]["change"] == pytest.approx(-0.02, abs=4 * record["size"]["standard_error"])
    assert not record["tm_o"]["found"]


def test_no_damage_is_found_where_there_is_none(rng):
    seen = [damage_record(scan(rng, USUAL, rays_lost=0.1), USUAL, 4) for _ in range(5)]
    assert not any(one["tm_o"]["found"] or one["size"]["found"] for one in seen)
    # The stated errors are those of the scatter: ten values, none beyond 4, not all within 0.1 of theirs.
    pulls = [one[name]["change"] / one[name]["standard_error"] for one in seen for name in ("tm_o", "size")]
    assert 0.3 < np.sqrt(np.mean(np.square(pulls))) < 2


def test_the_sums_are_those_of_the_ellipsoid(rng):
    sums = frame_sums(scan(rng, USUAL))
    np.testing.assert_allclose(sums.tm_o, 1, atol=5 * sums.tm_o_error.max())
    # The mass of an ellipsoid along an axis has the standard deviation a/√5; pixels add 1/12 of variance.
    np.testing.assert_allclose(sums.size, np.sqrt(13**2 / 5), rtol=0.02)


def test_an_inclined_axis_is_no_shrinkage(rng):
    """The width of a sheared particle enters its size along the rows: 1 % in the order of the tilts."""
    leaning = {"shear": 0.4, "axis_deg": 0.8}
    in_order = damage_record(scan(rng, np.arange(41), **leaning), np.arange(41), 4)["size"]
    assert not in_order["found"]
    assert abs(in_order["change"]) < 3 * in_order["standard_error"]
    shrunk = damage_record(scan(rng, USUAL, shrinkage=0.02, **leaning), USUAL, 4)["size"]
    assert shrunk["found"]
    assert shrunk["change"] == pytest.approx(-0.02, abs=4 * shrunk["standard_error"])


def test_an_order_that_follows_the_path_length_tells_nothing(rng):
    outwards = np.argsort(np.argsort(np.abs(TILT_DEG), kind="stable"))
    data = scan(rng, outwards, oxygen_loss=0.1)
    assert separable(USUAL, frame_sums(data).path)
    assert not separable(outwards, frame_sums(data).path)
    record = damage_record(data, outwards, 4)
    assert not record["told_from_path_length"]
    assert not record["tm_o"]["found"]


def test_without_an_order_or_with_few_frames_there_is_no_answer(rng):
    data = scan(rng, USUAL)
    assert damage_record(data, None, 4) is None
    few = slice(0, 8)
    ones = np.ones(8)
    assert trend(ones, ones, np.arange(8), ones) is None
    part = ColumnDensities(data.areal[:, few], data.covariance[:, few], TILT_DEG[few], data.atoms, PIXEL_UM)
    assert damage_record(part, np.arange(8), 4) is None
