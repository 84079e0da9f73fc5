"""Shared steps of the HDF5 formats: open, follow links, read numbers with units, load frames."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oxytomo.arrays import AnyArray, Float64Array
from oxytomo.errors import InputError, limit_reached
from oxytomo.io.readers.base import FrameStack, checked_stack, truncated
from oxytomo.io.readers.guard import (
    check_chunk,
    check_declared,
    check_links,
    check_sources,
    check_structure,
    linked_file,
)
from oxytomo.units import KEV_BELOW, to_ev, to_nm

_BEING_WRITTEN = ("unable to lock file", "already open for write", "consistency flags")
"""Message of the library if another program has, or had, the file open for writing."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Return whether a file starts as HDF5 does."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def holds(path: Path, what: Callable[[h5py.File], object]) -> bool:
    """Return whether a file is HDF5 and has what a function finds in it (None: nothing)."""
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return what(file) is not None


def item_of(group: h5py.Group, name: str) -> Any:
    """Return the object at a name, None for a link without target."""
    try:
        return group.get(name)
    except (KeyError, OSError, RuntimeError, ValueError):
        return None


def _being_written(path: Path, error: str) -> InputError:
    """Return the error for a file that another program has open, or left open when it ended."""
    marked = "consistency flags" in error
    return InputError(
        str(path),
        expected="an HDF5 file that no other program is writing",
        got="the mark of a program that writes it" if marked else "a lock (an acquisition that still runs?)",
        fix="wait until the acquisition has closed it; if nothing writes it any more, h5clear -s removes the mark"
        if marked
        else "wait until the acquisition has closed it, or set HDF5_USE_FILE_LOCKING=FALSE to read what is there; "
        "set it too where the file system has no locks",
    )


_KEPT: ContextVar[tuple[ExitStack, dict[Path, h5py.File]] | None] = ContextVar("kept", default=None)


@contextmanager
def kept_open() -> Iterator[None]:
    """Keep the files that are opened in the block open until its end, each opened once.

    For a few files of which headers and single frames are read.
    """
    with ExitStack() as stack:
        before = _KEPT.set((stack, {}))
        try:
            yield
        finally:
            _KEPT.reset(before)


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open for reading.

    Raises :class:`InputError` for a file that is truncated, damaged or links to files elsewhere.
    """
    kept = _KEPT.get()
    if kept is None:
        with _opened(path) as file:
            yield file
        return
    stack, files = kept
    if path not in files:
        files[path] = stack.enter_context(_opened(path))
    yield files[path]


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    check_structure(path)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if "truncated" in str(error):
            raise truncated(path, "a complete HDF5 file", "fewer bytes than it declares") from error
        if any(word in str(error) for word in _BEING_WRITTEN):
            raise _being_written(path, str(error)) from error
        limit = limit_reached(error, str(path))
        if limit is not None:
            raise limit from error
        raise InputError(
            str(path),
            expected="a readable HDF5 file",
            got=" ".join(str(error).split()),
            fix="copy the file again from its source; it is truncated, damaged or still being written",
        ) from error
    with file:
        check_links(file, path, {path})
        yield file


def dataset_at(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return the dataset ``name`` of a group, None if it is missing or a link without target."""
    try:
        item = group.get(name)
    except (KeyError, OSError, RuntimeError, ValueError):
        return None  # exceptions of h5py for a link without target
    if not isinstance(item, h5py.Dataset):
        return None
    check_sources(item)
    return item


def refuse_broken_link(group: h5py.Group, name: str, path: Path) -> None:
    """Raise :class:`InputError` if ``name`` is a link to a missing file."""
    target = broken_target(group, name, path)
    if target is not None:
        raise missing_file(path, f"{group.name.rstrip('/')}/{name}", target)


def broken_target(group: h5py.Group, name: str, path: Path) -> Path | None:
    """Return the file of an external link if it is missing, or None."""
    parent, _, last = name.rpartition("/")
    holder = group.get(parent) if parent else group
    link = holder.get(last, getlink=True, default=None) if isinstance(holder, h5py.Group) else None
    if not isinstance(link, h5py.ExternalLink):
        return None
    return None if linked_file(path, link.filename) is not None else path.parent / link.filename


def missing_file(path: Path, name: str, target: Path) -> InputError:
    """Return the error for a link to a missing file."""
    return InputError(
        f"{path} [{name}]",
        expected=f"the linked file {target}",
        got="no such file",
        fix="copy the linked files too, into the same folders beside this file",
    )


def text(item: Any) -> str:
    """Return an attribute or a scalar dataset as text; bytes are UTF-8, empty for None."""
    value = item[()] if isinstance(item, h5py.Dataset) else item
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip("\x00 ")
    return "" if value is None else str(value)


def words(group: h5py.Group, **places: str) -> dict[str, str]:
    """Return the texts at several places of a file, without those that are absent or empty."""
    found = {key: dataset_at(group, place) for key, place in places.items()}
    texts = {key: text(item) for key, item in found.items() if item is not None and item.size == 1}
    return {key: value for key, value in texts.items() if value}


