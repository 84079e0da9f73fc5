"""OME-Zarr (NGFF 0.4 and 0.5) at full resolution, or a plain zarr array."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError, StoreError
from oxytomo.io.plain_files import parse_json, printable
from oxytomo.io.readers.guard import check_declared, check_within, read_text
from oxytomo.io.volumes.base import Volume, VolumeRequest, as_volume, cubic_nm, rows_of_file
from oxytomo.io.zarr_guard import GuardedStore, check_zarr
from oxytomo.units import is_length, to_nm

NAME = "OME-Zarr"


def recognises(path: Path) -> bool:
    """Return whether the path is a zarr folder."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def read(path: Path, request: VolumeRequest) -> Volume:
    """Read the first resolution level of an image, or a plain array.

    ``dataset`` names one of several.
    """
    root = _metadata(path)
    if root.get("node_type") == "array" or (path / ".zarray").is_file():
        return Volume(values=_volume(_open_array(path, path), (), path), format=NAME)
    described = _multiscale(path, root)
    name = request.dataset or (str(described["datasets"][0]["path"]) if described else None)
    if name is None or not _is_array(path, name):
        raise InputError(
            str(path),
            expected=f"the array {request.dataset}" if request.dataset else "an OME-Zarr image",
            got=f"a zarr group with {', '.join(sorted(_arrays_below(path))) or 'nothing'}",
            fix="name the array with 'dataset'",
        )
    axes = _axes(described) if described else ()
    array = _open_array(path, path / name)
    return Volume(values=_volume(array, axes, path), format=NAME, voxel_nm=_voxel_nm(described, axes, path))


def _metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a group or an array, of either format."""
    name = next((one for one in ("zarr.json", ".zarray", ".zgroup") if (folder / one).is_file()), "zarr.json")
    return _json(folder / name)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(read_text(path, "metadata of zarr"), strict=False)
    except (OSError, ValueError) as error:
        raise InputError(
            str(path),
            expected="metadata of zarr",
            got=printable(error),
            fix="copy the folder again from its source",
        ) from error
    return found if isinstance(found, dict) else {}


def _is_array(path: Path, name: str) -> bool:
    inside = ".." not in Path(name).parts and not Path(name).is_absolute()
    return inside and any((path / name / one).is_file() for one in ("zarr.json", ".zarray"))


def _arrays_below(path: Path) -> list[str]:
    return [one.name for one in path.iterdir() if one.is_dir() and recognises(one)]


def _open_array(path: Path, folder: Path) -> Any:
    """Open an array after a check of its metadata; nothing is decoded before."""
    try:
        arrays = check_zarr(folder, links=True, strict=False)
    except StoreError as error:
        raise InputError(str(path), expected=error.expected, got=error.got, fix=error.fix) from error
    version: Any = 3 if (folder / "zarr.json").is_file() else 2
    return zarr.open_array(store=GuardedStore(folder, arrays=arrays), mode="r", zarr_format=version)


def _multiscale(path: Path, root: Mapping[str, Any]) -> dict[str, Any] | None:
    older = path / ".zattrs"
    attributes = root.get("attributes") or (_json(older) if older.is_file() else {})
    scales = attributes.get("ome", attributes).get("multiscales")
    return dict(scales[0]) if scales else None


def _axes(described: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the axes of an image; old versions have names only, or nothing for (t, c, z, y, x)."""
    axes = described.get("axes") or list("tczyx")
    return tuple({"name": axis} if isinstance(axis, str) else dict(axis) for axis in axes)


def _volume(array: Any, axes: tuple[dict[str, Any], ...], path: Path) -> Any:
    """Return the array without axes that are not lengths and have one entry."""
    _check_links(array, path)
    drop = {i for i, axis in enumerate(axes) if axis["name"] not in "zyx" and array.shape[i] == 1}
    kept = tuple(n for i, n in enumerate(array.shape) if i not in drop)

    def part(key: Any) -> Any:
        wanted = iter(key if isinstance(key, tuple) else (key,))
        full = tuple(0 if i in drop else next(wanted, slice(None)) for i in range(array.ndim))
        return np.asarray(array[full])

    return as_volume(rows_of_file(kept, array.dtype, part, path), path)


def _check_links(array: Any, path: Path) -> None:
    """Refuse links to files elsewhere, and sizes that no compression explains."""
    folder = Path(array.store.root)
    stored = 0
    for file in folder.rglob("*"):
        if file.is_symlink():
            check_within(path, str(file.resolve()), str(file.relative_to(path)))
        stored += file.stat().st_size if file.is_file() else 0
    check_declared(path, int(array.nbytes), stored, "values")


def _voxel_nm(described: dict[str, Any] | None, axes: tuple[dict[str, Any], ...], path: Path) -> float | None:
    """Return the voxel of the first level: its scale times that of all levels, if any."""
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
    """Return the product of the scales in a list of transformations, None without a scale."""
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
