"""What repeated scans do: a change of the feature against their scatter."""

from dataclasses import dataclass, replace
from math import comb

import numpy as np
from scipy.special import stdtr

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.scattering.feature import Calibrated, Common, FeatureOptions, FeatureSums, feature_sums

LEAST_SCANS = 2
"""Each map needs as many scans for a scatter."""
PERMUTED, WELCH = "scans", "scans, Welch"


@dataclass(frozen=True)
class ScanTest:
    """A change of the feature against the scatter of scans.

    Attributes
    ----------
    test : ``scans``: scans redistributed at random; ``scans, Welch``: t-test of Welch
    p_value : probability of a change as large without a difference
    error : standard error of ln(second / first) from the scatter, no smaller than from counting
    """

    test: str
    p_value: float
    error: float


@dataclass(frozen=True)
class _Scans:
    """ln(feature) of the scans of both maps in order, counting variances, numbers of scans."""

    logs: Float64Array
    variance: Float64Array
    n: tuple[int, int]


def scan_test(
    maps: tuple[Calibrated, Calibrated],
    common: Common,
    *,
    calibration: float,
    options: FeatureOptions,
    rng: np.random.Generator,
) -> ScanTest | None:
    """Compare a feature of two maps of several scans each; None if scans are missing or too weak.

    Each scan gives ``l = ln(feature / rest)``. The statistic is the difference of the means over
    its standard error, ``t = (l̄₂ − l̄₁) / √(s₁²/n₁ + s₂²/n₂ + c²)``. The variance ``s²`` of the
    scans is taken no smaller than that of photon counting; all scans of a map share the error
    ``c`` of the emission scales. If nothing differs, each scan could have been of either map:
    scans are redistributed at random, and ``p = (1 + n_larger) / (1 + n)``. The studentised
    statistic keeps the level also where the scatter of the maps differs (Chung and Romano,
    Ann. Stat. 41, 484, 2013). With so few scans that no redistribution reaches the level, p is that
    of Welch's t-test.

    Parameters
    ----------
    maps : both maps with their scans
    common : ranges that both maps cover
    calibration : standard error of ln(second / first) from the emission scales
    options : windows of the feature, scale, number of permutations, level
    rng : of the permutations
    """
    if min(len(one.scans) for one in maps) < LEAST_SCANS:
        return None
    found = [_log(one, number, options, common) for one in maps for number in range(len(one.scans))]
    values = np.array(found, np.float64)
    if not np.isfinite(values).all():
        return None
    scans = _Scans(values[:, 0], values[:, 1], (len(maps[0].scans), len(maps[1].scans)))
    total, first = sum(scans.n), scans.n[0]
    orders = np.arange(total)[None, :]
    means, variances = _both(scans, orders)
    parts = variances[:, 0] / np.array(scans.n)
    difference, error = float(means[1, 0] - means[0, 0]), float(np.sqrt(parts.sum()))
    whole = float(np.hypot(error, calibration))
    ways = comb(total, first) / (2 if scans.n[0] == scans.n[1] else 1)
    if 1 / ways > options.level:
        freedom = whole**4 / float((parts**2 / (np.array(scans.n) - 1)).sum())
        return ScanTest(WELCH, 2 * float(stdtr(freedom, -abs(difference) / whole)), error)
    shuffled = rng.permuted(np.repeat(orders, options.permutations, axis=0), axis=1)
    means, variances = _both(scans, shuffled)
    moved = means[1] - means[0]
    moved = moved + (rng.normal(scale=calibration, size=moved.size) if calibration > 0 else 0.0)
    errors = np.sqrt(variances[0] / scans.n[0] + variances[1] / scans.n[1] + calibration**2)
    larger = int((np.abs(moved) / errors >= abs(difference) / whole * (1 - 1e-12)).sum())
    return ScanTest(PERMUTED, (1 + larger) / (1 + options.permutations), error)


def _both(scans: _Scans, orders: IntArray) -> tuple[Float64Array, Float64Array]:
    """Return means and variances (2, n_order) of both parts of the scans in each order."""
    means, variances = [], []
    for part in (orders[:, : scans.n[0]], orders[:, scans.n[0] :]):
        means.append(scans.logs[part].mean(axis=1))
        spread = scans.logs[part].var(axis=1, ddof=1)
        variances.append(np.maximum(spread, scans.variance[part].mean(axis=1)))
    return np.array(means), np.array(variances)


def _log(one: Calibrated, number: int, options: FeatureOptions, common: Common) -> tuple[float, float]:
    """Return ln(feature / rest) of a scan and its counting variance; NaN without such photons."""
    scan = one.scans[number]
    if not np.isfinite(scan.photons[np.isfinite(one.map.photons)]).all():
        return float("nan"), float("nan")
    sums: FeatureSums = feature_sums(replace(one, map=scan), options, common)
    of_rest = options.scale == "rest"
    values = [float(sums.feature_rate()), float(sums.rest_rate()) if of_rest else 1.0]
    if not min(values) > 0:
        return float("nan"), float("nan")
    error = sums.relative_error(of_rest=of_rest, flux_error=scan.flux_error)
    return float(np.log(values[0] / values[1])), error**2
