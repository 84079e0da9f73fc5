"""Statistics of few particles: known answers, what is refused, and that a true difference of nothing is seldom claimed."""

import numpy as np
import pytest
from scipy import stats

from oxytomo.measure.comparability import Rule, disagreements
from oxytomo.measure.differences import difference, group_mean, holm

NONE = float("nan")


def test_two_groups_without_noise_are_welchs_test() -> None:
    a, b = [3.0, 4.5, 3.9], [6.1, 7.0, 6.2, 8.4]
    found = difference(a, [NONE] * 3, b, [0.0] * 4)
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert found.test == "Welch"
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))


def test_one_against_a_group_is_the_prediction_interval_of_that_group() -> None:
    group = np.array([10.0, 11.0, 12.0, 13.0])
    found = difference(list(group), [0.0] * 4, [20.0], [0.0])
    error = group.std(ddof=1) * np.sqrt(1 + 1 / 4)
    assert found.test == "one against a group"
    assert found.freedom == 3
    assert found.statistic == pytest.approx((20 - 11.5) / error)
    assert difference([20.0], [0.0], list(group), [0.0] * 4).p == pytest.approx(found.p)


def test_two_single_particles_have_only_their_noise() -> None:
    found = difference([10.0], [0.3], [11.0], [0.4])
    assert found.test == "noise of two particles"
    assert found.statistic == pytest.approx(1.0 / 0.5)
    assert found.p == pytest.approx(0.0455, abs=1e-4)
    assert difference([10.0], [NONE], [11.0], [0.4]).test == "none"


def test_noise_is_the_least_scatter() -> None:
    """Three particles that agree by chance better than their noise allows do not make a sharp mean."""
    found = group_mean([5.0, 5.0, 5.0], [0.6, 0.6, 0.6])
    assert found.interval == pytest.approx((5 - 4.3027 * 0.6 / 3**0.5, 5 + 4.3027 * 0.6 / 3**0.5), rel=1e-4)
    assert difference([5.0, 5.0], [0.0, 0.0], [6.0, 6.0], [0.0, 0.0]).test == "none"


def test_a_noisier_single_particle_is_harder_to_tell() -> None:
    group, noise = [10.0, 11.0, 12.0], [0.1] * 3
    assert difference(group, noise, [15.0], [2.0]).p > difference(group, noise, [15.0], [0.1]).p
    assert difference(group, [NONE] * 3, [15.0], [NONE]).p == pytest.approx(
        difference(group, noise, [15.0], [0.1]).p
    )


def test_numbers_that_are_missing_do_not_count() -> None:
    found = difference([1.0, NONE, 2.0], [0.1] * 3, [NONE], [0.1])
    assert (found.test, found.interval) == ("none", None)
    assert group_mean([1.0, NONE, 3.0], [0.0] * 3).n == 2
    assert group_mean([], []).n == 0


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, NONE, 0.03]), [0.03, 0.06, NONE, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 3), (1, 4), (2, 5)])
def test_without_a_difference_one_is_seldom_claimed(n_a: int, n_b: int) -> None:
    """Five in a hundred is the promise; 8.5 % leaves four standard errors of 800 draws above Welch's 5.5 % at 2 and 5."""
    rng = np.random.default_rng(20 + 10 * n_a + n_b)
    claimed = 0
    for _ in range(800):
        a, b = (rng.normal(0, 1, n) + rng.normal(0, 0.3, n) for n in (n_a, n_b))
        claimed += difference(list(a), [0.3] * n_a, list(b), [0.3] * n_b).p < 0.05
    assert claimed / 800 < 0.085


def test_settings_that_differ_are_named_with_their_samples() -> None:
    rules = (
        Rule("threshold", "threshold", forbids=True),
        Rule("voxel_nm", "voxel", tolerance=0.1),
        Rule("formula", "formula"),
    )
    settings = {
        "a": {"threshold": 0.05, "voxel_nm": 10.0, "formula": {"Mn": 0.5}},
        "b": {"threshold": 0.1, "voxel_nm": 10.5, "formula": {"Mn": 0.5}},
        "c": {"threshold": 0.05, "voxel_nm": None},
    }
    (only,) = disagreements(settings, rules)
    assert only.rule.key == "threshold"
    assert only.samples == {"0.05": ["a", "c"], "0.1": ["b"]}
    settings["b"]["voxel_nm"] = 12.0
    assert [one.rule.key for one in disagreements(settings, rules)] == ["threshold", "voxel_nm"]


def test_intervals_of_shares_stay_between_nothing_and_everything():
    """Two particles of 99.0 and 99.8 %: Student's 12.7 standard errors would reach to 104.5 %."""
    found = group_mean([99.0, 99.8], [0.1, 0.1], whole=100.0)
    assert found.interval is not None
    low, high = found.interval
    assert 0 < low < 99.4 < high < 100
    plain = group_mean([99.0, 99.8], [0.1, 0.1])
    assert plain.interval is not None
    assert plain.interval[1] > 100
    # By hand: se = 0.4 points; odds 99.4/0.6 times or over exp(12.706 · 0.4 / (99.4 · 0.006)).
    factor = np.exp(12.7062 * 0.4 / (99.4 * 0.006))
    odds = [99.4 / 0.6 / factor, 99.4 / 0.6 * factor]
    np.testing.assert_allclose(found.interval, [100 * o / (1 + o) for o in odds], rtol=1e-4)


def test_narrow_intervals_of_shares_are_the_usual_ones():
    share = group_mean([50.0, 50.02], [0.01, 0.01], whole=100.0)
    plain = group_mean([50.0, 50.02], [0.01, 0.01])
    np.testing.assert_allclose(share.interval, plain.interval, atol=1e-4)


def test_a_share_of_nothing_in_every_particle_has_no_negative_limit():
    found = group_mean([0.0, 0.0], [0.5, 0.5], whole=100.0)
    assert found.interval is not None
    assert found.interval[0] == 0.0
    assert 0 < found.interval[1] < 100
