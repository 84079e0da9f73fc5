"""One text image ``.xim`` of an ALS STXM scan, with its header beside it.

``a_a003.xim`` belongs to ``a.hdr``.
"""

import re
from dataclasses import replace
from pathlib import Path

from oxytomo.errors import InputError
from oxytomo.io.readers import als_stxm
from oxytomo.io.readers.als_stxm import Scan, described, read_scan
from oxytomo.io.readers.base import RawFile, ReadRequest

NAME = "ALS STXM image"
LAST = True
"""In a folder the headers represent their images."""

_IMAGE = re.compile(r"(?P<scan>.+)_a(?P<number>\d*)\.xim", re.IGNORECASE)


def recognises(path: Path) -> bool:
    """Return whether the file has the name of an image of a scan.

    A text file of numbers has no other mark.
    """
    return _IMAGE.fullmatch(path.name) is not None


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the one image, with positions and energy from its header."""
    header = _header(path)
    scan = read_scan(header)
    number = next((i for i, image in enumerate(scan.images) if image.name == path.name), None)
    if number is None:
        raise InputError(
            str(path),
            expected=f"one of the {len(scan.images)} images of {header.name}",
            got=path.name,
            fix="copy header and images of one scan into the same folder",
        )
    one = Scan(scan.x_nm, scan.y_nm, scan.energy_ev[[number]], (path,))
    raw = described(path, one, request)
    return replace(raw, metadata={**raw.metadata, "header_file": header.name})


def _header(path: Path) -> Path:
    """Return the header beside an image."""
    match = _IMAGE.fullmatch(path.name)
    header = path.with_name(f"{match.group('scan') if match else path.stem}.hdr")
    if not header.is_file() or not als_stxm.recognises(header):
        raise InputError(
            str(path),
            expected=f"its header {header.name} beside it",
            got="none",
            fix="copy the .hdr file into the folder of its images",
        )
    return header
