"""MRC tilt series, also old ones without a machine stamp.

Angles are beside the file or in the extended header.
"""

import warnings
from pathlib import Path
from typing import Any, Literal

import mrcfile
import mrcfile.utils
import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import AnyArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.angles import read_angles
from oxytomo.io.readers.base import RawFile, ReadRequest, checked_stack, per_frame, square_pixel, truncated

NAME = "MRC"

_HEADER_BYTES = 1024
_MODE_AT, _EXTENDED_BYTES_AT, _STAMP_AT = slice(12, 16), slice(92, 96), slice(212, 214)
_LIBRARY_MODES = (0, 1, 2, 4, 6, 12)
_MODES = (0, 1, 2, 6, 12)
_LARGEST_SIDE = 2**16
_OLD_FEI_RECORD = np.dtype((np.float32, 32))
_OLD_FEI_TILT, _OLD_FEI_PIXEL_M = 0, 11
_NM_PER_ANGSTROM, _NM_PER_M = 0.1, 1e9
_PLACEHOLDER_ANGSTROM = 1.0
"""Voxel size of exactly 1 Å, which programs write if they do not know it."""
_IMOD_STAMP, _SIGNED_BYTES = 1146047817, 1
"""Word 39 in files by IMOD, and the bit of word 40 for signed bytes."""
_IMOD_AT, _FLAGS_AT, _VERSION_AT = slice(152, 156), slice(156, 160), slice(108, 112)
_LARGEST_SIGNED, _VERSION_2014 = 127, 20140


