"""MetaImage (ITK): ``.mha`` with the values behind the header, ``.mhd`` with a file beside it."""

import math
from pathlib import Path

import numpy as np

from oxytomo.arrays import AnyArray
from oxytomo.errors import InputError
from oxytomo.io.readers.guard import check_declared, check_within
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume
from oxytomo.io.volumes.packed import ZLIB, packed_rows
from oxytomo.slabs import View

NAME = "MetaImage"

_START = b"ObjectType"
_TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LONGEST_HEADER = 65536


def recognises(path: Path) -> bool:
    """Return whether the file starts as MetaImage does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_START)) == _START


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read values with x fastest; MetaImage has no unit of length, so its spacing is not used."""
    header, start = _header(path)
    sizes = tuple(int(size) for size in header["DimSize"].split())[::-1]
    if header["ElementType"] not in _TYPES or int(header.get("ElementNumberOfChannels", "1")) != 1:
        raise InputError(
            str(path),
            expected=f"one grey value per voxel ({', '.join(_TYPES)})",
            got=f"{header['ElementType']}, {header.get('ElementNumberOfChannels', '1')} channels",
            fix="convert the volume to grey values",
        )
    big = header.get("BinaryDataByteOrderMSB", header.get("ElementByteOrderMSB", "False")).lower() == "true"
    dtype = np.dtype((">" if big else "<") + _TYPES[header["ElementType"]])
    local = header["ElementDataFile"] == "LOCAL"
    if not local:
        check_within(path, header["ElementDataFile"], "ElementDataFile")
    place = path if local else path.parent / header["ElementDataFile"]
    wanted = math.prod(sizes) * dtype.itemsize
    check_declared(path, wanted, place.stat().st_size, "values")
    before = start if local else 0
    values: AnyArray | View
    if header.get("CompressedData", "False").lower() == "true":
        values = packed_rows(place, before, ZLIB, sizes, dtype)
    else:
        _check_length(path, wanted, place.stat().st_size - before)
        values = np.memmap(place, dtype, "r", offset=before, shape=sizes)
    return Volume(values=as_volume(values, path), format=NAME)


def _check_length(path: Path, wanted: int, got: int) -> None:
    if got != wanted:
        raise InputError(
            str(path),
            expected=f"{wanted} bytes of values",
            got=f"{got}",
            fix="copy the file again from its source; it is truncated or its header is wrong",
        )


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Return the entries of the header, and the position of its end."""
    with path.open("rb") as file:
        beginning = file.read(_LONGEST_HEADER)
    entries: dict[str, str] = {}
    position = 0
    while "ElementDataFile" not in entries:
        end = beginning.find(b"\n", position)
        if end < 0:
            raise InputError(
                str(path),
                expected="a header that ends with ElementDataFile",
                got=f"{', '.join(entries)}",
                fix="copy the file again from its source; it is truncated",
            )
        name, _, value = beginning[position:end].decode("latin-1").partition("=")
        entries[name.strip()] = value.strip()
        position = end + 1
    return entries, position
