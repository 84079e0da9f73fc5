"""Read one absorption spectrum: XDI, columns of text or CSV, or a group of an Athena project."""

import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array, Spectrum
from oxytomo.errors import InputError
from oxytomo.io.msa import is_msa, read_msa
from oxytomo.io.readers.columns import column_separator, is_number, with_point
from oxytomo.io.readers.guard import MOST_TEXT_BYTES, read_text
from oxytomo.units import KEV_BELOW, to_ev

MIN_POINTS = 5
_GZIP = b"\x1f\x8b"
_ATHENA = "_____header"
_ENERGY_NAMES = ("energy", "e", "ev", "kev", "photon")
_ABSORPTION_NAMES = (
    "norm",
    "flat",
    "mutrans",
    "mufluor",
    "mu",
    "xmu",
    "mu0",
    "absorption",
    "absorbance",
    "od",
    "tey",
)
_NORMALIZED_NAMES = ("norm", "flat")
"""Columns of normalised spectra; they are the first of those above."""
_INCIDENT, _TRANSMITTED, _FLUORESCENCE = (
    ("i0", "io"),
    ("itrans", "i1", "it"),
    ("ifluor", "if", "fluor", "iff"),
)


def read_spectrum(path: Path, *, group: str | None, energy_unit: str | None) -> Spectrum:
    """Read one spectrum; energies are sorted, and values at the same energy are averaged.

    Energies of an Athena project are shifted by its ``bkg_eshift``, the calibration that Athena
    stores beside the data.

    Parameters
    ----------
    path : EMSA/MAS (``.msa``), XDI, CSV or text with an energy column first and named or only one
        further column (or columns ``i0`` and ``itrans`` or ``ifluor``), or an Athena project
    group : name of the group in an Athena project, or of the absorption column of a text file
    energy_unit : ``eV`` or ``keV``; None: from the file, and otherwise numbers below 100 are keV

    Raises
    ------
    InputError
        If the file is not a spectrum; always one line.
    """
    text = _text(path)
    if is_msa(text):
        energy, absorption, metadata, named = read_msa(path)
        unit = energy_unit or named or ("keV" if np.nanmax(energy) < KEV_BELOW else "eV")
    elif text.lstrip().startswith("# Athena project file") or (_ATHENA in text[:200] and "@args" in text):
        energy, absorption, metadata = _athena(text, group, path)
        unit = energy_unit or "eV"
        # Athena stores a calibration beside the energies as measured, in eV.
        energy = energy + float(metadata["energy_shift_ev"]) / to_ev(1.0, unit)
    else:
        energy, absorption, metadata, named_unit = _columns(text, group, path)
        unit = energy_unit or named_unit or ("keV" if np.nanmax(energy) < KEV_BELOW else "eV")
    finite = np.isfinite(energy) & np.isfinite(absorption)
    if finite.sum() < MIN_POINTS or not finite.all():
        got = (
            f"{int(finite.sum())} points"
            if finite.all()
            else f"a number that is not finite in row {int((~finite).argmax()) + 1}"
        )
        raise InputError(
            str(path), expected=f"at least {MIN_POINTS} points, all finite", got=got, fix="correct the file"
        )
    known, place = np.unique(energy * to_ev(1.0, unit), return_inverse=True)
    mean = np.bincount(place, weights=absorption) / np.bincount(place)
    if known.size < MIN_POINTS or np.ptp(mean) == 0:
        raise InputError(
            str(path),
            expected="a spectrum",
            got="the same absorption everywhere"
            if known.size >= MIN_POINTS
            else f"{known.size} different energies",
            fix="check which columns are energy and absorption",
        )
    return Spectrum(known, mean, metadata)


def _text(path: Path) -> str:
    try:
        content = read_text(path, "a spectrum as text")
        if content[:2] == _GZIP:
            with gzip.open(path) as file:
                content = file.read(MOST_TEXT_BYTES)
        return content.decode("utf-8-sig", errors="replace")
    except InputError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(
            str(path),
            expected="a spectrum as text",
            got=reason.lower(),
            fix="correct the path, or copy the file again",
        ) from error


