"""Open exported OME-Zarr images of this package without loading them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from oxytomo.errors import InputError, StoreError
from oxytomo.io.plain_files import read_json_object
from oxytomo.io.provenance import store_record
from oxytomo.io.stores import STORE_KEY, decode_json
from oxytomo.io.zarr_guard import GuardedStore, check_zarr

KINDS = (
    "composition",
    "areal_density",
    "tomogram",
    "chemical_state",
    "oxidation",
    "structure",
    "mechanics",
    "scattering",
)
"""Branches in the order of their image layers, from bottom to top; the axes of the last are
energies."""

_DAMAGE = (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError)


class LazyArray:
    """An array on disk, or a part of it, that is read when NumPy needs its values.

    Indexing reads nothing, so a viewer can select a tile of a volume and then a slice of the tile.
    Zarr is read directly, because a task graph costs more than a slice in volumes of many chunks.
    The last part is kept in memory, because napari requests each slice twice.

    Parameters
    ----------
    array : zarr array
    cut : an index or a slice with start and stop for each axis of ``array``
    last : the part that was last read, shared by all parts of an array
    """

    def __init__(self, array: Any, cut: tuple[int | slice, ...], last: dict[str, Any] | None = None) -> None:
        self._array, self._cut, self._last = array, cut, {} if last is None else last
        self._free = [axis for axis, part in enumerate(cut) if isinstance(part, slice)]
        sides = (part for part in cut if isinstance(part, slice))
        self.shape: tuple[int, ...] = tuple(part.stop - part.start for part in sides)
        self.dtype: np.dtype[Any] = array.dtype
        self.chunks: tuple[int, ...] = tuple(array.chunks[axis] for axis in self._free)

    @classmethod
    def whole(cls, array: Any, channel: int | None) -> "LazyArray":
        """Return an array, or one of its channels if the first axis is channels."""
        lead = () if channel is None else (channel,)
        return cls(array, (*lead, *(slice(0, side) for side in array.shape[len(lead) :])))

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Return the number of voxels."""
        return math.prod(self.shape)

    def __getitem__(self, key: Any) -> Any:
        key = key if isinstance(key, tuple) else (key,)
        plain = all(
            isinstance(k, int | np.integer) or (isinstance(k, slice) and k.step in (None, 1)) for k in key
        )
        if not plain or len(key) > self.ndim:
            return np.asarray(self)[key]
        cut = list(self._cut)
        for axis, side, part in zip(self._free, self.shape, key, strict=False):
            start = self._cut[axis].start  # type: ignore[union-attr]  # free axes are slices
            if isinstance(part, slice):
                first, last, _ = part.indices(side)
                cut[axis] = slice(start + first, start + max(first, last))
            elif not -side <= part < side:
                message = f"index {part} is out of bounds for a side of {side}"
                raise IndexError(message)
            else:
                cut[axis] = start + int(part) % side
        smaller = LazyArray(self._array, tuple(cut), self._last)
        return smaller if smaller.shape else np.asarray(smaller)[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._last.get("cut") != self._cut:
            self._last.update(cut=self._cut, values=np.asarray(self._array[self._cut]))
        values: np.ndarray = self._last["values"]
        return np.array(values, dtype=dtype, copy=copy)


@dataclass(frozen=True)
class Levels:
    """An array at several resolutions, finest first, read on demand.

    Attributes
    ----------
    arrays : with the axes (z, y, x) or (y, x)
    scale_nm, translate_nm : voxel size of the finest level and position of its first voxel centre
    """

    arrays: Sequence[Any]
    scale_nm: tuple[float, ...]
    translate_nm: tuple[float, ...]

    @property
    def extent_nm(self) -> tuple[tuple[float, float], ...]:
        """Return the outer faces of the first and the last voxel along each axis."""
        sides = zip(self.arrays[0].shape, self.scale_nm, self.translate_nm, strict=True)
        return tuple((start - step / 2, start + (size - 0.5) * step) for size, step, start in sides)


@dataclass(frozen=True)
class ImageChannel:
    """One channel: its levels, colour (six hexadecimal digits), displayed range and unit."""

    name: str
    levels: Levels
    color: str
    window: tuple[float, float]
    unit: str


@dataclass(frozen=True)
class OpenedImage:
    """An exported image.

    Attributes
    ----------
    path, kind, sample : the store, the branch that made it, the sample
    record : provenance and facts (threshold, number of pores, …)
    channels, labels : the latter by name
    """

    path: Path
    kind: str
    sample: str
    record: Mapping[str, Any]
    channels: Sequence[ImageChannel]
    labels: Mapping[str, Levels]

    def __repr__(self) -> str:
        """Return one line: a notebook shows it."""
        names = ", ".join([channel.name for channel in self.channels] + sorted(self.labels))
        return f"{self.kind} image of {self.sample!r}, {self.path.name}: {names}"

    @property
    def grid(self) -> Levels:
        """Return the levels that define the grid of the image."""
        return self.channels[0].levels


def image_record(path: Path) -> dict[str, Any] | None:
    """Return the record of an exported image, None for images of other programs."""
    try:
        attributes = _attributes(path)
        record = decode_json(attributes[STORE_KEY])
        return record if record["kind"] in KINDS and _ome(attributes)["multiscales"] else None
    except _DAMAGE:
        return None


def open_image(path: Path) -> OpenedImage:
    """Open an exported image without reading voxels.

    Raises
    ------
    InputError
        If there is no image, or an image of another program.
    StoreError
        If levels or labels are missing or damaged.
    """
    record = image_record(path)
    if record is None:
        raise InputError(
            str(path),
            expected="an OME-Zarr image that oxytomo wrote",
            got=_what_else(path),
            fix="give <results>/<sample>; open images of other programs with `napari --plugin napari-ome-zarr`",
        )
    try:
        arrays = check_zarr(path)
        ome = _ome(_attributes(path))
        axes = [axis["name"] for axis in ome["multiscales"][0]["axes"]]
        store = GuardedStore(path, arrays=arrays)
        group = zarr.open_group(store, mode="r", zarr_format=_format(path), use_consolidated=False)
        many = "c" in axes
        channels = [
            ImageChannel(
                name=str(channel["label"]),
                levels=_levels(group, ome["multiscales"][0], channel=index if many else None),
                color=str(channel["color"]),
                window=(float(channel["window"]["start"]), float(channel["window"]["end"])),
                unit=str(record.get("units", {}).get(channel["label"], "1")),
            )
            for index, channel in enumerate(ome["omero"]["channels"])
        ]
        names = _ome(_attributes(path / "labels"))["labels"] if (path / "labels").is_dir() else []
        labels = {}
        for name in map(str, names):
            scales = _ome(_attributes(path / "labels" / name))["multiscales"][0]
            labels[name] = _levels(group[f"labels/{name}"], scales, channel=None)
        _check_grids(axes, channels, labels)
        if record["kind"] == "composition" and not np.isfinite(float(record["threshold"])):
            raise ValueError("threshold")
    except StoreError:
        raise
    except _DAMAGE as error:
        raise _damaged_image(path, error) from error
    return OpenedImage(path, str(record["kind"]), str(record["sample"]), record, channels, labels)


def describe_image(path: Path) -> list[str]:
    """Return lines about axes, levels, channels and labels of an OME-Zarr image, else none.

    Raises
    ------
    StoreError
        If its metadata are damaged.
    """
    if not any((path / name).is_file() for name in ("zarr.json", ".zattrs")):
        return []
    try:
        image = _ome(_attributes(path))
        scales = (image.get("multiscales") or [None])[0]
        if scales is None:
            return []
        axes = ", ".join(f"{axis['name']} [{axis.get('unit', '1')}]" for axis in scales["axes"])
        lines = [f"  OME-Zarr {image.get('version') or scales.get('version')}: axes {axes}"]
        for level in scales["datasets"]:
            scale = " × ".join(f"{size:g}" for size in level["coordinateTransformations"][0]["scale"])
            lines.append(f"  level {level['path']}: scale {scale}")
        channels = [str(channel.get("label")) for channel in (image.get("omero") or {}).get("channels", [])]
        folder = path / "labels"
        labels = [str(name) for name in _ome(_attributes(folder))["labels"]] if folder.is_dir() else []
    except StoreError:
        raise
    except _DAMAGE as error:
        raise _damaged_image(path, error) from error
    lines += [f"  channels: {', '.join(channels)}"] if channels else []
    lines += [f"  labels: {', '.join(labels)}"] if labels else []
    return lines


def _damaged_image(path: Path, error: Exception) -> StoreError:
    return StoreError(
        str(path),
        expected="a complete image with its levels and labels",
        got=f"a damaged one ({type(error).__name__})",
        fix="delete this folder and run the workflow again",
    )


def _check_grids(axes: Sequence[str], channels: Sequence[ImageChannel], labels: Mapping[str, Levels]) -> None:
    """Raise ``ValueError`` unless channels and labels share one grid with ever coarser levels."""
    if not channels or [axis for axis in axes if axis != "c"] not in (["z", "y", "x"], ["y", "x"]):
        raise ValueError("axes")
    grid = channels[0].levels
    for levels in (*(channel.levels for channel in channels), *labels.values()):
        shapes = [array.shape for array in levels.arrays]
        finite = np.isfinite([*levels.scale_nm, *levels.translate_nm]).all() and min(levels.scale_nm) > 0
        if shapes[0] != grid.arrays[0].shape or not finite or len(levels.scale_nm) != len(shapes[0]):
            raise ValueError("grids that differ")
        for finer, coarser in pairwise(shapes):
            if len(finer) != len(coarser) or any(
                -(-a // 2) != b for a, b in zip(finer, coarser, strict=True)
            ):
                raise ValueError("levels that are not halved")
    if any(not np.isfinite(channel.window).all() for channel in channels):
        raise ValueError("ranges")
    if any(re.fullmatch("[0-9A-Fa-f]{6}", channel.color) is None for channel in channels):
        raise ValueError("colours")


def _what_else(path: Path) -> str:
    if not path.exists():
        return "nothing there"
    if store_record(path) is not None:
        return "the store of a stage, which is not an image"
    return "something of another program, or damaged"


def _format(folder: Path) -> Literal[2, 3]:
    return 3 if (folder / "zarr.json").is_file() else 2


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a zarr group, of format 2 or 3."""
    if _format(folder) == 3:
        return dict(read_json_object(folder / "zarr.json")["attributes"])
    return read_json_object(folder / ".zattrs")


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _levels(group: Any, scales: Mapping[str, Any], *, channel: int | None) -> Levels:
    """Return all levels, or those of one channel if the first axis is channels."""
    arrays = [LazyArray.whole(group[level["path"]], channel) for level in scales["datasets"]]
    finest = {item["type"]: item for item in scales["datasets"][0]["coordinateTransformations"]}
    scale = [float(value) for value in finest["scale"]["scale"]]
    place = [float(value) for value in finest.get("translation", {}).get("translation", [0.0] * len(scale))]
    lead = 0 if channel is None else 1
    return Levels(arrays, tuple(scale[lead:]), tuple(place[lead:]))
