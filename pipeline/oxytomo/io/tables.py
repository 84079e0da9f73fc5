"""Tables, JSON and text files that appear complete or not at all."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from oxytomo.errors import StoreError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.plain_files import printable, read_plain
from oxytomo.io.stores import encode_json


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) that appears complete or not at all."""
    with complete_or_absent(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


class Columns(Protocol):
    """Named columns: a data frame, or a mapping of names to sequences."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return name and values of each column."""


def write_csv(path: Path, table: Columns) -> None:
    """Write named columns of equal length with a header line.

    Numbers keep nine significant digits.
    """
    columns = {str(name): list(column) for name, column in table.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise StoreError(
            str(path),
            expected="columns of equal length",
            got=", ".join(f"{name}: {len(column)}" for name, column in columns.items()),
            fix="correct the stage that writes this table",
        )
    with complete_or_absent(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))


def no_formula(value: Any) -> Any:
    """Return a cell on one line; a text that a spreadsheet would take for a formula is quoted.

    For names from elsewhere, of samples and groups.
    """
    text = printable(value) if isinstance(value, str) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@")) else text


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], *, columns: Iterable[str]) -> None:
    """Write rows of the same named entries with a header line; ``columns`` if there are none."""
    names = rows[0] if rows else columns
    write_csv(path, {name: [row[name] for row in rows] for name in names})


def read_csv(path: Path) -> dict[str, list[str]]:
    """Read a table with a header line as columns of text, in file order."""
    rows = csv_rows(path)
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise StoreError(
            printable(path),
            expected="a table with a header line and rows of equal length",
            got="an empty file" if not rows else "rows of different length",
            fix="delete it and run the workflow again",
        )
    if len(set(rows[0])) < len(rows[0]):
        raise _unreadable(path, "a table with every column once", ValueError("one twice"))
    return {name: [row[index] for row in rows[1:]] for index, name in enumerate(rows[0])}


def csv_rows(path: Path) -> list[list[str]]:
    """Return the rows of a table that are not empty.

    Raises :class:`StoreError` if the file is not a table, or too large.
    """
    try:
        text = read_plain(path).decode("utf-8")
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (ValueError, csv.Error) as error:
        raise _unreadable(path, "a table with a header line", error) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file.

    Numpy values become plain ones and numbers that are not finite ``null``.
    """
    text = json.dumps(_null_for_nan(encode_json(content)), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return f"{float(value):.9g}"
    return value.item() if isinstance(value, np.generic) else value


def _null_for_nan(value: Any) -> Any:
    """Replace encoded non-finite numbers by ``None``, which every JSON reader accepts."""
    if isinstance(value, dict):
        if set(value) == {"float"} and value["float"] in ("nan", "inf", "-inf"):
            return None
        return {key: _null_for_nan(item) for key, item in value.items()}
    return [_null_for_nan(item) for item in value] if isinstance(value, list) else value


def _unreadable(path: Path, expected: str, error: Exception) -> StoreError:
    got = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
    return StoreError(
        printable(path),
        expected=expected,
        got=printable(got)[:200],
        fix="check the path, or run the workflow",
    )
