"""Readers of reconstructed volumes: one module per format, found by content.

A new format is one new module with three names: ``NAME``, ``recognises(path) -> bool`` and
``read(path, request) -> Volume``.
"""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from pipeline.errors import InputError
from pipeline.io.readers.formats import library_errors, natural_order
from pipeline.io.volumes.base import Volume, VolumeRequest, as_volume

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
        When nothing is there, the format is unknown, or the slices do not fit each other; one line.
    """
    paths = _paths(request.images)
    if len(paths) == 1:
        return _read(paths[0], request)
    parts = [_read(path, request) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.values.shape[1:] != parts[0].values.shape[1:] or part.format != parts[0].format:
            raise InputError(
                str(path),
                expected=f"a {parts[0].format} slice of {parts[0].values.shape[1:]} pixels as the first",
                got=f"{part.format}, {part.values.shape[1:]}",
                fix="give the slices of one volume only",
            )
    values = np.concatenate([part.values[:] for part in parts])
    return Volume(values=values, format=parts[0].format, voxel_nm=parts[0].voxel_nm)


def _paths(images: tuple[Path, ...]) -> list[Path]:
    """Return the files behind paths; a folder that is no zarr group stands for the files in it."""
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
    """Read a file of nothing but values behind ``header_bytes``."""
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
