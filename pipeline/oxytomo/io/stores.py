"""Stage stores: plain zarr v3 groups that appear complete or not at all.

A store is written to a hidden folder beside its target and renamed when complete. Its root
attribute ``oxytomo`` holds the provenance, the layout of the arrays and a digest of their content.
"""

import hashlib
import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from oxytomo.errors import StoreError, limit_reached
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.chunk_files import check_array, seal_of
from oxytomo.io.plain_files import printable, read_json_object
from oxytomo.io.records import NAME, SEAL, checked_layout, checked_provenance, text_of
from oxytomo.io.records import STORE_KEY as STORE_KEY
from oxytomo.io.records import Provenance as Provenance
from oxytomo.io.records import decode_json as decode_json
from oxytomo.io.records import encode_json as encode_json
from oxytomo.io.zarr_guard import V2
from oxytomo.slabs import Field, View

CHUNK_BYTES = 4 * 2**20
"""Largest chunk before compression."""

WRITTEN_CHUNKS = 64
"""About this number of chunks is in memory while an array is written."""

SMALL_BYTES = 2**28
_DAMAGE = (
    OSError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    RuntimeError,
    EOFError,
    struct.error,
    AttributeError,
    ArithmeticError,
)
"""Exceptions of zarr, its codecs and the JSON reader for missing or damaged files."""


