"""Rows of text tables, with decimal points or decimal commas."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.guard import read_text

_COMMA_NUMBER = re.compile(r"[-+]?[0-9]+,[0-9]+(?:[eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_COMMENT = "#"


def table_rows(path: Path, what: str, setting: str, *, two_columns: bool = False) -> list[list[str]]:
    """Return the rows of a table as cells.

    Decimal commas are converted to points if there is no other meaning.

    Parameters
    ----------
    path : text with columns between commas, semicolons, tabs or blanks; lines that start with ``#``
        are skipped
    what : what the table holds, for errors
    setting : key of the configuration that names the table, for errors
    two_columns : there are at least two, so that the only comma of each line lies between them

    Raises
    ------
    InputError
        If the file is not a table, or if commas may be decimal marks as well as separators of two
        columns.
    """
    lines = text_lines(path, what, setting)
    header = None if _starts_with_number(lines[0]) else lines[0]
    body = lines if header is None else lines[1:]
    separator = _separator(header, body)
    between = two_columns and all(line.count(",") == 1 for line in body)
    if separator == "," and body and not between and _decimal_commas(header, body, path):
        cells = [header] if header is not None else []
        return [[cell.strip()] for cell in cells] + [[line.replace(",", ".")] for line in body]
    rows = _cells(lines, separator, path, what)
    if separator == ",":
        return rows
    _refuse_mixed_marks(rows, path)
    return [[with_point(cell) for cell in row] for row in rows]


def text_lines(path: Path, what: str, setting: str) -> list[str]:
    """Return the lines of a text file without empty lines and comments; at least one."""
    try:
        lines = read_text(path, what).decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(str(path), expected=what, got="no such file", fix=f"correct '{setting}'") from error
    except (OSError, UnicodeDecodeError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or "a file that is not text"
        raise InputError(
            str(path), expected=f"{what} as text", got=got, fix="give a .txt or .csv file"
        ) from error
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(_COMMENT)]
    if not kept:
        raise InputError(str(path), expected=what, got="an empty file", fix=f"correct '{setting}'")
    return kept


def is_number(text: str) -> bool:
    """Return whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def column_numbers(path: Path, rows: Sequence[Sequence[str]], column: int) -> Float64Array:
    """Return a column as finite numbers, (n,) float64."""
    for number, row in enumerate(rows, start=1):
        if not is_number(row[column]) or not np.isfinite(float(row[column])):
            raise InputError(
                str(path),
                expected="a number in every row",
                got=f"{row[column]!r} in row {number}",
                fix="correct it",
            )
    return np.array([float(row[column]) for row in rows], np.float64)


def _starts_with_number(line: str) -> bool:
    """Return whether a line starts with a number, whatever mark follows it."""
    first = re.split(r"[;\t\s]", line, maxsplit=1)[0].strip('"')
    return is_number(first.split(",")[0]) or _COMMA_NUMBER.fullmatch(first) is not None


def column_separator(row: str) -> str | None:
    """Return the separator of the columns of a row of numbers, None for blanks."""
    for mark in ";\t":
        if mark in row:
            return mark
    words = row.split()
    # Blanks between numbers with decimal commas; a comma with a blank is a separator.
    apart = len(words) > 1 and all(_COMMA_NUMBER.fullmatch(word) or is_number(word) for word in words)
    return "," if "," in row and not apart else None


def with_point(cell: str) -> str:
    """Return a number with its decimal comma replaced by a point; other text is unchanged."""
    return cell.replace(",", ".") if _COMMA_NUMBER.fullmatch(cell) else cell


def _separator(header: str | None, body: Sequence[str]) -> str | None:
    """Return the separator of columns, None for blanks."""
    for mark in ";\t":
        if header is not None and mark in header:
            return mark
    found = column_separator(body[0]) if body else None
    # If the first row has no comma, others or the header may have some.
    any_comma = any("," in line for line in body) or (header is not None and "," in header)
    return "," if found is None and any_comma and body and len(body[0].split()) == 1 else found


def _cells(lines: Sequence[str], separator: str | None, path: Path, what: str) -> list[list[str]]:
    if separator is None:
        return [line.split() for line in lines]
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as error:
        raise InputError(
            str(path), expected=f"{what} in rows of cells", got=str(error), fix="correct the file"
        ) from error


def _decimal_commas(header: str | None, body: Sequence[str], path: Path) -> bool:
    """Return whether the only comma of each line is a decimal mark, so that there is one column.

    It is if a header names one column, some lines have no comma, digits after a comma start with a
    zero, or the numbers rise or fall through the same whole number. It is not if a header names two
    columns.

    Raises
    ------
    InputError
        If both meanings are possible.
    """
    with_comma = [line for line in body if _COMMA_NUMBER.fullmatch(line)]
    if not with_comma or any(_WHOLE.fullmatch(line) is None for line in body if line not in set(with_comma)):
        _refuse_odd_commas(header, body, path)
        return False
    if header is not None:
        return "," not in header
    parts = [line.split(",")[1] for line in with_comma]
    if len(with_comma) < len(body) or any(len(part) > 1 and part.startswith("0") for part in parts):
        return True
    if any(not part.isdigit() for part in parts):  # 0,5e-13: one small number, or two columns
        raise _ambiguous(path, with_comma[0])
    if not any(int(part) for part in parts):
        return True  # zeros: the first column is the same either way
    values = np.array([float(line.replace(",", ".")) for line in body])
    whole, steps = np.trunc(values), np.diff(values)
    if (np.diff(whole) == 0).any() and ((steps > 0).all() or (steps < 0).all()):
        return True
    raise _ambiguous(path, with_comma[0])


def _refuse_odd_commas(header: str | None, body: Sequence[str], path: Path) -> None:
    """Refuse rows with more cells than the header, and several nameless integers."""
    first = body[0].split(",")
    if header is not None and len(first) > len(header.split(",")):
        raise _ambiguous(path, body[0])
    whole = all(_WHOLE.fullmatch(cell.strip()) for line in body for cell in line.split(",")[:2])
    if header is None and whole and len(first) > 2:
        raise _ambiguous(path, body[0])


def _refuse_mixed_marks(rows: Sequence[Sequence[str]], path: Path) -> None:
    """Refuse a column that has decimal commas and decimal points."""
    width = min(len(row) for row in rows)
    for column in range(width):
        cells = [row[column] for row in rows]
        commas = [cell for cell in cells if _COMMA_NUMBER.fullmatch(cell)]
        if commas and any("." in cell and is_number(cell) for cell in cells):
            raise _ambiguous(path, commas[0])


def _ambiguous(path: Path, got: str) -> InputError:
    return InputError(
        str(path),
        expected="decimal points, or columns that cannot be taken for decimal commas",
        got=repr(got),
        fix="write decimal points, separate columns by semicolons, or name them in a header line",
    )
