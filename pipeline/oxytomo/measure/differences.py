"""Means of groups of particles, their differences, and the statistical tests for them.

The particle is the unit of replication: voxels and pixels of one particle carry no information on
the scatter between particles of a group. A number of one particle has an error from noise (a
standard deviation), as repeated measurements of the *same* particle would show it. It replaces the
scatter only where the observed scatter is smaller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, ndtr, ndtri, stdtr, stdtrit

from oxytomo.arrays import Float64Array

Test = Literal["Welch", "one against a group", "noise of two particles", "none"]


@dataclass(frozen=True)
class GroupMean:
    """Mean of a quantity over the particles of a group.

    Attributes
    ----------
    n : number of particles
    mean : unweighted mean over particles; NaN without particles
    interval : 95 %. For two or more particles, of the mean of further particles of this kind
        (Student); for one particle, of this particle from noise alone; None where neither is known
    scatter : standard deviation between the particles; NaN for one
    """

    n: int
    mean: float
    interval: tuple[float, float] | None
    scatter: float


@dataclass(frozen=True)
class Difference:
    """Difference of two groups, second minus first.

    Attributes
    ----------
    value : difference of the means
    interval : its 95 % interval, None where it is unknown
    test : name of the test that the interval and ``p`` belong to
    statistic, freedom : statistic and degrees of freedom of the test; infinite for noise alone
    p : two-sided probability of a difference this large without a true one; NaN where unknown
    """

    value: float
    interval: tuple[float, float] | None
    test: Test
    statistic: float = float("nan")
    freedom: float = float("nan")
    p: float = float("nan")


def group_mean(values: Sequence[float], errors: Sequence[float], *, whole: float | None = None) -> GroupMean:
    """Return the mean of a group with its interval.

    The interval of a share is symmetric on the logit scale, ``logit(m) ± t s / (m (1 − m))``
    (Agresti, Categorical Data Analysis, 2013, 3.1.6). So it stays between none and all, and is the
    usual ``m ± t s`` where s is small.

    Parameters
    ----------
    values : one number per particle
    errors : standard deviation of each from noise; NaN where unknown
    whole : for shares, the value of a share that is everything (1, or 100 for percent); None for
        numbers without limits
    """
    found, noise = _known(values, errors)
    if found.size == 0:
        return GroupMean(0, float("nan"), None, float("nan"))
    mean = float(found.mean())
    if found.size == 1:
        reach = float(ndtri(0.975) * noise[0])
        interval = None if np.isnan(reach) else _around(mean, reach, whole)
        return GroupMean(1, mean, interval, float("nan"))
    variance = _variance(found, noise)
    reach = float(stdtrit(found.size - 1, 0.975) * np.sqrt(variance / found.size))
    return GroupMean(int(found.size), mean, _around(mean, reach, whole), float(found.std(ddof=1)))


def _around(mean: float, reach: float, whole: float | None) -> tuple[float, float]:
    """Return the limits at a distance around a mean; those of a share stay between 0 and all."""
    if whole is None:
        return mean - reach, mean + reach
    share, part = mean / whole, reach / whole
    if not 0 < share < 1:  # no logit: nothing or everything in every particle
        return max(0.0, mean - reach), min(whole, mean + reach)
    middle, half = np.log(share / (1 - share)), part / (share * (1 - share))
    return whole * float(expit(middle - half)), whole * float(expit(middle + half))


def difference(
    first: Sequence[float],
    first_errors: Sequence[float],
    second: Sequence[float],
    second_errors: Sequence[float],
) -> Difference:
    """Return the difference between two groups and the test that their sizes allow.

    Two or more in both groups: Welch's test (Welch 1947), which does not assume equal scatter. One
    against several: the test of a single case (Sokal & Rohlf 1995; Crawford & Howell 1998), which
    assumes equal scatter of both kinds. One against one: their noise alone (normal distribution).
    This holds for these two particles, not for the groups that they belong to.

    Parameters
    ----------
    first, second : one number per particle
    first_errors, second_errors : standard deviation of each from noise; NaN where unknown
    """
    a, noise_a = _known(first, first_errors)
    b, noise_b = _known(second, second_errors)
    if a.size == 0 or b.size == 0:
        return Difference(float("nan"), None, "none")
    value = float(b.mean() - a.mean())
    if a.size == 1 and b.size == 1:
        variance, freedom = float(noise_a[0] ** 2 + noise_b[0] ** 2), float("inf")
        test: Test = "noise of two particles"
    elif a.size == 1 or b.size == 1:
        (several, noise, alone) = (b, noise_b, noise_a) if a.size == 1 else (a, noise_a, noise_b)
        variance = _variance(several, noise) * (1 + 1 / several.size)
        # A particle with more noise than those of the group has a larger scatter.
        variance += max(0.0, _noise_variance(alone) - _noise_variance(noise))
        freedom, test = several.size - 1.0, "one against a group"
    else:
        parts = np.array([_variance(a, noise_a) / a.size, _variance(b, noise_b) / b.size])
        variance, test = float(parts.sum()), "Welch"
        squares = float((parts**2 / (np.array([a.size, b.size]) - 1)).sum())
        freedom = variance**2 / squares if squares > 0 else float("nan")
    return _tested(value, variance, freedom, test)


def holm(p: Sequence[float]) -> Float64Array:
    """Return probabilities corrected for the number of tests (Holm 1979).

    NaN does not count as a test.
    """
    given = np.asarray(p, np.float64)
    order = [i for i in np.argsort(given) if np.isfinite(given[i])]
    corrected = np.full(given.shape, np.nan)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * given[place]))
        corrected[place] = largest
    return corrected


def _tested(value: float, variance: float, freedom: float, test: Test) -> Difference:
    if not (np.isfinite(variance) and variance > 0) or np.isnan(freedom):
        return Difference(value, None, "none")
    error = float(np.sqrt(variance))
    statistic = value / error
    if np.isinf(freedom):
        p, reach = 2 * float(ndtr(-abs(statistic))), float(ndtri(0.975)) * error
    else:
        p, reach = 2 * float(stdtr(freedom, -abs(statistic))), float(stdtrit(freedom, 0.975)) * error
    return Difference(value, (value - reach, value + reach), test, statistic, freedom, p)


def _variance(values: Float64Array, noise: Float64Array) -> float:
    """Return the variance between particles, at least that of their noise where it is known."""
    return max(float(values.var(ddof=1)), _noise_variance(noise))


def _noise_variance(noise: Float64Array) -> float:
    """Return the mean variance from noise where it is known, otherwise 0."""
    known = noise[np.isfinite(noise)]
    return float((known**2).mean()) if known.size else 0.0


def _known(values: Sequence[float], errors: Sequence[float]) -> tuple[Float64Array, Float64Array]:
    """Return the finite values with their errors."""
    found, noise = np.asarray(values, np.float64), np.asarray(errors, np.float64)
    finite = np.isfinite(found)
    return found[finite], noise[finite]
