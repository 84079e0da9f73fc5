"""TIFF: a stack in one file, or one slice per file."""

from pathlib import Path

import tifffile

from pipeline.io.readers import tiff
from pipeline.io.readers.base import ReadRequest
from pipeline.io.volumes.base import Volume, VolumeRequest, as_volume

NAME = "TIFF"


def recognises(path: Path) -> bool:
    """Say whether the file starts as TIFF does."""
    return path.is_file() and tiff.recognises(path)


def read(path: Path, _request: VolumeRequest) -> Volume:
    """Read the slices of a file; what a TIFF says of its resolution is not trusted."""
    frames = tiff.open_file(path, ReadRequest(images=(path,))).frames
    with tifffile.TiffFile(path) as file:
        plain = file.series[0].dataoffset is not None and file.pages.first.is_memmappable
    values = tifffile.memmap(path, mode="r") if plain else frames.load()
    return Volume(values=as_volume(values, path), format=NAME)
