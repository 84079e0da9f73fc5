"""Classes of hand-made deviations."""

import numpy as np
import pytest

from oxytomo.arrays import OUTSIDE, OXYGEN_POOR, OXYGEN_RICH, TARGET, UNDECIDED
from oxytomo.errors import ShapeError
from oxytomo.segment.classes import (
    CLASS_LABELS,
    CONFIDENT_LABELS,
    averaged_deviation,
    classify_confident,
    classify_deviation,
    lone_skin_voxels,
)

ROW = np.array([[[-0.2, -0.05, 0.0, 0.05, 0.2]]], np.float32)
ALL = np.ones(ROW.shape, bool)


def test_a_row_of_five_voxels_is_labelled_by_hand():
    phases = classify_deviation(ROW, ALL, threshold=0.05)
    assert phases.dtype == np.uint8
    assert phases.ravel().tolist() == [OXYGEN_RICH, TARGET, TARGET, TARGET, OXYGEN_POOR]


def test_the_threshold_itself_is_target_and_the_next_number_is_not():
    limit = np.float32(0.05)
    row = np.array([limit, np.nextafter(limit, np.float32(1)), -np.nextafter(limit, np.float32(1))])
    phases = classify_deviation(row, np.ones(3, bool), threshold=0.05)
    assert phases.tolist() == [TARGET, OXYGEN_POOR, OXYGEN_RICH]


def test_outside_the_particle_nothing_is_labelled():
    particle = np.array([[[False, True, False, True, False]]])
    assert classify_deviation(ROW, particle, threshold=0.01).ravel().tolist() == [
        OUTSIDE,
        OXYGEN_RICH,
        OUTSIDE,
        OXYGEN_POOR,
        OUTSIDE,
    ]


def test_a_voxel_without_deviation_is_outside_and_undecided():
    deviation = np.array([np.nan, 0.0], np.float32)
    inside = np.ones(2, bool)
    assert classify_deviation(deviation, inside, threshold=0.05).tolist() == [OUTSIDE, TARGET]
    confident = classify_confident(
        deviation, np.zeros(2, np.float32), inside, threshold=0.05, confidence=0.95
    )
    assert confident.tolist() == [UNDECIDED, TARGET]


def test_infinite_deviations_keep_their_side():
    deviation = np.array([np.inf, -np.inf], np.float32)
    assert classify_deviation(deviation, np.ones(2, bool), threshold=0.05).tolist() == [
        OXYGEN_POOR,
        OXYGEN_RICH,
    ]


def test_half_precision_is_compared_in_single_precision():
    # 0.05 rounds to 0.04999 in half precision: 0.05002 must not be compared with that.
    deviation = np.array([0.05, 0.0502], np.float16)
    assert classify_deviation(deviation, np.ones(2, bool), threshold=0.05).tolist() == [TARGET, OXYGEN_POOR]
    assert classify_deviation(np.array([0.05], np.float16), np.ones(1, bool), threshold=0.04998).tolist() == [
        OXYGEN_POOR
    ]


def test_replicates_lead_the_axes_of_the_particle():
    stack = np.stack([ROW, -ROW])
    phases = classify_deviation(stack, ALL, threshold=0.05)
    assert phases.shape == stack.shape
    assert phases[1].ravel().tolist() == phases[0].ravel().tolist()[::-1]


def test_confident_classes_by_hand():
    # sigma 0.02: one side needs 1.645 * 0.02 = 0.0329, target needs 1.960 * 0.02 = 0.0392.
    deviation = np.array([0.083, 0.082, 0.011, 0.010, -0.010, -0.082, -0.083], np.float32)
    sigma = np.full(7, 0.02, np.float32)
    confident = classify_confident(deviation, sigma, np.ones(7, bool), threshold=0.05, confidence=0.95)
    assert confident.tolist() == [
        OXYGEN_POOR,
        UNDECIDED,
        UNDECIDED,
        TARGET,
        TARGET,
        UNDECIDED,
        OXYGEN_RICH,
    ]


def test_without_noise_confident_is_the_plain_classification():
    zero = np.zeros_like(ROW)
    confident = classify_confident(ROW, zero, ALL, threshold=0.05, confidence=0.95)
    np.testing.assert_array_equal(confident, classify_deviation(ROW, ALL, threshold=0.05))


