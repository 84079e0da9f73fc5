"""Bulk and surface of a charge balance, from the valences of scattering yields."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from oxytomo.config import ChargeBalanceSettings
from oxytomo.electrochemistry.charge import Material, Row, State
from oxytomo.electrochemistry.depths import depth_rows
from oxytomo.electrochemistry.estimates import Estimate, group_estimates
from oxytomo.errors import ConfigError
from oxytomo.scattering.valences import BULK, SURFACE
from oxytomo.view.compare import Comparison
from oxytomo.view.compared_maps import SHOWN, MapValence

Found = Mapping[str, Sequence[MapValence]]


@dataclass(frozen=True)
class DepthBalance:
    """The columns of one depth.

    Attributes
    ----------
    depth : ``bulk`` or ``surface``
    rows : the numbers; only valences of elements that are refused
    yields : element -> the yield that its valences are from
    n : (state, element) -> number of maps
    refused : why an element has no capacities
    """

    depth: str
    rows: Sequence[Row]
    yields: Mapping[str, str]
    n: Mapping[tuple[str, str], int]
    refused: Sequence[str] = field(default_factory=list)


def depth_balances(
    comparison: Comparison,
    settings: ChargeBalanceSettings,
    material: Material,
    states: Sequence[State],
    *,
    refused: bool,
) -> list[DepthBalance]:
    """Return bulk and surface where scattering maps of the states have valences.

    A map is of the state that it is named after: ``Mn_charged`` of ``charged``, or of the name in
    ``maps`` of the state; it may be in any sample. A map of another name is of the group of its
    sample, if it is the only one of its element there.

    Parameters
    ----------
    comparison : samples
    settings : formula and states
    material : formula unit of the first state
    states : in order of time
    refused : there are no capacities, only valences

    Raises
    ------
    ConfigError
        If no sample has maps of a state that ``maps`` names.
    """
    by_state, left_out = _joined(comparison, settings, [state.name for state in states])
    found = []
    for depth in (BULK, SURFACE):
        one = _depth(depth, by_state, material, states, refused=refused)
        if one.rows or one.refused:
            found.append(one if not left_out else _with(one, left_out))
    return found


def _with(one: DepthBalance, more: Sequence[str]) -> DepthBalance:
    return DepthBalance(one.depth, one.rows, one.yields, one.n, [*one.refused, *more])


def _plain(name: str) -> str:
    """Return a name as names of maps are written."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def _joined(
    comparison: Comparison, settings: ChargeBalanceSettings, names: Sequence[str]
) -> tuple[dict[str, list[MapValence]], list[str]]:
    """Return the valences of each state, and what belongs to no state."""
    given = {name: known.maps for name, known in settings.states.items() if known.maps is not None}
    wanted = {_plain(given.get(name, name)): name for name in names}
    found: dict[str, list[MapValence]] = {name: [] for name in names}
    left_out: list[str] = []
    for sample in comparison.samples:
        valences = () if sample.maps is None else sample.maps.valences
        for one in valences:
            state = wanted.get(one.state)
            alone = len({o.map for o in valences if o.element == one.element}) == 1
            if state is None and alone and sample.group in names and sample.group not in given:
                state = sample.group
            if state is not None:
                found[state].append(one)
            elif sample.group in names:
                left_out.append(
                    f"the map {one.map} of {sample.name} is of no state (name its state in 'maps')"
                )
    for name, maps in given.items():
        if not found[name]:
            states = sorted(
                {o.state for s in comparison.samples if s.maps is not None for o in s.maps.valences}
            )
            raise ConfigError(
                f"charge_balance.states.{name}.maps",
                expected="the state of scattering maps with valences",
                got=f"'{maps}', and maps of {', '.join(states) or 'none'}",
                fix="correct the name, or give the maps references",
            )
    return found, list(dict.fromkeys(left_out))


def _depth(
    depth: str,
    by_state: Found,
    material: Material,
    states: Sequence[State],
    *,
    refused: bool,
) -> DepthBalance:
    """Return the numbers of one depth."""
    own = {name: [one for one in maps if one.depth == depth] for name, maps in by_state.items()}
    elements = [e for e in material.atoms if any(one.element == e for maps in own.values() for one in maps)]
    valences: dict[str, dict[str, Estimate]] = {state.name: {} for state in states}
    whole: set[str] = set()
    yields: dict[str, str] = {}
    n: dict[tuple[str, str], int] = {}
    reasons: list[str] = []
    for element in elements:
        maps = {name: [one for one in all_ if one.element == element] for name, all_ in own.items()}
        lacking = [name for name, there in maps.items() if not there]
        chosen = _common_yield({name: there for name, there in maps.items() if there})
        if chosen is None:
            reasons.append(f"no yield of the {depth} that all maps of {element} have")
            continue
        maps = {name: [one for one in there if one.yield_name == chosen] for name, there in maps.items()}
        estimates = group_estimates(
            {name: ([o.value for o in there], [o.error for o in there]) for name, there in maps.items()}
        )
        yields[element] = chosen
        for name, there in maps.items():
            if there:
                valences[name][element] = estimates[name]
                n[name, element] = len(there)
        bad = _foreign(element, depth, maps, estimates, lacking)
        reasons += bad
        whole |= set() if bad else {element}
    kept = [
        State(s.name, {e: v for e, v in valences[s.name].items() if e in whole}, discharged=s.discharged)
        for s in states
    ]
    shown = [State(s.name, valences[s.name]) for s in states]
    rows = [row for row in depth_rows(material, shown) if row.quantity == "valence"]
    if not refused:
        rows += [row for row in depth_rows(material, kept) if row.quantity != "valence"]
    return DepthBalance(depth, rows, yields, n, reasons)


def _common_yield(maps: Found) -> str | None:
    """Return the best yield that every state has: the same one, or its errors would be a change."""
    shared = set.intersection(*({one.yield_name for one in there} for there in maps.values()))
    return next((name for name in SHOWN if name in shared), min(shared, default=None))


def _foreign(
    element: str,
    depth: str,
    maps: Found,
    estimates: Mapping[str, Estimate],
    lacking: Sequence[str],
) -> list[str]:
    """Return why the valences of an element at a depth give no capacity."""
    found = [f"{element} has no valence of the {depth} in {name}" for name in lacking]
    there = [one for own in maps.values() for one in own]
    if any(one.references != there[0].references for one in there):
        found.append(f"the references of the {element} yields differ between maps")
    found += [
        f"the references do not explain the {one.yield_name} of {one.map}: they may be of another source"
        for one in there
        if not one.explained
    ]
    found += [
        f"the error of the valence of {element} ({depth}) in {name} is not known"
        for name, one in estimates.items()
        if name not in lacking and not (np.isfinite(one.value) and np.isfinite(one.error))
    ]
    return found
