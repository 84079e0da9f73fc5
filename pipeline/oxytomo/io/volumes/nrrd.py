"""NRRD, read by pynrrd."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import AnyArray
from oxytomo.errors import InputError
from oxytomo.io.readers.guard import check_declared, check_within
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm, damaged, missing
from oxytomo.io.volumes.packed import GZIP, packed_rows
from oxytomo.slabs import View
from oxytomo.units import is_length, to_nm

NAME = "NRRD"

_TYPES = {
    word: stored
    for stored, words in {
        "i1": "signed char, int8, int8_t",
        "u1": "uchar, unsigned char, uint8, uint8_t",
        "i2": "short, short int, signed short, signed short int, int16, int16_t",
        "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
        "i4": "int, signed int, int32, int32_t",
        "u4": "uint, unsigned int, uint32, uint32_t",
        "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
        "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for word in words.split(", ")
}
"""Words for the types of values, from the format's definition."""
_GZIP = ("gzip", "gz")


def recognises(path: Path) -> bool:
    """Return whether the file starts as NRRD does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"NRRD"


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read a file; the voxel size is known if the header has directions and units of length."""
    try:
        import nrrd
    except ImportError as error:
        raise missing("pynrrd", NAME) from error
    try:
        header = nrrd.read_header(str(path))
        _check_header(header, path)
        rows = _rows(header, path)
        values = rows if rows is not None else _all(header, path)
    except nrrd.NRRDError as error:
        raise damaged(path, error) from error
    return Volume(values=as_volume(values, path), format=NAME, voxel_nm=_voxel_nm(header, path))


def _all(header: dict[str, Any], path: Path) -> AnyArray:
    """Return values as the library reads them."""
    import nrrd

    if str(header.get("encoding")) in _GZIP:
        raise InputError(
            str(path),
            expected="packed integers or floating-point numbers, from the first byte on",
            got=f"type {header.get('type')}, or lines or bytes to skip",
            fix="save the file again with plain values (encoding raw)",
        )
    values: AnyArray = nrrd.read(str(path), index_order="C")[0]
    return values


def _rows(header: dict[str, Any], path: Path) -> "np.memmap[Any, Any] | View | None":
    """Return values in parts, None if the header has a skip or unusual words."""
    beside = header.get("data file", header.get("datafile"))
    stored = _TYPES.get(str(header.get("type")))
    skips = [header.get(name) for name in ("line skip", "lineskip", "byte skip", "byteskip")]
    encoding = str(header.get("encoding"))
    if stored is None or any(skips) or encoding not in ("raw", *_GZIP):
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
    if encoding in _GZIP:
        return packed_rows(data, start, GZIP, shape, dtype)
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


def _voxel_nm(header: dict[str, object], path: Path) -> float | None:
    directions, units = header.get("space directions"), header.get("space units")
    if directions is None or not isinstance(units, list) or not units:
        return None
    unit = str(next(iter(units))).strip('"').lower()
    if not is_length(unit):
        return None
    lengths = np.linalg.norm(np.asarray(directions, np.float64), axis=1)
    return cubic_nm(tuple(to_nm(float(length), unit) for length in lengths), path)
