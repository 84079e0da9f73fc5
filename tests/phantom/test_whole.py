"""A particle that is off as a whole: how far, why, and how uneven it is by itself."""

import numpy as np
import pytest

from oxytomo.composition.result import mode_of
from oxytomo.measure.whole import (
    likely_cause,
    metals_per_oxygen,
    own_mode_fractions,
    relative_density,
    whole_particle,
)

SHAPE = (6, 8, 8)


@pytest.fixture
def lithium_rich() -> tuple[np.ndarray, np.ndarray]:
    """288 voxels that the formula calls 20 % short of metal, 24 of them by 30 %."""
    particle = np.zeros(SHAPE, bool)
    particle[:, 1:7, :] = True
    deviation = np.where(particle, -0.2, np.nan).astype(np.float32)
    deviation[0:4, 1, 0:6] = -0.3
    return deviation, particle


def test_a_wrong_formula_is_told_in_atoms_and_against_the_own_mode(lithium_rich):
    deviation, particle = lithium_rich
    inside = deviation[particle]
    found = whole_particle(inside, mode_of(inside), threshold=0.05, reference_tm_o=1.0, per_oxygen=0.5)
    assert found["off_target"]
    assert found["median_deviation"] == pytest.approx(-0.2)
    assert found["tm_per_o"] == pytest.approx(0.4)
    own = own_mode_fractions(deviation, particle, threshold=0.05, mode=found["most_frequent_deviation"])
    # 0.7/0.8 is 12.5 % below the mode.
    assert own == pytest.approx({"target": 264 / 288, "oxygen_poor": 0.0, "oxygen_rich": 24 / 288})


def test_a_particle_on_target_or_with_its_own_reference_is_not_off(lithium_rich):
    inside = lithium_rich[0][lithium_rich[1]]
    for values, reference in ((inside + 0.2, 1.0), (inside, 0.8)):
        found = whole_particle(
            values, mode_of(values), threshold=0.05, reference_tm_o=reference, per_oxygen=0.5
        )
        assert not found["off_target"]


def test_metals_per_oxygen_and_density_are_sums_over_the_particle(lithium_rich):
    _, particle = lithium_rich
    elements = np.zeros((3, *SHAPE), np.float32)
    elements[:, particle] = np.array([0.8, 1.2, 0.4], np.float32)[:, None]
    elements[:, ~particle] = 5
    np.testing.assert_allclose(metals_per_oxygen(elements, particle), [1.5, 0.5], rtol=1e-6)
    assert relative_density(elements[0], particle) == pytest.approx(0.8)
    assert relative_density(elements[0], np.zeros(SHAPE, bool)) is None


@pytest.mark.parametrize(
    ("per_oxygen", "model", "cause"),
    [
        ([0.8, 0.8, 0.8], {}, "oxygen"),
        ([0.99, 2.0, 1.01], {}, "metal:Co"),
        ([1.2, 0.7, 1.0], {}, "metals"),
        # Measured on a particle of Li1.2 Mn0.56 Ni0.16 Co0.08 O2, for half as much Co and more Ni in the formula.
        ([0.94, 0.38, 0.80], {}, "metals"),
        ([0.81, 0.74, 0.80], {}, "oxygen"),
        ([0.8, 0.8, 0.8], {"fails": True}, "spectra"),
    ],
)
def test_the_likely_cause(per_oxygen, model, cause):
    found = likely_cause(
        ["Mn", "Co", "Ni"], [0.56, 0.08, 0.16], np.array(per_oxygen), threshold=0.05, model=model
    )
    assert found == cause
