"""Mean deviation of domains and metals of classes, of bodies whose answers are known."""

import math

import numpy as np
import pytest

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET
from oxytomo.composition.association import FEW_VOXELS, Regions, metals_of_classes
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.noise import project
from oxytomo.measure.domains import domain_labels, number_domains
from oxytomo.measure.shells import REPLICATE_SCALE, mean_deviations

N_Z, SIDE = 16, 24
BOX = (slice(2, 14), slice(3, 21), slice(3, 21))
TILTS = np.linspace(-60.0, 60.0, 15)
PIXEL_UM = 0.01
NAMES = ["O", "Mn", "Ni"]
LESS = {"Mn": 0.0, "Ni": -0.2}
"""Oxygen-rich: Ni is short, Mn is not. Oxygen-poor: 20 % less oxygen, so 25 % more of both per oxygen."""


def classes() -> tuple[np.ndarray, np.ndarray]:
    """Return classes and two shells in the box: an oxygen-rich bar along z, an oxygen-poor one at a side."""
    shape = tuple(s.stop - s.start for s in BOX)
    phases = np.full(shape, TARGET, np.uint8)
    phases[:, 7:11, 7:11] = OXYGEN_RICH
    phases[:, :3, :9] = OXYGEN_POOR
    shells = np.ones(shape, np.uint8)
    shells[:, 4:14, 4:14] = 2
    return phases, shells


def densities(phases: np.ndarray) -> dict[str, np.ndarray]:
    """Return the density of each element in the volume, empty outside the box."""
    found = {}
    for name in NAMES:
        own = np.where(phases == OXYGEN_RICH, 1 + LESS.get(name, 0.0), 1.0)
        own = np.where(phases == OXYGEN_POOR, 0.8, own) if name == "O" else own
        found[name] = np.zeros((N_Z, SIDE, SIDE), np.float32)
        found[name][BOX] = own
    return found


def scan(elements: dict[str, np.ndarray], noise: float, rng: np.random.Generator) -> ColumnDensities:
    """Return noisy sinograms; the noise of a ray is in voxels of reference density."""
    areal = np.stack([np.asarray(project(elements[name], TILTS)) for name in NAMES])
    areal = areal + noise * rng.standard_normal(areal.shape)
    covariance = np.zeros((6, *areal.shape[1:]), np.float32)
    covariance[[0, 3, 5]] = max(noise, 1e-3) ** 2 * PIXEL_UM**2  # OO, MnMn and NiNi of the six pairs
    return ColumnDensities(
        (areal * PIXEL_UM).astype(np.float32), covariance, TILTS, np.array([2.0, 0.6, 0.2]), PIXEL_UM
    )


def association(data: ColumnDensities, oxygen: np.ndarray, phases: np.ndarray, shells: np.ndarray) -> dict:
    found = metals_of_classes(data, NAMES, oxygen, Regions(BOX, phases, shells, 2))
    assert found is not None
    return found


def test_the_metal_that_is_short_is_named_and_where(rng):
    phases, shells = classes()
    elements = densities(phases)
    # The shape of oxygen is off by a factor: amounts come from the rays, not from the volume.
    found = association(scan(elements, 0.0, rng), 0.9 * elements["O"], phases, shells)
    # float32 sums over 30 voxels.
    assert found["oxygen_rich"]["Mn"]["value"] == pytest.approx(0.0, abs=1e-4)
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-4)
    assert found["oxygen_poor"]["Mn"]["value"] == pytest.approx(0.25, abs=1e-4)
    assert found["oxygen_poor"]["Ni"]["value"] == pytest.approx(0.25, abs=1e-4)
    rim, inside = found["oxygen_rich"]["Ni"]["shells"]
    assert rim == {"value": None, "standard_error": None}, "the bar is in the inner shell alone"
    assert inside["value"] == pytest.approx(-0.2, abs=1e-4)
    # Without noise only the borders are uncertain.
    assert found["oxygen_rich"]["Ni"]["standard_error"] == pytest.approx(0.02, rel=0.01)


def test_a_factor_that_all_rays_share_changes_nothing(rng):
    phases, shells = classes()
    elements = densities(phases)
    wrong = elements | {"Ni": 1.3 * elements["Ni"]}
    found = association(scan(wrong, 0.0, rng), elements["O"], phases, shells)
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-4)


