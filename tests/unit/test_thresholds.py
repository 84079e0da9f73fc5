"""Ranks and their counts say what classifying anew at each threshold says."""

import numpy as np
import pytest

from oxytomo.measure.fractions import (
    border_share,
    class_fractions,
    fraction_interval,
    replicate_fractions,
    scatter_interval,
)
from oxytomo.measure.thresholds import (
    FaceCounts,
    RankCounts,
    ThresholdCounts,
    classes_at,
    threshold_ranks,
)
from oxytomo.segment.classes import CLASS_LABELS, classify_deviation

SHAPE = (9, 11, 13)
THRESHOLDS = np.array([0.01, 0.02, 0.05, 0.0625, 0.1])


@pytest.fixture
def volumes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deviation with NaN and with values exactly on thresholds, particle, noisy copies in half precision."""
    deviation = rng.normal(0, 0.06, SHAPE).astype(np.float32)
    deviation[0, :3, 0] = [0.05, -0.05, 0.0625]
    deviation[2, 2, 2:5] = np.nan
    particle = rng.random(SHAPE) < 0.8
    particle[0, :3, 0] = True
    copies = (deviation + rng.normal(0, 0.02, (3, *SHAPE))).astype(np.float16)
    copies[0, 0, 0, 0] = np.float16(0.0625)
    return deviation, particle, copies


@pytest.mark.parametrize("k", range(len(THRESHOLDS)))
def test_classes_fractions_and_intervals_at_every_threshold(volumes, k):
    deviation, particle, copies = volumes
    threshold = float(THRESHOLDS[k])
    phases = classify_deviation(deviation, particle, threshold=threshold)
    ranks = threshold_ranks(deviation, particle, THRESHOLDS)
    out = np.empty(SHAPE, np.uint8)
    classes_at(ranks, k, out)
    assert np.array_equal(out, phases)

    n = THRESHOLDS.size
    each = [RankCounts.of(threshold_ranks(one, particle, THRESHOLDS), n) for one in copies]
    counts = ThresholdCounts(THRESHOLDS, RankCounts.of(ranks, n), FaceCounts.of(ranks, n), each, each[:2])
    expected, replicates = (
        class_fractions(phases, labels=CLASS_LABELS),
        replicate_fractions(copies, particle, threshold=threshold),
    )
    faces = counts.faces.faces(k)
    for name, (value, interval) in counts.fractions(k, confidence=0.95).items():
        label = CLASS_LABELS[name]
        assert value == expected[name]
        assert faces[name] / counts.own.total == pytest.approx(border_share(phases, label), rel=1e-12)
        assert interval == pytest.approx(
            fraction_interval(value, replicates[name], phases, label, confidence=0.95), rel=1e-12
        )
    for name, (value, interval) in counts.null_fractions(k, confidence=0.95).items():
        assert value == pytest.approx(np.mean(replicates[name][:2]), rel=1e-12)
        assert interval == pytest.approx(scatter_interval(replicates[name][:2], confidence=0.95), rel=1e-12)


def test_nothing_classified_has_no_fraction_and_no_null_run_no_row():
    ranks = threshold_ranks(np.full((2, 2, 2), np.nan, np.float32), np.ones((2, 2, 2), bool), THRESHOLDS)
    n = THRESHOLDS.size
    counts = ThresholdCounts(THRESHOLDS, RankCounts.of(ranks, n), FaceCounts.of(ranks, n), [], [])
    assert all(
        np.isnan(value) and interval is None
        for value, interval in counts.fractions(0, confidence=0.95).values()
    )
    assert counts.null_fractions(0, confidence=0.95) == {}
