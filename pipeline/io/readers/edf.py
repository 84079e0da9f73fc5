"""EDF (ESRF data format), read with fabio: one frame or many per file.

The headers have no agreed names or units for angles, energy and pixel size, so these come from the configuration.
"""

import logging
import mmap
import re
from pathlib import Path
from typing import Any

import fabio
import numpy as np

from pipeline.arrays import AnyArray
from pipeline.errors import InputError
from pipeline.io.readers.base import RawFile, ReadRequest, checked_stack, truncated

NAME = "EDF"

_MANY_DIMENSIONS = re.compile(rb"(?i)dim_\s*[+-]?\d[\d_]{1,20}")
_TITLES = ("title", "Title", "scan_title")
logging.getLogger("fabio.edfimage").setLevel(logging.CRITICAL)  # what it would say, an InputError says


def recognises(path: Path) -> bool:
    """Say whether the file starts with an EDF header."""
    with path.open("rb") as file:
        head = file.read(4096)
    return head.lstrip(b"\r\n\t ").startswith(b"{") and b"Dim_1" in head and b"DataType" in head


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the frames of one file; angles, energy and pixel size come from the request."""
    _check_dimensions(path)
    with _opened(path) as image:
        n_frame = int(image.nframes)
        shape, dtype = tuple(int(n) for n in image.shape), np.dtype(image.dtype)
        if image.incomplete_file:
            raise truncated(path, f"{n_frame} complete frames or more", f"{path.stat().st_size} bytes")
        header = dict(image.getheader())

    def load() -> AnyArray:
        with _opened(path) as opened:
            return np.stack([np.asarray(_frame(opened, index), dtype) for index in range(n_frame)])

    title = next((str(header[key]) for key in _TITLES if header.get(key)), "")
    return RawFile(
        path=path,
        frames=checked_stack((n_frame, *shape), dtype, load, path, ""),
        metadata={"title": title} if title else {},
    )


def _check_dimensions(path: Path) -> None:
    """Refuse a header of more than nine dimensions: fabio counts up to any number that it finds there."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _MANY_DIMENSIONS.search(content)
        if found:
            raise InputError(
                str(path),
                expected="frames of two dimensions",
                got=found.group().decode("ascii"),
                fix="copy the file again from its source; its header is damaged",
            )


def _opened(path: Path) -> Any:
    try:
        return fabio.open(str(path))
    except OSError as error:  # fabio wants its whole first frame
        raise truncated(path, "a complete first frame", f"{path.stat().st_size} bytes") from error


def _frame(image: Any, index: int) -> AnyArray:
    data: AnyArray = image.data if index == 0 else image.getframe(index).data
    return data
