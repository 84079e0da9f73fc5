"""TIFF: one file with a stack of frames, or one frame per file."""

import math
import struct
from pathlib import Path

import numpy as np
import tifffile

from oxytomo.arrays import AnyArray
from oxytomo.errors import InputError
from oxytomo.io.readers.base import RawFile, ReadRequest, checked_stack, truncated

NAME = "TIFF"

_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_LARGEST_RATIO = 1100
"""No lossless compression of TIFF shrinks a frame by more than a factor of about a thousand."""


def recognises(path: Path) -> bool:
    """Return whether the file starts as TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES


def _check_pages(path: Path, size: int) -> None:
    """Follow the chain of pages to its end.

    A page beyond the end of the file is an error.

    The library stops at such a page without an error, and the frames after it would be lost
    silently.
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
        if offset:  # visited before: the library would loop for ever
            raise InputError(
                str(path),
                expected="a chain of pages that ends",
                got=f"page {len(seen)} that leads back to byte {offset}",
                fix="copy the file again from its source; it is damaged",
            )


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the frames of one file; angles, energy and pixel size come from the request.

    Frames may have been written together or page by page; the library shows the latter as many
    series. All of them are frames if they have one size and type. Smaller copies of a page
    (thumbnails, pyramids) are skipped.
    """
    size = path.stat().st_size
    _check_pages(path, size)
    with tifffile.TiffFile(path) as tif:
        parts = full_series(tif, path)
        compressed = tif.pages.first.compression != tifffile.COMPRESSION.NONE
        for part in parts:
            _check_stored(part, path, size, compressed)
        dtype, frame = parts[0].dtype, _frame_shape(parts[0])
        n_frame = sum(_n_frames(part) for part in parts)
        shape = (n_frame, *frame) if len(parts) > 1 else _stack_shape(parts[0])
        kept = {id(part) for part in parts}
        chosen = [index for index, one in enumerate(tif.series) if id(one) in kept]
        paged = len(shape) == 3 and all(len(part) == _n_frames(part) for part in parts)
        pages = [page.index for part in parts for page in part.pages] if paged else []
        paged = paged and all(isinstance(index, int) for index in pages)

    def load() -> AnyArray:
        with tifffile.TiffFile(path) as opened:
            if paged and len(chosen) > 1:
                data = [opened.pages[index].asarray()[None] for index in pages]
            else:
                data = [opened.series[index].asarray().reshape(-1, *shape[1:]) for index in chosen]
        return np.asarray(data[0] if len(data) == 1 else np.concatenate(data), dtype.newbyteorder("="))

    def load_one(index: int) -> AnyArray:
        if not paged:
            return load()[index]
        with tifffile.TiffFile(path) as opened:
            return np.asarray(opened.pages[pages[index]].asarray(), dtype.newbyteorder("="))

    return RawFile(path=path, frames=checked_stack(shape, dtype, load, path, "", load_one=load_one))


def full_series(tif: tifffile.TiffFile, path: Path) -> list[tifffile.TiffPageSeries]:
    """Return the series of a file that are not smaller copies of others.

    All have frames of one size and type.

    Raises
    ------
    InputError
        If they do not.
    """
    parts = [one for one in tif.series if not one.keyframe.is_reduced] or list(tif.series[:1])
    kinds = {(_frame_shape(part), part.dtype.str): part for part in parts}
    if len(kinds) > 1:
        counts = [
            f"{sum(_n_frames(one) for one in parts if (_frame_shape(one), one.dtype.str) == kind)} of "
            f"{' × '.join(map(str, kind[0]))} {part.dtype.name}"
            for kind, part in kinds.items()
        ]
        raise InputError(
            str(path),
            expected="pages of one size and type",
            got=", ".join(counts[:4]),
            fix="write the frames of one kind into a file of their own",
        )
    return parts


def _stack_shape(part: tifffile.TiffPageSeries) -> tuple[int, ...]:
    shape = tuple(int(n) for n in part.shape)
    return (1, *shape) if len(shape) == 2 else shape


def _frame_shape(part: tifffile.TiffPageSeries) -> tuple[int, ...]:
    """Return the size of one frame of a series.

    For anything but a stack of grey frames, it is all axes except the first.
    """
    return _stack_shape(part)[1:]


def _n_frames(part: tifffile.TiffPageSeries) -> int:
    return _stack_shape(part)[0] if part.shape else 0


def _check_stored(part: tifffile.TiffPageSeries, path: Path, size: int, compressed: bool) -> None:
    """Refuse pages beyond the end of the file, and more values than its bytes can hold."""
    stored = 0
    for page in part.pages:
        if page is None:
            raise truncated(path, f"{len(part)} pages", "fewer")
        ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
        stored += sum(page.databytecounts)
        if ends and max(ends) > size:
            raise truncated(path, f"at least {max(ends)} bytes", f"{size}")
    declared = math.prod(int(n) for n in part.shape) * part.dtype.itemsize
    contiguous = part.dataoffset is not None
    if contiguous and part.dataoffset + declared > size:
        raise truncated(path, f"at least {part.dataoffset + declared} bytes", f"{size}")
    if not contiguous and declared > stored * (_LARGEST_RATIO if compressed else 1):
        raise truncated(path, f"{declared} bytes of pixels", f"{stored}")
