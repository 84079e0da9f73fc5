"""Write OME-Zarr images with labels and levels: formats 0.5 (zarr v3, sharded) and 0.4."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial as bound
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from oxytomo.errors import ShapeError
from oxytomo.export.ngff import Channel, Label, image_metadata, label_metadata, labels_metadata
from oxytomo.export.pyramid import halve_by_mean, halve_by_mode, level_factors, level_shapes
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.stores import encode_json
from oxytomo.slabs import Field, slabs

Region = tuple[slice, ...]

STRIP_BYTES = 2**29
"""Bytes of the volume that are read at a time; a strip is at least one shard high and wide."""
WORK_BYTES = 2**30
"""Bytes of the parts of coarser levels that are processed at the same time."""


def write_image(
    path: Path,
    channels: Sequence[Channel],
    *,
    name: str,
    axes: tuple[str, ...],
    voxel_nm: float,
    labels: Sequence[Label],
    ngff: str,
    chunk: int,
    shard: int,
    levels: int | None,
    attributes: Mapping[str, Any],
    threads: int,
) -> None:
    """Write an image with its labels, completely or not at all; it replaces an older one.

    Volumes are read in slabs of the height of a shard. Every coarser level is computed from the
    previous level on disk, one shard at a time, so that the memory depends only on shards and
    threads. No two threads write to one shard.

    Parameters
    ----------
    path : the folder, ``….ome.zarr``
    channels : the channels; several need the axis ``c``
    name : name of the image
    axes : ``("c", "z", "y", "x")``, ``("z", "y", "x")``, ``("c", "y", "x")`` or ``("y", "x")``
    voxel_nm : voxel size in every direction
    labels : label images on the same grid
    ngff : ``0.5`` or ``0.4``
    chunk, shard : edges in voxels; ``shard`` is for 0.5 only and a multiple of ``chunk``
    levels : number of resolution levels; None: until the largest side fits in one chunk
    attributes : further root attributes; provenance has the key ``oxytomo``
    threads : number of shards that are written at the same time

    Raises
    ------
    ShapeError
        If axes, channels and labels do not match.
    StoreError
        If the folder cannot be written; an older image is then kept unchanged.
    """
    spatial = tuple(axis for axis in axes if axis != "c")
    shape = _checked_shape(path.name, channels, labels, axes, spatial)
    shapes = level_shapes(shape, levels=levels, largest_side=chunk)
    factors = level_factors(shapes)
    layout = _Layout(ngff, chunk, shard)
    ranges = [_value_range(channel.data) for channel in channels]
    described = image_metadata(
        channels, name=name, axes=axes, voxel_nm=voxel_nm, factors=factors, ngff=ngff, ranges=ranges
    )
    with complete_or_absent(path) as partial:
        root = layout.group(str(partial), {**described, **encode_json(attributes)})
        lead = (len(channels),) if "c" in axes else ()
        arrays = [
            layout.array(root, level, lead + sides, np.dtype(np.float32), axes)
            for level, sides in enumerate(shapes)
        ]
        for number, channel in enumerate(channels):
            _write_levels(arrays, (number,) if lead else (), channel.data, halve_by_mean, threads)
        if labels:
            group = layout.subgroup(
                root, "labels", labels_metadata([label.name for label in labels], ngff=ngff)
            )
        for label in labels:
            described = label_metadata(label, axes=spatial, voxel_nm=voxel_nm, factors=factors, ngff=ngff)
            own = layout.subgroup(group, label.name, described)
            arrays = [
                layout.array(own, level, sides, label.data.dtype, spatial)
                for level, sides in enumerate(shapes)
            ]
            _write_levels(arrays, (), label.data, halve_by_mode, threads)


class _Layout:
    """Storage layout of the arrays of one format."""

    def __init__(self, ngff: str, chunk: int, shard: int) -> None:
        self.zarr_format = 2 if ngff == "0.4" else 3
        self.chunk, self.shard = chunk, shard

    def group(self, folder: str, attributes: dict[str, Any]) -> Any:
        return zarr.create_group(store=folder, zarr_format=self.zarr_format, attributes=attributes)

    def subgroup(self, parent: Any, name: str, attributes: dict[str, Any]) -> Any:
        return parent.create_group(name, attributes=attributes)

    def array(
        self, group: Any, level: int, shape: tuple[int, ...], dtype: np.dtype[Any], axes: tuple[str, ...]
    ) -> Any:
        """Create the array of one level; one channel never shares a chunk or shard with another."""
        chunks = tuple(
            1 if axis == "c" else min(self.chunk, side) for axis, side in zip(axes, shape, strict=True)
        )
        fill = float("nan") if dtype.kind == "f" else 0
        common = {"shape": shape, "dtype": dtype, "chunks": chunks, "fill_value": fill}
        if self.zarr_format == 2:
            encoding = {"name": "v2", "separator": "/"}
            return group.create_array(str(level), **common, chunk_key_encoding=encoding)
        shards = tuple(
            # An integer number of chunks, as few as the array needs.
            cut * min(max(self.shard // self.chunk, 1), -(-side // cut)) if axis != "c" else 1
            for axis, side, cut in zip(axes, shape, chunks, strict=True)
        )
        codec = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
        return group.create_array(
            str(level), **common, shards=shards, compressors=codec, dimension_names=axes
        )


def _write_levels(
    arrays: Sequence[Any],
    lead: tuple[int, ...],
    data: Field,
    halve: Callable[[NDArray[Any]], NDArray[Any]],
    threads: int,
) -> None:
    """Write one channel or label to all its levels, a whole shard (or chunk) at a time."""
    for strip in _regions(data.shape[:2], _strip(data, _block(arrays[0], lead))):
        _copy_strip(data, strip, arrays[0], lead, threads)
    for finer, coarser in itertools.pairwise(arrays):
        block, planes = _block(coarser, lead), finer.chunks[len(lead)]

        def coarsen(region: Region, finer: Any = finer, coarser: Any = coarser, planes: int = planes) -> None:
            made = np.empty([s.stop - s.start for s in region], coarser.dtype)
            for first in range(region[0].start, region[0].stop, planes):
                rows = slice(first, min(first + planes, region[0].stop))
                doubled = tuple(slice(2 * s.start, 2 * s.stop) for s in (rows, *region[1:]))
                inner = slice(rows.start - region[0].start, rows.stop - region[0].start)
                made[inner] = halve(np.asarray(finer[lead + doubled]))
            coarser[lead + region] = made

        voxels = int(np.prod(block)) + 2 ** len(block) * planes * int(np.prod(block[1:]))
        regions = _regions(coarser.shape[len(lead) :], block)
        at_once = min(threads, WORK_BYTES // (voxels * coarser.dtype.itemsize))
        _in_threads((bound(coarsen, region) for region in regions), at_once)


def _strip(data: Field, block: tuple[int, ...]) -> tuple[int, int]:
    """Return the size of a strip: one block high, and as many blocks wide as STRIP_BYTES allow."""
    column = block[0] * int(np.prod(data.shape[2:])) * data.dtype.itemsize
    return block[0], max(STRIP_BYTES // max(column, 1) // block[1], 1) * block[1]


def _copy_strip(data: Field, strip: Region, target: Any, lead: tuple[int, ...], threads: int) -> None:
    """Write a part of a volume, block by block."""
    part = np.asarray(data[strip])

    def copy(region: Region) -> None:
        inner = (
            slice(s.start - first.start, s.stop - first.start)
            for s, first in zip(region, strip, strict=False)
        )
        target[lead + region] = part[(*inner, *region[2:])]

    block = _block(target, lead)
    sides = tuple(s.stop - s.start for s in strip) + tuple(data.shape[2:])
    starts = (strip[0].start, strip[1].start, *([0] * (len(sides) - 2)))
    regions = (
        tuple(slice(s.start + low, s.stop + low) for s, low in zip(region, starts, strict=True))
        for region in _regions(sides, block)
    )
    _in_threads((bound(copy, region) for region in regions), threads)


def _block(array: Any, lead: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that is written at once: a shard, or a chunk without shards."""
    return tuple((array.shards or array.chunks)[len(lead) :])


