"""NIfTI, read by nibabel."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.io.readers.guard import check_declared
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm, damaged, missing, rows_of_file
from oxytomo.slabs import View
from oxytomo.units import is_length, to_nm

NAME = "NIfTI"

_UNITS = {"meter": "m", "mm": "mm", "micron": "um"}


def recognises(path: Path) -> bool:
    """Return whether it is a NIfTI file: its magic words after 344 bytes, or gzip and .nii.gz."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(348)
    return beginning[344:348] in (b"n+1\x00", b"ni1\x00") or (
        beginning[:2] == b"\x1f\x8b" and path.name.lower().endswith(".nii.gz")
    )


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read a file; its array is (x, y, z) and becomes (z, y, x)."""
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError
    except ImportError as error:
        raise missing("nibabel", NAME) from error
    try:
        # The slices of a packed file are read in order: for single slices the library would start
        # again each time.
        image = nibabel.load(str(path), keep_file_open=not _plain(path))
        proxy = image.dataobj
        declared = math.prod(int(side) for side in proxy.shape) * max(8, proxy.dtype.itemsize)
        check_declared(path, declared, path.stat().st_size, "values")
        values = _rows(proxy, path)
    except (ImageFileError, HeaderDataError) as error:
        raise damaged(path, error) from error
    unit = _UNITS.get(image.header.get_xyzt_units()[0], "")
    spacing = image.header.get_zooms()[: len(values.shape)]
    voxel = cubic_nm(tuple(to_nm(float(edge), unit) for edge in spacing), path) if is_length(unit) else None
    return Volume(values=as_volume(values, path), format=NAME, voxel_nm=voxel)


def _plain(path: Path) -> bool:
    """Return whether a file is not packed, so that single slices can be read."""
    with path.open("rb") as file:
        return file.read(2) != b"\x1f\x8b"


def _rows(proxy: Any, path: Path) -> View:
    """Return the array of a file as rows (z, y, x) that are read on access."""
    n_axes = len(proxy.shape)

    def part(key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        every = (*keys, *([slice(None)] * (n_axes - len(keys))))
        return np.asarray(proxy[every[::-1]]).T

    return rows_of_file(proxy.shape[::-1], proxy.dtype, part, path)
