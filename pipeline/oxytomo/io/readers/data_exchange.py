"""Data Exchange HDF5: ``exchange/data``, with flats, darks, and angles or energies.

Names: ``data_white``, ``data_dark`` and ``theta``, or ``energy`` for a stack.

The standard has no place for some facts of the flats; :func:`write_data_exchange` adds
``exchange/data_white_position``, ``data_white_exposure_time`` and ``data_white_current``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from oxytomo.arrays import AnyArray, Float64Array, FloatArray, Quantity, TiltSeries
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, per_frame, square_pixel
from oxytomo.io.readers.hdf5 import (
    dataset_at,
    energies_ev,
    first_of,
    frame_stack,
    is_hdf5,
    lengths_nm,
    numbers,
    open_hdf5,
    refuse_broken_link,
    text,
    words,
)

NAME = "Data Exchange HDF5"

_DETECTOR = "measurement/instrument/detector"
_SOURCE_CURRENT = "measurement/instrument/source/current"
_ENERGY = "measurement/instrument/monochromator/energy"
_STACK_ENERGY = "exchange/energy"
_OBJECTIVE = ("measurement/instrument/detection_system/objective", "measurement/instrument/objective")
_QUANTITIES: dict[str, Quantity] = {
    "counts": "counts",
    "transmission": "transmission",
    "od": "optical_density",
    "optical_density": "optical_density",
    "optical density": "optical_density",
    "signal": "signal",
}
_UNITS: dict[Quantity, str] = {
    "counts": "counts",
    "transmission": "transmission",
    "optical_density": "OD",
    "signal": "signal",
}


def recognises(path: Path) -> bool:
    """Return whether the file has ``exchange/data``."""
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        exchange = file.get("exchange")
        return isinstance(exchange, h5py.Group) and "data" in exchange.keys()  # noqa: SIM118  (a broken link too)


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the series of one file; frames are read later."""
    with open_hdf5(path) as file:
        place = request.dataset or "exchange/data"
        refuse_broken_link(file, place, path)
        data = file[place]
        frames = frame_stack(data, path)
        n_frame = frames.shape[0]
        flat, dark = (_stack(file, f"exchange/{name}", path) for name in ("data_white", "data_dark"))
        n_flat = flat.shape[0] if flat is not None else 0
        theta = dataset_at(file, "exchange/theta")
        tilt = numbers(theta)
        exposure = _exposure_s(file)

        def of_flats(name: str) -> Float64Array | None:
            values = numbers(dataset_at(file, f"exchange/data_white_{name}"))
            return None if flat is None else per_frame(values, n_flat, f"data_white_{name}", path)

        flat_exposure = of_flats("exposure_time")
        if flat_exposure is None and flat is not None and exposure is not None and exposure.size == 1:
            flat_exposure = np.full(n_flat, exposure[0])
        return RawFile(
            path=path,
            frames=frames,
            tilt_deg=None
            if tilt is None or theta is None or request.angles is not None
            else to_degrees(tilt, text(theta.attrs.get("units")), path),
            energy_ev=per_frame(
                energies_ev(first_of(file, _STACK_ENERGY, _ENERGY), path), n_frame, "energy", path
            ),
            pixel_nm=_pixel_nm(file, n_frame, request, path),
            quantity=_QUANTITIES.get(text(data.attrs.get("units")).strip().lower()),
            flat=flat,
            dark=dark,
            exposure_s=per_frame(exposure, n_frame, "exposure time", path),
            ring_current_ma=per_frame(
                numbers(dataset_at(file, _SOURCE_CURRENT)), n_frame, "ring current", path
            ),
            flat_exposure_s=flat_exposure,
            flat_ring_current_ma=of_flats("current"),
            flat_position=of_flats("position"),
            metadata=words(
                file,
                sample="measurement/sample/name",
                description="measurement/sample/description",
                instrument="measurement/instrument/name",
                start="file_creation_datetime",
            ),
        )


