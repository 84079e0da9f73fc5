"""HDF5: a named dataset, or the only one that can be a volume."""

from pathlib import Path
from typing import Any

import h5py

from oxytomo.errors import InputError
from oxytomo.io.readers.hdf5 import check_stored, dataset_at, is_hdf5, open_hdf5
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, rows_of_file

NAME = "HDF5"
_ANGLES = ("theta", "rotation_angle", "angle", "angles")
_FEWEST_TILTS = 3


def recognises(path: Path) -> bool:
    """Return whether the file starts as HDF5 does."""
    return path.is_file() and is_hdf5(path)


def read(path: Path, request: VolumeRequest) -> Volume:
    """Read the named dataset, or without a name the largest of two or three dimensions."""
    with open_hdf5(path) as file:
        item = dataset_at(file, request.dataset) if request.dataset else _largest(file)
        if item is None:
            raise InputError(
                str(path),
                expected=f"the dataset {request.dataset}" if request.dataset else "a volume",
                got=f"datasets {', '.join(_names(file)) or 'none'}",
                fix="name the volume with 'dataset'",
            )
        check_stored(item, path)
        if request.dataset is None:
            _require_slices(file, item, path)
        name, place = item.name, Path(item.file.filename)
        rows = rows_of_file(item.shape, item.dtype, lambda key: _part(place, name, key), path)
    return Volume(values=as_volume(rows, path), format=NAME)


def _require_slices(file: h5py.File, images: h5py.Dataset, path: Path) -> None:
    """Refuse a tilt series: images with a table of as many different angles."""
    tables: list[str] = []

    def keep(name: str, item: Any) -> None:
        if name.rpartition("/")[2].lower() in _ANGLES and isinstance(item, h5py.Dataset):
            numeric = item.dtype.kind in "fiu" and item.shape == images.shape[:1]
            if numeric and len(set(item[:].tolist())) >= _FEWEST_TILTS:
                tables.append(name)

    file.visititems(keep)
    if tables:
        raise InputError(
            str(path),
            expected="slices of a volume",
            got=f"{images.shape[0]} images with an angle each ({tables[0]}): a tilt series",
            fix=f"reconstruct it first (tomogram); slices all the same: 'dataset: {images.name.strip('/')}'",
        )


def _part(path: Path, name: str, key: Any) -> Any:
    with open_hdf5(path) as file:
        return file[name][key]


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []

    def keep(_name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (2, 3) and item.dtype.kind in "biuf":
            found.append(item)

    file.visititems(keep)
    return found


def _largest(file: h5py.File) -> h5py.Dataset | None:
    return max(_datasets(file), key=lambda item: item.size, default=None)


def _names(file: h5py.File) -> list[str]:
    return [item.name for item in _datasets(file)][:8]
