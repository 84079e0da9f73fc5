"""NXstxm: stacks and images of scanning X-ray microscopes in NeXus HDF5.

The shape is (n_energy, n_y, n_x) or (n_y, n_x).

Older ``.stxm`` files name no definition; they have a group with ``stxm_scan_type`` beside its
``data``.
"""

import re
from pathlib import Path

import h5py
import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.readers.base import RawFile, ReadRequest, per_frame, square_pixel
from oxytomo.io.readers.declared import image_stack
from oxytomo.io.readers.hdf5 import (
    dataset_at,
    energies_ev,
    first_of,
    holds,
    item_of,
    lengths_nm,
    numbers,
    open_hdf5,
    text,
    words,
)
from oxytomo.io.readers.nexus import children, follows_nxstxm

NAME = "NXstxm HDF5"

_NO_IMAGES = ("line", "point", "focus")
"""Words in the type of a scan whose data are not images of the sample."""
_ENERGIES = ("energy", "photon_energy")


def recognises(path: Path) -> bool:
    """Return whether the file has an NXstxm entry."""
    return holds(path, _entry)


def _entry(file: h5py.File) -> h5py.Group | None:
    """Return a file's first scan: an entry by its class, or by name in files without."""
    named = [file.get(name) for name in file if re.fullmatch(r"entry_?\d*", name)]
    entries = [*children(file, "NXentry"), *(one for one in named if isinstance(one, h5py.Group))]
    return next((entry for entry in entries if follows_nxstxm(entry)), None)


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the stack of the first data group that has images.

    Positions are in µm unless units differ.
    """
    with open_hdf5(path) as file:
        entry = _entry(file)
        assert entry is not None
        data, holder = _images(file, entry, request, path)
        frames = image_stack(data, path)
        n_frame = frames.shape[0]
        energy = energies_ev(first_of(holder, *_ENERGIES), path)
        if energy is None:
            energy = energies_ev(dataset_at(entry, "instrument/monochromator/energy"), path)
        return RawFile(
            path=path,
            frames=frames,
            # An image scan is one at normal incidence
            tilt_deg=np.zeros(1) if n_frame == 1 else None,
            energy_ev=per_frame(energy, n_frame, "energy", path),
            pixel_nm=None if request.pixel_nm is not None else _pixel_nm(entry, holder, n_frame, path),
            quantity="counts",
            exposure_s=per_frame(numbers(dataset_at(holder, "count_time")), n_frame, "count_time", path)
            if _has_one_per_frame(holder, n_frame)
            else None,
            metadata=words(entry, sample="sample/name", title="title", start="start_time"),
        )


def _images(
    file: h5py.File, entry: h5py.Group, request: ReadRequest, path: Path
) -> tuple[h5py.Dataset, h5py.Group]:
    """Return the images and the group they are in."""
    if request.dataset is not None:
        return file[request.dataset], file[request.dataset].parent
    groups = list(children(entry, "NXdata"))
    groups += [
        item for name in entry if isinstance(item := item_of(entry, name), h5py.Group) and "data" in item
    ]
    for group in groups:
        item = dataset_at(group, "data")
        kind = text(dataset_at(group, "stxm_scan_type")).lower()
        no_image = any(word in kind for word in _NO_IMAGES)
        if item is not None and item.ndim in (2, 3) and item.dtype.kind in "iuf" and not no_image:
            return item, group
    raise InputError(
        str(path),
        expected="images (n_energy, n_y, n_x), or one (n_y, n_x), in a data group of the NXstxm entry",
        got="none",
        fix="name the dataset with 'dataset:', or give a stack instead of a line or point scan",
    )


def _has_one_per_frame(holder: h5py.Group, n_frame: int) -> bool:
    values = numbers(dataset_at(holder, "count_time"))
    return values is not None and values.size in (1, n_frame)


def _pixel_nm(entry: h5py.Group, holder: h5py.Group, n_frame: int, path: Path) -> Float64Array | None:
    """Return the step of the sample positions."""
    steps: list[Float64Array | None] = []
    for axis in "xy":
        item = first_of(holder, f"sample_{axis}")
        item = item if item is not None else dataset_at(entry, f"sample/positioner_{axis}")
        position = lengths_nm(item, path, unit_if_absent="um")
        known = position is not None and position.size > 1
        steps.append(
            np.full(n_frame, np.median(np.abs(np.diff(position)))) if known and position is not None else None
        )
    return square_pixel(steps[0], steps[1], path)
