"""What chance does: photons redistributed at random, and differences elsewhere in the maps."""

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.scattering.feature import (
    Calibrated,
    FeatureOptions,
    FeatureSums,
    common_ranges,
    feature_bins,
    near_elastic,
)
from oxytomo.scattering.maps import LEAST_VARIANCE, Window, bin_edges, overlap

SAME_WEIGHT_EV = 0.05
"""Excitations are the same if their widths in the window differ by no more than this: energies that
are read back differ by some meV."""
LEAST_TILE = 50.0
"""Places elsewhere in the map are compared if they have at least this many photons."""


def permutation_p_value(
    sums: list[FeatureSums],
    observed: float,
    calibration: float,
    options: FeatureOptions,
    rng: np.random.Generator,
) -> float:
    """Return the share of random redistributions of the photons with a change as large."""
    first, second = sums
    if (
        first.flux.size != second.flux.size
        or np.abs(first.in_window - second.in_window).max() > SAME_WEIGHT_EV
    ):
        return float("nan")
    of_rest = options.scale == "rest"
    amounts = [float(one.rest_rate()) if of_rest else 1.0 for one in sums]
    shares = second.flux * amounts[1] / (second.flux * amounts[1] + first.flux * amounts[0])
    n = options.permutations
    used = (first.in_window > 0) & (second.in_window > 0)
    feature = _redistributed(first.feature, second.feature, shares, used, n, rng)
    logs = np.log(np.maximum(second.feature_rate(feature), 1e-300))
    logs -= np.log(np.maximum(first.feature_rate(first.feature + second.feature - feature), 1e-300))
    if of_rest:
        used = (first.in_rest > 0) & (second.in_rest > 0)
        rest = _redistributed(first.rest, second.rest, shares, used, n, rng)
        logs -= np.log(second.rest_rate(rest)) - np.log(first.rest_rate(first.rest + second.rest - rest))
    logs += rng.normal(scale=calibration, size=n) if calibration > 0 else 0.0
    larger = int((np.abs(logs) >= abs(observed)).sum())
    return (1 + larger) / (1 + n)


def _redistributed(
    first: Float64Array,
    second: Float64Array,
    shares: Float64Array,
    used: BoolArray,
    n: int,
    rng: np.random.Generator,
) -> Float64Array:
    """Return the photons of the second map in random redistributions, (n, n_excitation)."""
    found = np.broadcast_to(second, (n, second.size)).copy()
    together = np.rint(np.maximum(first + second, 0)).astype(np.int64)[used]
    found[:, used] = rng.binomial(together, shares[used], size=(n, int(used.sum())))
    # Shares of bins are no whole photons: what rounding took away is shared like the photons.
    found[:, used] += ((first + second)[used] - together) * shares[used]
    return found


def change_elsewhere(
    first: Calibrated, second: Calibrated, options: FeatureOptions, sums: list[FeatureSums]
) -> tuple[float, int]:
    """Return the root mean square of change / error at other places, and their number."""
    common = common_ranges(first.map, second.map)
    widths = [high - low for low, high in (options.excitation_ev, options.emission_ev)]
    scale = float(sums[1].rest_rate() / sums[0].rest_rate()) if options.scale == "rest" else 1.0
    amounts = []
    for one in (first, second):
        photons, flux = one.map.photons, one.map.flux[:, None]
        hidden = near_elastic(one) | feature_bins(one.map, options) | ~np.isfinite(photons)
        rows = _tiles(one.map.excitation_ev, common.excitation, widths[0])
        columns = _tiles(one.map.emission_ev, common.emission, widths[1])
        whole = rows @ (~hidden).astype(float) @ columns.T
        full = rows.sum(axis=1)[:, None] * columns.sum(axis=1)[None, :]
        counted = np.where(hidden, 0.0, photons)
        rate = rows @ np.nan_to_num(counted / flux) @ columns.T
        spread = rows**2 @ np.nan_to_num(np.abs(counted) / flux**2) @ (columns.T**2)
        amounts.append((rate, np.maximum(spread, 0), whole > full * (1 - 1e-9), rows @ counted @ columns.T))
    (rate_a, spread_a, whole_a, n_a), (rate_b, spread_b, whole_b, n_b) = amounts
    used = whole_a & whole_b & (np.minimum(n_a, n_b) >= LEAST_TILE) & (rate_a > 0) & (rate_b > 0)
    if not used.any():
        return float("nan"), 0
    logs = np.log(rate_b[used] / rate_a[used] / scale)
    errors = np.sqrt(
        np.maximum(spread_a[used], LEAST_VARIANCE * 1e-12) / rate_a[used] ** 2
        + spread_b[used] / rate_b[used] ** 2
    )
    return float(np.sqrt(np.mean((logs / errors) ** 2))), int(used.sum())


def _tiles(centre: Float64Array, span: Window, width: float) -> Float64Array:
    """Return the overlap of each bin with windows side by side, as shares, (n_window, n)."""
    lows = np.arange(span[0], span[1] - width + 1e-9, width)
    widths = np.diff(bin_edges(centre))
    found = [overlap(centre, (low, low + width)) / widths for low in lows]
    return np.array(found) if found else np.zeros((0, centre.size))
