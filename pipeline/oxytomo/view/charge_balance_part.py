"""Section and table of the charge balance on the page of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.electrochemistry.charge import DEFINITIONS, METALS, OXYGEN, UNITS, Row, capacity
from oxytomo.view.charge_balance import ChargeBalance
from oxytomo.view.charge_balance_depths import DepthBalance
from oxytomo.view.report import Part, Picture, Section, Table
from oxytomo.view.style import SERIES_COLORS, house_style, new_figure

TITLE = "Charge balance"
NAMES: Mapping[str, str] = {
    "valence": "mean valence",
    "capacity": "capacity since the first state",
    "capacity_step": "capacity since the state before",
    "irreversible_capacity": "irreversible part",
    "cell_capacity": "capacity of the cell",
    "capacity_not_of_metals": "capacity that is not of the metals",
    "lithium": "lithium per formula unit",
    "oxygen_loss": "missing oxygen per formula unit",
    "oxygen_loss_share": "missing oxygen",
    "holes_per_oxygen": "or holes per oxygen",
    "li_tm_vacancies": "Li per metal, vacancies",
    "li_tm_densified": "Li per metal, denser lattice",
    "density_vacancies": "density, vacancies",
    "density_densified": "density, denser lattice",
    "density_difference": "density, dense over vacancies",
}
NOTE = (
    "95 % intervals in parentheses follow from the errors of the valences: scatter of the particles of a state, at least "
    "their noise and 0.1 eV of energy scale. One particle in every state: noise alone, which says nothing of other particles. "
    "The choice of references is not counted."
)
ASSUMES = (
    "Valences are means over the particles that were looked at; the balance holds for the electrode only if they stand for "
    "it. Where lithium has left and the measured valences have not risen by as much, there are two readings that valences "
    "cannot tell apart: oxygen was released, or there are holes on oxygen."
)

DEPTHS = (
    "Whole particles: valences of the stacks, through the particle. Bulk and surface: valences of fluorescence and electron "
    "yields of scattering maps; each capacity is that of a material that is everywhere as at this depth. 95 % intervals: "
    "scatter of the maps of a state, at least their noise and 0.1 eV of energy scale. Self-absorption that is not corrected "
    "moves the bulk."
)


def with_balance(part: Part, balance: ChargeBalance) -> Part:
    """Return the content of a page with the charge balance before the provenance."""
    warnings = [
        *part.warnings,
        *(f"{TITLE}: refused, {reason}." for reason in balance.refused),
        *(f"{TITLE}: {remark}." for remark in balance.remarks),
        *(f"{TITLE}, {one.depth}: refused, {reason}." for one in balance.depths for reason in one.refused),
    ]
    *sections, provenance = part.sections
    summary = [*part.summary, *_sentences(balance)]
    return replace(
        part, warnings=warnings, summary=summary, sections=[*sections, balance_section(balance), provenance]
    )


def balance_columns(balance: ChargeBalance) -> dict[str, list[Any]]:
    """Return the columns of ``charge_balance.csv``."""
    reason = "; ".join(balance.refused)
    rows = [
        (r.state, r.element, r.quantity, r.unit, r.value, *r.interval, balance.n[r.state], reason)
        for r in balance.rows
    ]
    names = "state,element,quantity,unit,value,low_95,high_95,n_particles,refused"
    found = {name: [row[place] for row in rows] for place, name in enumerate(names.split(","))}
    return found if not balance.depths else _with_depths(found, balance)


def _with_depths(found: dict[str, list[Any]], balance: ChargeBalance) -> dict[str, list[Any]]:
    """Add the columns of bulk and surface, and rows of elements that only yields know."""
    numbers = {one.depth: _numbers_of(one) for one in balance.depths}
    known = set(zip(found["state"], found["element"], found["quantity"], strict=True))
    for key in (key for own in numbers.values() for key in own if key not in known):
        known.add(key)
        nothing = float("nan")
        row = (*key, UNITS[key[2]], nothing, nothing, nothing, balance.n[key[0]], "; ".join(balance.refused))
        for column, value in zip(found.values(), row, strict=True):
            column.append(value)
    keys = list(zip(found["state"], found["element"], found["quantity"], strict=True))
    for one in balance.depths:
        own = [numbers[one.depth].get(key) for key in keys]
        limits = [(float("nan"),) * 3 if row is None else (row.value, *row.interval) for row in own]
        for place, end in enumerate(("", "_low_95", "_high_95")):
            found[f"{one.depth}{end}"] = [row[place] for row in limits]
        metals = [e for e in balance.material.metals if e in one.yields]
        parts = [() if row is None else metals if row.element == METALS else (row.element,) for row in own]
        found[f"{one.depth}_yield"] = [", ".join(dict.fromkeys(one.yields[e] for e in es)) for es in parts]
        found[f"{one.depth}_n_maps"] = [
            min((one.n[key[0], e] for e in es), default=0) for key, es in zip(keys, parts, strict=True)
        ]
        found[f"{one.depth}_refused"] = ["; ".join(one.refused)] * len(keys)
    return found


def _numbers_of(one: DepthBalance) -> dict[tuple[str, str, str], Row]:
    return {(row.state, row.element, row.quantity): row for row in one.rows}


def balance_section(balance: ChargeBalance) -> Section:
    """Return the section with picture and table."""
    pictures = []
    if not balance.refused:
        caption = "Capacity of each element since the first state, positive on charge. Bars: 95 % intervals. Dashed: the cell."
        pictures.append(Picture("Capacity of the elements", _figure(balance), caption, wide=True))
    mass = balance.material.molar_mass
    formula = "".join(f"{element}{atoms:g}" for element, atoms in balance.material.atoms.items())
    text = [
        f"{formula}: {mass:.3f} g/mol, {capacity(1.0, 1.0, mass):.2f} mAh/g per electron. {ASSUMES}",
        *(f"Refused: {reason}." for reason in balance.refused),
    ]
    tables = [_table(balance), *([_depth_table(balance)] if balance.depths else [])]
    return Section(TITLE, text=text, pictures=pictures, tables=tables)


def _depth_table(balance: ChargeBalance) -> Table:
    """Return one row per state, element and quantity with the columns of bulk and surface."""
    all_depths = {(r.state, r.element, r.quantity): r for r in balance.rows}
    columns = {one.depth: _numbers_of(one) for one in balance.depths}
    keys = sorted(
        {key for own in columns.values() for key in own},
        key=lambda key: (list(UNITS).index(key[2]), _order(balance, key[1]), list(balance.n).index(key[0])),
    )
    rows = []
    for state, element, quantity in keys:
        cells = [own.get((state, element, quantity)) for own in (all_depths, *columns.values())]
        unit = "" if UNITS[quantity] == "1" else f" ({UNITS[quantity]})"
        yields = ", ".join(one.yields[element] for one in balance.depths if element in one.yields)
        shown = ["–" if cell is None else _number(cell) for cell in cells]
        rows.append([f"{NAMES[quantity]}{unit}", element, state, *shown, yields])
    heads = ("quantity", "element", "state", "whole particles", *columns, "yields")
    return Table("Bulk and surface", heads, rows, frozenset(range(3, 4 + len(columns))), DEPTHS)


def _sentences(balance: ChargeBalance) -> list[str]:
    """Return the main numbers of the last state as a sentence."""
    if balance.refused:
        return []
    last = balance.states[-1].name
    wanted = (
        ("irreversible_capacity", "oxygen_loss_share") if balance.states[-1].discharged else ("capacity",)
    )
    found = [
        r for r in balance.rows if r.state == last and r.quantity in wanted and r.element in (METALS, OXYGEN)
    ]
    found = [r for r in found if np.isfinite(r.value)]
    words = [f"{NAMES[r.quantity]} ({r.element}) {_number(r)} {r.unit}" for r in found]
    return [f"{TITLE}, {last}: {'; '.join(words)}."] if words else []


def _table(balance: ChargeBalance) -> Table:
    """Return one row per quantity and element, one column per state."""
    states = [state.name for state in balance.states]
    by_place = {(r.quantity, r.element, r.state): r for r in balance.rows}
    keys = sorted(
        {key[:2] for key in by_place}, key=lambda key: (list(UNITS).index(key[0]), _order(balance, key[1]))
    )
    rows = []
    for quantity, element in keys:
        cells = [by_place.get((quantity, element, state)) for state in states]
        unit = "" if UNITS[quantity] == "1" else f" ({UNITS[quantity]})"
        shown = ["–" if cell is None else _number(cell) for cell in cells]
        rows.append([f"{NAMES[quantity]}{unit}", element, *shown, DEFINITIONS[quantity]])
    columns = ("quantity", "element", *states, "definition")
    return Table(TITLE, columns, rows, frozenset(range(2, 2 + len(states))), NOTE)


def _order(balance: ChargeBalance, element: str) -> int:
    elements = [e for e in balance.material.atoms if e != OXYGEN]
    return (*elements, METALS, OXYGEN, "").index(element)


def _number(row: Row) -> str:
    if not np.isfinite(row.value):
        return "–"
    decimals = {"mAh/g": 1, "%": 2}.get(row.unit, 3)
    low, high = row.interval
    limits = f" ({low:.{decimals}f} to {high:.{decimals}f})" if np.isfinite(low) and high > low else ""
    return f"{row.value:.{decimals}f}{limits}".replace("-", "−")


@house_style
def _figure(balance: ChargeBalance) -> Figure:
    """Draw the capacity of each element in each state."""
    figure = new_figure(9.4, 3.2)
    axes = figure.subplots()
    rows = [r for r in balance.rows if r.quantity == "capacity"]
    elements = list(dict.fromkeys(r.element for r in rows))
    width = 0.8 / len(elements)
    states = [state.name for state in balance.states]
    for place, element in enumerate(elements):
        own: Sequence[Row] = [r for r in rows if r.element == element]
        at = np.arange(len(states)) + (place - (len(elements) - 1) / 2) * width
        reach = np.array([[r.value - r.interval[0], r.interval[1] - r.value] for r in own]).T
        color = SERIES_COLORS[place % len(SERIES_COLORS)]
        axes.bar(at, [r.value for r in own], width, yerr=reach, color=color, capsize=2.5, label=element)
    for place, state in enumerate(balance.states):
        if state.capacity_mah_g is not None:
            axes.plot([place - 0.45, place + 0.45], [state.capacity_mah_g] * 2, color="0.3", ls="--", lw=1.2)
    axes.axhline(0, color="0.3", lw=0.8)
    axes.set_xticks(range(len(states)), states)
    axes.set_ylabel("capacity (mAh/g)")
    axes.legend(ncols=min(6, len(elements)))
    return figure
