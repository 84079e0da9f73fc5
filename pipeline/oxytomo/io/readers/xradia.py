"""Zeiss Xradia ``.xrm`` and ``.txrm``: OLE containers with one stream per frame."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import olefile

from oxytomo.arrays import AnyArray, Float64Array, Quantity
from oxytomo.errors import InputError
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, checked_stack, per_frame, truncated

NAME = "Zeiss Xradia"

_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD_BYTES = 36
_SECTOR_SHIFTS = slice(30, 34)
_KNOWN_SHIFTS = ((9, 0, 6, 0), (12, 0, 6, 0))
"""Powers of two of the sector sizes of both versions of the format, and of the mini sectors."""
_PIXEL_TYPES: dict[int, np.dtype[Any]] = {5: np.dtype("<u2"), 10: np.dtype("<f4")}
_ENERGY_IN_NAME = re.compile(r"(\d+(?:\.\d+)?)_?eV", re.IGNORECASE)
_FRAMES_PER_FOLDER = 100
_NM_PER_UM = 1e3


def recognises(path: Path) -> bool:
    """Return whether the file is an OLE container with ``ImageInfo``."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(_SIGNATURE):
        return False
    sizes = tuple(head[_SECTOR_SHIFTS])
    # The library would allocate memory for a whole sector of any size
    if sizes not in _KNOWN_SHIFTS:
        raise _damaged(path, f"sectors of 2^{int.from_bytes(bytes(sizes[:2]), 'little')} bytes")
    try:
        with olefile.OleFileIO(path) as ole:
            return bool(ole.exists("ImageInfo/ImageWidth"))
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from error


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the series of one file.

    The energy comes from the file name if the header has none.
    """
    with olefile.OleFileIO(path) as ole:
        n_y, n_x = (_integer(ole, path, f"ImageInfo/Image{side}") for side in ("Height", "Width"))
        dtype = _pixel_type(ole, path, "ImageInfo/DataType")
        planned = _integer(ole, path, "ImageInfo/NoOfImages")
        declared = (n_y, n_x)
        n_frame, (n_y, n_x) = _frames(ole, path, planned, declared, dtype)
        streams = [_stream(i) for i in range(min(n_frame, 10**5))]
        frames = _stack(ole, path, streams, dtype, (n_y, n_x))
        reference = None
        if ole.exists("ReferenceData/Image"):
            reference_type = _pixel_type(ole, path, "ReferenceData/DataType")
            of_one_tile = ole.get_size("ReferenceData/Image") < n_y * n_x * reference_type.itemsize
            if (n_y, n_x) == declared or not of_one_tile:
                reference = _stack(ole, path, ["ReferenceData/Image"], reference_type, (n_y, n_x))
        energy = _energy_ev(_numbers(ole, "ImageInfo/Energy"), n_frame)
        named = _ENERGY_IN_NAME.findall(path.name)
        if energy is None and named:
            energy = np.full(n_frame, float(named[-1]))
        pixel = _positive(_per_frame(ole, "ImageInfo/PixelSize", n_frame, path))
        reference_exposure = _numbers(ole, "ReferenceData/ExpTime")
        counts: Quantity | None = "counts" if dtype.kind == "u" else None
        date = ole.openstream("ImageInfo/Date").read(40) if ole.exists("ImageInfo/Date") else b""
        return RawFile(
            path=path,
            frames=frames,
            tilt_deg=_per_frame(ole, "ImageInfo/Angles", n_frame, path),
            energy_ev=energy,
            pixel_nm=None if pixel is None else pixel * _NM_PER_UM,
            quantity=counts,
            flat=reference,
            exposure_s=_positive(_per_frame(ole, "ImageInfo/ExpTimes", n_frame, path)),
            ring_current_ma=_positive(_per_frame(ole, "ImageInfo/Current", n_frame, path)),
            flat_exposure_s=None if reference is None else _positive(reference_exposure[:1]),
            metadata={"start": date.split(b"\x00")[0].decode("ascii", errors="replace")},
            remarks=_remarks(n_frame, planned, (n_y, n_x), declared),
        )


def _remarks(
    n_frame: int, planned: int, shape: tuple[int, int], declared: tuple[int, int]
) -> tuple[str, ...]:
    if shape != declared:
        return (f"a stitched mosaic of {shape[0] // declared[0]} × {shape[1] // declared[1]} tiles",)
    return (f"an aborted scan: {n_frame} of {planned} frames were taken",) if n_frame < planned else ()


def _stream(number: int) -> str:
    return f"ImageData{1 + number // _FRAMES_PER_FOLDER}/Image{number + 1}"


def _frames(
    ole: olefile.OleFileIO, path: Path, planned: int, shape: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[int, tuple[int, int]]:
    """Return number and size of the frames taken, of an aborted scan or a stitched mosaic.

    Raises
    ------
    InputError
        For a mosaic of single tiles, and if ``ImagesTaken`` is 0.
    """
    rows, columns = (
        _optional(ole, f"ImageInfo/Mosiac{name}") for name in ("Rows", "Columns")
    )  # as Zeiss spells it
    tiles = max(rows, 1) * max(columns, 1)
    if tiles > 1:
        stored = ole.get_size(_stream(0)) if ole.exists(_stream(0)) else 0
        if ole.exists(_stream(1)) or stored == 0:
            raise InputError(
                str(path),
                expected="frames, or one stitched mosaic",
                got=f"a mosaic of {rows} × {columns} tiles",
                fix="stitch it in the instrument's software, and give the stitched image",
            )
        whole = (shape[0] * max(rows, 1), shape[1] * max(columns, 1))
        # As wide as all tiles together, or with a size of its own in the header.
        return 1, whole if stored >= whole[0] * whole[1] * dtype.itemsize else shape
    taken = _optional(ole, "ImageInfo/ImagesTaken")
    # Other programs that write the format leave zero or the number of a template there.
    return (taken if 0 < taken < planned and not ole.exists(_stream(taken)) else planned), shape


def _optional(ole: olefile.OleFileIO, name: str) -> int:
    """Return a whole number, 0 where there is none."""
    content = ole.openstream(name).read() if ole.exists(name) else b""
    return int.from_bytes(content[:4], "little", signed=True) if len(content) >= 4 else 0


def _numbers(ole: olefile.OleFileIO, name: str) -> Float64Array:
    """Return a stream as float32 numbers, as float64; empty where there is none."""
    if not ole.exists(name):
        return np.zeros(0)
    content = ole.openstream(name).read()
    return np.frombuffer(content[: len(content) // 4 * 4], "<f4").astype(np.float64)


def _per_frame(ole: olefile.OleFileIO, name: str, n_frame: int, path: Path) -> Float64Array | None:
    """Return one number per frame.

    Streams may be longer than the number of frames; a single number holds for all frames.
    """
    values = _numbers(ole, name)
    if values.size == 0:
        return None
    return per_frame(values[:n_frame] if values.size >= n_frame else values, n_frame, name, path)


def _integer(ole: olefile.OleFileIO, path: Path, name: str) -> int:
    value = _optional(ole, name)
    if value < 1:
        raise _damaged(path, f"{value} in {name}")
    return value


def _pixel_type(ole: olefile.OleFileIO, path: Path, name: str) -> np.dtype[Any]:
    code = _integer(ole, path, name)
    if code not in _PIXEL_TYPES:
        raise InputError(
            str(path),
            expected="16-bit integer or 32-bit float pixels",
            got=f"type {code}",
            fix="export it again as 16 bit",
        )
    return _PIXEL_TYPES[code]


def _stack(
    ole: olefile.OleFileIO,
    path: Path,
    streams: list[str],
    dtype: np.dtype[np.generic],
    shape: tuple[int, int],
) -> FrameStack:
    n_bytes = shape[0] * shape[1] * dtype.itemsize
    for number, name in enumerate(streams):
        stored = ole.get_size(name) if ole.exists(name) else 0
        if stored < n_bytes:
            raise truncated(path, f"{len(streams)} frames of {n_bytes} bytes", f"{number} of them")
    if path.stat().st_size < n_bytes * len(streams):
        raise truncated(path, f"at least {n_bytes * len(streams)} bytes", f"{path.stat().st_size}")

    def frame(opened: olefile.OleFileIO, number: int) -> AnyArray:
        content = opened.openstream(streams[number]).read()
        if len(content) < n_bytes:
            raise truncated(path, f"{n_bytes} bytes in {streams[number]}", f"{len(content)}")
        pixels = np.frombuffer(content, dtype, count=shape[0] * shape[1]).reshape(shape)
        return pixels.astype(dtype.newbyteorder("="), copy=False)

    def load() -> AnyArray:
        out = np.empty((len(streams), *shape), dtype.newbyteorder("="))
        with olefile.OleFileIO(path) as opened:
            for number in range(len(streams)):
                out[number] = frame(opened, number)
        return out

    def load_one(number: int) -> AnyArray:
        with olefile.OleFileIO(path) as opened:
            return frame(opened, number)

    return checked_stack((len(streams), *shape), dtype, load, path, "", load_one=load_one)


def _energy_ev(values: Float64Array, n_frame: int) -> Float64Array | None:
    """Return energies of frames from a stream of numbers, or of records that start with one."""
    candidates = [values[:n_frame]]
    if n_frame > 1 and (values.size - 1) % (n_frame - 1) == 0:
        candidates.append(values[:: max(1, (values.size - 1) // (n_frame - 1))])
    for energies in candidates:
        if energies.size == n_frame and np.isfinite(energies).all() and (energies > 0).all():
            return energies
    if values.size == 1 and values[0] > 0:
        return np.full(n_frame, values[0])
    return None


def _positive(values: Float64Array | None) -> Float64Array | None:
    """Return ``values``, or None if the instrument wrote zeros for unknown."""
    return values if values is not None and values.size and (values > 0).all() else None


def _damaged(path: Path, got: str) -> InputError:
    return InputError(
        str(path),
        expected="a complete Xradia file",
        got=" ".join(got.split()),
        fix="copy the file again from its source; it is truncated or damaged",
    )
