"""HDF5 of any layout: the user names the datasets of images, flats, angles and energies.

Declared datasets override those that a recognised format finds; the rest is taken from the format.
"""

import difflib
import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from oxytomo.arrays import AnyArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, checked_stack, per_frame
from oxytomo.io.readers.hdf5 import (
    check_stored,
    dataset_at,
    energies_ev,
    frame_stack,
    is_hdf5,
    numbers,
    open_hdf5,
    refuse_broken_link,
    text,
)

NAME = "HDF5"
LAST = True
"""Tried only after every other format."""

MOST_NAMES = 12
MOST_LINES = 60
MOST_VISITED = 3000
_PLACES = ("dataset", "flat_dataset", "dark_dataset", "angles_dataset", "energy_dataset")


def recognises(path: Path) -> bool:
    """Return whether the file is HDF5 at all."""
    return is_hdf5(path)


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the declared images; flats, angles and energies follow in :func:`with_declared`."""
    with open_hdf5(path) as file:
        if request.dataset is None:
            raise InputError(
                str(path),
                expected="a layout that is recognised, or the name of the images",
                got=f"HDF5 with {contents(file)}",
                fix="name the images with 'dataset:' (and flat_dataset, dark_dataset, angles_dataset, energy_dataset)",
            )
        item = declared_dataset(file, request.dataset, "dataset", path)
        return RawFile(path=path, frames=image_stack(item, path))


def check_declared_places(path: Path, request: ReadRequest) -> None:
    """Refuse names of datasets that the file does not have, before a format uses them.

    Raises
    ------
    InputError
        With the datasets in the file; also for names in a file that is not HDF5.
    """
    in_own_files = {f"{role}_dataset" for role in ("flat", "dark") if getattr(request, role)}
    wanted = {
        place: name
        for place in _PLACES
        if place not in in_own_files and (name := getattr(request, place)) is not None
    }
    if not wanted:
        return
    if not is_hdf5(path):
        raise InputError(
            str(path),
            expected=f"an HDF5 file, since '{next(iter(wanted))}' names a place in it",
            got="another format",
            fix=f"remove {', '.join(repr(place) for place in wanted)}",
        )
    with open_hdf5(path) as file:
        for place, name in wanted.items():
            declared_dataset(file, name, place, path)


def with_declared(raw: RawFile, request: ReadRequest) -> RawFile:
    """Return the content that a format found, with declared datasets in place of its own."""
    path = raw.path
    if all(getattr(request, place) is None for place in _PLACES[1:]):
        return raw
    with open_hdf5(path) as file:
        changes: dict[str, FrameStack | Float64Array | None] = {}
        for role in ("flat", "dark"):
            name = getattr(request, f"{role}_dataset")
            if name is not None and not getattr(request, role):
                changes[role] = image_stack(declared_dataset(file, name, f"{role}_dataset", path), path)
        if "flat" in changes:  # the format's facts of the flats do not belong to these
            changes |= {"flat_exposure_s": None, "flat_ring_current_ma": None, "flat_position": None}
        if request.angles_dataset is not None:
            item = declared_dataset(file, request.angles_dataset, "angles_dataset", path)
            degrees = to_degrees(_numbers(item, path), text(item.attrs.get("units")), path)
            changes["tilt_deg"] = _of_frames(degrees, raw, "tilt angle")
        if request.energy_dataset is not None:
            item = declared_dataset(file, request.energy_dataset, "energy_dataset", path)
            _numbers(item, path)
            energy = energies_ev(item, path)
            changes["energy_ev"] = None if energy is None else _of_frames(energy, raw, "energy")
    return replace(raw, **changes)  # type: ignore[arg-type]


def _numbers(item: h5py.Dataset, path: Path) -> Float64Array:
    """Return the values of a dataset of numbers."""
    values = numbers(item)
    if values is None:
        raise InputError(
            f"{path} [{item.name}]",
            expected="numbers, one per frame or one for all",
            got=_described(item),
            fix="name the dataset with the numbers",
        )
    return values


def _of_frames(values: Float64Array, raw: RawFile, what: str) -> Float64Array:
    """Return one number per frame from one, one per frame, or one per stored image."""
    if raw.chosen is not None and values.size == raw.n_stored and values.size != raw.frames.shape[0]:
        return values[raw.chosen]
    found = per_frame(values, raw.frames.shape[0], what, raw.path)
    assert found is not None
    return found


def declared_dataset(file: h5py.File, name: str, place: str, path: Path) -> h5py.Dataset:
    """Return the dataset that a setting names, or raise one line with the content of the file."""
    refuse_broken_link(file, name, path)
    item = dataset_at(file, name)
    if item is None:
        near = _closest(file, name)
        raise InputError(
            f"{path} [{place}]",
            expected=f"a dataset '{_one_line(name)}'",
            got=contents(file, images=place in _PLACES[:3]),
            fix=f"did you mean '{near}'?" if near else "name one of them",
        )
    return item


def image_stack(item: h5py.Dataset, path: Path) -> FrameStack:
    """Return the frames of a dataset (n, n_y, n_x), or the one frame of a dataset (n_y, n_x)."""
    if item.ndim != 2:
        return frame_stack(item, path)
    check_stored(item, path)
    name, file, dtype = item.name, Path(item.file.filename), item.dtype.newbyteorder("=")

    def load_one(_index: int) -> AnyArray:
        with open_hdf5(file) as opened:
            return np.asarray(opened[name][()], dtype)

    return checked_stack(
        (1, *item.shape),
        item.dtype,
        lambda: load_one(0)[None],
        path,
        name,
        load_one=load_one,
        complex_too=True,
    )


def contents(file: h5py.File, *, images: bool = True) -> str:
    """Return names, shapes and types of a file's datasets in one line, likeliest first."""
    found = datasets(file)
    found.sort(key=lambda item: _likelihood(item, images), reverse=True)
    listed = [f"{_one_line(item.name.lstrip('/'))} {_described(item)}" for item in found[:MOST_NAMES]]
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    return ", ".join(listed) + more if listed else "no datasets"


