"""NXtomo and other NeXus HDF5: groups are found by their class, frames sorted by ``image_key``."""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.errors import InputError
from oxytomo.io.readers.angles import to_degrees
from oxytomo.io.readers.base import FrameStack, RawFile, ReadRequest, per_frame, square_pixel
from oxytomo.io.readers.hdf5 import (
    broken_target,
    dataset_at,
    energies_ev,
    first_of,
    frame_stack,
    is_hdf5,
    lengths_nm,
    missing_file,
    numbers,
    open_hdf5,
    refuse_broken_link,
    text,
    words,
)

NAME = "NeXus HDF5"

_PROJECTION, _FLAT, _DARK, _INVALID = 0, 1, 2, 3
_ANGLE = re.compile(r"theta|rot|tilt|angle|phi", re.IGNORECASE)


def recognises(path: Path) -> bool:
    """Return whether the file has a group of the class NXentry.

    Stacks of STXM are read by a separate module.
    """
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return any(not follows_nxstxm(entry) for entry in children(file, "NXentry"))


def open_file(path: Path, request: ReadRequest) -> RawFile:
    """Describe the series of one file.

    Frames are sorted by ``image_key``: 0 projection, 1 flat, 2 dark.

    Others (3: invalid) are dropped, as are frames that ``image_key_control`` marks as alignment
    (−1).
    """
    with open_hdf5(path) as file:
        entry, place, data = _image_data(file, request, path)
        _refuse_half_field(entry, place, path)
        holder = data_holder = entry.file[place.rpartition("/")[0] or "/"]
        key = _image_key(entry, holder, data, path)
        flat, dark = _stack(data, key == _FLAT, path), _stack(data, key == _DARK, path)
        for name, role in (("bright_field/data", _FLAT), ("dark_field/data", _DARK)):
            item = next(
                (d for g in children(entry, "NXinstrument") if (d := dataset_at(g, name)) is not None), None
            )
            if item is not None and role == _FLAT and flat is None:
                flat = frame_stack(item, path, averaged=True)
            elif item is not None and role == _DARK and dark is None:
                dark = frame_stack(item, path, averaged=True)
        used = np.flatnonzero(key == _PROJECTION)
        if used.size == 0:
            raise InputError(
                str(path),
                expected="projections (image_key 0)",
                got="only flats and darks",
                fix="give the file that holds the projections",
            )
        exposure = per_frame(numbers(dataset_at(data_holder, "count_time")), key.size, "count_time", path)
        position = _flat_position(key) if (key == _FLAT).any() else None
        current = _ring_current_ma(entry, key.size)
        return RawFile(
            path=path,
            frames=frame_stack(data, path, used),
            tilt_deg=_tilt_deg(entry, place, key, request, path),
            energy_ev=_of_frames(_energy_ev(entry, path), key, used, "energy", path),
            pixel_nm=None if request.pixel_nm is not None else _pixel_nm(entry, data_holder, used.size, path),
            flat=flat,
            dark=dark,
            exposure_s=None if exposure is None else exposure[used],
            ring_current_ma=None if current is None else current[used],
            flat_exposure_s=None if exposure is None or position is None else exposure[key == _FLAT],
            flat_ring_current_ma=None if current is None or position is None else current[key == _FLAT],
            flat_position=position,
            chosen=used,
            n_stored=key.size,
            remarks=_left_out(key),
            metadata=words(
                entry, sample="sample/name", title="title", instrument="instrument/name", start="start_time"
            ),
        )


def definition(entry: h5py.Group) -> str:
    """Return the application definition of an entry, empty without one."""
    return text(dataset_at(entry, "definition"))


def follows_nxstxm(entry: h5py.Group) -> bool:
    """Return whether an entry holds a STXM scan.

    Older files give its type, but no definition.
    """
    if definition(entry) == "NXstxm":
        return True
    try:
        groups = [item for name in entry if isinstance(item := entry.get(name), h5py.Group)]
    except (KeyError, OSError, RuntimeError, ValueError):
        return False
    return any("stxm_scan_type" in group and "data" in group for group in groups)


def children(group: h5py.Group, nx_class: str) -> Iterator[h5py.Group]:
    """Yield the subgroups of a NeXus class; links without target are skipped."""
    for name in group:
        try:
            item = group.get(name)
        except (KeyError, OSError, RuntimeError, ValueError):
            continue  # exceptions of h5py for a link without target
        if isinstance(item, h5py.Group) and text(item.attrs.get("NX_class")) == nx_class:
            yield item


