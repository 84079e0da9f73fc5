"""Input and output of every volume reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import AnyArray, FloatArray
from oxytomo.errors import InputError, MissingPackageError
from oxytomo.io.readers.formats import library_errors
from oxytomo.slabs import Field, View, slabs

SPACING_TOLERANCE = 0.01
"""Largest relative difference of the edges of a cubic voxel."""
MAPPED_BYTES = 256 * 2**20
"""Larger volumes in plain files stay on disk."""


@dataclass(frozen=True, kw_only=True)
class VolumeRequest:
    """Files to read as one volume.

    Attributes
    ----------
    images : one file or folder, or several files with one slice each in order
    dataset : path of the volume inside an HDF5 file
    shape, dtype, header_bytes : layout of a raw file without header; ``dtype`` with its byte order,
        e.g. ``<u2``
    """

    images: tuple[Path, ...]
    dataset: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    header_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume as stored in its file.

    Attributes
    ----------
    values : (n_z, n_y, n_x) float32; a single image has n_z = 1. Rows of a large volume are read on
        access
    format : name of the format
    voxel_nm : edge of a voxel, nm; None if the file does not give it with a unit
    """

    values: Field
    format: str
    voxel_nm: float | None = None


def rows_of_file(
    shape: tuple[int, ...], stored: "np.dtype[Any]", load: Callable[[Any], Any], path: Path
) -> View:
    """Return a volume in a file, of which parts are read as float32 on access.

    Parameters
    ----------
    shape, stored : size and type of what is stored
    load : returns a part, by a key of slices
    path : subject of error messages
    """

    def part(key: Any) -> FloatArray:
        with library_errors(path):
            return np.array(load(key), np.float32)

    return View(shape, np.float32, part, stored=stored)


def rows_of_map(values: "np.memmap[Any, Any]", path: Path) -> View:
    """Return the rows of a memory map without keeping the mapped pages."""
    stored, offset, shape, file = values.dtype, values.offset, values.shape, str(values.filename)
    return rows_of_file(shape, stored, lambda key: np.memmap(file, stored, "r", offset, shape)[key], path)


def as_volume(values: AnyArray | View, path: Path) -> Field:
    """Return grey values as (n_z, n_y, n_x) float32, checked to be a volume or an image.

    Large ones that are rows of a file, or a memory map, stay on disk.
    """
    dtype = values.stored if isinstance(values, View) else values.dtype
    if values.ndim not in (2, 3) or 0 in values.shape or dtype.kind not in "biuf":
        raise InputError(
            str(path),
            expected="grey values in three dimensions (z, y, x), or in two",
            got=f"shape {values.shape}, type {dtype}",
            fix="name the dataset that holds the volume, or convert colours to grey",
        )
    large = values.ndim == 3 and int(np.prod(values.shape)) * 4 > MAPPED_BYTES
    result: Field
    if large and isinstance(values, View):
        result = values
    elif large and isinstance(values, np.memmap):
        result = rows_of_map(values, path)
    else:
        plain = np.ascontiguousarray(values[:], dtype=np.float32)
        result = plain[None] if plain.ndim == 2 else plain
    if not any(np.isfinite(result[slab.rows]).any() for slab in slabs(result.shape)):
        raise InputError(
            str(path), expected="finite values", got="none", fix="check the reconstruction of the volume"
        )
    return result


def cubic_nm(spacing_nm: tuple[float, ...], path: Path) -> float:
    """Return the edge of a voxel after a check that all edges agree."""
    if max(spacing_nm) > (1 + SPACING_TOLERANCE) * min(spacing_nm):
        raise InputError(
            str(path),
            expected="cubic voxels",
            got=" × ".join(f"{edge:g}" for edge in spacing_nm) + " nm",
            fix="resample the volume to cubic voxels",
        )
    return float(np.mean(spacing_nm))


def damaged(path: Path, error: Exception) -> InputError:
    """Return the error for a file that the format's library cannot read."""
    return InputError(
        str(path),
        expected="a readable volume",
        got=" ".join(str(error).split()),
        fix="copy the file again from its source; it is truncated or damaged",
    )


def missing(package: str, format_name: str) -> MissingPackageError:
    """Return the error for an optional package that a format needs."""
    return MissingPackageError(
        f"volume format {format_name}",
        expected=f"the package {package}",
        got="it is not installed",
        fix="pip install 'oxytomo[volumes]', or convert the volume to TIFF",
    )
