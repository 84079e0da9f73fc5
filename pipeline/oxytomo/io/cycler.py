"""Records of battery cyclers: time, potential and current.

Tables of text (CSV, ``.mpt`` of EC-Lab), BioLogic ``.mpr`` by galvani and Neware ``.nda`` and
``.ndax`` by NewareNDA. The extra ``cycler`` installs both packages.
"""

import csv
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.electrochemistry.curves import Records
from oxytomo.errors import InputError
from oxytomo.io.optional import any_error_of, optional_package
from oxytomo.io.readers.guard import read_text

WHAT = "records of a cycler"
EXTRA = "cycler"
HEADER_LINES = 500
"""Lines in which the names of the columns are looked for."""
LEAST_RECORDS = 20
MOST_BYTES = 2**31
MOST_VOLT = 100.0
"""No cell has a larger potential; millivolts under the name of volts have."""
SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0}
VOLTS = {"v": 1.0, "mv": 1e-3}
AMPERES = {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "µa": 1e-6, "μa": 1e-6}
COLUMNS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "time": (("time", "test time", "total time", "elapsed time", "t"), SECONDS),
    "potential": (("ewe", "ecell", "voltage", "potential", "cell voltage", "e", "u"), VOLTS),
    "current": (("i", "current", "cell current"), AMPERES),
}
"""Names of the columns, in lower case, with the units that they may have."""
EXAMPLES = {"time": "time/s", "potential": "Ewe/V or Voltage (V)", "current": "I/mA or Current (A)"}
_NAME = re.compile(r"<?([a-z][a-z ]*?)>?\s*(?:[/_,]\s*|\(|\[)\s*([a-zµμ]+)\s*[)\]>]?")
_CHARGES = (("dQ/mA.h", 3.6), ("dq/mA.h", 3.6), ("dQ/C", 1.0))


def read_cycler(path: Path) -> Records:
    """Read time, potential and current of a cycler's file; the current is positive on charge.

    Raises
    ------
    InputError, MissingPackageError
        If the file is not a table with these columns, is damaged, or needs a package that is not
        installed; always one line.
    """
    if not path.is_file():
        got = "no such file" if not path.exists() else "a folder" if path.is_dir() else "no plain file"
        raise InputError(str(path), expected=f"a file with {WHAT}", got=got, fix="correct the path")
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"BIO-LOGI"):
        found = _biologic(path)
    elif head.startswith(b"NEWARE") or path.suffix.lower() in (".nda", ".ndax"):
        found = _neware(path)
    else:
        found = _table(path)
    return _checked(path, *found)


def _checked(path: Path, time: Float64Array, potential: Float64Array, current: Float64Array) -> Records:
    """Refuse few records and numbers that are not finite; count time from 0."""
    if time.size < LEAST_RECORDS:
        raise InputError(
            str(path), expected=f"at least {LEAST_RECORDS} records", got=f"{time.size}", fix="check the file"
        )
    for name, values in (("time", time), ("potential", potential), ("current", current)):
        bad = ~np.isfinite(values)
        if bad.any():
            raise InputError(
                str(path),
                expected="a finite number in every record",
                got=f"a {name} of {values[bad][0]} in record {int(bad.argmax()) + 1}",
                fix="remove this record",
            )
    largest = float(np.abs(potential).max())
    if largest > MOST_VOLT:
        raise InputError(
            str(path),
            expected=f"potentials up to {MOST_VOLT:g} V",
            got=f"{largest:g} V",
            fix="correct the unit in the name of the column, e.g. Ewe/mV",
        )
    return Records(time - time[0], potential, current)


def _table(path: Path) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Read a table of text with named columns; decimal commas where the separator is no comma."""
    content = read_text(path, WHAT)
    if b"\0" in content[:4096]:
        raise InputError(
            str(path),
            expected="a table of text, .mpr, .nda or .ndax",
            got="a binary file of another kind",
            fix="export it as CSV",
        )
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = content.decode("latin-1").splitlines()
    start, separator, columns = _header(path, lines)
    width = len(next(_rows(path, [lines[start]], separator), []))
    found: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for number, row in enumerate(_rows(path, lines[start + 1 :], separator), start=start + 2):
        if not any(cell.strip() for cell in row):
            continue
        _refuse_wide(path, row, width, number)
        for name, (place, factor) in columns.items():
            cell = row[place].strip() if place < len(row) else ""
            found[name].append(_number(path, cell, separator, number) * factor)
    time, potential, current = (np.array(values, np.float64) for values in found.values())
    return time, potential, current


def _rows(path: Path, lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line."""
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:
        raise InputError(
            str(path), expected="rows of cells", got=str(error), fix="correct the file"
        ) from error


def _refuse_wide(path: Path, row: Sequence[str], width: int, line: int) -> None:
    """Refuse a row with more cells than names: decimal commas shift the columns."""
    if any(cell.strip() for cell in row[width:]):
        raise InputError(
            str(path),
            expected=f"rows of {width} cells, as many as the columns have names",
            got=f"{len(row)} cells in line {line}",
            fix="write decimal points, or separate the columns by semicolons or tabs",
        )


