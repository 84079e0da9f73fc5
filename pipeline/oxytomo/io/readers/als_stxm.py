"""ALS STXM scans: a text header ``.hdr``, and text images ``.xim`` beside it.

A stack (NEXAFS image scan) has one image per energy, ``_a000.xim`` and so on; an image scan has a
single one, ``_a.xim``, and states its energy where it describes that image.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oxytomo.arrays import AnyArray, Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.base import RawFile, ReadRequest, checked_stack, square_pixel, truncated
from oxytomo.io.readers.guard import read_text
from oxytomo.units import to_ev, to_nm

NAME = "ALS STXM stack"

_SIGNATURE = b"ScanDefinition"
_NUMBER = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
_ENERGY = rf"Image\d*(?:_\d+)?\s*=\s*{{[^{{}}]*?\bEnergy\s*=\s*({_NUMBER})\s*;"
_REGIONS = r"Regions\s*=\s*\(\s*(\d+)"
_UNIT = re.compile(r'\s*Name\s*=\s*"[^"]*";\s*Unit\s*=\s*"([^"]*)"')
_POINTS = re.compile(r"Points\s*=\s*\(([^()]*)\)")
_MOST_HEADER_BYTES = 2**20
"""A valid header has a line of numbers for each axis, and a few lines for each energy."""


def recognises(path: Path) -> bool:
    """Return whether the file starts with the header of a scan."""
    with path.open("rb") as file:
        return file.read(200).lstrip().startswith(_SIGNATURE)


@dataclass(frozen=True)
class Scan:
    """Content of a header: positions (n_x,), (n_y,) in nm, energies (n,) in eV, image files."""

    x_nm: Float64Array
    y_nm: Float64Array
    energy_ev: Float64Array
    images: tuple[Path, ...]


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the stack or the image of one header.

    Rows and columns are along the axes Q and P.
    """
    scan = read_scan(path)
    missing = [image.name for image in scan.images if not image.is_file()]
    if missing:
        n = scan.energy_ev.size
        raise InputError(
            str(path),
            expected=f"{n} images, one per energy" if n > 1 else "the image of the scan",
            got=f"{n - len(missing)}: no {missing[0]}",
            fix="copy the .xim files into the folder of their header",
        )
    return described(path, scan, request)


def described(path: Path, scan: Scan, request: ReadRequest) -> RawFile:
    """Return the images of a scan.

    A single image is at normal incidence; a stack has no angles.
    """
    shape, n = (scan.y_nm.size, scan.x_nm.size), scan.energy_ev.size

    def load_one(index: int) -> AnyArray:
        return _read_image(scan.images[index], shape)

    def load() -> AnyArray:
        return np.stack([load_one(index) for index in range(n)])

    x_nm, y_nm = (np.full(n, np.median(np.abs(np.diff(axis)))) for axis in (scan.x_nm, scan.y_nm))
    return RawFile(
        path=path,
        frames=checked_stack((n, *shape), np.dtype(np.float32), load, path, "", load_one=load_one),
        tilt_deg=np.zeros(1) if n == 1 else None,
        energy_ev=scan.energy_ev,
        pixel_nm=None if request.pixel_nm is not None else square_pixel(x_nm, y_nm, path),
        quantity="counts",
        metadata={"format": NAME},
    )


def read_scan(path: Path) -> Scan:
    """Read the header of a scan.

    Raises
    ------
    InputError
        For a header of something other than images, of several regions, or without an energy.
    """
    text = _header(path)
    regions = re.search(_REGIONS, text)
    if regions is not None and int(regions.group(1)[:9]) > 1:
        raise InputError(
            str(path),
            expected="a scan of one region",
            got=f"{regions.group(1)[:9]} regions",
            fix="export the regions as scans of their own",
        )
    x_nm, y_nm = _axis(text, "PAxis", "nm", path), _axis(text, "QAxis", "nm", path)
    stem = path.stem
    if "StackAxis" in text:
        energy = _axis(text, "StackAxis", "eV", path, least=1)
        images = [path.with_name(f"{stem}_a{number:03d}.xim") for number in range(energy.size)]
        single = path.with_name(f"{stem}_a.xim")
        if energy.size == 1 and single.is_file() and not images[0].is_file():
            images = [single]
    else:
        energy, images = _image_energy(text, path), [path.with_name(f"{stem}_a.xim")]
    return Scan(x_nm, y_nm, energy, tuple(images))


def _image_energy(text: str, path: Path) -> Float64Array:
    """Return the energy of an image scan, (1,), from the entry of its image."""
    found = {match.group(1) for match in re.finditer(_ENERGY, text)}
    try:
        energy = {float(one) for one in found}
    except ValueError:
        energy = set()
    if len(energy) != 1 or not min(energy) > 0:
        raise InputError(
            str(path),
            expected="the energy of the image, or a StackAxis with energies",
            got=f"{len(energy)} energies",
            fix="give the header of an image scan or of a stack; line and point scans are no images",
        )
    return np.array(sorted(energy))


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


def _axis(text: str, name: str, unit: str, path: Path, *, least: int = 2) -> Float64Array:
    """Return the points of one axis in nm or eV; the list starts with its own length."""
    try:
        unit_in_file, values = _axis_words(text, name)
        points = np.array([float(point) for point in values.split(",")])
        factor = (to_nm if unit == "nm" else to_ev)(1.0, unit_in_file)
        if points.size < least + 1 or points.size != int(points[0]) + 1:
            raise ValueError(f"{points.size - 1} points in {name}")
    except (ValueError, KeyError) as error:
        raise InputError(
            str(path),
            expected=f"the header of an image stack with {name}",
            got=str(error),
            fix="give the header of an image scan or a stack (NEXAFS image scan); it is truncated or of another scan",
        ) from error
    return points[1:] * factor


def _axis_words(text: str, name: str) -> tuple[str, str]:
    """Return the unit and the points of an axis as written.

    The axis is ``name = { …; Unit = "…"; … Points = (…) …``.
    """
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
