"""Mean deviation of domains and metals of classes, of bodies whose answers are known."""

import math

import numpy as np
import pytest

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET
from oxytomo.measure.association import FEW_VOXELS, elemental_association
from oxytomo.measure.domains import domain_labels, number_domains
from oxytomo.measure.shells import REPLICATE_SCALE, mean_deviations

SIDE = 24


def particle() -> tuple[np.ndarray, np.ndarray]:
    """Return classes and shells: an oxygen-poor outer half, an oxygen-rich slab inside, target elsewhere."""
    phases = np.full((SIDE, SIDE, SIDE), TARGET, np.uint8)
    phases[:, :, :6] = OXYGEN_POOR
    phases[:, 15:18] = OXYGEN_RICH
    shells = np.ones_like(phases)
    shells[:, :, 12:] = 2
    return phases, shells


def densities(phases: np.ndarray) -> dict[str, np.ndarray]:
    """Oxygen-poor: all metals 10 % up per oxygen; oxygen-rich: Ni 20 % short, Mn as it was."""
    ones = np.ones(phases.shape, np.float32)
    poor, rich = phases == OXYGEN_POOR, phases == OXYGEN_RICH
    return {
        "O": np.where(poor, 0.5, ones),
        "Mn": np.where(poor, 0.55, ones),
        "Ni": np.where(poor, 0.55, np.where(rich, 0.8, ones)),
    }


def association(elements: dict[str, np.ndarray], phases: np.ndarray, shells: np.ndarray) -> dict:
    found = elemental_association(elements, phases, shells, n_shells=2)
    assert found is not None
    return found


def test_the_metal_that_is_short_is_named_and_where():
    phases, shells = particle()
    found = association(densities(phases), phases, shells)
    assert found["oxygen_poor"]["Mn"]["value"] == pytest.approx(0.1, abs=1e-6)
    assert found["oxygen_poor"]["Ni"]["value"] == pytest.approx(0.1, abs=1e-6)
    assert found["oxygen_rich"]["Mn"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-6)
    # The oxygen-poor half lies in the outer shell alone.
    inner = found["oxygen_poor"]["Ni"]["shells"][1]
    assert inner == {"value": None, "standard_error": None}
    assert found["oxygen_rich"]["Ni"]["shells"][1]["value"] == pytest.approx(-0.2, abs=1e-6)


def test_a_factor_that_all_voxels_share_changes_nothing():
    phases, shells = particle()
    elements = densities(phases)
    found = association(elements | {"Ni": 1.3 * elements["Ni"]}, phases, shells)
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-6)


def test_metals_weighted_with_their_atoms_make_the_deviation_of_the_class():
    phases, shells = particle()
    elements = densities(phases)
    found = association(elements, phases, shells)
    share_mn, share_ni = 0.7, 0.3
    tm_o = (share_mn * elements["Mn"] + share_ni * elements["Ni"]) / elements["O"]
    for name, label in (("oxygen_poor", OXYGEN_POOR), ("oxygen_rich", OXYGEN_RICH)):
        summed = share_mn * found[name]["Mn"]["value"] + share_ni * found[name]["Ni"]["value"]
        assert summed == pytest.approx(float(tm_o[phases == label].mean()) - 1, abs=1e-6)


@pytest.mark.parametrize("length", [1, 4], ids=["independent voxels", "noise of neighbours"])
def test_the_error_holds_the_truth_as_often_as_it_says(rng, length):
    """One standard error contains the truth in 68 % of cases, also where noise is shared by neighbours."""
    phases, shells = particle()
    clean, inside, n = densities(phases), 0, 150
    side = SIDE // length
    for _ in range(n):
        noisy = {}
        for name, values in clean.items():
            drawn = 0.1 * rng.standard_normal((side,) * 3)
            noisy[name] = values + np.kron(drawn, np.ones((length,) * 3)).astype(np.float32)
        found = association(noisy, phases, shells)["oxygen_rich"]["Ni"]
        inside += abs(found["value"] + 0.2) <= found["standard_error"]
    # Binomial: 68 ± 3.8 % of 150; three of them. The jackknife of 27 parts is known to 10 %: 6 % of the share.
    assert 0.52 < inside / n < 0.85


def test_what_is_too_small_or_in_one_place_has_no_number_or_no_error():
    phases = np.full((SIDE, SIDE, SIDE), TARGET, np.uint8)
    phases[:4, :4, :4] = OXYGEN_RICH
    phases[-1, -1, -FEW_VOXELS + 5 :] = OXYGEN_POOR
    shells = np.ones_like(phases)
    found = elemental_association(densities(phases), phases, shells, n_shells=1)
    assert found is not None
    assert found["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-6)
    assert found["oxygen_rich"]["Ni"]["standard_error"] is None
    assert found["oxygen_poor"]["Ni"]["value"] is None


def test_without_oxygen_metals_or_target_there_is_no_association():
    phases, shells = particle()
    elements = densities(phases)
    assert elemental_association({}, phases, shells, n_shells=2) is None
    assert elemental_association({"O": elements["O"]}, phases, shells, n_shells=2) is None
    without = {name: values for name, values in elements.items() if name != "O"}
    assert elemental_association(without, phases, shells, n_shells=2) is None
    assert elemental_association(elements, np.full_like(phases, OXYGEN_RICH), shells, n_shells=2) is None


def test_unknown_densities_do_not_count():
    phases, shells = particle()
    elements = densities(phases)
    elements["Ni"] = np.where(np.arange(SIDE) % 2 == 0, np.nan, elements["Ni"]).astype(np.float32)
    assert association(elements, phases, shells)["oxygen_rich"]["Ni"]["value"] == pytest.approx(-0.2, abs=1e-6)


def test_domains_are_numbered_in_a_field_as_in_memory():
    phases, _ = particle()
    numbers = np.zeros(phases.shape, np.int32)
    number_domains(phases, numbers, min_voxels=1)
    np.testing.assert_array_equal(numbers, domain_labels(phases, min_voxels=1))
    # Target in front of and behind the oxygen-rich slab, then the classes in their order.
    assert int(numbers.max()) == 5


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