def entries_of(file: h5py.File) -> list[h5py.Group]:
    """Return the entries of a file.

    A subentry with NXtomo (Diamond) represents the entry that contains it.
    """
    found: list[h5py.Group] = []
    for entry in children(file, "NXentry"):
        tomo = [one for one in children(entry, "NXsubentry") if definition(one) == "NXtomo"]
        found += tomo or [entry, *children(entry, "NXsubentry")]
    return found


def _image_data(file: h5py.File, request: ReadRequest, path: Path) -> tuple[h5py.Group, str, h5py.Dataset]:
    """Return entry, path and dataset of the frames.

    The path is in the file itself, not in a linked one.
    """
    entries = entries_of(file)
    if request.dataset is not None:
        refuse_broken_link(file, request.dataset, path)
        entry = next(
            (e for e in entries if request.dataset.strip("/").startswith(e.name.strip("/"))), entries[0]
        )
        return entry, "/" + request.dataset.strip("/"), file[request.dataset]
    found: list[tuple[h5py.Group, str, h5py.Dataset]] = []
    broken: list[tuple[str, Path]] = []
    for entry, place in _candidates(entries):
        item = dataset_at(file, place)
        target = broken_target(file, place, path)
        if item is not None and item.ndim == 3 and item.dtype.kind in "iuf":
            found.append((entry, place, item))
        elif item is None and target is not None:
            broken.append((place, target))
    keyed = [one for one in found if dataset_at(file, one[1].rpartition("/")[0] + "/image_key") is not None]
    chosen = keyed or found
    if not chosen and broken:
        raise missing_file(path, *broken[0])
    distinct = {(one[2].file.filename, h5py.h5o.get_info(one[2].id).addr) for one in chosen}
    if len(distinct) != 1:
        raise InputError(
            str(path),
            expected="one dataset of frames (n, n_y, n_x) in a detector or data group",
            got=", ".join(place for _, place, _ in chosen) or "none",
            fix="name the dataset with 'dataset:'",
        )
    return chosen[0]


def _candidates(entries: list[h5py.Group]) -> Iterator[tuple[h5py.Group, str]]:
    """Yield possible datasets of frames: detectors first, then the signal of data groups."""
    for entry in entries:
        for instrument in children(entry, "NXinstrument"):
            for detector in children(instrument, "NXdetector"):
                if not detector.name.endswith(("/bright_field", "/dark_field")):
                    yield entry, f"{detector.name}/data"
    for entry in entries:
        for data in children(entry, "NXdata"):
            yield entry, f"{data.name}/{text(data.attrs.get('signal')) or 'data'}"


def _image_key(entry: h5py.Group, holder: h5py.Group, data: h5py.Dataset, path: Path) -> IntArray:
    """Return the role of each frame; projections if the file does not give it."""
    item = dataset_at(holder, "image_key")
    if item is None:
        places = (
            f"{g.name}/image_key" for i in children(entry, "NXinstrument") for g in children(i, "NXdetector")
        )
        keys = [d for place in places if (d := dataset_at(entry.file, place)) is not None]
        item = next((key for key in keys if key.shape == data.shape[:1]), None)
    if item is None:
        return np.zeros(data.shape[0], np.int64)
    key = numbers(item)
    control = numbers(dataset_at(item.parent, "image_key_control"))
    if key is not None and control is not None and control.size == key.size:
        # Taken after the scan to check whether the sample had moved
        key = np.where(control < 0, _INVALID, key)
    if key is None or key.size != data.shape[0]:
        raise InputError(
            str(path),
            expected=f"an image_key for each of {data.shape[0]} frames",
            got=f"shape {item.shape}",
            fix="correct image_key in the file",
        )
    return key.astype(np.int64)


def _left_out(key: IntArray) -> tuple[str, ...]:
    """Return a remark on frames that are no projection, flat or dark; empty without any."""
    lost = int((~np.isin(key, (_PROJECTION, _FLAT, _DARK))).sum())
    frames = "frame was" if lost == 1 else "frames were"
    said = f"{lost} of {key.size} {frames} left out: marked as invalid or as alignment frames (image_key)"
    return (said,) if lost else ()


def _stack(data: h5py.Dataset, chosen: np.ndarray, path: Path) -> FrameStack | None:
    return frame_stack(data, path, np.flatnonzero(chosen)) if chosen.any() else None


def _refuse_half_field(entry: h5py.Group, place: str, path: Path) -> None:
    """Refuse a scan with one side of the axis first and the other half a turn later."""
    detectors = [
        *(d.name for i in children(entry, "NXinstrument") for d in children(i, "NXdetector")),
        place.rpartition("/")[0],
    ]
    for detector in detectors:
        if text(dataset_at(entry.file, f"{detector}/field_of_view")).strip().lower() == "half":
            raise InputError(
                str(path),
                expected="frames with the whole sample in them (field_of_view: Full)",
                got="field_of_view: Half (half acquisition: the axis near one side, a scan over 360°)",
                fix="join opposite frames into wide ones before (e.g. algotom), and give these over 180°",
            )


