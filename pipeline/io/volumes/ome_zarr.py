"""OME-Zarr (NGFF 0.4 and 0.5) at full resolution, or a plain zarr array."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pipeline.arrays import Float64Array
from pipeline.errors import InputError
from pipeline.io.readers.guard import check_declared, check_within
from pipeline.io.volumes.base import Rows, Volume, VolumeRequest, as_volume, cubic_nm
from pipeline.units import is_length, to_nm

NAME = "OME-Zarr"

_CODECS = frozenset(
    (
        "adler32",
        "bitround",
        "blosc",
        "bytes",
        "bz2",
        "crc32",
        "crc32c",
        "delta",
        "fixedscaleoffset",
        "fletcher32",
        "gzip",
        "lz4",
        "lzma",
        "packbits",
        "quantize",
        "sharding_indexed",
        "shuffle",
        "transpose",
        "zlib",
        "zstd",
    )
)
"""Codecs of numbers; others, such as pickle, could run code from the file."""


def recognises(path: Path) -> bool:
    """Say whether it is a folder that zarr wrote."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def read(path: Path, request: VolumeRequest) -> Volume:
    """Read the first resolution level of an image, or a plain array; ``dataset`` names one of several."""
    node = zarr.open(store=str(path), mode="r")
    if isinstance(node, zarr.Array):
        return Volume(values=_volume(node, (), path), format=NAME)
    described = _multiscale(node)
    name = request.dataset or (described["datasets"][0]["path"] if described else None)
    if name is None or name not in node:
        raise InputError(
            str(path),
            expected=f"the array {request.dataset}" if request.dataset else "an OME-Zarr image",
            got=f"a zarr group with {', '.join(sorted(node.keys())) or 'nothing'}",
            fix="name the array with 'dataset'",
        )
    axes = _axes(described) if described else ()
    return Volume(
        values=_volume(node[name], axes, path), format=NAME, voxel_nm=_voxel_nm(described, axes, path)
    )


def _multiscale(node: Any) -> dict[str, Any] | None:
    attributes = dict(node.attrs)
    scales = attributes.get("ome", attributes).get("multiscales")
    return dict(scales[0]) if scales else None


def _axes(described: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the axes of an image; old versions have names only, or nothing for (t, c, z, y, x)."""
    axes = described.get("axes") or list("tczyx")
    return tuple({"name": axis} if isinstance(axis, str) else dict(axis) for axis in axes)


def _volume(array: Any, axes: tuple[dict[str, Any], ...], path: Path) -> Any:
    """Return the array after dropping axes that are no lengths and have one entry."""
    _check_array(array, path)
    drop = {i for i, axis in enumerate(axes) if axis["name"] not in "zyx" and array.shape[i] == 1}
    kept = tuple(n for i, n in enumerate(array.shape) if i not in drop)

    def part(key: Any) -> Any:
        wanted = iter(key if isinstance(key, tuple) else (key,))
        full = tuple(0 if i in drop else next(wanted, slice(None)) for i in range(array.ndim))
        return np.asarray(array[full])

    return as_volume(Rows(kept, array.dtype, part, path), path)


def _check_array(array: Any, path: Path) -> None:
    """Refuse codecs that could run code, links that lead elsewhere, and sizes that no compression explains."""
    plain = array.metadata.to_dict()
    codecs = [plain.get("compressor"), *(plain.get("filters") or ()), *(plain.get("codecs") or ())]
    names = [str(one.get("id", one.get("name", ""))) for one in _flattened(codecs)]
    unknown = [name for name in names if name.removeprefix("numcodecs.") not in _CODECS]
    if unknown or array.dtype.kind not in "biuf":
        raise InputError(
            str(path),
            expected="grey values behind plain compression",
            got=f"the codec {unknown[0]!r}" if unknown else f"type {array.dtype}",
            fix="write the volume again with blosc, zstd, gzip or without compression",
        )
    folder = path / array.path if array.path else path
    stored = 0
    for file in folder.rglob("*"):
        if file.is_symlink():
            check_within(path, str(file.resolve()), str(file.relative_to(path)))
        stored += file.stat().st_size if file.is_file() else 0
    check_declared(path, int(array.nbytes), stored, "values")


def _flattened(codecs: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield codecs, those inside a shard included."""
    for one in codecs:
        if isinstance(one, dict):
            yield one
            inner = one.get("configuration") or {}
            yield from _flattened([*inner.get("codecs", ()), *inner.get("index_codecs", ())])


def _voxel_nm(described: dict[str, Any] | None, axes: tuple[dict[str, Any], ...], path: Path) -> float | None:
    """Return the voxel of the first level: its scale times the one that holds for all levels, where there is one."""
    if described is None:
        return None
    own = _scale(described["datasets"][0].get("coordinateTransformations"), len(axes), path)
    common = _scale(described.get("coordinateTransformations"), len(axes), path)
    if own is None and common is None:
        return None
    edges = np.ones(len(axes))
    for scale in (own, common):
        edges = edges if scale is None else edges * scale
    lengths = [
        (float(edge), str(axis.get("unit", "")))
        for axis, edge in zip(axes, edges, strict=True)
        if axis["name"] in "zyx"
    ]
    if not lengths or not all(is_length(unit) for _, unit in lengths):
        return None
    return cubic_nm(tuple(to_nm(edge, unit) for edge, unit in lengths), path)


def _scale(transforms: Any, n_axes: int, path: Path) -> Float64Array | None:
    """Return the product of the scales in a list of transformations, None where there is none."""
    scales = [
        entry["scale"] for entry in transforms or () if entry.get("type") == "scale" and "scale" in entry
    ]
    if not scales:
        return None
    product = np.prod(np.array(scales, np.float64), axis=0)
    if product.shape != (n_axes,) or not (np.isfinite(product) & (product > 0)).all():
        raise InputError(
            str(path),
            expected=f"one positive scale for each of {n_axes} axes",
            got=str(scales[0]),
            fix="correct coordinateTransformations in the metadata of the image",
        )
    return product
