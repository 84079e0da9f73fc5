"""TIFF: a stack in one file, or one slice per file."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from oxytomo.arrays import AnyArray
from oxytomo.io.readers import tiff
from oxytomo.io.readers.base import ReadRequest
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, rows_of_file

NAME = "TIFF"


def recognises(path: Path) -> bool:
    """Return whether the file starts as TIFF does."""
    return path.is_file() and tiff.recognises(path)


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read the slices of a file; the resolution stated in a TIFF is not used."""
    frames = tiff.open_file(path, ReadRequest(images=(path,))).frames
    with tifffile.TiffFile(path) as file:
        parts = tiff.full_series(file, path)
        plain = len(file.series) == 1 and parts[0].dataoffset is not None and file.pages.first.is_memmappable
        paged = sum(len(part) for part in parts) == frames.shape[0]
    if plain:
        return Volume(values=as_volume(tifffile.memmap(path, mode="r"), path), format=NAME)
    load_one = frames.load_one
    if not paged or load_one is None:
        return Volume(values=as_volume(frames.load(), path), format=NAME)

    def part(key: Any) -> AnyArray:
        if key == slice(None):
            return frames.load()
        rows, *rest = key if isinstance(key, tuple) else (key,)
        pages = [load_one(i)[tuple(rest)] for i in np.arange(frames.shape[0])[rows].tolist()]
        return np.stack(pages)

    return Volume(values=as_volume(rows_of_file(frames.shape, frames.dtype, part, path), path), format=NAME)
