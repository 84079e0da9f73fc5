"""What every volume reader takes and returns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.arrays import AnyArray, FloatArray
from pipeline.errors import InputError, MissingPackageError

SPACING_TOLERANCE = 0.01
"""Largest relative difference of the edges of a cubic voxel."""


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
    values : (n_z, n_y, n_x) float32; a single image has n_z = 1
    format : name of the format
    voxel_nm : edge of a voxel, None where the file does not say it with a unit
    """

    values: FloatArray
    format: str
    voxel_nm: float | None = None


def as_volume(values: AnyArray, path: Path) -> FloatArray:
    """Return grey values as (n_z, n_y, n_x) float32 after a check that they are a volume or an image."""
    plain = values[None] if values.ndim == 2 else values
    if plain.ndim != 3 or 0 in plain.shape or plain.dtype.kind not in "biuf":
        raise InputError(
            str(path),
            expected="grey values in three dimensions (z, y, x), or in two",
            got=f"shape {values.shape}, type {values.dtype}",
            fix="name the dataset that holds the volume, or convert colours to grey",
        )
    result: FloatArray = np.ascontiguousarray(plain, dtype=np.float32)
    if not np.isfinite(result).any():
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
