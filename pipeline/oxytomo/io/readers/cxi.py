"""CXI (Coherent X-ray Imaging data bank) with a reconstructed image.

``entry_1/image_1/data``, complex or real.

Numbers are in SI units: the energy of the photons in joule, lengths in metre.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.io.readers.base import RawFile, ReadRequest, per_frame, square_pixel
from oxytomo.io.readers.declared import declared_dataset, image_stack
from oxytomo.io.readers.hdf5 import dataset_at, energies_ev, holds, lengths_nm, numbers, open_hdf5, words

NAME = "CXI image"

JOULE_PER_EV = 1.602176634e-19
LARGEST_JOULE = 1e-10
"""A photon of 1e-10 J would have 600 MeV; a larger number is in eV or keV."""


def recognises(path: Path) -> bool:
    """Return whether the file has a reconstructed image; diffraction patterns do not count."""
    return holds(path, lambda file: next(_images(file), None))


def _images(file: h5py.File) -> Iterator[tuple[h5py.Group, h5py.Group]]:
    """Yield entries and their images, the last result first if one is marked as such."""
    for entry_name in sorted(name for name in file if re.fullmatch(r"entry_\d+", name)):
        entry = _group(file, entry_name)
        names = [] if entry is None else [name for name in entry if re.fullmatch(r"image_(\d+|latest)", name)]
        for name in sorted(names, key=lambda one: (one != "image_latest", one)):
            image = None if entry is None else _group(entry, name)
            if entry is not None and image is not None and _is_image(dataset_at(image, "data")):
                yield entry, image


def _group(parent: h5py.Group, name: str) -> h5py.Group | None:
    try:
        item = parent.get(name)
    except (KeyError, OSError, RuntimeError, ValueError):
        return None  # a link without target
    return item if isinstance(item, h5py.Group) else None


def _is_image(item: h5py.Dataset | None) -> bool:
    return item is not None and item.ndim in (2, 3) and item.dtype.kind in "iufc"


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the image, or the stack of images, of one file."""
    with open_hdf5(path) as file:
        entry, image = next(_images(file))
        name = request.dataset or f"{image.name}/data"
        frames = image_stack(declared_dataset(file, name, "dataset", path), path)
        n = frames.shape[0]
        return RawFile(
            path=path,
            frames=frames,
            energy_ev=per_frame(_energy_ev(entry, path), n, "energy", path),
            pixel_nm=None
            if request.pixel_nm is not None
            else per_frame(_pixel_nm(entry, image, frames.shape, path), n, "pixel size", path),
            metadata={"images": name}
            | words(entry, sample="sample_1/name", title="title", start="start_time"),
        )


def _energy_ev(entry: h5py.Group, path: Path) -> Float64Array | None:
    item = dataset_at(entry, "instrument_1/source_1/energy")
    values = numbers(item)
    if values is None or item is None:
        return None
    if (values < LARGEST_JOULE).all():
        return values / JOULE_PER_EV
    return energies_ev(item, path)


def _pixel_nm(
    entry: h5py.Group, image: h5py.Group, shape: tuple[int, int, int], path: Path
) -> Float64Array | None:
    """Return the pixel size of the image: stated, or its size over its number of pixels.

    It is never that of the detector.
    """
    x_nm, y_nm = (
        lengths_nm(dataset_at(image, f"{axis}_pixel_size"), path, unit_if_absent="m") for axis in "xy"
    )
    if x_nm is not None or y_nm is not None:
        return square_pixel(x_nm, y_nm, path)
    size = lengths_nm(dataset_at(image, "image_size"), path, unit_if_absent="m")
    if size is not None and size.size in (2, 3) and (size[:2] > 0).all():
        # The standard gives the size as (x, y, z).
        return square_pixel(size[[0]] / shape[2], size[[1]] / shape[1], path)
    stated = numbers(dataset_at(entry, "process_1/Param/pixnm"))
    return stated if stated is not None and stated.size == 1 and np.all(stated > 0) else None
