"""TIFF: one file with a stack of frames, or one frame per file."""

import math
from pathlib import Path

import numpy as np
import tifffile

from pipeline.arrays import AnyArray
from pipeline.io.readers.base import RawFile, ReadRequest, checked_stack, truncated

NAME = "TIFF"

_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_LARGEST_RATIO = 1100
"""No lossless compression of TIFF makes a frame more than about a thousand times smaller."""


def recognises(path: Path) -> bool:
    """Say whether the file starts as TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the frames of one file; angles, energy and pixel size come from the request."""
    size = path.stat().st_size
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
    frames = (1, *shape) if len(shape) == 2 else shape

    def load() -> AnyArray:
        with tifffile.TiffFile(path) as opened:
            data = opened.series[0].asarray()
        return np.asarray(data, dtype.newbyteorder("=")).reshape(frames)

    return RawFile(path=path, frames=checked_stack(frames, dtype, load, path, ""))
