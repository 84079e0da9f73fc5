"""Difference of two maps: of every point, and of one feature, with a permutation test."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.scattering.chance import change_elsewhere, permutation_p_value
from oxytomo.scattering.feature import (
    Calibrated,
    Common,
    FeatureOptions,
    FeatureSums,
    common_ranges,
    feature_sums,
)
from oxytomo.scattering.maps import EmissionMap, bin_edges, overlap
from oxytomo.scattering.scan_chance import scan_test

SAME_ENERGY_EV = 0.02
"""Excitations that differ by no more than this are the same."""
SHIFT_EV = 0.05
"""Shift of the emission scale for the derivative of a change."""


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
    scan_error : standard error of the change from the scatter of repeated scans, no smaller than
        the counting error; NaN if a map has one scan
    standard_error : the larger of counting_error and scan_error, with calibration_error
    sigma : ln(second / first) over its standard error
    test : what p_value is from: ``photons``, ``scans`` or ``scans, Welch``
    p_value : probability of a change as large without a difference, from permutations of the
        scans, or of the photons if a map has one scan; NaN if only photons are known and the
        excitations of the maps differ
    detected : p_value is at most the level
    photons : photons of the feature in each map
    scans : number of scans of each map
    elsewhere : root mean square of the change over its counting error at other places of the same
        size; about 1 if maps without a difference agree within counting errors
    elsewhere_n : number of these places
    """

    first: float
    second: float
    change: float
    counting_error: float
    calibration_error: float
    scan_error: float
    standard_error: float
    sigma: float
    test: str
    p_value: float
    detected: bool
    photons: tuple[float, float]
    scans: tuple[int, int]
    elsewhere: float
    elsewhere_n: int


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

    If both maps have several scans, the test is on their scatter: see
    :func:`oxytomo.scattering.scan_chance.scan_test`. Otherwise it redistributes the photons, and
    knows nothing of what scans do beside counting noise. If nothing differs, each photon that both
    maps together have at one excitation came from either map with the probability of its share of
    flux × rest. The observed ``|ln(second / first)|`` is compared with those of random
    redistributions; the errors of both emission scales are added as random shifts.
    ``p = (1 + n_larger) / (1 + n)``
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
    common = common_ranges(first.map, second.map)
    sums = [feature_sums(one, options, common) for one in (first, second)]
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
    counting = float(np.hypot(errors[0], errors[1]))
    moves = [_per_ev(one, options, common) * one.scale_error_ev for one in (first, second)]
    calibration = float(np.hypot(moves[0], moves[1]))
    log, rest = float(np.log(ratio)), change_elsewhere(first, second, options, sums)
    scans = scan_test((first, second), common, calibration=calibration, options=options, rng=rng)
    if scans is None:
        test, error = "photons", counting
        p_value = permutation_p_value(sums, log, calibration, options, rng)
    else:
        test, error, p_value = scans.test, max(counting, scans.error), scans.p_value
    return FeatureChange(
        first=values[0],
        second=values[1],
        change=ratio - 1,
        counting_error=ratio * counting,
        calibration_error=ratio * calibration,
        scan_error=float("nan") if scans is None else ratio * scans.error,
        standard_error=ratio * float(np.hypot(error, calibration)),
        sigma=log / float(np.hypot(error, calibration)),
        test=test,
        p_value=p_value,
        detected=bool(p_value <= options.level),
        photons=(_photons(sums[0]), _photons(sums[1])),
        scans=(max(1, len(first.scans)), max(1, len(second.scans))),
        elsewhere=rest[0],
        elsewhere_n=rest[1],
    )


def feature_share(one: Calibrated, options: FeatureOptions) -> tuple[float, float]:
    """Return the feature of a map over its rest, and its standard error; NaN if not covered.

    The rest is all other emission of the map outside the elastic line, so that shares of maps are
    comparable only if the maps have the same ranges of energies.
    """
    own = common_ranges(one.map, one.map)
    try:
        sums = feature_sums(one, options, own)
    except InputError:
        return float("nan"), float("nan")
    if not (sums.feature_rate() > 0 and sums.rest_rate() > 0):
        return float("nan"), float("nan")
    moves = _per_ev(one, replace(options, scale="rest"), own) * one.scale_error_ev
    counting = sums.relative_error(of_rest=True, flux_error=one.map.flux_error)
    share = _ratio(sums, of_rest=True)
    return share, share * float(np.hypot(counting, moves))


def scale_factor(first: Calibrated, second: Calibrated, options: FeatureOptions) -> float:
    """Return the factor on the second map that gives both the same rest; 1 for ``flux``."""
    if options.scale == "flux":
        return 1.0
    sums = [feature_sums(one, options, common_ranges(first.map, second.map)) for one in (first, second)]
    return float(sums[0].rest_rate() / sums[1].rest_rate())


def _ratio(sums: FeatureSums, of_rest: bool) -> float:
    return float(sums.feature_rate() / sums.rest_rate()) if of_rest else float(sums.feature_rate())


def _photons(sums: FeatureSums) -> float:
    return float(sums.feature[sums.in_window > 0].sum())


def _per_ev(one: Calibrated, options: FeatureOptions, common: Common) -> float:
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
        logs.append(np.log(max(_ratio(feature_sums(one, moved, common), options.scale == "rest"), 1e-300)))
    return float(abs(logs[1] - logs[0]) / (2 * step))
