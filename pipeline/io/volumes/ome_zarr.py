"""OME-Zarr (NGFF 0.4 and 0.5) at full resolution, or a plain zarr array."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pipeline.errors import InputError
from pipeline.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm
from pipeline.units import NM_PER, to_nm

NAME = "OME-Zarr"


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
    axes = tuple(described["axes"]) if described else ()
    return Volume(
        values=_volume(node[name], axes, path), format=NAME, voxel_nm=_voxel_nm(described, axes, path)
    )


def _multiscale(node: Any) -> dict[str, Any] | None:
    attributes = dict(node.attrs)
    scales = attributes.get("ome", attributes).get("multiscales")
    return dict(scales[0]) if scales else None


def _volume(array: Any, axes: tuple[dict[str, Any], ...], path: Path) -> Any:
    """Return the array after dropping axes that are no lengths and have one entry."""
    values = np.asarray(array[...])
    if axes:
        drop = tuple(i for i, axis in enumerate(axes) if axis["name"] not in "zyx" and values.shape[i] == 1)
        values = values.squeeze(drop)
    return as_volume(values, path)


def _voxel_nm(described: dict[str, Any] | None, axes: tuple[dict[str, Any], ...], path: Path) -> float | None:
    if described is None:
        return None
    transforms = described["datasets"][0].get("coordinateTransformations", [])
    scale = next((entry["scale"] for entry in transforms if entry.get("type") == "scale"), None)
    lengths = [
        (float(edge), str(axis.get("unit", "")).lower())
        for axis, edge in zip(axes, scale or (), strict=False)
        if axis["name"] in "zyx"
    ]
    if not lengths or any(unit not in NM_PER for _, unit in lengths):
        return None
    return cubic_nm(tuple(to_nm(edge, unit) for edge, unit in lengths), path)
