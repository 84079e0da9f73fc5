"""Data of a comparison from scattering maps: yields, valences and the feature of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from oxytomo.arrays import Float64Array
from oxytomo.results.definitions import ENERGY_SCALE_EV, Quantity
from oxytomo.results.numbers import NORMAL_95, Number, float_of
from oxytomo.scattering.definitions import SCATTERING_DEFINITIONS as SAID

UNEXPLAINED = (2.0, 0.02)
"""The references do not explain a yield if χ² and R factor are both larger."""
SHOWN = ("PFY corrected", "iPFY", "PFY", "TFY")
"""Yields that follow the absorption in the bulk, the best first."""


@dataclass(frozen=True)
class MapValence:
    """A mean valence from one yield of one map.

    Attributes
    ----------
    map, element, state : of the map
    yield_name, depth : the yield, and ``bulk`` or ``surface``
    value, error : mean valence and its standard error, with 0.1 eV of energy scale
    explained : the references explain the yield
    references : name of each reference of the element -> its valence
    """

    map: str
    element: str
    state: str
    yield_name: str
    depth: str
    value: float
    error: float
    explained: bool
    references: Mapping[str, float]


@dataclass(frozen=True)
class MapCurve:
    """A yield of one map over its excitation energies, with standard errors."""

    map: str
    element: str
    yield_name: str
    depth: str
    excitation_ev: Float64Array
    value: Float64Array
    error: Float64Array


@dataclass(frozen=True)
class MapNumbers:
    """What a comparison shows of the maps of a sample.

    Attributes
    ----------
    valences, curves : of all maps
    changes : pairs of maps with a feature, as in ``scattering.json``
    quantities : what of it is a number of the sample
    numbers : key of a quantity -> number
    settings : settings that must agree between samples
    """

    valences: Sequence[MapValence]
    curves: Sequence[MapCurve]
    changes: Sequence[Mapping[str, Any]]
    quantities: Sequence[Quantity]
    numbers: Mapping[str, Number]
    settings: Mapping[str, Any]


def map_numbers(content: Mapping[str, Any], yields: "pd.DataFrame", valences: "pd.DataFrame") -> MapNumbers:
    """Return what a comparison shows of ``scattering.json`` and the tables of yields and valences."""
    found = [_valence(row, content["references"]) for _, row in valences.iterrows()]
    curves = [
        MapCurve(
            str(name),
            str(own["element"].iloc[0]),
            str(kind),
            str(own["depth"].iloc[0]),
            *(own[key].to_numpy(np.float64) for key in ("excitation_ev", "value", "standard_error")),
        )
        for (name, kind), own in yields.groupby(["map", "yield"], sort=False)
    ]
    pairs = [pair for pair in content["pairs"] if pair["feature"] is not None]
    entries = _entries(content["maps"], found, pairs)
    windows = {name: facts["windows_ev"] for name, facts in content["maps"].items()}
    ranges = {
        element: "; ".join(
            sorted({_range(facts) for name, facts in content["maps"].items() if _of(name) == element})
        )
        for element in dict.fromkeys(map(_of, content["maps"]))
    }
    return MapNumbers(
        found,
        curves,
        pairs,
        [quantity for quantity, *_ in entries],
        {quantity.key: _number(quantity, value, error) for quantity, value, error in entries},
        {
            "references": content["references"],
            "windows_ev": {_of(name): dict(own) for name, own in windows.items()},
            "ranges_ev": ranges,
        },
    )


def _of(name: str) -> str:
    return name.partition("_")[0]


def _range(facts: Mapping[str, Any]) -> str:
    """Return the ranges of a map as text, to 1 eV."""
    limits = [f"{facts[key][0]:.0f} to {facts[key][1]:.0f}" for key in ("excitation_ev", "emission_ev")]
    return " × ".join(limits)


def _valence(row: Any, references: Mapping[str, Mapping[str, float]]) -> MapValence:
    of_energy = float(row["valence_per_0_1_ev"]) / 0.1 * ENERGY_SCALE_EV
    chi, r_factor = UNEXPLAINED
    return MapValence(
        map=str(row["map"]),
        element=str(row["element"]),
        state=str(row["state"]),
        yield_name=str(row["yield"]),
        depth=str(row["depth"]),
        value=float(row["mean_valence"]),
        error=float(np.hypot(float(row["standard_error"]), of_energy)),
        explained=not (float(row["chi_square"]) > chi and float(row["r_factor"]) > r_factor),
        references=dict(references.get(str(row["element"])) or {}),
    )


def _entries(
    maps: Mapping[str, Mapping[str, Any]],
    valences: Sequence[MapValence],
    pairs: Sequence[Mapping[str, Any]],
) -> list[tuple[Quantity, float, float]]:
    """Return the quantities of a sample; the only map of an element has no state in its key."""
    elements = [_of(name) for name in maps]
    found = []
    for name, facts in maps.items():
        share = float_of(facts["feature_share"])
        if np.isfinite(share):
            key, shown = _key(name, elements)
            quantity = Quantity(
                f"feature_share_{key}",
                "scattering",
                f"{shown}, share of the feature",
                "%",
                SAID["feature_share"],
            )
            found.append((quantity, 100 * share, 100 * float_of(facts["feature_share_error"])))
    for pair in pairs:
        first, second = pair["first"], pair["second"]
        quantity = Quantity(
            f"feature_ratio_{first}_{second}",
            "scattering",
            f"feature, {second} / {first}",
            "",
            f"1 + change; the change is {SAID['change']}",
        )
        feature = pair["feature"]
        found.append((quantity, 1 + float_of(feature["change"]), float_of(feature["standard_error"])))
    for one in valences:
        key, shown = _key(one.map, elements)
        quantity = Quantity(
            f"map_valence_{key}_{one.yield_name.replace(' ', '_')}",
            "scattering",
            f"{shown}, valence from {one.yield_name} ({one.depth})",
            "",
            f"{SAID['mean_valence']}; the interval holds noise and {ENERGY_SCALE_EV:g} eV of energy scale",
        )
        found.append((quantity, one.value, one.error))
    return found


def _key(name: str, elements: Sequence[str]) -> tuple[str, str]:
    """Return a map as part of a key and as text; without its state if its element has no other."""
    element, _, state = name.partition("_")
    return (element, element) if elements.count(element) == 1 else (name, f"{element} {state}")


def _number(quantity: Quantity, value: float, error: float) -> Number:
    reach = NORMAL_95 * error if np.isfinite(error) else float("nan")
    return Number(value, value - reach, value + reach, quantity.unit, quantity.definition)