def describe(path: Path) -> list[str]:
    """Describe an HDF5 file of unknown layout, and how to declare its images."""
    with open_hdf5(path) as file:
        found = datasets(file)
        lines = [f"  {_one_line(item.name.lstrip('/'))}: {_described(item)}" for item in found[:MOST_LINES]]
        more = [f"  and {len(found) - MOST_LINES} more"] if len(found) > MOST_LINES else []
        images = [item for item in found if _likelihood(item, True)[0]]
        best = max(images, key=lambda item: _likelihood(item, True), default=None)
        hint = "" if best is None else f"dataset: {_one_line(best.name.lstrip('/'))}"
    what = f"{path}: HDF5 of a layout that is not known, {len(found)} datasets"
    return [what, *lines, *more, *([f"  images are declared with e.g. '{hint}'"] if hint else [])]


def datasets(file: h5py.File) -> list[h5py.Dataset]:
    """Return the datasets of a file in its own order; links to other files are not followed."""
    names: list[str] = []

    def keep(name: bytes) -> None:
        if len(names) < MOST_VISITED:
            names.append(name.decode("utf-8", errors="surrogateescape"))

    file.id.links.visit(keep)
    found = []
    for name in names:
        try:
            item = file[name] if not isinstance(file.get(name, getlink=True), h5py.ExternalLink) else None
        except (KeyError, OSError, RuntimeError, ValueError, TypeError):
            continue  # a link without target, or a type that HDF5 cannot read
        if isinstance(item, h5py.Dataset):
            found.append(item)
    return found


def _likelihood(item: h5py.Dataset, images: bool) -> tuple[int, int]:
    """Return how well a dataset fits its role: large numeric images, or short lists of numbers."""
    try:
        numeric, size, ndim = item.dtype.kind in "iufc", math.prod(item.shape or ()), item.ndim
    except (TypeError, ValueError, OSError, RuntimeError):
        return (0, 0)
    if images:
        return (2 * (numeric and ndim == 3) + (numeric and ndim == 2), size)
    return (2 * (numeric and ndim == 1) + (numeric and ndim == 0), size)


def _described(item: h5py.Dataset) -> str:
    try:
        return f"{tuple(int(size) for size in item.shape or ())} {item.dtype.name}"
    except (TypeError, ValueError, OSError, RuntimeError):
        return "of a type that cannot be read"


def _closest(file: h5py.File, name: str) -> str | None:
    """Return the dataset whose name is most similar to a missing one."""
    known = {item.name.lstrip("/"): item for item in datasets(file)}
    wanted = name.strip("/")
    same = [full for full in known if full.rpartition("/")[2].lower() == wanted.rpartition("/")[2].lower()]
    near = same or difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.6)
    return _one_line(near[0]) if near else None


def _one_line(name: str) -> str:
    """Return a name from a file without characters that would break a line."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:120]
