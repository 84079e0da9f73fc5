"""A map over excitation and emission energy in an HDF5 or NeXus file."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.declared import contents, declared_dataset
from oxytomo.io.readers.hdf5 import (
    check_stored,
    dataset_at,
    energies_ev,
    numbers,
    open_hdf5,
    text,
)

if TYPE_CHECKING:
    from oxytomo.io.emission_maps import MapRequest

MOST_VALUES = 10**8
EXCITATION_WORDS = ("excit", "incident", "incoming", "mono")
EMISSION_WORDS = ("emission", "emitted", "outgoing", "spectrometer")
FLUX_NAMES = ("flux", "i0", "incident_flux")
"""Names of the incident flux that are used without being declared."""


def read_hdf5_map(path: Path, request: "MapRequest") -> dict[str, Any]:
    """Return values, axes, flux and columns of a file: declared datasets, otherwise NXdata.

    In NeXus files the default group ``NXdata`` is used: its signal of two dimensions, and its axes
    if their names say which one is the excitation (``excitation``, ``incident``, ``mono``) and
    which one the emission (``emission``, ``emitted``, ``spectrometer``).
    """
    with open_hdf5(path) as file:
        group = _default_data(file)
        signal = _signal(file, group, request, path)
        axes = {} if group is None else _axes(group, signal)
        rows: bool | None = None
        found: dict[str, Float64Array | None] = {}
        for name, declared in (
            ("excitation", request.excitation_dataset),
            ("emission", request.emission_dataset),
        ):
            item = declared_dataset(file, declared, f"{name}_dataset", path) if declared else None
            if item is None and name in axes:
                item, at = axes[name]
                if request.dataset is None:
                    rows = (at == 0) == (name == "excitation")
            found[name] = energies_ev(item, path)
            if item is not None and found[name] is None:
                raise _not_numbers(path, item)
        flux, remarks = _flux(file, group, request, path)
        columns = {
            name: _numbers(declared_dataset(file, one.dataset, f"columns.{name}", path), path)
            for name, one in request.columns.items()
            if one.dataset is not None
        }
        return {
            "values": _values(signal, path),
            "excitation_ev": found["excitation"],
            "emission_ev": found["emission"],
            "flux": flux,
            "columns": columns,
            "rows_are_excitations": rows,
            "format": "HDF5" if group is None else "NeXus",
            "remarks": remarks,
        }


def _default_data(file: h5py.File) -> h5py.Group | None:
    """Return the default NXdata group of a NeXus file, or its only one; None otherwise."""
    here: Any = file
    for _ in range(4):
        if text(here.attrs.get("NX_class")) == "NXdata":
            return here
        name = text(here.attrs.get("default"))
        following = here.get(name) if name else None
        if not isinstance(following, h5py.Group):
            break
        here = following
    found: list[h5py.Group] = []
    for entry in (file, *(one for one in _groups(file))):
        found += [one for one in _groups(entry) if text(one.attrs.get("NX_class")) == "NXdata"]
    return found[0] if len(found) == 1 else None


def _groups(holder: h5py.Group) -> list[h5py.Group]:
    """Return the groups of a group; broken and external links are left out."""
    names = [
        name
        for name in list(holder)[:200]
        if not isinstance(holder.get(name, getlink=True), h5py.ExternalLink)
    ]
    found = []
    for name in names:
        try:
            item = holder.get(name)
        except (KeyError, OSError, RuntimeError, ValueError):
            continue
        if isinstance(item, h5py.Group):
            found.append(item)
    return found


def _signal(file: h5py.File, group: h5py.Group | None, request: "MapRequest", path: Path) -> h5py.Dataset:
    """Return the dataset of the map."""
    if request.dataset is not None:
        item = declared_dataset(file, request.dataset, "dataset", path)
    else:
        found = None if group is None else dataset_at(group, text(group.attrs.get("signal")) or "data")
        if found is None:
            raise InputError(
                str(path),
                expected="a NeXus file with one NXdata of excitation × emission, or the name of the map",
                got=f"HDF5 with {contents(file)}",
                fix="name 'dataset', 'excitation_dataset' and 'emission_dataset'",
            )
        item = found
    if item.ndim != 2 or item.dtype.kind not in "iuf" or math.prod(item.shape) > MOST_VALUES:
        raise InputError(
            f"{path} [{item.name}]",
            expected="numbers of two dimensions, excitation × emission",
            got=f"{tuple(item.shape)} {item.dtype.name}",
            fix="name another 'dataset', or add the scans of each map first",
        )
    return item


def _axes(group: h5py.Group, signal: h5py.Dataset) -> dict[str, tuple[h5py.Dataset, int]]:
    """Return the axes of NXdata by role, with the dimension that they belong to."""
    given = group.attrs.get("axes")
    if given is None:
        names = []
    elif isinstance(given, str | bytes):
        names = [text(given)]
    else:
        names = [text(name) for name in np.atleast_1d(given)[:4]]
    found: dict[str, tuple[h5py.Dataset, int]] = {}
    for at, name in enumerate(names[: signal.ndim]):
        item = dataset_at(group, name) if name not in ("", ".") else None
        if item is None:
            continue
        said = f"{name} {text(item.attrs.get('long_name'))}".lower()
        roles = [
            role
            for role, known in (("excitation", EXCITATION_WORDS), ("emission", EMISSION_WORDS))
            if any(word in said for word in known)
        ]
        if len(roles) == 1:
            found[roles[0]] = (item, at)
    return found


def _flux(
    file: h5py.File, group: h5py.Group | None, request: "MapRequest", path: Path
) -> tuple[Float64Array | None, tuple[str, ...]]:
    """Return the declared flux, or that of NXdata with a remark."""
    if request.flux_dataset is not None:
        return _numbers(declared_dataset(file, request.flux_dataset, "flux_dataset", path), path), ()
    for name in FLUX_NAMES if group is not None and request.flux is None else ():
        item = dataset_at(group, name) if group is not None else None
        if item is not None:
            return _numbers(item, path), (f"the incident flux is {item.name} of {path.name}",)
    return None, ()


def _values(item: h5py.Dataset, path: Path) -> Float64Array:
    check_stored(item, path)
    try:
        return np.asarray(item[()], np.float64)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path} [{item.name}]",
            expected="values that can be read",
            got=" ".join(str(error).split())[:120],
            fix="copy the file again from its source",
        ) from error


def _numbers(item: h5py.Dataset, path: Path) -> Float64Array:
    found = numbers(item)
    if found is None:
        raise _not_numbers(path, item)
    return found


def _not_numbers(path: Path, item: h5py.Dataset) -> InputError:
    return InputError(
        f"{path} [{item.name}]",
        expected="a list of numbers",
        got=f"{tuple(item.shape)} {item.dtype.name}",
        fix="name the dataset with the numbers",
    )
