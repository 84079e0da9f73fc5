"""Charge balance of bulk and surface apart, from valences of yields."""

from collections.abc import Sequence

from oxytomo.electrochemistry.charge import METALS, OXYGEN, UNITS, Material, Row, State, capacity
from oxytomo.electrochemistry.estimates import Estimate, combined


def depth_rows(material: Material, states: Sequence[State]) -> list[Row]:
    """Return valences and capacities of the elements that every state has, and of the metals.

    Capacities are those of a material that is everywhere as at this depth. The metals together are
    given if all of them are known; others would be taken as unchanged.

    Parameters
    ----------
    material : formula unit of the first state
    states : in order of time, with the valences of one depth
    """
    elements = [e for e in material.atoms if all(e in state.valences for state in states)]
    metals = [e for e in elements if e != OXYGEN]
    whole = bool(metals) and all(e in metals or e in material.fixed for e in material.metals)
    groups = {**{e: (e,) for e in metals}, **({METALS: tuple(metals)} if whole else {})}
    groups |= {OXYGEN: (OXYGEN,)} if OXYGEN in elements else {}
    rows = [
        _row(state, element, "valence", state.valences[element])
        for state in states
        for element in material.atoms
        if element in state.valences
    ]
    if whole:
        rows += [_row(state, METALS, "valence", _mean(material, state)) for state in states]
    for place, state in enumerate(states):
        wanted = [("capacity", states[0]), ("capacity_step", states[max(place - 1, 0)])]
        if state.discharged and place:
            wanted.append(("irreversible_capacity", states[0]))
        for quantity, since in wanted:
            for name, parts in groups.items():
                terms = [
                    (sign * capacity(1.0, material.atoms[e], material.molar_mass), one.valences[e])
                    for e in parts
                    for sign, one in ((1, state), (-1, since))
                ]
                # A state minus itself is 0 without an error.
                rows.append(_row(state, name, quantity, Estimate(0.0) if since is state else combined(terms)))
    return rows


def _mean(material: Material, state: State) -> Estimate:
    known = {element: Estimate(valence) for element, valence in material.fixed.items()}
    both = known | dict(state.valences)
    terms = [(material.atoms[e], both[e]) for e in material.metals]
    return combined(terms).times(1 / material.metal_atoms)


def _row(state: State, element: str, quantity: str, found: Estimate) -> Row:
    return Row(state.name, element, quantity, UNITS[quantity], found.value, found.interval)
