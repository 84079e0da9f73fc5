"""Read a map over excitation and emission energy: HDF5 and NeXus, text with axes, images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.emission_hdf5 import read_hdf5_map
from oxytomo.io.readers.base import ReadRequest
from oxytomo.io.readers.columns import column_numbers, is_number, table_rows
from oxytomo.io.readers.formats import format_of, library_errors, open_raw
from oxytomo.io.readers.hdf5 import is_hdf5
from oxytomo.io.readers.spectral import read_energies
from oxytomo.io.spectra import read_spectrum
from oxytomo.units import KEV_BELOW, to_ev

LEAST_ENERGIES = 5
SAME_AXIS_EV = 0.01
"""Axes of scans that are added differ by no more than this."""
MOST_VALUES = 10**8


@dataclass(frozen=True)
class ColumnRequest:
    """A yield beside a map; see the settings of the same names."""

    file: Path | None
    group: str | None
    dataset: str | None
    energy_unit: str | None
    divide_by_flux: bool
    depth: str


@dataclass(frozen=True)
class MapRequest:
    """Files to read as one map; see the settings of the same names.

    Attributes
    ----------
    images : files of one map; several are scans that are added
    excitation, emission : table of energies, or (start, step) in eV
    """

    images: tuple[Path, ...]
    dataset: str | None = None
    excitation: Path | tuple[float, float] | None = None
    emission: Path | tuple[float, float] | None = None
    excitation_dataset: str | None = None
    emission_dataset: str | None = None
    excitation_along: str | None = None
    energy_unit: str | None = None
    flux: Path | None = None
    flux_dataset: str | None = None
    units_per_photon: float | None = None
    columns: Mapping[str, ColumnRequest] = field(default_factory=dict)


@dataclass(frozen=True)
class RawMap:
    """A recorded map.

    Attributes
    ----------
    values : (n_excitation, n_emission) float64, detector units, summed over scans
    excitation_ev, emission_ev : (n,) float64, in recorded order
    flux : (n_excitation,) incident flux × time in any unit, None if unknown
    columns : (n_excitation,) yields by name; NaN outside their range
    format, scans : of the files
    remarks : what a reader should know
    each, flux_each : values and flux of every scan, if there are several
    """

    values: Float64Array
    excitation_ev: Float64Array
    emission_ev: Float64Array
    flux: Float64Array | None
    columns: Mapping[str, Float64Array]
    format: str
    scans: int
    remarks: tuple[str, ...] = ()
    each: tuple[Float64Array, ...] = ()
    flux_each: tuple[Float64Array | None, ...] = ()


@dataclass(frozen=True)
class Plain:
    """What one file contains; axes are None where it does not have them."""

    values: Float64Array
    excitation_ev: Float64Array | None
    emission_ev: Float64Array | None
    flux: Float64Array | None
    columns: Mapping[str, Float64Array]
    rows_are_excitations: bool | None
    format: str
    remarks: tuple[str, ...] = ()


def read_map(request: MapRequest) -> RawMap:
    """Read one map; the scans of several files are added.

    Raises
    ------
    InputError
        If the files do not give a map; always one line.
    """
    if not request.images:
        raise InputError("maps", expected="a file", got="none that matches", fix="correct the path")
    scans = [_scan(path, request) for path in request.images]
    first = scans[0]
    for path, scan in zip(request.images[1:], scans[1:], strict=True):
        for axis in ("excitation_ev", "emission_ev"):
            own, other = getattr(scan, axis), getattr(first, axis)
            if own.size != other.size or np.abs(own - other).max() > SAME_AXIS_EV:
                raise InputError(
                    str(path),
                    expected=f"the {axis.removesuffix('_ev')} energies of {request.images[0].name}",
                    got="others",
                    fix="give scans of one map only, or each as a map of its own",
                )
    fluxes = [scan.flux for scan in scans if scan.flux is not None]
    if fluxes and len(fluxes) < len(scans):
        raise InputError(
            str(request.images[0]),
            expected="the flux of all scans, or of none",
            got=f"{len(fluxes)} of {len(scans)}",
            fix="give 'flux_dataset' that all files have, or one table 'flux'",
        )
    given = _flux_table(request.flux, first.excitation_ev.size) if request.flux is not None else None
    names = [name for name in first.columns if all(name in scan.columns for scan in scans)]
    flux = given if given is not None else (np.sum(fluxes, axis=0) if fluxes else None)
    columns = {name: np.sum([scan.columns[name] for scan in scans], axis=0) for name in names}
    return RawMap(
        values=np.sum([scan.values for scan in scans], axis=0),
        excitation_ev=first.excitation_ev,
        emission_ev=first.emission_ev,
        flux=flux,
        columns=_columns(request, columns, first.excitation_ev, flux),
        format=first.format,
        scans=len(scans),
        remarks=tuple(dict.fromkeys(remark for scan in scans for remark in scan.remarks)),
        each=tuple(scan.values for scan in scans) if len(scans) > 1 else (),
        # One table of the flux is that of all scans together: each has its share of it.
        flux_each=tuple(scan.flux if given is None else given for scan in scans) if len(scans) > 1 else (),
    )


def _scan(path: Path, request: MapRequest) -> RawMap:
    """Read one file, and bring it to rows of one excitation each."""
    found = _open(path, request)
    excitation = _axis(
        request.excitation, request, found.excitation_ev, path, "excitation", found.values.shape
    )
    emission = _axis(request.emission, request, found.emission_ev, path, "emission", found.values.shape)
    wanted = request.excitation_along
    rows = wanted == "rows" if wanted is not None else found.rows_are_excitations
    shape, sizes = found.values.shape, (excitation.size, emission.size)
    if rows is None and sizes[0] == sizes[1] and shape == sizes:
        raise InputError(
            str(path),
            expected="to know whether excitation energies run along rows or columns",
            got=f"{sizes[0]} energies of both",
            fix="give 'excitation_along: rows' (each row has one excitation energy) or 'columns'",
        )
    if rows is None:
        rows = shape == sizes
    values = found.values if rows else found.values.T
    if values.shape != sizes:
        raise InputError(
            str(path),
            expected=f"{sizes[0]} excitation × {sizes[1]} emission energies",
            got=f"values of {' × '.join(map(str, values.shape))}",
            fix="correct the axes or 'excitation_along'",
        )
    _check_axis(path, excitation, "excitation")
    _check_axis(path, emission, "emission")
    _check_values(path, values, request.units_per_photon)
    for name, column in (("flux", found.flux), *found.columns.items()):
        if column is not None and column.size != sizes[0]:
            raise InputError(
                f"{path} [{name}]",
                expected=f"{sizes[0]} numbers, one per excitation energy",
                got=str(column.size),
                fix="name the dataset with one number per excitation energy",
            )
    return RawMap(values, excitation, emission, found.flux, found.columns, found.format, 1, found.remarks)


def _open(path: Path, request: MapRequest) -> Plain:
    """Read a file by its content."""
    if not path.is_file():
        got = "no such file" if not path.exists() else "a folder" if path.is_dir() else "no plain file"
        raise InputError(str(path), expected="a file", got=got, fix="correct the path")
    if is_hdf5(path):
        with library_errors(path):
            return Plain(**read_hdf5_map(path, request))
    if request.dataset or request.excitation_dataset or request.emission_dataset or request.flux_dataset:
        raise InputError(
            str(path),
            expected="an HDF5 file, since a dataset is named",
            got="another format",
            fix="remove the names of datasets",
        )
    raw_format = format_of(path)
    if raw_format is None:
        return _text_map(path, plain=request.excitation is not None and request.emission is not None)
    with library_errors(path):
        frames = open_raw(raw_format, path, ReadRequest(images=(path,))).frames
        if frames.shape[0] != 1 or math.prod(frames.shape) > MOST_VALUES:
            raise InputError(
                str(path),
                expected="one image of excitation × emission energy",
                got=f"{frames.shape[0]} images of {frames.shape[1]} × {frames.shape[2]}",
                fix="give each map as one image",
            )
        values = np.asarray(frames.load()[0], np.float64)
    return Plain(values, None, None, None, {}, None, raw_format.name)


def _text_map(path: Path, *, plain: bool) -> Plain:
    """Read a matrix of numbers; without given axes, its first row and column hold the energies."""
    rows = table_rows(path, "a map as a table of numbers", "maps")
    if plain and all(is_number(cell) for cell in rows[0]):
        body, head, side = rows, None, None
    else:
        width = len(rows[1]) if len(rows) > 1 else 0
        header = rows[0][1:] if len(rows[0]) == width else rows[0]
        body, head, side = [row[1:] for row in rows[1:]], header, [row[:1] for row in rows[1:]]
    width = len(body[0]) if body else 0
    odd = next((number for number, row in enumerate(body, 1) if len(row) != width), None)
    if not width or odd is not None or (head is not None and len(head) != width):
        raise InputError(
            str(path),
            expected="rows of equal length, with emission energies in the first row and excitation "
            "energies in the first column",
            got="no numbers"
            if not width
            else f"{len(body[(odd or 1) - 1])} in row {odd or 1}, {width} above",
            fix="correct the table, or give 'excitation' and 'emission' and a plain matrix",
        )
    values = np.stack([column_numbers(path, body, column) for column in range(width)], axis=1)
    if head is None or side is None:
        return Plain(values, None, None, None, {}, None, "text")
    across = column_numbers(path, [[cell] for cell in head], 0)
    return Plain(values, column_numbers(path, side, 0), across, None, {}, True, "text")


def _axis(
    given: Path | tuple[float, float] | None,
    request: MapRequest,
    own: Float64Array | None,
    path: Path,
    name: str,
    shape: Sequence[int],
) -> Float64Array:
    """Return the energies of an axis in eV: those of the user, otherwise those of the file."""
    if isinstance(given, Path):
        return read_energies(given, request.energy_unit)
    if given is not None:
        at = 0 if (name == "excitation") == (request.excitation_along != "columns") else 1
        return np.asarray(given[0] + given[1] * np.arange(shape[at]), np.float64)
    if own is None:
        raise InputError(
            str(path),
            expected=f"{name} energies",
            got="none in the file",
            fix=f"give '{name}:', a table with one energy per line or {{start, step}}, or '{name}_dataset:'",
        )
    if request.energy_unit is None:
        return own * np.where(own < KEV_BELOW, 1e3, 1.0)
    keep = request.energy_unit == "keV" and (own >= KEV_BELOW).all()  # the file named its unit
    return own if keep else own * to_ev(1.0, request.energy_unit)


def _check_axis(path: Path, energies: Float64Array, name: str) -> None:
    """Refuse energies that are not positive numbers, each once."""
    wrong = ""
    if energies.size < LEAST_ENERGIES:
        wrong = f"{energies.size}"
    elif not (np.isfinite(energies) & (energies > 0)).all():
        wrong = "some that are not positive numbers"
    elif np.unique(energies).size < energies.size:
        wrong = "an energy that occurs twice"
    elif energies.max() > 1e6:
        wrong = f"{energies.max():g} eV"
    if wrong:
        raise InputError(
            str(path),
            expected=f"at least {LEAST_ENERGIES} different {name} energies in eV",
            got=wrong,
            fix="correct the axis, average repeated energies, or give 'energy_unit'",
        )


def _check_values(path: Path, values: Float64Array, units_per_photon: float | None) -> None:
    """Refuse values whose counting errors are unknown, and maps without light."""
    known = values[np.isfinite(values)]
    if not known.size or not (known > 0).any():
        raise InputError(str(path), expected="detected photons", got="none", fix="check the dataset")
    if units_per_photon is None and ((known != np.rint(known)).any() or (known < 0).any()):
        odd = known[(known != np.rint(known)) | (known < 0)][0]
        raise InputError(
            str(path),
            expected="counted photons, whole numbers from 0",
            got=f"{odd:g}",
            fix="give 'units_per_photon', the detector units of one photon: errors follow from the "
            "number of photons",
        )


def _flux_table(path: Path, n: int) -> Float64Array:
    """Read one number per excitation from the last column of a table."""
    rows = table_rows(path, "a table of the incident flux", "flux")
    body = rows if is_number(rows[0][0]) else rows[1:]
    if len(body) != n or len({len(row) for row in body}) != 1:
        raise InputError(
            str(path),
            expected=f"{n} rows of equal length, one per excitation energy",
            got=f"{len(body)}",
            fix="correct the table; its last column is the flux",
        )
    return column_numbers(path, body, len(body[0]) - 1)


def _columns(
    request: MapRequest,
    own: Mapping[str, Float64Array],
    excitation_ev: Float64Array,
    flux: Float64Array | None,
) -> dict[str, Float64Array]:
    """Return the yields beside a map at its excitations."""
    found = {}
    for name, column in request.columns.items():
        if column.file is not None:
            spectrum = read_spectrum(column.file, group=column.group, energy_unit=column.energy_unit)
            values = np.interp(
                excitation_ev, spectrum.energy_ev, spectrum.absorption, left=np.nan, right=np.nan
            )
            low, high = excitation_ev.min(), excitation_ev.max()
            among = int(((spectrum.energy_ev >= low) & (spectrum.energy_ev <= high)).sum())
            if among < LEAST_ENERGIES:
                raise InputError(
                    str(column.file),
                    expected=f"at least {LEAST_ENERGIES} energies among the excitations of the map, "
                    f"{low:g} to {high:g} eV",
                    got=f"{among} of {spectrum.energy_ev[0]:g} to {spectrum.energy_ev[-1]:g} eV",
                    fix="check which column is the energy, and 'energy_unit'",
                )
        elif name in own:
            values = own[name]
        else:
            raise InputError(
                str(request.images[0]),
                expected=f"the dataset '{column.dataset}' in an HDF5 file",
                got="another format",
                fix=f"give the column {name} as a file",
            )
        if column.divide_by_flux:
            if flux is None:
                raise InputError(
                    f"column {name}",
                    expected="the incident flux, since 'divide_by_flux' is on",
                    got="none",
                    fix="give 'flux' or 'flux_dataset'",
                )
            good = np.isfinite(flux) & (flux > 0)
            values = np.where(good, values / np.where(good, flux, 1.0), np.nan)
        found[name] = values
    return found
