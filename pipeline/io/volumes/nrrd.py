"""NRRD, read by pynrrd."""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.io.readers.guard import check_declared, check_within
from pipeline.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm, damaged, missing
from pipeline.units import NM_PER, to_nm

NAME = "NRRD"

_TYPES = {
    "uint8": "u1",
    "uchar": "u1",
    "unsigned char": "u1",
    "uint16": "u2",
    "ushort": "u2",
    "unsigned short": "u2",
    "int16": "i2",
    "short": "i2",
    "float": "f4",
    "double": "f8",
}
"""Values that are mapped where they are plain; of these and all others the library reads the packed ones."""


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
    try:
        header = nrrd.read_header(str(path))
        _check_header(header, path)
        mapped = _mapped(header, path)
        values = mapped if mapped is not None else nrrd.read(str(path), index_order="C")[0]
    except nrrd.NRRDError as error:
        raise damaged(path, error) from error
    return Volume(values=as_volume(values, path), format=NAME, voxel_nm=_voxel_nm(header, path))


def _mapped(header: dict[str, Any], path: Path) -> "np.memmap[Any, Any] | None":
    """Return plain values as a map of their file, None where they are packed, skipped to, or in other words than the usual."""
    beside = header.get("data file", header.get("datafile"))
    stored = _TYPES.get(str(header.get("type")))
    skips = [header.get(name) for name in ("line skip", "lineskip", "byte skip", "byteskip")]
    if stored is None or any(skips) or str(header.get("encoding")) != "raw":
        return None
    dtype = np.dtype((">" if header.get("endian") == "big" else "<") + stored)
    shape, data = tuple(int(size) for size in header["sizes"])[::-1], path
    start = 0
    if beside is None:
        with path.open("rb") as file:
            while file.readline().strip():
                pass
            start = file.tell()
    else:
        data = path.parent / str(beside)
    wanted, got = math.prod(shape) * dtype.itemsize, data.stat().st_size - start
    if not wanted or got < wanted:
        return None
    return np.memmap(data, dtype, "r", offset=start, shape=shape)


def _check_header(header: dict[str, Any], path: Path) -> None:
    """Refuse data in files elsewhere, and sizes and packed data that do not fit the file."""
    beside = header.get("data file", header.get("datafile"))
    if beside is not None:
        check_within(path, str(beside), "data file")
    data = path if beside is None else path.parent / str(beside)
    stored = data.stat().st_size if data.is_file() else 0
    declared = math.prod(int(size) for size in header.get("sizes", ())) * 8
    check_declared(path, declared, stored, "values")
    if beside is None and str(header.get("encoding", "raw")) in ("gzip", "gz"):
        _check_unpacked(path, declared)


def _check_unpacked(path: Path, declared: int) -> None:
    """Unpack in blocks and refuse more than is declared, of which the library would keep all."""
    with path.open("rb") as file:
        while file.readline().strip():
            pass
        unpacker, total = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
        while block := unpacker.unconsumed_tail or file.read(2**16):
            total += len(unpacker.decompress(block, 2**20))
            if total > declared + 2**20:
                raise InputError(
                    str(path),
                    expected=f"{declared} bytes of values at most",
                    got="more packed data than that",
                    fix="copy the file again from its source; it is damaged, or made to exhaust the memory",
                )


def _voxel_nm(header: dict[str, object], path: Path) -> float | None:
    directions, units = header.get("space directions"), header.get("space units")
    if directions is None or not isinstance(units, list) or not units:
        return None
    unit = str(next(iter(units))).strip('"').lower()
    if unit not in NM_PER:
        return None
    lengths = np.linalg.norm(np.asarray(directions, np.float64), axis=1)
    return cubic_nm(tuple(to_nm(float(length), unit) for length in lengths), path)