def recognises(path: Path) -> bool:
    """Return whether the file starts as MRC (sizes, mode, axes), in either byte order."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES:
        return False
    for order in "<>":
        words = np.frombuffer(head, f"{order}i4")
        sizes, mode, axes = words[:3], int(words[3]), sorted(words[16:19].tolist())
        sane = bool((sizes > 0).all() and (sizes < _LARGEST_SIDE).all())
        if sane and mode in _MODES and (axes == [1, 2, 3] or head[208:211] == b"MAP"):
            return True
    return False


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe one series: angles from ``.rawtlt`` or ``.tlt``, else from extended header."""
    _check_extended(path)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        with mrcfile.open(path, permissive=True, header_only=True) as mrc:
            header, extended = mrc.header, mrc.extended_header
            dtype = mrcfile.utils.data_dtype_from_header(header)
            voxel = mrc.voxel_size
    if dtype == np.int8:
        dtype = _byte_type(path, header)
    shape = (int(header.nz), int(header.ny), int(header.nx))
    offset = _HEADER_BYTES + int(header.nsymbt)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    size = path.stat().st_size
    if size < offset + n_bytes:
        raise truncated(path, f"{offset + n_bytes} bytes", f"{size}")

    frame_bytes = n_bytes // shape[0]

    def load() -> AnyArray:
        data = np.fromfile(path, dtype, count=n_bytes // dtype.itemsize, offset=offset)
        return data.astype(dtype.newbyteorder("="), copy=False).reshape(shape)

    def load_one(number: int) -> AnyArray:
        start = offset + number * frame_bytes
        data = np.fromfile(path, dtype, count=frame_bytes // dtype.itemsize, offset=start)
        return data.astype(dtype.newbyteorder("="), copy=False).reshape(shape[1:])

    tilt, pixel_nm = _extended(extended, header, shape[0])
    if pixel_nm is None:
        x_nm, y_nm = (
            per_frame(np.float64(side) * _NM_PER_ANGSTROM, shape[0], "pixel size", path)
            if np.isfinite(side) and side > 0 and side != _PLACEHOLDER_ANGSTROM
            else None
            for side in (voxel.x, voxel.y)
        )
        pixel_nm = None if request.pixel_nm is not None else square_pixel(x_nm, y_nm, path)
    beside = _angle_file(path)
    labels = b" ".join(bytes(label) for label in header.label[: max(0, int(header.nlabl))])
    return RawFile(
        path=path,
        frames=checked_stack(shape, dtype, load, path, "", load_one=load_one),
        tilt_deg=tilt
        if beside is None or request.angles is not None
        else read_angles(beside, unit="deg").tilt_deg,
        pixel_nm=pixel_nm,
        metadata={
            "label": " ".join(labels.decode("latin-1").replace("\x00", " ").split()),
            "header": "; ".join(str(note.message) for note in notes) or "regular",
        },
    )


def _check_extended(path: Path) -> None:
    """Refuse an extended header that does not fit the file: the library would exhaust memory."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    # As in the library: the order of the stamp, or the other one if that gives no known mode.
    orders: list[Literal["big", "little"]] = ["little", "big"]
    if head[_STAMP_AT] == b"\x11\x11":
        orders.reverse()
    modes = [int.from_bytes(head[_MODE_AT], order, signed=True) for order in orders]
    order = orders[1] if modes[0] not in _LIBRARY_MODES and modes[1] in _LIBRARY_MODES else orders[0]
    extended = int.from_bytes(head[_EXTENDED_BYTES_AT], order, signed=True)
    if not 0 <= extended <= size - _HEADER_BYTES:
        raise truncated(path, f"{_HEADER_BYTES + abs(extended)} bytes of headers", f"{size}")


def _byte_type(path: Path, header: Any) -> np.dtype[Any]:
    """Return the type of values of one byte (mode 0), signed or unsigned.

    The standard of 2014 has signed bytes. IMOD writes a word that says which, and earlier programs
    wrote either. The minimum and maximum in the header, if any, must agree with the type.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    order: Literal["big", "little"] = "big" if header.dtype["nx"].byteorder == ">" else "little"
    stamp, flags, version = (
        int.from_bytes(head[place], order, signed=True) for place in (_IMOD_AT, _FLAGS_AT, _VERSION_AT)
    )
    low, high = float(header.dmin), float(header.dmax)
    known = np.isfinite([low, high]).all() and low < high
    said = {
        "unsigned": known and high > _LARGEST_SIGNED and low >= 0,
        "signed": known and low < 0 and high <= _LARGEST_SIGNED,
    }
    if stamp == _IMOD_STAMP:
        kind, source = ("signed" if flags & _SIGNED_BYTES else "unsigned"), "IMOD's mark"
    elif said["unsigned"] or said["signed"]:
        kind, source = ("unsigned" if said["unsigned"] else "signed"), "the header's range"
    elif version >= _VERSION_2014 or (known and high <= _LARGEST_SIGNED):
        kind, source = "signed", "the format's version"
    else:
        raise _unknown_bytes(path, "no mark of IMOD, no version from 2014 on and no range of values")
    other = "signed" if kind == "unsigned" else "unsigned"
    if said[other]:
        raise _unknown_bytes(path, f"{source} says {kind}, the header's range {low:g} to {high:g} {other}")
    return np.dtype(np.uint8 if kind == "unsigned" else np.int8)


def _unknown_bytes(path: Path, got: str) -> InputError:
    return InputError(
        str(path),
        expected="a header that says whether bytes are signed",
        got=got,
        fix="write the file again with 16-bit values, e.g. newstack -mode 1",
    )


def _angle_file(path: Path) -> Path | None:
    for suffix in (".rawtlt", ".tlt"):
        for beside in (path.with_suffix(suffix), path.with_name(path.name + suffix)):
            if beside.is_file():
                return beside
    return None


def _extended(
    extended: NDArray[Any], header: Any, n_frame: int
) -> tuple[Float64Array | None, Float64Array | None]:
    """Return angles (degrees) and pixel sizes (nm) of an FEI extended header, None if absent."""
    names = extended.dtype.names or ()
    if "Alpha tilt" in names and extended.size >= n_frame:
        tilt = np.asarray(extended["Alpha tilt"][:n_frame], np.float64)
        metres = np.asarray(extended["Pixel size X"][:n_frame], np.float64)
        return tilt, metres * _NM_PER_M if (metres > 0).all() else None
    by_fei = bytes(header.label[0]).strip().lower().startswith(b"fei")
    raw = np.frombuffer(extended.tobytes(), np.uint8)
    if not by_fei or names or raw.size < n_frame * _OLD_FEI_RECORD.itemsize:
        return None, None
    order = header.dtype["nx"].byteorder.replace("=", "<").replace("|", "<")
    records = (
        raw[: n_frame * _OLD_FEI_RECORD.itemsize].view(f"{order}f4").reshape(n_frame, -1).astype(np.float64)
    )
    metres = records[:, _OLD_FEI_PIXEL_M]
    pixel_nm = metres * _NM_PER_M if (metres > 0).all() and np.isfinite(metres).all() else None
    return records[:, _OLD_FEI_TILT], pixel_nm
