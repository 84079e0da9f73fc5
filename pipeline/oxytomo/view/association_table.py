"""Table of the elemental association: which metal is short, or in excess, in each class, and where."""

from collections.abc import Mapping, Sequence
from typing import Any

from oxytomo.results.names import CLASS_KEYS, CLASS_NAMES, percent
from oxytomo.results.records import Composition
from oxytomo.view.report import Table

NOTE = (
    "Metal per oxygen relative to the target class. Negative: the metal is short. Fitted to the measured rays; the ± is a "
    "standard error, and without it the class is in too few places for one. Part of the error moves all metals of a class "
    "alike: the difference of two metals is known better than each. Depth: share of the volume from the rim. –: too few voxels."
)


def association_tables_of(result: Composition) -> list[Table]:
    """Return the table of the metals in each class; none if it was not measured."""
    association = (result.phases_json or {}).get("association") or {}
    metals = list(dict.fromkeys(metal for entries in association.values() for metal in entries))
    if not metals:
        return []
    rows = [row for key, entries in association.items() for row in _rows(key, entries, metals)]
    columns = ("class", "depth", *(f"{metal} per O" for metal in metals))
    numeric = frozenset(range(2, len(columns)))
    return [Table("Which metal is short, and where", columns, rows, numeric, NOTE)]


def _rows(key: str, entries: Mapping[str, Any], metals: Sequence[str]) -> list[list[str]]:
    """Return the row of a whole class, and one for each shell."""
    name, n = CLASS_NAMES[CLASS_KEYS[key]], len(entries[metals[0]]["shells"])
    rows = [[name, "all", *(_value(entries[metal]) for metal in metals)]]
    for shell in range(n):
        depth = f"{100 * shell / n:.0f}–{100 * (shell + 1) / n:.0f} %"
        cells = [_value(entries[metal]["shells"][shell]) for metal in metals]
        if any(cell != "–" for cell in cells):
            rows.append([name, depth, *cells])
    return rows


def _value(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return "–"
    error = entry["standard_error"]
    return percent(entry["value"]) + ("" if error is None else f" ± {percent(error)}")
