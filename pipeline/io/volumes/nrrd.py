"""NRRD, read by pynrrd."""

from pathlib import Path

import numpy as np

from pipeline.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm, missing
from pipeline.units import NM_PER, to_nm

NAME = "NRRD"


def recognises(path: Path) -> bool:
    """Say whether the file starts as NRRD does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"NRRD"


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read a file; the voxel size is known where the header has directions and units of length."""
    try:
        import nrrd
    except ImportError as error:
        raise missing("pynrrd", NAME) from error
    values, header = nrrd.read(str(path), index_order="C")
    return Volume(values=as_volume(values, path), format=NAME, voxel_nm=_voxel_nm(header, path))


def _voxel_nm(header: dict[str, object], path: Path) -> float | None:
    directions, units = header.get("space directions"), header.get("space units")
    if directions is None or not isinstance(units, list) or not units:
        return None
    unit = str(next(iter(units))).strip('"').lower()
    if unit not in NM_PER:
        return None
    lengths = np.linalg.norm(np.asarray(directions, np.float64), axis=1)
    return cubic_nm(tuple(to_nm(float(length), unit) for length in lengths), path)
