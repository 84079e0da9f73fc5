"""ALBA MISTRAL HDF5: tilt series ``TomoNormalized``, energy stacks ``SpecNormalized``.

Images aligned at the beamline (``spectroscopy_normalized_aligned``, ``FastAligned/tomo_aligned`` …)
are used if the file has them; ``dataset:`` selects others.
"""

from pathlib import Path

import h5py

from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.base import RawFile, ReadRequest, per_frame, square_pixel
from oxytomo.io.readers.hdf5 import (
    dataset_at,
    energies_ev,
    first_of,
    frame_stack,
    holds,
    lengths_nm,
    numbers,
    open_hdf5,
    text,
)

NAME = "ALBA MISTRAL HDF5"

_DATA_OF_GROUP = {
    "TomoNormalized": ("TomoNormalized_aligned", "tomo_normalized_aligned", "tomo_aligned", "TomoNormalized"),
    "SpecNormalized": ("spectroscopy_normalized_aligned", "spec_aligned", "spectroscopy_normalized"),
    "FastAligned": ("tomo_aligned", "spec_aligned"),
}
"""Per group the images in it, the aligned ones first."""


def recognises(path: Path) -> bool:
    """Return whether the file has one of the groups with its images."""
    return holds(path, _place)


def _place(file: h5py.File) -> tuple[str, str] | None:
    """Return the group and the name of the images."""
    for group_name, names in _DATA_OF_GROUP.items():
        group = file.get(group_name)
        if isinstance(group, h5py.Group):
            found = next((name for name in names if name in group), None)
            if found is not None:
                return group_name, found
    return None


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the series of a file: transmission, pixel sizes in µm unless units differ."""
    with open_hdf5(path) as file:
        group_name, name = _place(file) or ("", "")
        group = file[group_name]
        data = file[request.dataset] if request.dataset else group[name]
        frames = frame_stack(data, path)
        n_frame = frames.shape[0]
        angles = dataset_at(group, "rotation_angle")
        tilt = numbers(angles)
        x_nm, y_nm = (
            per_frame(
                lengths_nm(dataset_at(group, f"{axis}_pixel_size"), path, unit_if_absent="um"),
                n_frame,
                "pixel size",
                path,
            )
            for axis in "xy"
        )
        optical_density = text(data.attrs.get("units")).strip().lower() in ("od", "optical_density")
        return RawFile(
            path=path,
            frames=frames,
            tilt_deg=None
            if tilt is None or angles is None or tilt.size != n_frame or request.angles is not None
            else to_degrees(tilt, text(angles.attrs.get("units")), path),
            # A stack has one angle; a tilt series has one energy.
            energy_ev=per_frame(energies_ev(dataset_at(group, "energy"), path), n_frame, "energy", path),
            pixel_nm=None if request.pixel_nm is not None else square_pixel(x_nm, y_nm, path),
            quantity="optical_density" if optical_density else "transmission",
            exposure_s=per_frame(
                numbers(first_of(group, "ExpTimes", "ExpTimesTomo", "ExpTimesSpec")),
                n_frame,
                "exposure time",
                path,
            ),
            ring_current_ma=per_frame(
                numbers(first_of(group, "Currents", "CurrentsTomo", "CurrentsSpec")),
                n_frame,
                "ring current",
                path,
            ),
            metadata={"images": data.name},
        )