def _number(path: Path, cell: str, separator: str, line: int) -> float:
    """Return the number of a cell."""
    try:
        return float(cell if separator == "," else cell.replace(",", "."))
    except ValueError:
        raise InputError(
            str(path),
            expected="numbers in the columns of time, potential and current",
            got=f"{cell[:40]!r} in line {line}" if cell else f"an empty cell in line {line}",
            fix="correct or remove this line; times as numbers, not as hours:minutes:seconds",
        ) from None


def _header(path: Path, lines: Sequence[str]) -> tuple[int, str, dict[str, tuple[int, float]]]:
    """Return the line with the names of the columns, the separator, and column and factor by role.

    Raises
    ------
    InputError
        If no line names all three; it says what the best one lacks.
    """
    best: dict[str, tuple[int, float]] = {}
    for number, line in enumerate(lines[:HEADER_LINES]):
        for separator in "\t;,":
            cells = next(_rows(path, [line], separator), [])
            found = {role: place for role in COLUMNS if (place := _column(cells, role)) is not None}
            if len(found) == len(COLUMNS):
                return number, separator, found
            best = max(best, found, key=len)
    missing = [role for role in COLUMNS if role not in best]
    raise InputError(
        str(path),
        expected="a line that names the columns of time, potential and current with their units",
        got=f"no column of the {' and none of the '.join(missing)}",
        fix=f"name them e.g. {', '.join(EXAMPLES[role] for role in missing)}",
    )


def _column(cells: Sequence[str], role: str) -> tuple[int, float] | None:
    """Return place and factor to SI units of the first column of a role."""
    names, units = COLUMNS[role]
    for place, cell in enumerate(cells):
        match = _NAME.fullmatch(" ".join(cell.lower().replace("_", " ", cell.count("_") - 1).split()))
        if match and match[1].strip() in names and match[2] in units:
            return place, units[match[2]]
    return None


def _biologic(path: Path) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Read an ``.mpr`` file; the current from the charge if the file has no current."""
    _require_size(path)
    package = optional_package("galvani", what=f"BioLogic file {path.name}", extra=EXTRA)
    with any_error_of("galvani", path), path.open("rb") as file:
        data = package.BioLogic.MPRfile(file).data
        columns: dict[str, Any] = {str(name): data[name] for name in data.dtype.names or ()}
    time = _first(columns, ("time/s",))
    potential = _first(columns, ("Ewe/V", "<Ewe>/V"))
    current = _first(columns, ("I/mA", "<I>/mA", "control/mA"))
    if current is not None:
        current = current * 1e-3
    elif time is not None:
        current = _from_charge(columns, time)
    if time is None or potential is None or current is None:
        raise InputError(
            str(path),
            expected="columns of time, potential and current (or charge)",
            got=", ".join(columns) or "none",
            fix="export the file with these columns",
        )
    return time, potential, current


def _from_charge(columns: dict[str, Any], time: Float64Array) -> Float64Array | None:
    """Return the mean current since the record before, from the charge of each record."""
    for name, factor in _CHARGES:
        if name in columns:
            spans = np.diff(time, prepend=time[:1])
            charge = np.asarray(columns[name], np.float64) * factor
            return np.divide(charge, spans, out=np.zeros_like(spans), where=spans > 0)
    return None


def _first(columns: dict[str, Any], names: Sequence[str]) -> Float64Array | None:
    """Return the first of some columns, None without any."""
    return next((np.asarray(columns[name], np.float64) for name in names if name in columns), None)


def _neware(path: Path) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Read an ``.nda`` or ``.ndax`` file, whose times begin anew in each step."""
    _require_size(path)
    package = optional_package("NewareNDA", what=f"Neware file {path.name}", extra=EXTRA)
    read: Callable[..., Any] = package.read
    with any_error_of("NewareNDA", path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the package
        table = read(str(path), log_level="CRITICAL")
        names = ("Time", "Voltage", "Current(mA)", "Step")
        step_time, potential, current, step = (np.asarray(table[name], np.float64) for name in names)
    return total_time(step_time, step), potential, current * 1e-3


def total_time(step_time_s: Float64Array, step: Float64Array) -> Float64Array:
    """Return the time since the first step from times that begin anew in each step."""
    new = np.flatnonzero((np.diff(step) != 0) | (np.diff(step_time_s) < 0)) + 1
    offsets = np.zeros(step_time_s.size)
    offsets[new] = step_time_s[new - 1]
    return np.asarray(step_time_s + np.cumsum(offsets), np.float64)


def _require_size(path: Path) -> None:
    """Refuse a file that is larger than a cycler writes."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            str(path),
            expected=f"{WHAT} below {MOST_BYTES // 2**30} GB",
            got=f"{size / 1e9:.1f} GB",
            fix="correct the path",
        )