def _columns(
    text: str, group: str | None, path: Path
) -> tuple[Float64Array, Float64Array, dict[str, str], str | None]:
    """Return energy, absorption, metadata and the unit of the energy, where the header names it."""
    comments = [line.strip() for line in text.splitlines() if line.lstrip().startswith(("#", "%", ";", "*"))]
    body = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith(("#", "%", ";", "*"))
    ]
    separator = column_separator(body[-1]) if body else None
    rows = (
        [[cell.strip() for cell in row] for row in csv.reader(body, delimiter=separator)]
        if separator
        else [line.split() for line in body]
    )
    if separator != ",":
        rows = [[with_point(cell) for cell in row] for row in rows]
    names = _xdi_names(comments)
    while rows and not all(is_number(cell) for cell in rows[0]):
        names = names or {index: cell.lower() for index, cell in enumerate(rows[0])}
        rows = rows[1:]
    width = len(rows[0]) if rows else 0
    if width < 2 or any(len(row) != width or not all(is_number(cell) for cell in row) for row in rows):
        raise _no_spectrum(path, "rows that are not all numbers" if width >= 2 else "no columns of numbers")
    table = np.array(rows, np.float64)
    plain = {index: re.split(r"[\s(\[_]", name.strip())[0] for index, name in names.items() if index < width}
    energy_at = next((index for index, name in plain.items() if name in _ENERGY_NAMES), 0)
    unit = re.search(r"\b(k?ev)\b", names.get(energy_at, "").replace("_", " "))
    metadata = {"format": "XDI" if "xdi" in text[:10].lower() else "columns"}
    if group is None and any(name in _NORMALIZED_NAMES for name in plain.values()):
        metadata["normalized"] = "yes"
    for comment in comments:
        match = re.match(r"#\s*(Sample\.\w+|Element\.\w+)\s*:\s*(.+)", comment)
        if match:
            metadata[match.group(1).lower()] = match.group(2).strip()
    return (
        table[:, energy_at],
        _absorption(table, plain, energy_at, group, path),
        metadata,
        unit and unit.group(1),
    )


def _xdi_names(comments: Sequence[str]) -> dict[int, str]:
    """Return the names of the columns that an XDI header lists."""
    found = (re.match(r"#\s*Column\.(\d+)\s*:\s*(.+)", comment, re.IGNORECASE) for comment in comments)
    return {int(match.group(1)) - 1: match.group(2).strip().lower() for match in found if match}


def _absorption(
    table: Float64Array, names: dict[int, str], energy_at: int, wanted: str | None, path: Path
) -> Float64Array:
    """Return the absorption: the named column, from intensities, or the only column left."""
    if wanted is not None:
        chosen = next((index for index, name in names.items() if name == wanted.lower()), None)
        if chosen is None:
            raise InputError(
                str(path),
                expected=f"a column {wanted!r}",
                got=", ".join(names.values()) or "columns without names",
                fix="correct 'group'",
            )
        return table[:, chosen]
    at = {name: index for index, name in names.items()}
    named = next((at[name] for name in _ABSORPTION_NAMES if name in at), None)
    if named is not None:
        return table[:, named]
    incident = next((at[name] for name in _INCIDENT if name in at), None)
    for choices, transmitted in ((_TRANSMITTED, True), (_FLUORESCENCE, False)):
        other = next((at[name] for name in choices if name in at), None)
        if incident is not None and other is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = table[:, incident] / table[:, other]
                return np.log(ratio) if transmitted else 1.0 / ratio
    if table.shape[1] == 2:
        return table[:, 1 - energy_at]
    raise _no_spectrum(
        path, f"{table.shape[1]} columns of which none is named {', '.join(_ABSORPTION_NAMES[:5])}"
    )


def _athena(text: str, group: str | None, path: Path) -> tuple[Float64Array, Float64Array, dict[str, str]]:
    """Return one group of an Athena project: Perl lists between ``[record]`` marks.

    Lists are ``@args``, ``@x`` and ``@y``.

    The energies are those of ``@x``; the calibrating shift ``bkg_eshift`` is in the metadata.
    """
    found: dict[str, tuple[Float64Array, Float64Array]] = {}
    moved: dict[str, float] = {}
    for record in text.split("[record]"):
        lists = {name: _perl_list(record, name) for name in ("args", "x", "y")}
        if lists["x"] and lists["y"] and len(lists["x"]) == len(lists["y"]):
            arguments = dict(zip(lists["args"][::2], lists["args"][1::2], strict=False))
            label = arguments.get("label") or f"group {len(found) + 1}"
            try:
                found[label] = np.array(lists["x"], np.float64), np.array(lists["y"], np.float64)
                moved[label] = float(arguments.get("bkg_eshift") or 0.0)
            except ValueError as error:
                raise _no_spectrum(path, f"numbers of {label!r} that cannot be read") from error
    if group is None and len(found) == 1:
        group = next(iter(found))
    if group not in found:
        raise InputError(
            str(path),
            expected="one group of the Athena project named with 'group'"
            if group is None
            else f"the group {group!r}",
            got=", ".join(found) or "no groups with data",
            fix="give e.g. {file: standards.prj, group: MnO2}",
        )
    shift = {"energy_shift_ev": f"{moved[group]:.12g}"}
    return *found[group], {"format": "Athena project", "group": group, **shift}


def _perl_list(record: str, name: str) -> list[str]:
    match = re.search(rf"^@{name}\s*=\s*\((.*?)\);\s*$", record, re.MULTILINE | re.DOTALL)
    return re.findall(r"'((?:[^'\\]|\\.)*)'", match.group(1)) if match else []


def _no_spectrum(path: Path, got: str) -> InputError:
    return InputError(
        str(path),
        expected="a spectrum: XDI, two columns (energy, absorption) or an Athena project",
        got=got,
        fix="give a text file with the energy first and the absorption second, or named columns",
    )