def test_unknown_or_infinite_noise_leaves_all_undecided():
    for sigma in (np.nan, np.inf):
        noise = np.full_like(ROW, sigma)
        confident = classify_confident(ROW, noise, ALL, threshold=0.05, confidence=0.95)
        assert (confident == UNDECIDED).all()


def test_confident_voxels_are_wrong_less_often_than_promised():
    rng = np.random.default_rng(3)
    true = rng.uniform(-0.15, 0.15, 200_000).astype(np.float32)
    sigma = np.full_like(true, 0.02)
    measured = true + 0.02 * rng.standard_normal(true.size).astype(np.float32)
    inside = np.ones(true.size, bool)
    truth = classify_deviation(true, inside, threshold=0.05)
    found = classify_confident(measured, sigma, inside, threshold=0.05, confidence=0.95)
    for label in CLASS_LABELS.values():
        decided = found == label
        assert decided.sum() > 1000
        assert (truth[decided] != label).mean() < 0.05


def test_inputs_are_not_modified():
    deviation, particle, sigma = ROW.copy(), ALL.copy(), np.full_like(ROW, 0.01)
    classify_deviation(deviation, particle, threshold=0.05)
    classify_confident(deviation, sigma, particle, threshold=0.05, confidence=0.9)
    np.testing.assert_array_equal(deviation, ROW)
    assert particle.all()
    assert (sigma == np.float32(0.01)).all()


def test_labels_by_name():
    assert CLASS_LABELS == {"target": 1, "oxygen_poor": 2, "oxygen_rich": 3}
    assert CONFIDENT_LABELS == {**CLASS_LABELS, "undecided": 4}


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match=r"expected the shape \(1, 1, 4\) of the particle, got \(1, 1, 5\)"):
        classify_deviation(ROW, np.ones((1, 1, 4), bool), threshold=0.05)
    with pytest.raises(ShapeError, match=r"got \(1, 1, 4\)"):
        classify_confident(ROW, ROW[..., :4], ALL, threshold=0.05, confidence=0.95)


@pytest.mark.parametrize(("width", "middle"), [(1.0, 1.0), (2.5, 2.5**-3), (3.0, 3.0**-3), (4.0, 4.0**-3)])
def test_a_single_voxel_is_averaged_over_a_cube_of_any_edge(width: float, middle: float) -> None:
    deviation = np.zeros((9, 9, 9), np.float32)
    deviation[4, 4, 4] = 1
    mean = averaged_deviation(deviation, np.ones(deviation.shape, bool), width_px=width)
    assert mean[4, 4, 4] == pytest.approx(middle, rel=1e-5)
    assert mean.sum() == pytest.approx(1, rel=1e-5)


def test_averages_stay_within_the_particle() -> None:
    particle = np.zeros((9, 9, 9), bool)
    particle[:, :, :5] = True
    deviation = np.where(particle, 0.1, np.nan).astype(np.float32)
    mean = averaged_deviation(deviation, particle, width_px=3)
    np.testing.assert_allclose(mean[particle], 0.1, rtol=1e-5)
    assert np.isnan(mean[~particle]).all()


def test_single_voxels_of_a_class_at_the_surface_by_hand():
    """A cube of target in air: a poor voxel on a face, two side by side, one inside, one beside a pore, one at the edge."""
    phases = np.zeros((9, 9, 9), np.uint8)
    phases[2:, 1:-1, 1:-1] = TARGET
    particle = phases > 0
    phases[4, 1, 4] = OXYGEN_POOR  # alone on a face
    phases[6, 1, 4:6] = OXYGEN_POOR  # two that share a face
    phases[5, 4, 4] = OXYGEN_POOR  # alone, inside
    particle[5, 6, 6] = False  # a pore
    phases[5, 6, 6] = OUTSIDE
    phases[5, 5, 6] = OXYGEN_RICH  # alone, beside the pore
    phases[8, 3, 3] = OXYGEN_POOR  # alone where the volume cuts the particle: what is beside is not known
    phases[3, 2, 1] = OXYGEN_POOR  # corners do not join: alone, its neighbour in class across an edge
    phases[4, 3, 1] = OXYGEN_POOR
    before = phases.copy()
    found = lone_skin_voxels(phases, particle)
    np.testing.assert_array_equal(phases, before)
    assert sorted(map(tuple, np.argwhere(found))) == [(3, 2, 1), (4, 1, 4), (4, 3, 1), (5, 5, 6)]
    np.testing.assert_array_equal(lone_skin_voxels(phases[5], particle[5]), found[5])
