"""Look at every file of a folder with the real readers; nothing is merged, no frame is read."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import h5py

from oxytomo.check.folder.names import NameHints, read_name
from oxytomo.errors import InputError, PipelineError, printable
from oxytomo.file_order import natural_order
from oxytomo.io.finished import MARKER, is_sample
from oxytomo.io.readers import ReadRequest, declared, peek, read_angles
from oxytomo.io.readers.formats import format_of
from oxytomo.io.readers.hdf5 import open_hdf5

Role = Literal[
    "images", "flat", "dark", "part", "angles", "energies", "spectrum", "volume", "unknown layout", "unreadable", "other"
]  # fmt: skip
MOST_FILES = 100_000
DEEPEST = 12
MOST_TABLE_BYTES = 4 * 2**20
_TABLES = {
    ".txt",
    ".csv",
    ".dat",
    ".tsv",
    ".rawtlt",
    ".tlt",
    ".ang",
    ".xdi",
    ".nor",
    ".prj",
    ".msa",
    ".xmu",
    ".asc",
}
_LARGEST_ANGLE = 360.0
_BESIDE_MRC = (".rawtlt", ".tlt")
_XIM = "ALS STXM image"
_HDR = "ALS STXM stack"


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """One file as it is found.

    Attributes
    ----------
    path, role : path and use of the file
    format : name of the format
    shape : (n_frame, n_y, n_x) of images and flats, None for tables
    dtype, quantity : data type and quantity of the pixels
    n_flat, n_dark : flats and darks in the file
    tilt_deg, energy_ev : one number per frame (or row of a table); empty if unknown
    pixel_nm : pixel size, None if unknown
    energy_named : True if the energy comes from the name, because the file has none
    hints : metadata in its name
    remark : further information: its header, or why it cannot be read
    """

    path: Path
    role: Role
    format: str
    shape: tuple[int, int, int] | None = None
    dtype: str = ""
    quantity: str = ""
    n_flat: int = 0
    n_dark: int = 0
    tilt_deg: tuple[float, ...] = ()
    energy_ev: tuple[float, ...] = ()
    pixel_nm: float | None = None
    energy_named: bool = False
    hints: NameHints = field(default_factory=NameHints)
    remark: str = ""


def look_at(folders: Sequence[Path]) -> list[FileFacts]:
    """Return the facts of each file below folders, in natural order.

    Hidden files and folders of results are passed over.
    """
    found = [_facts(path) for path in files_below(folders)]
    return without_parts([one for one in found if one is not None])


def files_below(folders: Sequence[Path]) -> list[Path]:
    """Return the files below folders, and stores (.zarr); links to folders are not followed."""
    found: list[Path] = []
    for folder in folders:
        if not folder.exists():
            raise InputError(
                str(folder), expected="a folder of raw files", got="no such folder", fix="correct the path"
            )
        if not folder.is_dir():
            found.append(folder)
        else:
            _walk(folder, found, 0)
    return natural_order(dict.fromkeys(found))


def _walk(folder: Path, found: list[Path], depth: int) -> None:
    if depth > DEEPEST or is_sample(folder) or (folder / MARKER).is_file():
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        got = (error.strerror or "unreadable").lower()
        raise InputError(
            str(folder), expected="a folder that you may read", got=got, fix="correct its permissions"
        ) from error
    for entry in entries:
        if len(found) > MOST_FILES:
            got = f"more than {MOST_FILES} files"
            raise InputError(
                str(folder), expected="a folder of one measurement", got=got, fix="name a folder inside it"
            )
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if entry.name.endswith(".zarr"):
                found.append(path)
            else:
                _walk(path, found, depth + 1)
        elif entry.is_file():
            found.append(path)


def _facts(path: Path) -> FileFacts | None:
    """Return the facts of one file; None for an empty file."""
    hints = read_name(path)
    try:
        if path.is_dir() or path.stat().st_size > 0:
            return _raw(path, hints) or _volume(path, hints) or _table(path, hints) or _other(path, hints)
    except PipelineError as error:
        return FileFacts(path=path, role="unreadable", format="?", hints=hints, remark=f"got {error.got}")
    except OSError as error:
        return FileFacts(
            path=path, role="unreadable", format="?", hints=hints, remark=error.strerror or str(error)
        )
    return None


def _other(path: Path, hints: NameHints) -> FileFacts:
    return FileFacts(path=path, role="other", format="-", hints=hints)


def _raw(path: Path, hints: NameHints) -> FileFacts | None:
    """Return the facts of a file of raw frames, None for any other."""
    raw = None if path.is_dir() else format_of(path)
    if raw is None:
        return None
    if raw.name == declared.NAME:
        with open_hdf5(path) as file:
            held = declared.contents(file)
        return FileFacts(path=path, role="unknown layout", format="HDF5", hints=hints, remark=held)
    summary = peek(ReadRequest(images=(path,)))
    tilts, energies = _known(summary.tilt_deg), _known(summary.energy_ev)
    if summary.shape[0] == 1 and tilts == (0.0,):
        tilts = ()  # the reader takes a single projection for the one at 0°
    named = not energies and hints.energy_ev is not None
    if named and hints.energy_ev is not None:
        energies = (hints.energy_ev,) * summary.shape[0]
    pixels = _known(summary.pixel_nm)
    header = summary.metadata.get("header_file", "")
    return FileFacts(
        path=path,
        role=hints.role,
        format=raw.name,
        shape=summary.shape,
        dtype=summary.dtype,
        quantity=summary.quantity,
        n_flat=summary.n_flat,
        n_dark=summary.n_dark,
        tilt_deg=tilts,
        energy_ev=energies,
        pixel_nm=sum(pixels) / len(pixels) if pixels else None,
        energy_named=named,
        hints=hints,
        remark="; ".join([f"header {header}"] * bool(header) + list(summary.remarks)),
    )


def _known(values: Iterable[float]) -> tuple[float, ...]:
    """Return numbers; empty if one is unknown."""
    numbers = tuple(float(value) for value in values)
    return () if any(number != number for number in numbers) else numbers


def _volume(path: Path, hints: NameHints) -> FileFacts | None:
    """Return the facts of a volume in a format that holds no raw frames."""
    from oxytomo.io import volumes

    if path.suffix.lower() in _TABLES:
        return None
    one = next((module for module in volumes.formats() if module.recognises(path)), None)
    return None if one is None else FileFacts(path=path, role="volume", format=one.NAME, hints=hints)


def _table(path: Path, hints: NameHints) -> FileFacts | None:
    """Return the facts of a table of angles or energies, or of a reference spectrum."""
    if path.suffix.lower() not in _TABLES or path.is_dir() or path.stat().st_size > MOST_TABLE_BYTES:
        return None
    try:
        table = read_angles(path)
    except PipelineError:
        return _energies_or_spectrum(path, hints)
    if max(abs(table.tilt_deg)) <= _LARGEST_ANGLE:
        energy = () if table.energy_ev is None else tuple(map(float, table.energy_ev))
        tilts = tuple(map(float, table.tilt_deg))
        return FileFacts(
            path=path, role="angles", format="table", tilt_deg=tilts, energy_ev=energy, hints=hints
        )
    return _energies_or_spectrum(path, hints)


def _energies_or_spectrum(path: Path, hints: NameHints) -> FileFacts | None:
    from oxytomo.io.readers.spectral import read_energies
    from oxytomo.io.spectra import read_spectrum

    try:
        spectrum = read_spectrum(path, group=None, energy_unit=None)
    except PipelineError:
        pass
    else:
        energies = tuple(map(float, spectrum.energy_ev))
        return FileFacts(path=path, role="spectrum", format="spectrum", energy_ev=energies, hints=hints)
    try:
        energy = tuple(map(float, read_energies(path, None)))
    except PipelineError:
        return None
    return FileFacts(path=path, role="energies", format="table", energy_ev=energy, hints=hints)


def without_parts(found: list[FileFacts]) -> list[FileFacts]:
    """Mark the files that another file represents: images of a header, targets of links."""
    headers = {one.path.with_suffix("").resolve(): one.path.name for one in found if one.format == _HDR}
    linked = {target: one.path.name for one in found if "HDF5" in one.format for target in _targets(one.path)}
    beside = {one.path.with_suffix(""): one.path.name for one in found if one.format == "MRC"}
    marked = []
    for one in found:
        owner = linked.get(one.path.resolve())
        if one.role == "angles" and one.path.suffix.lower() in _BESIDE_MRC:
            owner = beside.get(one.path.with_suffix("")) or beside.get(
                one.path.with_suffix("").with_suffix("")
            )
        if one.format == _XIM:
            owner = headers.get(one.path.with_name(one.path.stem.rpartition("_a")[0]).resolve())
        if owner is not None and owner != one.path.name:
            one = replace(one, role="part", remark=f"read through {owner}")
        marked.append(one)
    return marked


def _targets(path: Path) -> list[Path]:
    """Return the files that links in an HDF5 file lead to."""
    found: list[Path] = []

    def keep(_name: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append((path.parent / link.filename).resolve())

    try:
        with open_hdf5(path) as file:
            file.visititems_links(keep)
    except (PipelineError, OSError, RuntimeError, ValueError, KeyError):
        return []
    return found


_ROLES = {
    "flat": "flat frames",
    "dark": "dark frames",
    "part": "part of a scan",
    "angles": "table of angles",
    "energies": "table of energies",
    "spectrum": "reference spectrum",
}


def describe_files(found: Sequence[FileFacts], folder: Path) -> list[str]:
    """Return a table with one row per file: format, frames, energy, angles, pixel, role."""
    rows = [("file", "format", "frames", "energy (eV)", "angles (°)", "pixel (nm)", "role")]
    for one in found:
        shape = one.shape
        path = one.path.relative_to(folder) if one.path.is_relative_to(folder) else one.path
        role = _ROLES.get(one.role, one.role)
        if one.role == "images" and one.n_flat + one.n_dark:
            role = f"images, {one.n_flat} flats, {one.n_dark} darks"
        if one.remark:
            role = f"{role}: {one.remark}"
        rows.append(
            (
                printable(str(path)),
                one.format,
                "-" if shape is None else f"{shape[0]} of {shape[1]} × {shape[2]}",
                spread(one.energy_ev),
                spread(one.tilt_deg),
                "-" if one.pixel_nm is None else f"{one.pixel_nm:.5g}",
                printable(role),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]])
        for row in rows
    ]


def spread(values: Sequence[float]) -> str:
    """Return numbers in words: one, or from the smallest to the largest."""
    if not values:
        return "-"
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
