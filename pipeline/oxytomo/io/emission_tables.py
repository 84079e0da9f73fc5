"""Tables of the scattering branch, which may have no rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oxytomo.io.tables import write_csv, write_json
from oxytomo.scattering.measuring import Measurement

YIELD_COLUMNS = ("map", "element", "yield", "depth", "excitation_ev", "value", "standard_error")
CUT_COLUMNS = (
    "map",
    "element",
    "excitation_ev",
    "n_excitations",
    "emission_ev",
    "value",
    "standard_error",
)
VALENCE_COLUMNS = (
    "map",
    "element",
    "state",
    "yield",
    "depth",
    "mean_valence",
    "standard_error",
    "valence_per_0_1_ev",
    "chi_square",
    "r_factor",
    "condition_number",
)


def write_tables(outputs: Mapping[str, Path], found: Measurement) -> None:
    """Write ``yields``, ``cuts``, ``valences`` and ``summary``."""
    _write(outputs["yields"], found.yields, YIELD_COLUMNS)
    _write(outputs["cuts"], found.cuts, CUT_COLUMNS)
    _write(outputs["valences"], found.valences, VALENCE_COLUMNS)
    write_json(outputs["summary"], found.summary)


def _write(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows with these columns; only the header line without rows."""
    write_csv(path, {name: [row[name] for row in rows] for name in columns})