def _in_threads(tasks: Iterable[Callable[[], None]], threads: int) -> None:
    dask.compute(
        *(dask.delayed(task, pure=False)() for task in tasks),
        scheduler="threads",
        num_workers=max(1, threads),
    )


def _regions(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    counts = tuple(-(-side // size) for side, size in zip(shape, block, strict=True))
    for index in np.ndindex(*counts):
        yield tuple(
            slice(number * size, min((number + 1) * size, side))
            for number, size, side in zip(index, block, shape, strict=True)
        )


def _value_range(data: Field) -> tuple[float, float]:
    """Return the smallest and largest finite value, (0, 1) if there is none."""
    lowest, highest = np.inf, -np.inf
    for slab in slabs(data.shape):
        part = np.asarray(data[slab.rows])
        finite = np.isfinite(part)
        lowest = min(lowest, float(np.min(part, where=finite, initial=np.inf)))
        highest = max(highest, float(np.max(part, where=finite, initial=-np.inf)))
    return (lowest, highest) if lowest <= highest else (0.0, 1.0)


def _checked_shape(
    name: str,
    channels: Sequence[Channel],
    labels: Sequence[Label],
    axes: tuple[str, ...],
    spatial: tuple[str, ...],
) -> tuple[int, ...]:
    """Return the spatial shape that all channels and labels share."""
    if spatial not in (("z", "y", "x"), ("y", "x")) or axes not in (spatial, ("c", *spatial)):
        raise ShapeError(
            name,
            expected="axes (c,) z, y, x or (c,) y, x",
            got=", ".join(axes),
            fix="order the axes",
        )
    if not channels or (len(channels) > 1 and "c" not in axes):
        raise ShapeError(
            name,
            expected="one channel, or an axis c",
            got=f"{len(channels)} channels and axes {', '.join(axes)}",
            fix="add the axis c",
        )
    shape = channels[0].data.shape
    parts: list[Channel | Label] = [*channels, *labels]
    for part in parts:
        if part.data.shape != shape or len(part.data.shape) != len(spatial) or 0 in shape:
            raise ShapeError(
                f"{name}/{part.name}",
                expected=f"{len(spatial)} axes and the shape {shape} of the first channel, none empty",
                got=str(part.data.shape),
                fix="give channels and labels on one grid",
            )
    for label in labels:
        if label.data.dtype.kind not in "iu" or set(label.colors) != set(label.names):
            raise ShapeError(
                f"{name}/{label.name}",
                expected="integers, and colours and names for the same label values",
                got=f"{label.data.dtype}, colours {sorted(label.colors)}, names {sorted(label.names)}",
                fix="complete the colours and names",
            )
    return shape
