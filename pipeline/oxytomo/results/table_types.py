"""Types of tables and of their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "count", "flag", "text", "choice"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    kind : ``number`` (float64, empty cells are NaN), ``count`` (int64), ``flag`` (True or False),
        ``text`` or ``choice``
    unit, definition : unit (``"1"`` for a pure number), and exact definition of the values
    choices : allowed values of the kind ``choice``
    """

    kind: Kind
    unit: str = "1"
    definition: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableType:
    """A table: its branch, its required columns, and all columns by name."""

    branch: str
    needed: tuple[str, ...]
    columns: Mapping[str, Column]


def number(unit: str = "1", definition: str = "") -> Column:
    """Return a column of numbers."""
    return Column("number", unit, definition)


def count(definition: str) -> Column:
    """Return a column of whole numbers."""
    return Column("count", "1", definition)
