"""EDF (ESRF data format), read with fabio: one frame or many per file.

The headers have no standard names or units for angles, energy and pixel size, so these come from
the configuration.
"""

import logging
import mmap
import re
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import AnyArray
from oxytomo.errors import InputError
from oxytomo.io.readers.base import RawFile, ReadRequest, checked_stack, truncated

NAME = "EDF"

_MANY_DIMENSIONS = re.compile(rb"(?i)dim_\s*[+-]?\d[\d_]{1,20}")
_SIZE = re.compile(rb"(?i)\b(?:edf_\w{1,20}size|size|dim_\d)\s*=\s*(\d{1,30})")
_TITLES = ("title", "Title", "scan_title")
# Its message is given in an InputError
logging.getLogger("fabio.edfimage").setLevel(logging.CRITICAL)


def recognises(path: Path) -> bool:
    """Return whether the file starts with an EDF header."""
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

    def load_one(number: int) -> AnyArray:
        with _opened(path) as opened:
            return np.asarray(_frame(opened, number), dtype)

    title = next((str(header[key]) for key in _TITLES if header.get(key)), "")
    return RawFile(
        path=path,
        frames=checked_stack((n_frame, *shape), dtype, load, path, "", load_one=load_one),
        metadata={"title": title} if title else {},
    )


def _check_dimensions(path: Path) -> None:
    """Refuse a header of more than nine dimensions or with blocks larger than the file.

    fabio trusts any such number, and allocates memory for any block.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        wrong = _wrong_entry(content)
    if wrong:
        raise InputError(
            str(path),
            expected="headers of two dimensions and blocks that fit the file",
            got=" ".join(wrong.decode("ascii").split()),
            fix="copy the file again from its source; it is truncated or its header is damaged",
        )


def _wrong_entry(content: mmap.mmap) -> bytes:
    """Return the first such entry, empty without one.

    No match may outlive the mapped file.
    """
    many = _MANY_DIMENSIONS.search(content)
    if many:
        return bytes(many.group())
    large = (bytes(found.group()) for found in _SIZE.finditer(content) if int(found.group(1)) > len(content))
    return next(large, b"")


def _opened(path: Path) -> Any:
    import fabio  # takes a tenth of a second, only for these files

    try:
        return fabio.open(str(path))
    except OSError as error:  # fabio needs its whole first frame
        raise truncated(path, "a complete first frame", f"{path.stat().st_size} bytes") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        # fabio has no error class for a header that points outside the file.
        raise truncated(path, "a header within the file", " ".join(str(error).split())) from error


def _frame(image: Any, index: int) -> AnyArray:
    data: AnyArray = image.data if index == 0 else image.getframe(index).data
    return data
