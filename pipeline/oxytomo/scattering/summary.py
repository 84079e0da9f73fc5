"""Numbers of maps: yields, cuts, valences and differences as rows of tables and a summary."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.oxidation.edges import default_windows, inside
from oxytomo.scattering.difference import (
    FeatureChange,
    MapDifference,
    feature_change,
    feature_share,
    map_difference,
    scale_factor,
)
from oxytomo.scattering.elastic import ElasticLight
from oxytomo.scattering.feature import Calibrated, FeatureOptions
from oxytomo.scattering.maps import Window
from oxytomo.scattering.self_absorption import Corrected, slab_of, without_self_absorption
from oxytomo.scattering.valences import BULK, YieldValence
from oxytomo.scattering.yields import Cut, Yield, cuts, fluorescence_yield, inverse_yield, scatter_error

FITTED = ("TFY", "PFY", "PFY corrected", "iPFY")
"""Fluorescence yields that follow the absorption; columns do so, too."""


@dataclass(frozen=True)
class BesideColumn:
    """A yield that was measured with a map, on its excitations, and its depth."""

    name: str
    depth: str
    value: Float64Array


@dataclass(frozen=True)
class MeasuredMap:
    """A calibrated map.

    Attributes
    ----------
    name, element, state : of the map
    calibrated : the map on its emission scale
    elastic : photons of its elastic line, None if it was not found
    columns : yields beside it
    facts : of its stage, for the summary
    """

    name: str
    element: str
    state: str
    calibrated: Calibrated
    elastic: ElasticLight | None
    columns: Sequence[BesideColumn]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class YieldOptions:
    """Windows of the yields of an element; see the settings of the same names."""

    pfy_ev: Window | None
    spfy_ev: Window | None
    ipfy_ev: Window | None
    cuts_ev: tuple[float, ...]
    cut_width_ev: float
    pre_edge_ev: Window | None
    post_edge_ev: Window | None


@dataclass(frozen=True)
class SampleSlab:
    """A flat sample; see the settings of the same names."""

    formula: Mapping[str, float]
    density_g_cm3: float
    thickness_um: float | None
    incidence_deg: float
    exit_deg: float


@dataclass(frozen=True)
class MapYields:
    """Yields and cuts of one map.

    Attributes
    ----------
    yields : fluorescence yields, then columns
    depths : of each yield
    cuts : emission spectra
    corrected : the correction for self-absorption, None without
    """

    yields: Sequence[Yield]
    depths: Sequence[str]
    cuts: Sequence[Cut]
    corrected: Corrected | None


def map_yields(one: MeasuredMap, options: YieldOptions, slab: SampleSlab | None) -> MapYields:
    """Return the yields and cuts of a map."""
    source = one.calibrated.map
    found = [fluorescence_yield(source, None, name="TFY", elastic=None)]
    corrected = None
    if options.pfy_ev is not None:
        partial = fluorescence_yield(source, options.pfy_ev, name="PFY", elastic=one.elastic)
        found.append(partial)
        if slab is not None:
            corrected = _corrected(one, partial, options, slab)
            found.append(
                Yield(
                    "PFY corrected", partial.excitation_ev, corrected.value, corrected.error, options.pfy_ev
                )
            )
    if options.spfy_ev is not None:
        found.append(fluorescence_yield(source, options.spfy_ev, name="sPFY", elastic=one.elastic))
    if options.ipfy_ev is not None:
        found.append(inverse_yield(source, options.ipfy_ev, name="iPFY"))
    depths = [BULK] * len(found)
    for column in one.columns:
        found.append(Yield(column.name, source.excitation_ev, column.value, scatter_error(column.value)))
        depths.append(column.depth)
    return MapYields(found, depths, cuts(source, options.cuts_ev, width_ev=options.cut_width_ev), corrected)


def _corrected(one: MeasuredMap, partial: Yield, options: YieldOptions, slab: SampleSlab) -> Corrected:
    """Return the absorption by the edge that gives a partial yield."""
    energy = partial.excitation_ev
    windows = default_windows(one.element, energy)
    assert partial.window_ev is not None
    attenuation = slab_of(
        slab.formula,
        density_g_cm3=slab.density_g_cm3,
        element=one.element,
        edge_ev=windows.edge_ev,
        excitation_ev=energy,
        emission_ev=sum(partial.window_ev) / 2,
        thickness_um=np.inf if slab.thickness_um is None else slab.thickness_um,
        incidence_deg=slab.incidence_deg,
        exit_deg=slab.exit_deg,
    )
    return without_self_absorption(
        partial.value,
        partial.error,
        attenuation,
        below=inside(energy, options.pre_edge_ev or windows.pre_edge),
        above=inside(energy, options.post_edge_ev or windows.post_edge),
    )


def yield_rows(one: MeasuredMap, found: MapYields) -> list[dict[str, Any]]:
    """Return one row per map, yield and excitation energy."""
    return [
        {
            "map": one.name,
            "element": one.element,
            "yield": each.name,
            "depth": depth,
            "excitation_ev": ev,
            "value": value,
            "standard_error": error,
        }
        for each, depth in zip(found.yields, found.depths, strict=True)
        for ev, value, error in zip(each.excitation_ev, each.value, each.error, strict=True)
    ]


def cut_rows(one: MeasuredMap, found: MapYields) -> list[dict[str, Any]]:
    """Return one row per map, cut and emission energy."""
    return [
        {
            "map": one.name,
            "element": one.element,
            "excitation_ev": cut.excitation_ev,
            "n_excitations": cut.used_ev.size,
            "emission_ev": ev,
            "value": value,
            "standard_error": error,
        }
        for cut in found.cuts
        for ev, value, error in zip(cut.emission_ev, cut.value, cut.error, strict=True)
    ]


def fitted_valences(
    found: MapYields, fit: Callable[[Yield], YieldValence]
) -> list[tuple[Yield, str, YieldValence]]:
    """Fit every yield that follows the absorption.

    Fluorescence yields except the super-partial one, and all columns.
    """
    return [
        (each, depth, fit(each))
        for each, depth in zip(found.yields, found.depths, strict=True)
        if each.name in FITTED or each.window_ev is None
    ]


def valence_row(one: MeasuredMap, each: Yield, depth: str, fit: YieldValence) -> dict[str, Any]:
    """Return the row of one fitted yield."""
    return {
        "map": one.name,
        "element": one.element,
        "state": one.state,
        "yield": each.name,
        "depth": depth,
        "mean_valence": fit.valence,
        "standard_error": fit.error,
        "valence_per_0_1_ev": fit.per_0_1_ev,
        "chi_square": fit.chi_square,
        "r_factor": fit.r_factor,
        "condition_number": fit.condition,
    }


def map_summary(
    one: MeasuredMap,
    found: MapYields,
    fits: Sequence[tuple[Yield, str, YieldValence]],
    feature: FeatureOptions,
) -> dict[str, Any]:
    """Return the facts of a map for the summary; the feature is one of O only."""
    source = one.calibrated.map
    share, share_error = feature_share(one.calibrated, feature) if one.element == "O" else (np.nan, np.nan)
    corrected = found.corrected
    return {
        **one.facts,
        "state": one.state,
        "photons": float(np.nansum(source.photons)),
        "excitation_ev": [float(source.excitation_ev[0]), float(source.excitation_ev[-1])],
        "emission_ev": [float(source.emission_ev[0]), float(source.emission_ev[-1])],
        "shape": list(source.photons.shape),
        "feature_share": float(share),
        "feature_share_error": float(share_error),
        "windows_ev": {
            each.name: list(each.window_ev) for each in found.yields if each.window_ev is not None
        },
        "self_absorption": None
        if corrected is None
        else {
            "largest_correction": corrected.largest,
            "largest_growth": float(np.nanmax(np.where(corrected.saturated, np.nan, corrected.growth))),
            "saturated": int(corrected.saturated.sum()),
        },
        "unknown_points": {each.name: int((~np.isfinite(each.value)).sum()) for each in found.yields},
        "fits": {
            each.name: {
                "fractions": dict(zip(fit.names, fit.fractions.tolist(), strict=True)),
                "fraction_errors": dict(zip(fit.names, fit.fraction_errors.tolist(), strict=True)),
                "remarks": list(fit.remarks),
                "energy_offset_ev": fit.offset_ev,
            }
            for each, _, fit in fits
        },
    }


@dataclass(frozen=True)
class ComparedPair:
    """Two maps of one element and what differs between them; ``change`` is for the feature."""

    first: MeasuredMap
    second: MeasuredMap
    difference: MapDifference
    change: FeatureChange | None


def compared_pair(
    first: MeasuredMap, second: MeasuredMap, feature: FeatureOptions, *, rng: np.random.Generator
) -> ComparedPair:
    """Compare two maps; the feature is one of O only."""
    maps = first.calibrated, second.calibrated
    if first.element != "O":
        low = float(maps[0].map.excitation_ev[0]), float(maps[0].map.emission_ev[0])
        nothing = FeatureOptions((low[0], low[0]), (low[1], low[1]), feature.scale, 0, feature.level)
        factor = scale_factor(*maps, nothing)
        change = None
    else:
        factor = scale_factor(*maps, feature)
        change = feature_change(*maps, feature, rng=rng)
    return ComparedPair(first, second, map_difference(maps[0].map, maps[1].map, factor=factor), change)


def pair_summary(pair: ComparedPair, feature: FeatureOptions) -> dict[str, Any]:
    """Return the facts of a compared pair for the summary."""
    return {
        "first": pair.first.name,
        "second": pair.second.name,
        "element": pair.first.element,
        "factor": pair.difference.factor,
        "scale": feature.scale,
        "feature": None
        if pair.change is None
        else {
            "excitation_ev": list(feature.excitation_ev),
            "emission_ev": list(feature.emission_ev),
            "level": feature.level,
            "permutations": feature.permutations,
            **{key: getattr(pair.change, key) for key in pair.change.__dataclass_fields__},
        },
    }
