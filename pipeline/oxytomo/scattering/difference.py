"""Difference of two maps: of every point, and of one feature, with a permutation test."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.scattering.maps import (
    LEAST_VARIANCE,
    EmissionMap,
    Window,
    bin_edges,
    overlap,
    require_window,
    window_sum,
)

SAME_ENERGY_EV = 0.02
"""Excitations that differ by no more than this are the same."""
NEAR_ELASTIC = 1.2
"""Emission within this many full widths of the elastic line does not count as the rest."""
LEAST_TILE = 50.0
"""Places elsewhere in the map are compared if they have at least this many photons."""
SHIFT_EV = 0.05
"""Shift of the emission scale for the derivative of a change."""


@dataclass(frozen=True)
class FeatureOptions:
    """The feature and how two maps are compared; see the settings of the same names."""

    excitation_ev: Window
    emission_ev: Window
    scale: str
    permutations: int
    level: float


@dataclass(frozen=True)
class MapDifference:
    """Second map − first map on the grid of the first, both scaled to the same rest.

    Attributes
    ----------
    value, error : (n_excitation, n_emission) photons per mean flux of the first map; NaN outside
        the common range. Errors of neighbours are correlated where the grids differ
    factor : the second map was multiplied by this
    """

    value: Float64Array
    error: Float64Array
    factor: float


@dataclass(frozen=True)
class FeatureChange:
    """Change of the feature from the first map to the second.

    Attributes
    ----------
    first, second : emission in the windows over the rest (or the flux alone)
    change : second / first − 1
    counting_error, calibration_error : standard errors of the change from photon counting, and from
        the errors of both emission scales
    sigma : ln(second / first) over its standard error
    p_value : probability of a change as large without a difference, from permutations of the
        photons; NaN if the excitations of the maps differ
    detected : p_value is at most the level
    photons : photons of the feature in each map
    elsewhere : root mean square of the change over its counting error at other places of the same
        size; about 1 if maps without a difference agree within counting errors
    elsewhere_n : number of these places
    """

    first: float
    second: float
    change: float
    counting_error: float
    calibration_error: float
    sigma: float
    p_value: float
    detected: bool
    photons: tuple[float, float]
    elsewhere: float
    elsewhere_n: int


@dataclass(frozen=True)
class Calibrated:
    """A map on its calibrated emission scale.

    Attributes
    ----------
    map : the map
    fwhm_ev : full width of the elastic line, NaN where unknown
    scale_error_ev : standard error of the emission scale, eV
    """

    map: EmissionMap
    fwhm_ev: float
    scale_error_ev: float


@dataclass(frozen=True)
class _Sums:
    """Photons of the feature and the rest by excitation, and how excitations are weighted."""

    feature: Float64Array
    feature_variance: Float64Array
    rest: Float64Array
    rest_variance: Float64Array
    in_window: Float64Array
    in_rest: Float64Array
    flux: Float64Array

    def feature_rate(self, photons: Float64Array | None = None) -> Float64Array:
        """Return the feature per flux, summed over excitations; also for permuted photons."""
        return _total(self.feature if photons is None else photons, self.in_window / self.flux)

    def rest_rate(self, photons: Float64Array | None = None) -> Float64Array:
        """Return the rest per flux, summed over excitations."""
        return _total(self.rest if photons is None else photons, self.in_rest / self.flux)

    def relative_error(self, *, of_rest: bool, flux_error: float) -> float:
        """Return the relative standard error of the feature over the rest."""
        parts = [_relative(self.feature, self.feature_variance, self.in_window / self.flux, flux_error)]
        if of_rest:
            parts.append(_relative(self.rest, self.rest_variance, self.in_rest / self.flux, flux_error))
        return float(np.sqrt(sum(part**2 for part in parts)))


def _total(photons: Float64Array, weights: Float64Array) -> Float64Array:
    used = weights > 0
    return np.asarray(photons[..., used] @ weights[used])


def _relative(
    photons: Float64Array, variance: Float64Array, weights: Float64Array, flux_error: float
) -> float:
    used = weights > 0
    total = float(photons[used] @ weights[used])
    squares = variance[used] @ weights[used] ** 2 + flux_error**2 * ((photons * weights)[used] ** 2).sum()
    return float(np.sqrt(squares)) / abs(total) if total else float("inf")


def map_difference(first: EmissionMap, second: EmissionMap, *, factor: float) -> MapDifference:
    """Return the second map × factor − the first, on the grid of the first.

    Photons of the second map are shared among the emission bins of the first by overlap. Between
    its excitations the map is interpolated linearly. The variance of a point is that of both maps,
    with the squares of the shares.

    Parameters
    ----------
    first, second : maps on one emission scale
    factor : scale of the second map
    """
    shares = _overlaps(second.emission_ev, first.emission_ev)
    rows, covered = _interpolation(second.excitation_ev, first.excitation_ev)
    value, variance = second.intensity, second.variance
    unknown = ~np.isfinite(value)
    value, variance = np.where(unknown, 0.0, value), np.where(unknown, 0.0, variance)
    lost = (rows @ unknown @ shares) > 0
    moved = rows @ value @ shares
    spread = rows**2 @ variance @ shares**2
    edges = bin_edges(second.emission_ev)
    own = bin_edges(first.emission_ev)
    inside = (own[:-1] >= edges[0] - 1e-9) & (own[1:] <= edges[-1] + 1e-9)
    good = covered[:, None] & inside[None, :] & ~lost
    difference = factor * moved - first.intensity
    error = np.sqrt(factor**2 * spread + first.variance)
    return MapDifference(np.where(good, difference, np.nan), np.where(good, error, np.nan), factor)


def _overlaps(of: Float64Array, on: Float64Array) -> Float64Array:
    """Return the share of each bin of one scale in each bin of another, (n_of, n_on)."""
    edges = bin_edges(on)
    widths = np.diff(bin_edges(of))
    columns = [overlap(of, (low, high)) / widths for low, high in pairwise(edges)]
    return np.stack(columns, axis=1)


def _interpolation(of: Float64Array, on: Float64Array) -> tuple[Float64Array, BoolArray]:
    """Return weights (n_on, n_of) of a linear interpolation, and which points are covered."""
    weights = np.zeros((on.size, of.size))
    covered = np.zeros(on.size, bool)
    for row, ev in enumerate(on):
        nearest = int(np.abs(of - ev).argmin())
        if abs(of[nearest] - ev) <= SAME_ENERGY_EV:
            weights[row, nearest], covered[row] = 1.0, True
        elif of[0] <= ev <= of[-1]:
            high = int(np.searchsorted(of, ev))
            part = (ev - of[high - 1]) / (of[high] - of[high - 1])
            weights[row, high - 1], weights[row, high], covered[row] = 1 - part, part, True
    return weights, covered


def feature_change(
    first: Calibrated, second: Calibrated, options: FeatureOptions, *, rng: np.random.Generator
) -> FeatureChange:
    """Compare a feature of two maps.

    With ``scale: rest`` the feature is divided by all other emission of its map outside the elastic
    line, so that a different amount of sample or flux cancels; with ``flux`` only by the flux.

    The permutation test redistributes the photons. If nothing differs, each photon that both maps
    together have at one excitation came from either map with the probability of its share of flux ×
    rest. The observed ``|ln(second / first)|`` is compared with those of random redistributions;
    the errors of both emission scales are added as random shifts. ``p = (1 + n_larger) / (1 + n)``
    (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39, 2010).

    Parameters
    ----------
    first, second : maps on one emission scale
    options : windows of the feature, scale, number of permutations, level
    rng : of the permutations

    Raises
    ------
    InputError
        If a map does not cover the windows, or the feature has no photons.
    """
    sums = [_sums(one, options, _common(first.map, second.map)) for one in (first, second)]
    of_rest = options.scale == "rest"
    values = [_ratio(one, of_rest) for one in sums]
    if not min(values) > 0:
        raise InputError(
            "feature",
            expected="photons in its windows in both maps",
            got=f"{min(values):.3g}",
            fix="check the windows of 'feature' and the calibration of the energies",
        )
    ratio = values[1] / values[0]
    errors = [
        one.relative_error(of_rest=of_rest, flux_error=calibrated.map.flux_error)
        for one, calibrated in zip(sums, (first, second), strict=True)
    ]
    counting = float(np.hypot(*errors))
    calibration = float(
        np.hypot(
            *(
                _per_ev(one, options, _common(first.map, second.map)) * one.scale_error_ev
                for one in (first, second)
            )
        )
    )
    p_value = _p_value(sums, float(np.log(ratio)), calibration, options, rng)
    elsewhere, n = _elsewhere(first, second, options, sums)
    return FeatureChange(
        first=values[0],
        second=values[1],
        change=ratio - 1,
        counting_error=ratio * counting,
        calibration_error=ratio * calibration,
        sigma=float(np.log(ratio)) / float(np.hypot(counting, calibration)),
        p_value=p_value,
        detected=bool(p_value <= options.level),
        photons=(_photons(sums[0]), _photons(sums[1])),
        elsewhere=elsewhere,
        elsewhere_n=n,
    )


def scale_factor(first: Calibrated, second: Calibrated, options: FeatureOptions) -> float:
    """Return the factor on the second map that gives both the same rest; 1 for ``flux``."""
    if options.scale == "flux":
        return 1.0
    sums = [_sums(one, options, _common(first.map, second.map)) for one in (first, second)]
    return float(sums[0].rest_rate() / sums[1].rest_rate())


def _ratio(sums: _Sums, of_rest: bool) -> float:
    return float(sums.feature_rate() / sums.rest_rate()) if of_rest else float(sums.feature_rate())


def _photons(sums: _Sums) -> float:
    return float(sums.feature[sums.in_window > 0].sum())


@dataclass(frozen=True)
class _Common:
    """Ranges that both maps cover, eV."""

    excitation: Window
    emission: Window


def _common(first: EmissionMap, second: EmissionMap) -> _Common:
    ranges = []
    for axis in ("excitation_ev", "emission_ev"):
        edges = [bin_edges(getattr(one, axis)) for one in (first, second)]
        low, high = max(e[0] for e in edges), min(e[-1] for e in edges)
        if not low < high:
            raise InputError(
                "maps to compare",
                expected="maps of common energies",
                got=f"no common {axis.removesuffix('_ev')} energies",
                fix="compare maps of one edge, or check their energies",
            )
        ranges.append((float(low), float(high)))
    return _Common(*ranges)


def _sums(one: Calibrated, options: FeatureOptions, common: _Common) -> _Sums:
    """Sum the photons of the feature and of the rest by excitation."""
    source = one.map
    require_window(
        source.excitation_ev, options.excitation_ev, name="feature.excitation_ev", what="excitation"
    )
    require_window(source.emission_ev, options.emission_ev, name="feature.emission_ev", what="emission")
    feature, feature_variance = window_sum(source, options.emission_ev)
    in_window = overlap(source.excitation_ev, options.excitation_ev)
    in_range = overlap(source.excitation_ev, common.excitation)
    rest, rest_variance = window_sum(
        source, common.emission, left_out=near_elastic(one) | _feature_bins(source, options)
    )
    unknown = ~np.isfinite(feature)
    if (unknown & (in_window > 0)).any():
        raise InputError(
            "feature",
            expected="valid points in all of its windows",
            got=f"{int((unknown & (in_window > 0)).sum())} excitations with invalid points",
            fix="choose other windows, or repair the map",
        )
    lost = ~np.isfinite(rest)
    return _Sums(
        feature=np.where(unknown, 0.0, feature),
        feature_variance=np.where(unknown, 0.0, feature_variance),
        rest=np.where(lost, 0.0, rest),
        rest_variance=np.where(lost, 0.0, rest_variance),
        in_window=np.where(unknown, 0.0, in_window),
        in_rest=np.where(lost, 0.0, in_range),
        flux=np.where(np.isfinite(source.flux), source.flux, 1.0),
    )


def near_elastic(one: Calibrated) -> BoolArray:
    """Return the bins of a map near its elastic line; none if its width is unknown."""
    source = one.map
    if not np.isfinite(one.fwhm_ev):
        return np.zeros(source.photons.shape, bool)
    away = np.abs(source.emission_ev[None, :] - source.excitation_ev[:, None])
    return np.asarray(away <= NEAR_ELASTIC * one.fwhm_ev)


def _feature_bins(source: EmissionMap, options: FeatureOptions) -> BoolArray:
    """Return the bins of which any part is in the feature."""
    rows = overlap(source.excitation_ev, options.excitation_ev) > 0
    columns = overlap(source.emission_ev, options.emission_ev) > 0
    return np.asarray(rows[:, None] & columns[None, :])


def _per_ev(one: Calibrated, options: FeatureOptions, common: _Common) -> float:
    """Return the relative change of the feature per eV of the emission scale."""
    logs = []
    edges = bin_edges(one.map.emission_ev)
    room = min(options.emission_ev[0] - edges[0], edges[-1] - options.emission_ev[1])
    step = min(SHIFT_EV, room)
    if not step > 0:
        return 0.0
    for shift in (-step, step):
        low, high = (limit + shift for limit in options.emission_ev)
        moved = replace(options, emission_ev=(low, high))
        logs.append(np.log(max(_ratio(_sums(one, moved, common), options.scale == "rest"), 1e-300)))
    return float(abs(logs[1] - logs[0]) / (2 * step))


def _p_value(
    sums: list[_Sums],
    observed: float,
    calibration: float,
    options: FeatureOptions,
    rng: np.random.Generator,
) -> float:
    """Return the share of random redistributions of the photons with a change as large."""
    first, second = sums
    if first.flux.size != second.flux.size or np.abs(first.in_window - second.in_window).max() > 1e-6:
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


def _elsewhere(
    first: Calibrated, second: Calibrated, options: FeatureOptions, sums: list[_Sums]
) -> tuple[float, int]:
    """Return the root mean square of the change over its error at other places, and their number."""
    common = _common(first.map, second.map)
    widths = [high - low for low, high in (options.excitation_ev, options.emission_ev)]
    scale = float(sums[1].rest_rate() / sums[0].rest_rate()) if options.scale == "rest" else 1.0
    amounts = []
    for one in (first, second):
        photons, flux = one.map.photons, one.map.flux[:, None]
        hidden = near_elastic(one) | _feature_bins(one.map, options) | ~np.isfinite(photons)
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