def numbers(item: h5py.Dataset | None) -> Float64Array | None:
    """Return a dataset as (n,) float64, None for none, for text and for more than one dimension."""
    if item is None or item.dtype.kind not in "iuf" or item.ndim > 1 or not item.size:
        return None
    check_stored(item, Path(item.file.filename))
    return np.asarray(item[()], np.float64).reshape(-1)


def energies_ev(item: h5py.Dataset | None, path: Path) -> Float64Array | None:
    """Return energies in eV; without a unit, numbers below 100 are in keV."""
    values = numbers(item)
    if values is None or item is None:
        return None
    unit = text(item.attrs.get("units"))
    if not unit:
        return values * np.where(values < KEV_BELOW, 1e3, 1.0)
    return values * _factor(to_ev, unit, "energy", path)


def lengths_nm(item: h5py.Dataset | None, path: Path, *, unit_if_absent: str) -> Float64Array | None:
    """Return lengths in nm, None if the unit is neither in the file nor known for the format."""
    values = numbers(item)
    if values is None or item is None:
        return None
    unit = text(item.attrs.get("units")) or unit_if_absent
    if not unit or unit in ("pixel", "pixels", "px"):
        return None
    return values * _factor(to_nm, unit, "length", path)


def _factor(convert: Callable[[float, str], float], unit: str, what: str, path: Path) -> float:
    try:
        return convert(1.0, unit)
    except KeyError as error:
        raise InputError(
            str(path),
            expected=f"a known unit of {what}",
            got=repr(unit),
            fix=f"correct the unit of the {what}",
        ) from error


def first_of(group: h5py.Group, *names: str) -> h5py.Dataset | None:
    """Return the first existing dataset of several names."""
    return next((item for name in names if (item := dataset_at(group, name)) is not None), None)


def check_stored(item: h5py.Dataset, path: Path) -> None:
    """Compare the declared shape with the stored data.

    HDF5 itself fills data that were never written with zeros.
    """
    check_sources(item)
    check_filters(item, path)
    if item.is_virtual:
        for source in item.virtual_sources():
            holder = Path(item.file.filename)
            if source.file_name != "." and linked_file(holder, source.file_name) is None:
                raise missing_file(path, item.name, holder.parent / source.file_name)
        return
    if item.external:
        return
    declared = math.prod(item.shape) * item.dtype.itemsize
    if item.chunks is not None:
        check_chunk(item, path)
        expected = math.prod(-(-size // chunk) for size, chunk in zip(item.shape, item.chunks, strict=True))
        stored = item.id.get_num_chunks()
        if stored < expected:
            raise truncated(path, f"{expected} blocks of data in {item.name}", f"{stored}")
        check_declared(path, declared, item.id.get_storage_size(), f"values in {item.name}")
    elif item.id.get_storage_size() < declared:
        raise truncated(path, f"{declared} bytes of data in {item.name}", f"{item.id.get_storage_size()}")


def check_filters(item: h5py.Dataset, path: Path) -> None:
    """Refuse values that are packed by a filter which is not installed."""
    properties = item.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        number, _flags, _values, name = properties.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            what = name.decode("utf-8", errors="replace").strip("\x00 ")[:60] or "without a name"
            raise InputError(
                f"{path} [{item.name}]",
                expected="values packed by a filter that is installed",
                got=f"the HDF5 filter {number} ({what})",
                fix="pip install -U hdf5plugin, set HDF5_PLUGIN_PATH, or repack the file: h5repack -f GZIP=1",
            )


def frame_stack(
    item: h5py.Dataset, path: Path, frames: AnyArray | None = None, *, averaged: bool = False
) -> FrameStack:
    """Return a stack of the frames of a dataset.

    Parameters
    ----------
    item : (n, n_y, n_x) dataset
    path : the file that was requested
    frames : indices of the frames to use in increasing order; None for all
    averaged : take (n_y, n_x) for one frame, as averaged flats and darks are stored
    """
    name, shape = item.name, item.shape
    file = Path(item.file.filename)
    single = averaged and item.ndim == 2
    if single:
        shape = (1, *item.shape)
    chosen = np.arange(shape[0] if shape else 0) if frames is None else np.asarray(frames)
    if item.ndim == 3 or single:
        check_stored(item, path)
        shape = (chosen.size, *shape[1:])
    dtype = item.dtype.newbyteorder("=")

    def load() -> AnyArray:
        out = np.empty(shape, dtype)
        with open_hdf5(file) as opened:
            source = opened[name]
            if single:
                source.read_direct(out[0])
                return out
            start = 0
            for run in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1):
                part = np.s_[int(run[0]) : int(run[-1]) + 1]
                source.read_direct(out, part, np.s_[start : start + run.size])
                start += run.size
        return out

    def load_one(index: int) -> AnyArray:
        with open_hdf5(file) as opened:
            return np.asarray(opened[name][()] if single else opened[name][int(chosen[index])], dtype)

    return checked_stack(shape, item.dtype, load, path, name, load_one=load_one, complex_too=True)
