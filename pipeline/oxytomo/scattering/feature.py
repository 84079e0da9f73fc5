"""Photons of a feature and of the rest of a map, by excitation."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.scattering.maps import EmissionMap, Window, bin_edges, overlap, require_window, window_sum

NEAR_ELASTIC = 1.2
"""Emission within this many full widths of the elastic line does not count as the rest."""


@dataclass(frozen=True)
class FeatureOptions:
    """The feature and how two maps are compared; see the settings of the same names."""

    excitation_ev: Window
    emission_ev: Window
    scale: str
    permutations: int
    level: float


@dataclass(frozen=True)
class Calibrated:
    """A map on its calibrated emission scale.

    Attributes
    ----------
    map : the map
    fwhm_ev : full width of the elastic line, NaN where unknown
    scale_error_ev : standard error of the emission scale, eV
    scans : its scans, on the scale of the map; empty if there is one only
    """

    map: EmissionMap
    fwhm_ev: float
    scale_error_ev: float
    scans: tuple[EmissionMap, ...] = ()


@dataclass(frozen=True)
class FeatureSums:
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


@dataclass(frozen=True)
class Common:
    """Ranges that both maps cover, eV."""

    excitation: Window
    emission: Window


def common_ranges(first: EmissionMap, second: EmissionMap) -> Common:
    """Return the energies that both maps cover; refuse maps that have none in common."""
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
    return Common(*ranges)


def feature_sums(one: Calibrated, options: FeatureOptions, common: Common) -> FeatureSums:
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
        source, common.emission, left_out=near_elastic(one) | feature_bins(source, options)
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
    return FeatureSums(
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


def feature_bins(source: EmissionMap, options: FeatureOptions) -> BoolArray:
    """Return the bins of which any part is in the feature."""
    rows = overlap(source.excitation_ev, options.excitation_ev) > 0
    columns = overlap(source.emission_ev, options.emission_ev) > 0
    return np.asarray(rows[:, None] & columns[None, :])
