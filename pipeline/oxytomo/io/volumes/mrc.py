"""MRC volumes (``.mrc``, ``.rec``, ``.map``), as IMOD and others write them."""

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from oxytomo.arrays import AnyArray
from oxytomo.errors import InputError
from oxytomo.io.readers import mrc
from oxytomo.io.readers.base import ReadRequest
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm, rows_of_file

NAME = "MRC"

_NM_PER_ANGSTROM, _PLACEHOLDER_ANGSTROM = 0.1, 1.0


def recognises(path: Path) -> bool:
    """Return whether the first words are sizes, mode and axes of an MRC file."""
    return path.is_file() and mrc.recognises(path)


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read sections as z, rows as y and columns as x; a voxel of exactly 1 Å is a placeholder."""
    frames = mrc.open_file(path, ReadRequest(images=(path,), angles=(0.0, 0.0), pixel_nm=1.0)).frames
    with mrcfile.open(path, permissive=True, header_only=True) as file:
        header = file.header
        order = tuple(int(header[name]) for name in ("mapc", "mapr", "maps"))
        edges = tuple(float(edge) for edge in (file.voxel_size.x, file.voxel_size.y, file.voxel_size.z))
    if sorted(order) == [1, 2, 3] and order != (1, 2, 3):
        raise InputError(
            str(path),
            expected="columns along x, rows along y and sections along z",
            got=f"axes {order[0]}, {order[1]}, {order[2]}",
            fix="write the volume again with its axes in the usual order",
        )
    known = all(np.isfinite(edge) and edge > 0 and edge != _PLACEHOLDER_ANGSTROM for edge in edges)
    voxel = cubic_nm(tuple(edge * _NM_PER_ANGSTROM for edge in edges), path) if known else None

    def part(key: Any) -> AnyArray:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        if frames.load_one is None or rows == slice(None):
            return frames.load()[(rows, *rest)]
        pages = [frames.load_one(i)[tuple(rest)] for i in np.arange(frames.shape[0])[rows].tolist()]
        return np.stack(pages) if pages else np.zeros((0, *frames.shape[1:]), frames.dtype)

    return Volume(
        values=as_volume(rows_of_file(frames.shape, frames.dtype, part, path), path),
        format=NAME,
        voxel_nm=voxel,
    )
