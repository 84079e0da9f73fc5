"""Readers of reconstructed volumes: one module per format, recognised by content.

A new format is one new module with three names: ``NAME``, ``recognises(path) -> bool`` and
``read(path, request) -> Volume``.
"""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.errors import InputError
from oxytomo.file_order import natural_order
from oxytomo.io.readers.formats import library_errors
from oxytomo.io.volumes import base
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, rows_of_file
from oxytomo.slabs import View

__all__ = ["Volume", "VolumeRequest", "read_volume"]


@cache
def formats() -> tuple[ModuleType, ...]:
    """Return every format module of this package."""
    folder = [str(Path(__file__).parent)]
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(folder)]
    return tuple(module for module in modules if hasattr(module, "recognises"))


def read_volume(request: VolumeRequest) -> Volume:
    """Read a volume: one file, an OME-Zarr folder, or a folder or list of slices in natural order.

    Raises
    ------
    InputError
        If nothing is there, the format is unknown, or the slices do not match; one line.
    """
    paths = _paths(request.images)
    if len(paths) == 1:
        return _read(paths[0], request)
    first = _read(paths[0], request)
    lengths: list[int] = []
    in_memory: list[FloatArray] = []
    for path in paths:
        part = first if path is paths[0] else _read(path, request)
        if part.values.shape[1:] != first.values.shape[1:] or part.format != first.format:
            raise InputError(
                str(path),
                expected=f"a {first.format} slice of {first.values.shape[1:]} pixels as the first",
                got=f"{part.format}, {part.values.shape[1:]}",
                fix="give the slices of one volume only",
            )
        lengths.append(part.values.shape[0])
        if _bytes(sum(lengths), first) <= base.MAPPED_BYTES:
            in_memory.append(part.values[:])
    large = len(in_memory) < len(paths)
    values = _rows_of_files(paths, lengths, first, request) if large else np.concatenate(in_memory)
    return Volume(values=values, format=first.format, voxel_nm=first.voxel_nm)


def _bytes(rows: int, first: Volume) -> int:
    return 4 * rows * int(np.prod(first.values.shape[1:]))


def _rows_of_files(paths: list[Path], lengths: list[int], first: Volume, request: VolumeRequest) -> View:
    """Return a large volume whose slices are in many files, each read on access."""
    starts = np.cumsum([0, *lengths])

    def part(key: Any) -> FloatArray:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        at, end, step = rows.indices(int(starts[-1]))
        pieces = []
        while at < end:
            file = int(np.searchsorted(starts, at, side="right")) - 1
            stop = min(int(starts[file + 1]), end)
            inside = slice(at - int(starts[file]), stop - int(starts[file]))
            pieces.append(_read(paths[file], request).values[(inside, *rest)])
            at = stop
        return np.concatenate(pieces)[::step]

    return rows_of_file((int(starts[-1]), *first.values.shape[1:]), np.dtype(np.float32), part, paths[0])


def _paths(images: tuple[Path, ...]) -> list[Path]:
    """Return the files behind paths; a folder that is not a zarr group is replaced by its files."""
    found: list[Path] = []
    for path in images:
        if not path.exists():
            raise InputError(
                str(path), expected="a volume to read", got="no such file", fix="correct the path"
            )
        if path.is_dir() and not any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
            inside = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
            found += [file for file in natural_order(inside) if _format(file) is not None]
        else:
            found.append(path)
    if not found:
        raise InputError(
            str(images[0]),
            expected="a folder with slices",
            got="no images of a known format in it",
            fix="correct the path",
        )
    return found


def _format(path: Path) -> ModuleType | None:
    with library_errors(path):
        return next((one for one in formats() if one.recognises(path)), None)


def _read(path: Path, request: VolumeRequest) -> Volume:
    if request.shape is not None:
        return _read_raw(path, request)
    one = _format(path)
    if one is None:
        known = ", ".join(module.NAME for module in formats())
        raise InputError(
            str(path),
            expected=f"one of {known}",
            got="a file of no known format",
            fix="for a raw file without header give 'shape' and 'dtype' beside 'images'",
        )
    with library_errors(path):
        volume: Volume = one.read(path, request)
    return volume


def _read_raw(path: Path, request: VolumeRequest) -> Volume:
    """Read a file of plain values after ``header_bytes``."""
    shape, dtype = request.shape or (), np.dtype(request.dtype)
    declared = request.header_bytes + int(np.prod(shape)) * dtype.itemsize
    size = path.stat().st_size if path.is_file() else 0
    if size != declared:
        raise InputError(
            str(path),
            expected=f"{declared} bytes ({' × '.join(map(str, shape))} values of {dtype.name})",
            got=f"{size} bytes",
            fix="correct 'shape', 'dtype' or 'header_bytes'",
        )
    with library_errors(path):
        values = np.memmap(path, dtype, "r", offset=request.header_bytes, shape=shape)
        return Volume(values=as_volume(values, path), format="raw")
