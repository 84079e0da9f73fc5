"""The charge balance of a comparison: states from its samples, and why a balance is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xraydb

from oxytomo.config import ChargeBalanceSettings
from oxytomo.config.elements import SYMBOLS
from oxytomo.electrochemistry.charge import (
    OXYGEN,
    Material,
    Row,
    State,
    balance,
    capacity,
    lithium_of,
    mean_valence,
    neutral_valence,
    valence_rows,
)
from oxytomo.electrochemistry.estimates import Estimate, group_estimates
from oxytomo.errors import ConfigError
from oxytomo.results.numbers import Number
from oxytomo.view.charge_balance_depths import DepthBalance, depth_balances
from oxytomo.view.compare import Comparison

LEFT_OVER = 0.05
"""Lithium per formula unit by which a charge may exceed all lithium, for side reactions."""
LITHIUM_DIFFERS = 0.05
"""Lithium per formula unit by which that of a state may differ from what the charge of the cell says."""
FOREIGN = 0.999
"""The mean valence of the first state has to make its formula neutral within this interval."""


@dataclass(frozen=True)
class ChargeBalance:
    """A charge balance, or the reasons why there is none.

    Attributes
    ----------
    material : formula unit of the first state
    states : states in order
    rows : the numbers; only valences if it is refused
    refused : reasons; empty if there is none
    n : state -> number of particles
    depths : bulk and surface from scattering yields; empty without such valences
    remarks : what a reader should know
    """

    material: Material
    states: Sequence[State]
    rows: Sequence[Row]
    refused: Sequence[str]
    n: Mapping[str, int]
    depths: Sequence[DepthBalance] = ()
    remarks: Sequence[str] = ()


def balance_of(comparison: Comparison, settings: ChargeBalanceSettings) -> ChargeBalance:
    """Return the charge balance of the groups of a comparison.

    Raises
    ------
    ConfigError
        If fewer than two groups are states, a state is not a group, or an element of the formula
        was not measured in a sample.
    """
    names = list(settings.states or comparison.groups)
    unknown = [name for name in names if name not in comparison.groups]
    if unknown or len(names) < 2:
        raise ConfigError(
            "charge balance",
            expected="two or more groups as states of charge",
            got=f"'{unknown[0]}', which is no group" if unknown else f"{len(names)} group",
            fix="give each state as a group, e.g. --group charged results/a",
        )
    _require_elements(comparison, settings, names)
    order = {"Li": -1, "O": len(SYMBOLS)}
    elements = sorted(settings.formula, key=lambda e: order.get(e, SYMBOLS.index(e)))
    atoms = {element: settings.formula[element] for element in elements}
    masses = {element: float(xraydb.atomic_mass(element)) for element in atoms}
    material = Material(atoms, masses, settings.fixed_valences)
    oxygen = [OXYGEN] if all(_has(s, OXYGEN) for n in names for s in comparison.members(n)) else []
    valences = {
        element: group_estimates({name: _numbers(comparison, name, element) for name in names})
        for element in (*settings.to_measure, *oxygen)
    }
    states = []
    for name in names:
        known = settings.states.get(name)
        states.append(
            State(
                name,
                {element: found[name] for element, found in valences.items()},
                None if known is None else known.lithium,
                None if known is None else known.capacity_mah_g,
                known is not None and known.discharged,
            )
        )
    refused = _refused(comparison, material, states)
    rows = (
        [row for state in states for row in valence_rows(material, state)]
        if refused
        else balance(material, states)
    )
    n = {name: len(comparison.members(name)) for name in names}
    depths = depth_balances(comparison, settings, material, states, refused=bool(refused))
    return ChargeBalance(material, states, rows, refused, n, depths, _disagreeing(material, states))


def _disagreeing(material: Material, states: Sequence[State]) -> list[str]:
    """Say where the lithium and the charge of a state do not agree."""
    found = []
    for state in states:
        if state.lithium is None or state.capacity_mah_g is None:
            continue
        start = material.atoms["Li"] if states[0].lithium is None else states[0].lithium
        of_charge = start - state.capacity_mah_g / capacity(1.0, 1.0, material.molar_mass)
        if abs(of_charge - state.lithium) > LITHIUM_DIFFERS:
            found.append(
                f"{state.name} has {state.lithium:.2f} lithium per formula unit as given, and {of_charge:.2f} after a charge of "
                f"{state.capacity_mah_g:g} mAh/g; the given lithium is used. Side reactions, a wrong unit or another mass "
                "of active material make such a difference"
            )
    return found


def _has(sample: object, element: str) -> bool:
    return f"valence_{element}" in sample.numbers  # type: ignore[attr-defined]


def _require_elements(comparison: Comparison, settings: ChargeBalanceSettings, names: Sequence[str]) -> None:
    """Refuse a sample without a valence of a cation of the formula."""
    for sample in (sample for name in names for sample in comparison.members(name)):
        missing = [element for element in settings.to_measure if not _has(sample, element)]
        if missing:
            raise ConfigError(
                f"charge balance of {sample.name}",
                expected=f"valences of {', '.join(settings.to_measure)}",
                got=f"none of {', '.join(missing)}",
                fix="measure its stack, correct the formula, or give its valence in 'fixed_valences'",
            )


def _numbers(comparison: Comparison, group: str, element: str) -> tuple[list[float], list[float]]:
    """Return the valences of the particles of a group and their errors."""
    numbers: list[Number] = [sample.numbers[f"valence_{element}"] for sample in comparison.members(group)]
    return [number.value for number in numbers], [number.error for number in numbers]


def _refused(comparison: Comparison, material: Material, states: Sequence[State]) -> list[str]:
    """Return why no balance can be given."""
    names = {state.name for state in states}
    members = [sample for sample in comparison.samples if sample.group in names]
    found = []
    if any(one.rule.key == "references" for one in comparison.refused.get("oxidation", ())):
        found.append("the reference spectra differ between samples")
    found += [
        f"the references do not explain the {element} spectra of {sample.name}: they may be of another source"
        for sample in members
        for element in sample.unexplained
        if element in material.metals
    ]
    for state in states:
        found += [
            f"{element} in {state.name} has no valence"
            if not np.isfinite(one.value)
            else f"the error of the valence of {element} in {state.name} is not known"
            for element, one in state.valences.items()
            if not np.isfinite(one.value) or not np.isfinite(one.error)
        ]
    found += [
        f"the charge of {state.name}, {state.capacity_mah_g:g} mAh/g, is more than all lithium of the formula gives: "
        "its unit, or the formula, is another"
        for state in states
        if state.lithium is None and (lithium_of(material, state) or 0.0) < -LEFT_OVER
    ]
    return found or _not_neutral(material, states[0])


def _not_neutral(material: Material, first: State) -> list[str]:
    """Refuse a first state whose valences do not make its formula neutral."""
    if OXYGEN in first.valences:
        return []
    mean: Estimate = mean_valence(material, first)
    lithium = lithium_of(material, first)
    needed = neutral_valence(material, material.atoms["Li"] if lithium is None else lithium)
    low, high = mean.limits(FOREIGN)
    if low <= needed <= high:
        return []
    return [
        f"the mean valence of the metals in {first.name} is {mean.value:.2f} ({100 * FOREIGN:g} % interval {low:.2f} to "
        f"{high:.2f}), and its formula is neutral at {needed:.2f}: the references are of another source, or the "
        "formula is not that of this state"
    ]
