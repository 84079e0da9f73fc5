"""Tables of tilt angles, and of energies where the table has them."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.arrays import Float64Array
from pipeline.errors import InputError
from pipeline.io.readers.guard import read_text

_ANGLE_NAMES = ("tilt", "angle", "angles", "theta", "rotation_angle", "rotation", "tilt_angle")
_DEGREES = {"", "deg", "degree", "degrees", "°"}
_RADIANS = {"rad", "radian", "radians"}


@dataclass(frozen=True)
class AngleTable:
    """Tilt angles in degrees, and photon energies in eV where the table has them; one per frame."""

    tilt_deg: Float64Array
    energy_ev: Float64Array | None


def to_degrees(values: Float64Array, unit: str, path: Path) -> Float64Array:
    """Return angles in degrees; an empty unit means degrees."""
    plain = unit.strip().lower()
    if plain in _DEGREES:
        return values
    if plain in _RADIANS:
        return np.rad2deg(values)
    if plain == "mrad":
        return np.rad2deg(values / 1e3)
    raise InputError(str(path), expected="angles in deg or rad", got=repr(unit), fix="correct the unit")


def read_angles(path: Path) -> AngleTable:
    """Read tilt angles from a text file.

    The file has one angle in degrees per line, or a header line with a column such as ``tilt_deg``,
    ``angle``, ``theta`` or ``theta_rad`` and perhaps ``energy_ev``. Lines that start with ``#`` are skipped.

    Returns
    -------
    AngleTable : degrees and eV, every number finite
    """
    rows = _rows(path)
    header = None if _is_number(rows[0][0]) else [name.strip().lower() for name in rows[0]]
    body = rows if header is None else rows[1:]
    width = len(header or rows[0])
    if not body or any(len(row) != width for row in body):
        raise _not_a_table(path, "no rows" if not body else "rows of different length")
    if header is None:
        if width != 1:
            raise _not_a_table(path, f"{width} columns without names")
        return AngleTable(_numbers(path, body, 0), None)
    column, unit = _angle_column(path, header)
    energy = None
    for name, factor in (("energy_ev", 1.0), ("energy_kev", 1e3)):
        if name in header:
            energy = _numbers(path, body, header.index(name)) * factor
    return AngleTable(to_degrees(_numbers(path, body, column), unit, path), energy)


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = read_text(path, "a table of tilt angles").decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(
            str(path), expected="a table of tilt angles", got="no such file", fix="correct 'angles'"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or "a file that is not text"
        raise InputError(
            str(path), expected="a table of tilt angles as text", got=got, fix="give a .txt or .csv file"
        ) from error
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not kept:
        raise _not_a_table(path, "an empty file")
    separator = next((mark for mark in ",;\t" if mark in kept[0]), None)
    if separator is None:
        return [line.split() for line in kept]
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(kept, delimiter=separator)]
    except csv.Error as error:
        raise _not_a_table(path, str(error)) from error


def _angle_column(path: Path, header: Sequence[str]) -> tuple[int, str]:
    """Return the index of the column with angles and its unit."""
    for index, name in enumerate(header):
        match = re.fullmatch(r"(.+?)[_ ]?[\[(]?(deg|degrees?|rad|radians?|°)?[\])]?", name)
        if match is not None and match.group(1).strip(" _") in _ANGLE_NAMES:
            return index, match.group(2) or ""
    raise _not_a_table(path, f"columns {', '.join(header)}")


def _numbers(path: Path, rows: Sequence[Sequence[str]], column: int) -> Float64Array:
    for number, row in enumerate(rows, start=1):
        if not _is_number(row[column]) or not np.isfinite(float(row[column])):
            raise InputError(
                str(path),
                expected="a number in every row",
                got=f"{row[column]!r} in row {number}",
                fix="correct it",
            )
    return np.array([float(row[column]) for row in rows], np.float64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _not_a_table(path: Path, got: str) -> InputError:
    return InputError(
        str(path),
        expected="one tilt angle per line, or a header line with a column tilt_deg, angle or theta",
        got=got,
        fix="give a text file with one angle in degrees per frame",
    )
