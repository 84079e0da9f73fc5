"""Tables of tilt angles, and of energies where the table has them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.columns import column_numbers, is_number, table_rows

_ANGLE_NAMES = ("tilt", "angle", "angles", "theta", "rotation_angle", "rotation", "tilt_angle")
_DEGREES = {"", "deg", "degree", "degrees", "°"}
_RADIANS = {"rad", "rads", "radian", "radians"}
_MILLIRADIANS = {"mrad", "mrads", "milliradian", "milliradians"}
_FEW, _SMALLEST_RAD, _LARGEST_RAD = 5, 0.5, 1.02 * 2 * np.pi
"""Angles without a unit may be radians if there are at least FEW, with a span between these two."""


@dataclass(frozen=True)
class AngleTable:
    """Tilt angles in degrees, and photon energies in eV if the table has them; one per frame."""

    tilt_deg: Float64Array
    energy_ev: Float64Array | None


def to_degrees(values: Float64Array, unit: str, path: Path) -> Float64Array:
    """Return angles in degrees; an empty unit means degrees.

    Raises
    ------
    InputError
        For an unknown unit, and for angles without a unit that may be radians.
    """
    plain = unit.strip().lower()
    if plain in _RADIANS:
        return np.rad2deg(values)
    if plain in _MILLIRADIANS:
        return np.rad2deg(values / 1e3)
    if plain not in _DEGREES:
        raise InputError(str(path), expected="angles in deg or rad", got=repr(unit), fix="correct the unit")
    if not plain and can_be_radians(values):
        raise InputError(
            str(path),
            expected="tilt angles with a unit, or more than 6.3 degrees of them",
            got=f"{values.size} from {np.nanmin(values):.4g} to {np.nanmax(values):.4g} without a unit: radians?",
            fix="give 'angles:' a table with a column theta_rad or tilt_deg, or write the unit into the file",
        )
    return values


def can_be_radians(values: Float64Array) -> bool:
    """Return whether angles without a unit may be radians.

    They may if there are several, within one turn, and not in round steps of degrees.
    """
    known = values[np.isfinite(values)]
    if known.size < _FEW or not _SMALLEST_RAD <= np.ptp(known) <= _LARGEST_RAD:
        return False
    if np.unique(known).size < _FEW:
        return False
    # Quarters of a degree, not radians
    return not np.allclose(4 * known, np.round(4 * known), atol=1e-6)


def read_angles(path: Path, *, unit: str = "") -> AngleTable:
    """Read tilt angles from a text file.

    The file has one angle in degrees per line, or a header line with a column such as ``tilt_deg``,
    ``angle``, ``theta`` or ``theta_rad``, and optionally ``energy_ev``. Lines that start with ``#``
    are skipped.

    Parameters
    ----------
    path : the table
    unit : unit of angles whose column does not give one, if the format defines it

    Returns
    -------
    AngleTable : degrees and eV, every number finite
    """
    rows = table_rows(path, "a table of tilt angles", "angles")
    header = None if is_number(rows[0][0]) else [name.strip().lower() for name in rows[0]]
    body = rows if header is None else rows[1:]
    width = len(header or rows[0])
    if not body or any(len(row) != width for row in body):
        raise _not_a_table(path, "no rows" if not body else "rows of different length")
    if header is None:
        if width != 1:
            raise _not_a_table(path, f"{width} columns without names")
        return AngleTable(to_degrees(column_numbers(path, body, 0), unit, path), None)
    column, named = _angle_column(path, header)
    energy = None
    for name, factor in (("energy_ev", 1.0), ("energy_kev", 1e3)):
        if name in header:
            energy = column_numbers(path, body, header.index(name)) * factor
    return AngleTable(to_degrees(column_numbers(path, body, column), named or unit, path), energy)


def _angle_column(path: Path, header: Sequence[str]) -> tuple[int, str]:
    """Return the index of the column with angles and its unit."""
    for index, name in enumerate(header):
        match = re.fullmatch(r"(.+?)[_ ]?[\[(]?(deg|degrees?|rad|radians?|°)?[\])]?", name)
        if match is not None and match.group(1).strip(" _") in _ANGLE_NAMES:
            return index, match.group(2) or ""
    raise _not_a_table(path, f"columns {', '.join(header)}")


def _not_a_table(path: Path, got: str) -> InputError:
    return InputError(
        str(path),
        expected="one tilt angle per line, or a header line with a column tilt_deg, angle or theta",
        got=got,
        fix="give a text file with one angle in degrees per frame",
    )
