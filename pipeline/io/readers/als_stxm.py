"""ALS STXM stacks: a text header ``.hdr`` with axes and energies, and one text image ``.xim`` per energy beside it."""

import re
from pathlib import Path

import numpy as np

from pipeline.arrays import AnyArray, Float64Array
from pipeline.errors import InputError
from pipeline.io.readers.base import RawFile, ReadRequest, checked_stack, square_pixel, truncated
from pipeline.io.readers.guard import read_text
from pipeline.units import to_ev, to_nm

NAME = "ALS STXM stack"

_SIGNATURE = b"ScanDefinition"
_UNIT = re.compile(r'\s*Name\s*=\s*"[^"]*";\s*Unit\s*=\s*"([^"]*)"')
_POINTS = re.compile(r"Points\s*=\s*\(([^()]*)\)")
_MOST_HEADER_BYTES = 2**20
"""An honest header holds a line of numbers for each axis, and a few lines for each energy."""


def recognises(path: Path) -> bool:
    """Say whether the file starts as the header of a scan."""
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(_SIGNATURE)


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the stack of one header; rows and columns of the images run along the axes Q and P."""
    text = _header(path)
    x_nm, y_nm, energy = (
        _axis(text, "PAxis", "nm", path),
        _axis(text, "QAxis", "nm", path),
        _axis(text, "StackAxis", "eV", path),
    )
    images = [path.with_name(f"{path.stem}_a{number:03d}.xim") for number in range(energy.size)]
    missing = [image.name for image in images if not image.is_file()]
    if missing:
        raise InputError(
            str(path),
            expected=f"{energy.size} images, one per energy",
            got=f"{energy.size - len(missing)}: no {missing[0]}",
            fix="copy the .xim files of the stack into the folder of its header",
        )
    shape = (y_nm.size, x_nm.size)

    def load_one(index: int) -> AnyArray:
        return _read_image(images[index], shape)

    def load() -> AnyArray:
        return np.stack([load_one(index) for index in range(len(images))])

    pixels = [np.full(energy.size, np.median(np.abs(np.diff(axis)))) for axis in (x_nm, y_nm)]
    return RawFile(
        path=path,
        frames=checked_stack((energy.size, *shape), np.dtype(np.float32), load, path, "", load_one=load_one),
        energy_ev=energy,
        pixel_nm=None if request.pixel_nm is not None else square_pixel(pixels[0], pixels[1], path),
        quantity="counts",
        metadata={"format": NAME},
    )


def _header(path: Path) -> str:
    content = read_text(path, "the header of a scan")
    if len(content) > _MOST_HEADER_BYTES:
        raise InputError(
            str(path),
            expected=f"the header of a scan, at most {_MOST_HEADER_BYTES // 2**20} MB",
            got=f"{len(content) / 1e6:.1f} MB",
            fix="correct the path",
        )
    return content.decode("utf-8", errors="replace")


def _axis(text: str, name: str, unit: str, path: Path) -> Float64Array:
    """Return the points of one axis in nm or eV; the list begins with its own length."""
    try:
        unit_in_file, values = _axis_words(text, name)
        points = np.array([float(point) for point in values.split(",")])
        factor = (to_nm if unit == "nm" else to_ev)(1.0, unit_in_file)
        if points.size < 3 or points.size != int(points[0]) + 1:
            raise ValueError(f"{points.size - 1} points in {name}")
    except (ValueError, KeyError) as error:
        raise InputError(
            str(path),
            expected=f"the header of an image stack with {name}",
            got=str(error),
            fix="give the header of a stack (NEXAFS image scan); it is truncated or of another scan",
        ) from error
    return points[1:] * factor


def _axis_words(text: str, name: str) -> tuple[str, str]:
    """Return the unit and the points of an axis as they are written: ``name = { …; Unit = "…"; … Points = (…) …``."""
    start = re.search(rf"\b{name}\s*=\s*\{{", text)
    unit = None if start is None else _UNIT.match(text, start.end())
    points = None if unit is None else _POINTS.search(text, unit.end())
    if unit is None or points is None:
        raise ValueError(f"no {name}")
    return unit.group(1), points.group(1)


def _read_image(path: Path, shape: tuple[int, int]) -> AnyArray:
    """Read one text image, (n_y, n_x) float32."""
    numbers = np.array(read_text(path, "a text image").decode("ascii").split(), np.float32)
    if numbers.size != shape[0] * shape[1]:
        raise truncated(path, f"{shape[0]} × {shape[1]} numbers", str(numbers.size))
    return numbers.reshape(shape)
