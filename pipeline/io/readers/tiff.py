"""TIFF: one file with a stack of frames, or one frame per file."""

import math
import struct
from pathlib import Path

import numpy as np
import tifffile

from pipeline.arrays import AnyArray
from pipeline.errors import InputError
from pipeline.io.readers.base import RawFile, ReadRequest, checked_stack, truncated

NAME = "TIFF"

_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_LARGEST_RATIO = 1100
"""No lossless compression of TIFF makes a frame more than about a thousand times smaller."""


def recognises(path: Path) -> bool:
    """Say whether the file starts as TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES


def _check_pages(path: Path, size: int) -> None:
    """Follow the chain of pages to its end; a page that lies beyond the end of the file is an error.

    The library stops at such a page without an error, and the frames after it would be missing unseen.
    """
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\x00", b"\x00+")
        count_format, entry_bytes, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
        count_bytes, offset_bytes = struct.calcsize(f"={count_format}"), struct.calcsize(f"={offset_format}")
        (offset,) = struct.unpack_from(f"{order}{offset_format}", head, 8 if big else 4)
        seen: set[int] = set()
        while offset and offset not in seen:
            seen.add(offset)
            file.seek(offset)
            count = file.read(count_bytes)
            if len(count) == count_bytes:
                file.seek(
                    offset + count_bytes + entry_bytes * struct.unpack(f"{order}{count_format}", count)[0]
                )
            following = file.read(offset_bytes)
            if len(count) < count_bytes or len(following) < offset_bytes:
                raise truncated(path, f"page {len(seen)} at byte {offset}", f"{size} bytes")
            (offset,) = struct.unpack(f"{order}{offset_format}", following)
        if offset:  # seen before: the library would go round for ever
            raise InputError(
                str(path),
                expected="a chain of pages that ends",
                got=f"page {len(seen)} that leads back to byte {offset}",
                fix="copy the file again from its source; it is damaged",
            )


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the frames of one file; angles, energy and pixel size come from the request."""
    size = path.stat().st_size
    _check_pages(path, size)
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        shape = tuple(int(n) for n in series.shape)
        stored = 0
        for page in series.pages:
            if page is None:
                raise truncated(path, f"{len(series)} pages", "fewer")
            ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
            stored += sum(page.databytecounts)
            if ends and max(ends) > size:
                raise truncated(path, f"at least {max(ends)} bytes", f"{size}")
        compressed = tif.pages.first.compression != tifffile.COMPRESSION.NONE
        declared = math.prod(shape) * series.dtype.itemsize
        contiguous = series.dataoffset is not None
        if contiguous and series.dataoffset + declared > size:
            raise truncated(path, f"at least {series.dataoffset + declared} bytes", f"{size}")
        if not contiguous and declared > stored * (_LARGEST_RATIO if compressed else 1):
            raise truncated(path, f"{declared} bytes of pixels", f"{stored}")
        dtype = series.dtype
        paged = len(shape) == 3 and len(series) == shape[0]
    frames = (1, *shape) if len(shape) == 2 else shape

    def load() -> AnyArray:
        with tifffile.TiffFile(path) as opened:
            data = opened.series[0].asarray()
        return np.asarray(data, dtype.newbyteorder("=")).reshape(frames)

    def load_one(index: int) -> AnyArray:
        with tifffile.TiffFile(path) as opened:
            data = (
                opened.series[0].asarray(key=index)
                if paged
                else opened.series[0].asarray().reshape(frames)[index]
            )
        return np.asarray(data, dtype.newbyteorder("="))

    return RawFile(path=path, frames=checked_stack(frames, dtype, load, path, "", load_one=load_one))
