"""NSLS-II FXI HDF5: tilt series ``img_tomo``, and XANES stacks ``img_xanes``.

With ``angle``, and ``X_eng`` in keV.

The files have fixed dataset names and no units: angles are in degrees, energies in keV, ``Pixel
Size`` is a text such as ``19.7nm``. ``img_xanes`` holds transmission, or counts without dark level
(``img_only``).
"""

import re
from pathlib import Path

import h5py
import numpy as np

from oxytomo.arrays import Float64Array, Quantity
from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, per_frame
from oxytomo.io.readers.declared import declared_dataset, image_stack
from oxytomo.io.readers.hdf5 import dataset_at, energies_ev, holds, numbers, open_hdf5, text, words
from oxytomo.units import to_nm

NAME = "NSLS-II FXI HDF5"

LARGEST_TRANSMISSION = 10.0
"""A normalised image has its median below; counts without their dark level have it above."""


def recognises(path: Path) -> bool:
    """Return whether the file has a tilt series or XANES stack of this beamline."""
    return holds(path, _images_name)


def _images_name(file: h5py.File) -> str | None:
    for images, beside in (("img_tomo", "angle"), ("img_xanes", "X_eng")):
        if isinstance(file.get(images), h5py.Dataset) and beside in file:
            return images
    return None


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the tilt series or the stack of one file."""
    with open_hdf5(path) as file:
        name = str(_images_name(file))
        item = declared_dataset(file, request.dataset or name, "dataset", path)
        frames = image_stack(item, path)
        n_frame = frames.shape[0]
        quantity = _quantity(item)
        counts = quantity == "counts"
        # The dark level is already subtracted from the images of a stack; a tilt series is as
        # recorded.
        raw = counts and not (name == "img_xanes" and item.dtype.kind == "f")
        angles = numbers(dataset_at(file, "angle"))
        tilt = None if angles is None or name == "img_xanes" else to_degrees(angles, "", path)
        return RawFile(
            path=path,
            frames=frames,
            tilt_deg=per_frame(tilt, n_frame, "angle", path),
            energy_ev=per_frame(energies_ev(dataset_at(file, "X_eng"), path), n_frame, "X_eng", path),
            pixel_nm=None
            if request.pixel_nm is not None
            else per_frame(_pixel_nm(file), n_frame, "Pixel Size", path),
            quantity=quantity,
            flat=_beside(file, "img_bkg", path) if raw else None,
            dark=_beside(file, "img_dark", path) if raw else None,
            metadata=words(file, note="note", scan="scan_id", uid="uid"),
        )


def _quantity(item: h5py.Dataset) -> Quantity:
    """Return the quantity of the images: whole numbers are counts, others depend on their size."""
    if item.dtype.kind in "iu" or item.ndim != 3:
        return "counts"
    middle = np.asarray(item[item.shape[0] // 2], np.float64)
    return "transmission" if np.median(np.abs(middle)) < LARGEST_TRANSMISSION else "counts"


def _beside(file: h5py.File, name: str, path: Path) -> FrameStack | None:
    """Return the single frames, or their mean if only that is stored."""
    for place in (name, f"{name}_avg"):
        item = dataset_at(file, place)
        if item is not None and item.size and item.ndim in (2, 3):
            return image_stack(item, path)
    return None


def _pixel_nm(file: h5py.File) -> Float64Array | None:
    """Return the pixel size that the file states; a number without a unit is in nm."""
    item = dataset_at(file, "Pixel Size")
    if item is None or item.size != 1:
        return None
    match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?\d+)?)\s*([a-zµμ]*)\s*", text(item), re.IGNORECASE)
    try:
        size = to_nm(float(match.group(1)), match.group(2) or "nm") if match else 0.0
    except (KeyError, ValueError):
        return None
    return np.array([size]) if 0.0 < size < 1e6 else None
