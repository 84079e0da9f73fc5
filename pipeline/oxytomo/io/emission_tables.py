"""Tables of the scattering branch, which may have no rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oxytomo.io.tables import write_csv

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
    "chi_square",
    "r_factor",
    "condition_number",
)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows with these columns; only the header line without rows."""
    write_csv(path, {name: [row[name] for row in rows] for name in columns})