def write_data_exchange(path: Path, series: TiltSeries) -> None:
    """Write a raw series as Data Exchange HDF5 that the reader returns unchanged.

    Parameters
    ----------
    path : the file; it appears complete or not at all
    series : frames, flats, darks and their metadata; energies are written in eV, pixel sizes in nm,
        angles in degrees
    """
    with complete_or_absent(path) as partial, h5py.File(partial, "w") as file:
        file["implements"] = "exchange:measurement"
        data = _write_frames(file, "exchange/data", series.frames)
        data.attrs["units"] = _UNITS[series.quantity]
        _write(file, "exchange/theta", series.tilt_deg, "deg")
        for name, frames in (("data_white", series.flat), ("data_dark", series.dark)):
            if frames is not None:
                _write_frames(file, f"exchange/{name}", frames)
        _write(file, "exchange/data_white_position", series.flat_position, "frame")
        _write(file, "exchange/data_white_exposure_time", series.flat_exposure_s, "s")
        _write(file, "exchange/data_white_current", series.flat_ring_current_ma, "mA")
        _write(file, f"{_DETECTOR}/exposure_time", series.exposure_s, "s")
        _write(file, _SOURCE_CURRENT, series.ring_current_ma, "mA")
        _write(file, _ENERGY, _single(series.energy_ev), "eV")
        for axis in "xy":
            _write(file, f"{_DETECTOR}/{axis}_actual_pixel_size", _single(series.pixel_nm), "nm")
        for key, place in (("sample", "sample/name"), ("description", "sample/description")):
            if key in series.metadata:
                file[f"measurement/{place}"] = series.metadata[key]
        if "instrument" in series.metadata:
            file["measurement/instrument/name"] = series.metadata["instrument"]


def write_energy_stack(
    path: Path,
    frames: AnyArray,
    energy_ev: Float64Array,
    *,
    pixel_nm: float,
    quantity: Quantity,
    flat: FloatArray | None = None,
    dark: FloatArray | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a stack through an edge as Data Exchange HDF5 that the reader returns unchanged.

    Parameters
    ----------
    path : the file; it appears complete or not at all
    frames : (n_energy, n_y, n_x)
    energy_ev : (n_energy,) eV
    flat, dark : (n, n_y, n_x): one flat per energy, or any number for all
    """
    with complete_or_absent(path) as partial, h5py.File(partial, "w") as file:
        file["implements"] = "exchange:measurement"
        _write_frames(file, "exchange/data", frames).attrs["units"] = _UNITS[quantity]
        _write(file, _STACK_ENERGY, energy_ev, "eV")
        for name, extra in (("data_white", flat), ("data_dark", dark)):
            if extra is not None:
                _write_frames(file, f"exchange/{name}", extra)
        for axis in "xy":
            _write(file, f"{_DETECTOR}/{axis}_actual_pixel_size", pixel_nm, "nm")
        for key, text_of in (metadata or {}).items():
            file[f"measurement/sample/{key}"] = text_of


def _stack(file: h5py.File, name: str, path: Path) -> FrameStack | None:
    item = dataset_at(file, name)
    return None if item is None or item.size == 0 else frame_stack(item, path, averaged=True)


def _exposure_s(file: h5py.File) -> Float64Array | None:
    item = dataset_at(file, f"{_DETECTOR}/exposure_time")
    values = numbers(item)
    if values is None or item is None:
        return None
    return values / 1e3 if text(item.attrs.get("units")).strip().lower() in ("ms", "msec") else values


def _pixel_nm(file: h5py.File, n_frame: int, request: ReadRequest, path: Path) -> Float64Array | None:
    """Return the object-plane pixel size.

    A detector's own pixel is divided by the magnification.
    """
    if request.pixel_nm is not None:
        return None
    sizes: list[Float64Array | None] = []
    for axis in "xy":
        actual = lengths_nm(
            dataset_at(file, f"{_DETECTOR}/{axis}_actual_pixel_size"), path, unit_if_absent=""
        )
        if actual is None:
            actual = lengths_nm(dataset_at(file, f"{_DETECTOR}/{axis}_pixel_size"), path, unit_if_absent="")
            magnification = numbers(first_of(file, *(f"{place}/magnification" for place in _OBJECTIVE)))
            if actual is not None and magnification is not None and magnification[0] > 0:
                actual = actual / magnification[0]
        sizes.append(per_frame(actual, n_frame, "pixel size", path))
    return square_pixel(sizes[0], sizes[1], path)


def _single(values: Float64Array) -> Float64Array | float | None:
    """Return one number if all are equal, None if all are unknown."""
    if np.isnan(values).all():
        return None
    return float(values[0]) if (values == values[0]).all() else values


def _write(file: h5py.File, name: str, values: Float64Array | float | None, unit: str) -> None:
    if values is not None:
        file[name] = np.asarray(values, np.float64)
        file[name].attrs["units"] = unit


def _write_frames(file: h5py.File, name: str, frames: Any) -> h5py.Dataset:
    return file.create_dataset(
        name, data=frames, chunks=(1, *frames.shape[1:]), compression="gzip", compression_opts=1, shuffle=True
    )