@dataclass(frozen=True)
class NamedArray:
    """An array or a field with the names of its axes and its unit (``"1"`` for a pure number)."""

    data: NDArray[Any] | Field
    axes: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Store:
    """A complete store on disk; arrays are loaded on access."""

    path: Path
    names: tuple[str, ...]
    attributes: Mapping[str, Any]
    provenance: Provenance
    digest: str
    _layout: Mapping[str, Mapping[str, Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Load the whole array ``name``."""
        array = self.array(name)
        require_memory(array.nbytes)
        try:
            return np.asarray(array[...])
        except _DAMAGE as error:
            raise _undecodable(self.path, name, error) from error

    def array(self, name: str) -> zarr.Array:
        """Return the array ``name`` without loading it."""
        if name not in self._layout:
            raise StoreError(
                str(self.path),
                expected=f"an array {name!r}",
                got=f"a store with {', '.join(self.names) or 'no arrays'}",
                fix="rerun the stage that writes this store",
            )
        try:
            return zarr.open_array(store=str(self.path / name), mode="r", zarr_format=3)
        except _DAMAGE as error:
            limit = limit_reached(error, str(self.path))
            got = f"array {name!r} that cannot be opened ({type(error).__name__})"
            raise limit or _damaged(self.path, got) from error

    def field(self, name: str) -> Field:
        """Return the array ``name`` as a field: slices of it are loaded on access."""
        array = self.array(name)

        def load(key: Any) -> NDArray[Any]:
            try:
                return np.asarray(array[key])
            except _DAMAGE as error:
                raise _undecodable(self.path, name, error) from error

        return View(array.shape, array.dtype, load)

    def axes(self, name: str) -> tuple[str, ...]:
        """Return the names of the axes of an array."""
        return tuple(self._layout[name]["axes"])

    @property
    def sealed(self) -> bool:
        """Return whether a changed value is noticed when the store is opened.

        Earlier versions wrote no seals.
        """
        return all(SEAL in layout for layout in self._layout.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes of an array."""
        return tuple(self._layout[name]["shape"])

    def dtype(self, name: str) -> str:
        """Return the name of the type of an array."""
        return str(self._layout[name]["dtype"])

    def unit(self, name: str) -> str:
        """Return the unit of an array."""
        return str(self._layout[name]["unit"])


def content_digest(arrays: Mapping[str, NamedArray]) -> str:
    """Return the SHA-256 of names, shapes, types and values of arrays.

    The memory order is ignored.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        data = arrays[name].data
        dtype = np.dtype(data.dtype).newbyteorder("<")
        digest.update(f"{name}:{data.shape}:{dtype.str};".encode())
        for part in pieces(data.shape, chunk_shape(data.shape, dtype.itemsize)):
            plain = np.ascontiguousarray(data[part], dtype=dtype)
            digest.update(plain.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def chunk_shape(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Return chunks of whole (y, x) frames within ``CHUNK_BYTES``.

    Larger frames are cut in rows.
    """
    chunks = [1] * len(shape)
    room = max(1, CHUNK_BYTES // item_bytes)
    for axis in reversed(range(len(shape))):
        chunks[axis] = max(1, min(shape[axis], room))
        room //= chunks[axis]
        if chunks[axis] < shape[axis] or room == 0:
            break
    return tuple(chunks)


def pieces(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Divide an array into boxes of whole chunks, ``WRITTEN_CHUNKS`` each, in memory order."""
    if not shape:
        yield ()
        return
    axis = next((a for a, c in enumerate(chunks) if c > 1), len(shape) - 1)
    across = math.prod(-(-n // c) for n, c in zip(shape[axis + 1 :], chunks[axis + 1 :], strict=True))
    step = chunks[axis] * max(1, WRITTEN_CHUNKS // max(across, 1))
    for before in np.ndindex(*shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*(slice(i, i + 1) for i in before), slice(start, min(start + step, shape[axis])))


def write_store(
    path: Path, arrays: Mapping[str, NamedArray], *, provenance: Provenance, attributes: Mapping[str, Any]
) -> None:
    """Write a store that appears complete or not at all, replacing an older one.

    Parameters
    ----------
    path : the folder of the store
    arrays : numeric or boolean arrays; the names of their axes must fit their dimensions
    provenance, attributes : stored as root attributes ``oxytomo`` and ``attributes``

    Raises
    ------
    StoreError
        If the folder cannot be written; nothing is left behind and an older store is kept.
    """
    for name, array in arrays.items():
        _check_array(path, name, array)
    record = _root_record(arrays, provenance)
    plain_attributes = encode_json(attributes)
    with complete_or_absent(path) as partial:
        group = _write_group(partial, arrays)
        for name, layout in record["arrays"].items():
            layout[SEAL] = seal_of(partial, name)
        group.attrs.put({STORE_KEY: record, "attributes": plain_attributes})


def read_store(path: Path) -> Store:
    """Open a store.

    Raises :class:`StoreError` if it is missing, incomplete or from another program.
    """
    store = read_head(path)
    for name in store.names:
        layout = store._layout[name]
        if check_array(path, name, layout) != layout.get(SEAL, "") and SEAL in layout:
            raise _altered(path, name)
    return store


def read_head(path: Path) -> Store:
    """Read the metadata of a store, without a check of its arrays.

    Raises :class:`StoreError` in the same cases as ``read_store``.
    """
    root_file = path / "zarr.json"
    if not path.is_dir() or path.is_symlink() or not root_file.exists():
        raise StoreError(
            printable(path),
            expected="a store of this package (a folder with zarr.json)",
            got=_what_instead(path),
            fix="run the workflow, or check the path",
        )
    try:
        content = read_json_object(root_file)
        attributes = content.get("attributes", {})
    except StoreError as error:
        raise _damaged(path, f"a zarr.json that cannot be read ({error.got})") from error
    if not isinstance(attributes, dict) or "arrays" not in (attributes.get(STORE_KEY) or {}):
        raise StoreError(
            printable(path),
            expected="a store of this package",
            got="a zarr folder without its provenance",
            fix="give the path of a stage store, or delete the folder and run the workflow again",
        )
    doubled = any(os.path.lexists(path / name) for name in V2)
    if content.get("node_type") != "group" or content.get("consolidated_metadata") or doubled:
        raise _damaged(path, "a zarr.json with more or less in it than was written")
    try:
        return _store_from(path, decode_json(attributes))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _damaged(path, "provenance that is incomplete") from error


def require_memory(n_bytes: int) -> None:
    """Refuse an array that does not fit into the free memory."""
    if n_bytes > SMALL_BYTES and n_bytes > psutil.virtual_memory().available:
        raise MemoryError(f"{n_bytes / 1e9:.1f} GB for one array")


def _what_instead(path: Path) -> str:
    if path.is_symlink():
        return "a link"
    if path.is_dir():
        return "a folder without zarr.json"
    return "a file" if path.exists() else "nothing there"


def _check_array(path: Path, name: str, array: NamedArray) -> None:
    kind = array.data.dtype.kind
    if len(array.axes) != len(array.data.shape) or kind not in "biuf" or not re.fullmatch(NAME, name):
        raise StoreError(
            f"{path.name}/{name}",
            expected=f"a numeric array with {len(array.axes)} axes {array.axes} and a plain name",
            got=f"shape {array.data.shape}, type {array.data.dtype}",
            fix="correct the stage that writes this store",
        )


def _root_record(arrays: Mapping[str, NamedArray], provenance: Provenance) -> dict[str, Any]:
    layout = {
        name: {
            "shape": list(array.data.shape),
            "dtype": array.data.dtype.name,
            "axes": list(array.axes),
            "unit": array.unit,
        }
        for name, array in arrays.items()
    }
    record: dict[str, Any] = encode_json(
        {
            "stage": provenance.stage,
            "version": provenance.version,
            "settings": provenance.settings,
            "inputs": provenance.inputs,
            "package_version": provenance.package_version,
            "created": provenance.created,
            "arrays": layout,
            "digest": content_digest(arrays),
        }
    )
    return record


def _write_group(folder: Path, arrays: Mapping[str, NamedArray]) -> zarr.Group:
    group = zarr.create_group(store=str(folder), zarr_format=3)
    for name, array in arrays.items():
        data = array.data
        chunks = chunk_shape(data.shape, data.dtype.itemsize)
        target = group.create_array(
            name,
            shape=data.shape,
            dtype=data.dtype,
            chunks=chunks,
            compressors=(BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()),
            dimension_names=array.axes,
            attributes={"unit": array.unit},
            config={"write_empty_chunks": True},
        )
        for part in pieces(data.shape, chunks):
            target[part] = data[part]
    return group


def _store_from(path: Path, attributes: dict[str, Any]) -> Store:
    provenance = checked_provenance(attributes[STORE_KEY])
    record = attributes[STORE_KEY]
    layout = {str(name): checked_layout(name, item) for name, item in record["arrays"].items()}
    own = dict(attributes.get("attributes") or {})
    return Store(path, tuple(layout), own, provenance, text_of(record["digest"]), layout)


def _undecodable(path: Path, name: str, error: Exception) -> StoreError:
    limit = limit_reached(error, str(path))
    return limit or _damaged(path, f"array {name!r} that cannot be decoded ({type(error).__name__})")


class AlteredStoreError(StoreError):
    """A store is complete, but has other values or metadata than its stage wrote."""


def _altered(path: Path, name: str) -> StoreError:
    return AlteredStoreError(
        printable(path),
        expected="the values that its stage wrote",
        got=f"others in the array {name!r}: somebody has changed them since",
        fix="delete this folder and run the workflow again",
    )


def _damaged(path: Path, got: str) -> StoreError:
    return StoreError(
        printable(path),
        expected="a complete store",
        got=got,
        fix="delete this folder and run the workflow again",
    )