def test_lost_contrast_of_a_regularised_oxygen_does_not_move_a_metal(rng):
    """The volume shows a third of what is missing; summed densities would give −7 % and 7 %."""
    phases, shells = classes()
    elements = densities(phases)
    weak = elements["O"].copy()
    weak[BOX] = np.where(phases == OXYGEN_POOR, 0.933, weak[BOX])
    found = association(scan(elements, 0.0, rng), weak, phases, shells)
    assert found["oxygen_poor"]["Ni"]["value"] == pytest.approx(0.25, abs=1e-3)
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-3)


def test_the_error_holds_the_truth(rng):
    """With noise, 95 % of values are within two standard errors or more, and errors are not empty words."""
    phases, shells = classes()
    elements = densities(phases)
    pulls, errors = [], []
    for _ in range(12):
        found = association(scan(elements, 1.0, rng), elements["O"], phases, shells)
        for name, metal, truth in (("oxygen_rich", "Mn", 0.0), ("oxygen_poor", "Ni", 0.25)):
            entry = found[name][metal]
            pulls.append((entry["value"] - truth) / entry["standard_error"])
            errors.append(entry["standard_error"])
    # 24 pulls of a standard deviation of 1/2 (the jackknife counts twice): one above 2 in 20,000.
    assert np.max(np.abs(pulls)) < 2
    assert np.std(pulls) > 0.2
    assert max(errors) < 0.1


def test_what_is_too_small_or_in_one_place_has_no_number_or_no_error(rng):
    phases, shells = classes()
    phases[:] = TARGET
    phases[:3, 7:11, 7:11] = OXYGEN_RICH
    phases[5, 0, : FEW_VOXELS - 10] = OXYGEN_POOR
    elements = densities(phases)
    found = association(scan(elements, 0.0, rng), elements["O"], phases, shells)
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-4)
    assert found["oxygen_rich"]["Ni"]["standard_error"] is None
    assert found["oxygen_poor"]["Ni"]["value"] is None


def test_without_metals_or_target_there_is_no_association(rng):
    phases, shells = classes()
    elements = densities(phases)
    data = scan(elements, 0.0, rng)
    for names, labels in (
        (["O"], phases),
        (["Mn", "Ni"], phases),
        (NAMES, np.full_like(phases, OXYGEN_RICH)),
    ):
        assert metals_of_classes(data, names, elements["O"], Regions(BOX, labels, shells, 2)) is None


def test_domains_are_numbered_in_a_field_as_in_memory():
    phases, _ = classes()
    numbers = np.zeros(phases.shape, np.int32)
    number_domains(phases, numbers, min_voxels=1)
    np.testing.assert_array_equal(numbers, domain_labels(phases, min_voxels=1))
    assert int(numbers.max()) == 3


def test_the_error_of_a_mean_deviation_is_that_of_its_noise(rng):
    """Independent noise of 4 % in 400 voxels: 0.2 %, and 4 % where all voxels share it."""
    labels = np.repeat([1, 2, 0], [400, 400, 50])
    deviation = np.where(labels == 1, -0.1, 0.1).astype(np.float32)
    n = 200
    own = 0.04 * rng.standard_normal((n, 400))
    shared = np.repeat(0.04 * rng.standard_normal((n, 1)), 400, axis=1)
    replicates = deviation + np.concatenate([own, shared, np.zeros((n, 50))], axis=1).astype(np.float32)
    mean, error = mean_deviations(deviation, labels, list(replicates), n=2)
    np.testing.assert_allclose(mean, [-0.1, 0.1], rtol=1e-6)
    # 200 replicates know a standard deviation to 5 %; three of them.
    np.testing.assert_allclose(error / REPLICATE_SCALE, [0.002, 0.04], rtol=0.15)


def test_without_two_replicates_the_error_is_unknown():
    labels = np.ones(8, np.int32)
    mean, error = mean_deviations(np.full(8, 0.1, np.float32), labels, [np.full(8, 0.1, np.float32)], n=1)
    assert mean[0] == pytest.approx(0.1)
    assert math.isnan(error[0])
