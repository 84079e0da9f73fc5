"""Tables of results as DataFrames with the original types of the columns."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.errors import StoreError
from oxytomo.io.plain_files import printable
from oxytomo.io.tables import read_csv
from oxytomo.results.columns import TABLE_TYPES as TABLE_TYPES
from oxytomo.results.columns import Column, TableType

if TYPE_CHECKING:
    import pandas as pd

LARGEST_COUNT = 2**53


def read_table(path: Path, kind: TableType) -> "pd.DataFrame":
    """Read a table; its ``attrs`` hold the units and definitions of the columns, and the file.

    Unknown columns are kept, as numbers if all cells are numbers, otherwise as text.

    Raises
    ------
    StoreError
        If the file is not a table, lacks a column, or has a cell of another type.
    """
    import pandas as pd

    cells = read_csv(path)
    lacking = [name for name in kind.needed if name not in cells]
    if lacking:
        expected, got = ", ".join(kind.needed), f"one that lacks a column: {', '.join(lacking)}"
        raise _other(path, f"a table with the columns {expected}", got)
    frame = pd.DataFrame({name: _typed(path, name, kind, column) for name, column in cells.items()})
    known = [name for name in frame if name in kind.columns]
    frame.attrs = {
        "units": {name: kind.columns[name].unit for name in known},
        "definitions": {name: kind.columns[name].definition for name in known},
        "source": path.name,
    }
    return frame


def empty_table(kind: TableType) -> "pd.DataFrame":
    """Return a table without rows, of the right columns and types."""
    import pandas as pd

    return pd.DataFrame({name: _as(column, []) for name, column in kind.columns.items()})


def _typed(path: Path, name: str, kind: TableType, cells: Sequence[str]) -> Any:
    """Return the cells of a column with its type."""
    column = kind.columns.get(name)
    try:
        return _as(column, cells) if column is not None else _guessed(cells)
    except (ValueError, OverflowError) as error:
        expected = {"number": "numbers", "count": "whole numbers", "flag": "True or False"}
        what = expected.get(column.kind, "") if column is not None else ""
        what = what or f"one of {', '.join(column.choices)}" if column is not None else what
        raise _other(path, f"{what} in the column {name}", printable(error)[:80]) from error


def _as(column: Column, cells: Sequence[str]) -> Any:
    import pandas as pd

    if column.kind == "number":
        return np.array([number_in(cell) for cell in cells], np.float64)
    if column.kind == "count":
        return np.array([_count_in(cell) for cell in cells], np.int64)
    if column.kind == "flag":
        return np.array([_flag_in(cell) for cell in cells], np.bool_)
    if column.kind == "choice":
        strange = next((cell for cell in cells if cell not in column.choices), None)
        if strange is not None:
            raise ValueError(f"{strange[:40]!r}")
        return pd.Categorical(cells, categories=list(column.choices))
    return pd.Series(list(cells), dtype="str")


def number_in(cell: str) -> float:
    """Return the number in a cell, NaN for an empty one."""
    if "_" in cell:  # Python reads 1_000 as a number, but no program writes it
        raise ValueError(f"{cell[:40]!r}")
    return float(cell) if cell else float("nan")


def _count_in(cell: str) -> int:
    number = number_in(cell)
    if not math.isfinite(number) or number != round(number) or abs(number) > LARGEST_COUNT:
        raise ValueError(f"{cell[:40]!r}")
    return int(number)


def _flag_in(cell: str) -> bool:
    if cell not in ("True", "False"):
        raise ValueError(f"{cell[:40]!r}")
    return cell == "True"


def _guessed(cells: Sequence[str]) -> Any:
    try:
        return np.array([number_in(cell) for cell in cells], np.float64)
    except ValueError:
        import pandas as pd

        return pd.Series(list(cells), dtype="str")


def _other(path: Path, expected: str, got: str) -> StoreError:
    return StoreError(
        printable(path),
        expected=expected,
        got=printable(got),
        fix="delete it and run the workflow again, or ask for the results once more",
    )
