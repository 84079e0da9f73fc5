"""All numbers of the maps of a sample together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from oxytomo.oxidation.fit_setup import FitOptions
from oxytomo.oxidation.spectra import Reference
from oxytomo.scattering.definitions import SCATTERING_DEFINITIONS
from oxytomo.scattering.feature import FeatureOptions
from oxytomo.scattering.summary import (
    ComparedPair,
    MeasuredMap,
    SampleSlab,
    YieldOptions,
    compared_pair,
    cut_rows,
    fitted_valences,
    map_summary,
    map_yields,
    pair_summary,
    valence_row,
    yield_rows,
)
from oxytomo.scattering.valences import yield_valence


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured.

    Attributes
    ----------
    yields : windows by element
    slab : sample for the correction of self-absorption, None without
    feature : the feature of O
    pairs : names of the maps that are compared
    fit : options of the fits by element
    seed : of the permutations
    """

    yields: Mapping[str, YieldOptions]
    slab: SampleSlab | None
    feature: FeatureOptions
    pairs: Sequence[tuple[str, str]]
    fit: Mapping[str, FitOptions]
    seed: int


@dataclass(frozen=True)
class Measurement:
    """Rows of the tables, the summary, and the compared pairs."""

    yields: Sequence[Mapping[str, Any]]
    cuts: Sequence[Mapping[str, Any]]
    valences: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    pairs: Sequence[ComparedPair]


def measure_maps(
    maps: Mapping[str, MeasuredMap],
    references: Mapping[str, Sequence[Reference]],
    options: MeasureOptions,
) -> Measurement:
    """Measure all maps, and compare pairs of them.

    Parameters
    ----------
    maps : calibrated maps by name
    references : by element; none for an element without valences
    options : what is measured
    """
    yields: list[dict[str, Any]] = []
    cuts: list[dict[str, Any]] = []
    valences: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    for name, one in maps.items():
        found = map_yields(one, options.yields[one.element], options.slab)
        own, fit = references.get(one.element, ()), options.fit[one.element]
        fits = fitted_valences(found, partial(yield_valence, references=own, options=fit)) if own else []
        yields += yield_rows(one, found)
        cuts += cut_rows(one, found)
        valences += [valence_row(one, *each) for each in fits]
        facts[name] = map_summary(one, found, fits, options.feature)
    rng = np.random.default_rng(options.seed)
    pairs = [
        compared_pair(maps[first], maps[second], options.feature, rng=rng) for first, second in options.pairs
    ]
    compared = [pair_summary(pair, options.feature) for pair in pairs]
    known = {element: {one.name: one.valence for one in own} for element, own in references.items() if own}
    summary = {"maps": facts, "pairs": compared, "valences": valences, "references": known}
    return Measurement(yields, cuts, valences, {**summary, "definitions": SCATTERING_DEFINITIONS}, pairs)