def _flat_position(key: IntArray) -> Float64Array:
    """Return the time of each flat, in units of the index of the projections."""
    before = np.cumsum(key == _PROJECTION)[key == _FLAT].astype(np.float64)
    total = float((key == _PROJECTION).sum())
    return np.where(before == 0, -1.0, np.where(before == total, total, before - 0.5))


def _tilt_deg(
    entry: h5py.Group, place: str, key: IntArray, request: ReadRequest, path: Path
) -> Float64Array | None:
    """Return the angles of the projections, None if the file has none."""
    if request.angles is not None:
        return None
    broken: list[tuple[str, Path]] = []
    for name in _angle_places(entry, place):
        item = dataset_at(entry.file, name)
        values = numbers(item)
        if item is None:
            target = broken_target(entry.file, name, path)
            broken += [(name, target)] if target is not None else []
        elif values is not None and values.size in (key.size, int((key == _PROJECTION).sum())):
            degrees = to_degrees(values, text(item.attrs.get("units")), path)
            return degrees[key == _PROJECTION] if values.size == key.size else degrees
    if broken:
        raise missing_file(path, *broken[0])
    return None


def _angle_places(entry: h5py.Group, place: str) -> list[str]:
    """Return possible places of angles: sample, beside frames, data groups; measured ones first."""
    places = [f"{s.name}/{name}" for s in children(entry, "NXsample") for name in _SAMPLE_ANGLES]
    places.append(f"{place.rpartition('/')[0]}/rotation_angle")
    label = place.split("/")[-2]
    groups = sorted(children(entry, "NXdata"), key=lambda group: group.name.rpartition("/")[2] != label)
    axes = []
    for group in groups:
        names = [n for n in group if _ANGLE.search(n) and not n.endswith("_indices")]
        axes += [
            f"{group.name}/{n}"
            for n in sorted(names, key=lambda n: (n.endswith("_set"), n != "rotation_angle"))
        ]
    return places + axes


_SAMPLE_ANGLES = ("rotation_angle", "transformations/rotation_angle")


def _energy_ev(entry: h5py.Group, path: Path) -> Float64Array | None:
    if text(entry.attrs.get("NX_class")) == "NXsubentry":
        found = _energy_of(entry, path)
        return _energy_of(entry.parent, path) if found is None else found
    return _energy_of(entry, path)


def _energy_of(entry: h5py.Group, path: Path) -> Float64Array | None:
    for holder in (entry, *children(entry, "NXinstrument"), *children(entry, "NXsample")):
        for nx_class, name in (("NXmonochromator", "energy"), ("NXbeam", "incident_energy")):
            for group in children(holder, nx_class):
                values = energies_ev(dataset_at(group, name), path)
                if values is not None:
                    return values
    item = first_of(entry, "instrument/monochromator/energy", "instrument/beam/incident_energy")
    return energies_ev(item, path)


def _pixel_nm(entry: h5py.Group, detector: h5py.Group, n_frame: int, path: Path) -> Float64Array | None:
    """Return the object-plane pixel size: of the sample, or detector pixel over magnification."""
    groups = [*children(entry, "NXsample"), detector]
    for name in ("magnified_pixel_size", "pixel_size"):
        for group in groups:
            sizes = [
                per_frame(
                    lengths_nm(dataset_at(group, f"{axis}_{name}"), path, unit_if_absent="m"),
                    n_frame,
                    "pixel size",
                    path,
                )
                for axis in "xy"
            ]
            if any(size is not None for size in sizes):
                return square_pixel(sizes[0], sizes[1], path)
    return None


def _ring_current_ma(entry: h5py.Group, n_frame: int) -> Float64Array | None:
    """Return the ring current of every frame, None unless the file has it per frame."""
    for instrument in children(entry, "NXinstrument"):
        for source in children(instrument, "NXsource"):
            item = dataset_at(source, "current")
            values = numbers(item)
            if values is not None and item is not None and values.size == n_frame:
                return values * (1e3 if text(item.attrs.get("units")).strip() == "A" else 1.0)
    return None


def _of_frames(
    values: Float64Array | None, key: IntArray, used: IntArray, what: str, path: Path
) -> Float64Array | None:
    """Return one number per projection from one number, one per frame or one per projection."""
    if values is None or values.size == key.size:
        return None if values is None else values[used]
    return per_frame(values, used.size, what, path)
