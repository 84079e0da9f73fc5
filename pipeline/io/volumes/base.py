"""What every volume reader takes and returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import AnyArray, FloatArray
from pipeline.errors import InputError, MissingPackageError
from pipeline.io.readers.formats import library_errors
from pipeline.slabs import Field, slabs

SPACING_TOLERANCE = 0.01
"""Largest relative difference of the edges of a cubic voxel."""
MAPPED_BYTES = 256 * 2**20
"""Larger volumes of plain files stay on disk."""


@dataclass(frozen=True, kw_only=True)
class VolumeRequest:
    """What to read as one volume.

    Attributes
    ----------
    images : one file or folder, or several files with one slice each in order
    dataset : path of the volume inside an HDF5 file
    shape, dtype, header_bytes : of a raw file without header; ``dtype`` with its byte order, e.g. ``<u2``
    """

    images: tuple[Path, ...]
    dataset: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    header_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume as its file holds it.

    Attributes
    ----------
    values : (n_z, n_y, n_x) float32; a single image has n_z = 1. Rows of a large volume are read when they are needed
    format : name of the format
    voxel_nm : edge of a voxel, None where the file does not say it with a unit
    """

    values: Field
    format: str
    voxel_nm: float | None = None


class _Rows:
    """A large volume as float32 whose rows are read from its file when they are needed."""

    def __init__(self, values: "np.memmap[Any, Any]", path: Path) -> None:
        self.shape, self.dtype = values.shape, np.dtype(np.float32)
        self._stored, self._offset, self._path = values.dtype, values.offset, path

    def __getitem__(self, key: Any) -> FloatArray:
        with library_errors(self._path):
            values = np.memmap(self._path, self._stored, "r", offset=self._offset, shape=self.shape)
            return np.array(values[key], np.float32)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(str(self._path))


def as_volume(values: AnyArray, path: Path) -> Field:
    """Return grey values as (n_z, n_y, n_x) float32 after a check that they are a volume or an image.

    A large memory map stays on disk.
    """
    plain = values[None] if values.ndim == 2 else values
    if plain.ndim != 3 or 0 in plain.shape or plain.dtype.kind not in "biuf":
        raise InputError(
            str(path),
            expected="grey values in three dimensions (z, y, x), or in two",
            got=f"shape {values.shape}, type {values.dtype}",
            fix="name the dataset that holds the volume, or convert colours to grey",
        )
    result: Field
    if isinstance(plain, np.memmap) and plain.size * 4 > MAPPED_BYTES:
        result = _Rows(plain, path)
    else:
        result = np.ascontiguousarray(plain, dtype=np.float32)
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
