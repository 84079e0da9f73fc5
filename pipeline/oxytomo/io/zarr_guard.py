"""What a zarr folder from elsewhere may not do.

Run code, lead elsewhere, contradict itself, or unpack without end.

Everything is looked at before zarr opens the folder: its metadata are read as plain JSON, and only
codecs of numbers pass.
"""

import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from oxytomo.errors import StoreError
from oxytomo.io.plain_files import (
    MOST_METADATA_BYTES,
    foreign_kind,
    parse_json,
    printable,
    read_plain,
    walk,
)
from oxytomo.io.unpacked import unpacked_bytes

COMPRESSORS = frozenset(("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"))
CODECS = COMPRESSORS | {
    "adler32",
    "bitround",
    "bytes",
    "crc32",
    "crc32c",
    "delta",
    "fixedscaleoffset",
    "fletcher32",
    "packbits",
    "quantize",
    "sharding_indexed",
    "shuffle",
    "transpose",
}
"""Codecs of numbers; others, such as pickle, could run code from the folder."""

V3, V2 = ("zarr.json",), (".zarray", ".zgroup", ".zattrs", ".zmetadata")
MOST_CHUNK_BYTES = 2**30
MOST_IN_SHARD = 2**20
MOST_RATIO = 10**5
"""An honest volume is not packed better than this as a whole, even where most of it is air."""
SMALL_BYTES = 2**30
_INDEX_ITEM_BYTES, _INDEX_SUM_BYTES = 16, 4
_EMPTY = 2**64 - 1


@dataclass(frozen=True)
class ArrayFacts:
    """What the metadata of an array say.

    Attributes
    ----------
    shape, chunks : sizes; ``chunks`` of what is compressed by itself
    shards : sizes of what is one file, None where each chunk is a file
    item_bytes : of one value
    compressor : name of the codec that packs a chunk, empty for none
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    item_bytes: int
    compressor: str

    @property
    def declared_bytes(self) -> int:
        """Size of all values."""
        return math.prod(self.shape) * self.item_bytes

    @property
    def chunk_bytes(self) -> int:
        """Size of the values of one chunk."""
        return math.prod(self.chunks) * self.item_bytes

    @property
    def in_shard(self) -> int:
        """Number of chunks in a file."""
        if self.shards is None:
            return 1
        return math.prod(-(-a // b) for a, b in zip(self.shards, self.chunks, strict=True))


def check_zarr(folder: Path, *, links: bool = False, strict: bool = True) -> dict[str, ArrayFacts]:
    """Read all metadata of a zarr folder, and return it per array by its path within.

    Parameters
    ----------
    folder : a group or an array, of format 2 or 3
    links : links among the files are allowed; the caller looks at their targets, and at the
        declared size
    strict : also refuse what this package does not write though it is harmless: numbers that are
        not finite

    Raises
    ------
    StoreError
        Where it could run code, holds links, pipes or devices, is described twice, or declares what
        nothing explains.
    """
    arrays: dict[str, ArrayFacts] = {}
    described: dict[str, str] = {}
    consolidated: list[tuple[str, Mapping[str, Any]]] = []
    if not folder.is_dir() or (folder.is_symlink() and not links):
        raise refused(folder, "a link" if folder.is_symlink() else "no folder")
    stored = 0
    for entry in walk(folder):
        kind = foreign_kind(entry)
        if kind and not (links and kind == "a link"):
            raise refused(folder, f"{kind} in it ({_inside(folder, entry.path)})")
        if not entry.is_file():
            continue
        stored += entry.stat().st_size
        if entry.name in V3 + V2:
            place = _inside(folder, entry.path).rpartition("/")[0]
            family = "3" if entry.name in V3 else "2"
            if described.setdefault(place, family) != family:
                raise refused(folder, f"metadata of two formats in {place or 'its root'}")
            found = _metadata(folder, Path(entry.path), strict=strict, links=links)
            arrays.update(_arrays_in(folder, place, entry.name, found))
            consolidated += _consolidated(place, entry.name, found)
    _check_consolidated(folder, consolidated, strict=strict, links=links)
    declared = sum(facts.declared_bytes for facts in arrays.values())
    if not links and declared > max(SMALL_BYTES, MOST_RATIO * stored):
        raise refused(folder, f"{declared:.1e} bytes of declared values in {stored} stored ones")
    return arrays


def array_facts(folder: Path, metadata: Mapping[str, Any]) -> ArrayFacts:
    """Return what the metadata of an array say, after a check of its codecs and sizes."""
    try:
        facts = _facts_3(metadata) if metadata.get("zarr_format") == 3 else _facts_2(metadata)
        sizes = (*facts.shape, *facts.chunks, *(facts.shards or ()))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise refused(
            folder, f"metadata of an array that are incomplete ({printable(error)[:80]})"
        ) from error
    if min((*facts.chunks, *(facts.shards or ()), 1)) < 1 or min((*sizes, 0)) < 0 or max((*sizes, 0)) > 2**62:
        raise refused(folder, "sizes that cannot be")
    if facts.chunk_bytes > MOST_CHUNK_BYTES or facts.in_shard > MOST_IN_SHARD:
        raise refused(folder, f"chunks of {facts.chunk_bytes:.1e} bytes, {facts.in_shard} in a file")
    return facts


def refused(folder: Path, got: str) -> StoreError:
    """Return the error for a zarr folder that is not opened."""
    return StoreError(
        printable(folder),
        expected="a zarr folder of plain numbers",
        got=got,
        fix="do not use it if you do not trust its source; otherwise write it again with blosc, zstd or gzip",
    )


def _inside(folder: Path, path: str) -> str:
    return os.path.relpath(path, folder)


def _metadata(folder: Path, path: Path, *, strict: bool, links: bool) -> dict[str, Any]:
    try:
        content = path.read_bytes() if links and path.is_symlink() else read_plain(path, MOST_METADATA_BYTES)
        found = parse_json(content, strict=strict)
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise refused(folder, f"{_inside(folder, str(path))} with {printable(error)[:120]}") from error
    return found


def _arrays_in(folder: Path, place: str, name: str, found: Mapping[str, Any]) -> dict[str, ArrayFacts]:
    """Return the facts of an array by its place, nothing for a group."""
    is_array = name == ".zarray" or (name in V3 and found.get("node_type") == "array")
    return {place: array_facts(folder, found)} if is_array else {}


def _consolidated(place: str, name: str, found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return copies of the metadata of other nodes, by the path of the file with the copy."""
    if name in V3:
        held = found.get("consolidated_metadata")
        copies = (held.get("metadata") if isinstance(held, dict) else held) or {}
        named = (
            {f"{key}/zarr.json": value for key, value in copies.items()} if isinstance(copies, dict) else None
        )
    elif name == ".zmetadata":
        named = found.get("metadata")
    else:
        return []
    if not isinstance(named, dict):
        return [(place, {})]
    return [(f"{place}/{key}" if place else str(key), value) for key, value in named.items()]


def _check_consolidated(
    folder: Path, copies: Sequence[tuple[str, Mapping[str, Any]]], *, strict: bool, links: bool
) -> None:
    """Refuse copies of metadata that say something else than the metadata themselves."""
    for name, copy in copies:
        path = Path(os.path.normpath(folder / name))
        if not path.is_relative_to(folder) or path.name not in V3 + V2 or not path.is_file():
            raise refused(folder, f"consolidated metadata of {printable(name)}, which is not there")
        own = _metadata(folder, path, strict=strict, links=links)
        if not isinstance(copy, dict) or _plain(own) != _plain(copy):
            raise refused(folder, f"consolidated metadata that differ from those in {printable(name)}")


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata without the copies that they hold, and without what is empty."""
    return {
        key: value
        for key, value in metadata.items()
        if key != "consolidated_metadata" and value not in (None, [], {})
    }


def _facts_2(metadata: Mapping[str, Any]) -> ArrayFacts:
    dtype = metadata["dtype"]
    if not isinstance(dtype, str) or len(dtype) < 3 or dtype[0] not in "<>|" or dtype[1] not in "biuf":
        raise ValueError(f"type {dtype!r:.40}")
    named = [metadata.get("compressor"), *(metadata.get("filters") or ())]
    packed = _checked_codecs([one for one in named if one is not None])
    chunks = _sizes(metadata["chunks"])
    return ArrayFacts(_sizes(metadata["shape"]), chunks, None, _item_bytes(dtype[2:]), packed)


def _facts_3(metadata: Mapping[str, Any]) -> ArrayFacts:
    if metadata.get("storage_transformers"):
        raise ValueError("storage transformers")
    dtype = metadata["data_type"]
    kinds = {"bool": 1, "int": 0, "uint": 0, "float": 0}
    word = str(dtype).rstrip("0123456789")
    if not isinstance(dtype, str) or word not in kinds:
        raise ValueError(f"type {dtype!r:.40}")
    item = kinds[word] or _item_bytes(dtype[len(word) :]) // 8
    grid = metadata["chunk_grid"]
    if grid["name"] != "regular":
        raise ValueError(f"a grid {grid['name']!r:.40}")
    shape, outer = _sizes(metadata["shape"]), _sizes(grid["configuration"]["chunk_shape"])
    codecs = _named(metadata["codecs"])
    first = codecs[0] if codecs else {}
    if first.get("name") != "sharding_indexed":
        return ArrayFacts(shape, outer, None, item, _checked_codecs(codecs))
    inner = first["configuration"]
    if len(codecs) != 1 or inner.get("index_location", "end") != "end":
        raise ValueError("shards of another kind")
    if [one["name"] for one in _named(inner["index_codecs"])] != ["bytes", "crc32c"]:
        raise ValueError("an index of another kind")
    within = _named(inner["codecs"])
    if any(one["name"] == "sharding_indexed" for one in within):
        raise ValueError("shards in shards")
    packed = _checked_codecs(within)
    return ArrayFacts(shape, _sizes(inner["chunk_shape"]), outer, item, packed)


def _named(codecs: Any) -> list[dict[str, Any]]:
    """Return codecs as mappings with a name; metadata may also give the name alone."""
    return [{"name": one} if isinstance(one, str) else {**one, "name": str(one["name"])} for one in codecs]


def _checked_codecs(codecs: Sequence[Mapping[str, Any]]) -> str:
    """Return the compressor among codecs that are all allowed."""
    names = [str(one.get("id", one.get("name", ""))).removeprefix("numcodecs.") for one in codecs]
    unknown = [name for name in names if name not in CODECS]
    if unknown:
        raise ValueError(f"the codec {unknown[0]!r:.60}")
    packed = [name for name in names if name in COMPRESSORS]
    if len(packed) > 1:
        raise ValueError("values packed twice")
    return packed[0] if packed else ""


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > 8 or any(type(value) is not int for value in values):
        raise ValueError("sizes that are no whole numbers")
    return tuple(values)


def _item_bytes(text: str) -> int:
    if text not in ("1", "2", "4", "8", "16", "32", "64"):
        raise ValueError(f"values of {text:.20}")
    return int(text)


# --- while chunks are read


class GuardedStore(LocalStore):
    """A zarr folder of which only plain files are read, and no chunk is larger than declared.

    Parameters
    ----------
    root : the folder
    arrays : what :func:`check_zarr` returned for it
    """

    def __init__(
        self, root: Path | str, *, read_only: bool = True, arrays: Mapping[str, ArrayFacts] | None = None
    ) -> None:
        super().__init__(root, read_only=read_only)
        self._arrays = dict(arrays or {})

    def with_read_only(self, read_only: bool = True) -> "GuardedStore":
        """Return the same store; it is never written."""
        return type(self)(self.root, read_only=read_only, arrays=self._arrays)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return the bytes of a key after a look at what they unpack to."""
        found = await super().get(key, prototype, byte_range)
        name = key.rsplit("/", 1)[-1]
        facts = None if found is None or name in V3 + V2 else self._facts(key)
        if facts is not None and facts.compressor:
            content = memoryview(found.as_numpy_array()).cast("B")
            for part in _chunks_of(content, facts, whole=byte_range is None):
                check_unpacked(self.root / key, part, facts)
        return found

    def _facts(self, key: str) -> ArrayFacts | None:
        place = key
        while place:
            place = place.rpartition("/")[0]
            if place in self._arrays:
                return self._arrays[place]
        return self._arrays.get("")


def _chunks_of(content: memoryview, facts: ArrayFacts, *, whole: bool) -> Iterator[memoryview]:
    """Yield the packed chunks in what was read: all of a shard, or the one asked for."""
    if facts.shards is None:
        yield content
        return
    size = facts.in_shard * _INDEX_ITEM_BYTES
    if not whole:
        if len(content) != size + _INDEX_SUM_BYTES:
            yield content  # one chunk; the index itself is not packed
        return
    index = content[-size - _INDEX_SUM_BYTES : -_INDEX_SUM_BYTES]
    for start, length in struct.iter_unpack("<QQ", index) if len(index) == size else ():
        if start != _EMPTY:
            yield content[start : start + length]


def check_unpacked(path: Path, packed: bytes | memoryview, facts: ArrayFacts) -> None:
    """Refuse a packed chunk that unpacks to more than the values of a chunk."""
    size = unpacked_bytes(packed, facts.compressor, facts.chunk_bytes)
    if size > facts.chunk_bytes:
        raise StoreError(
            printable(path),
            expected=f"a chunk of {facts.chunk_bytes} bytes",
            got="one that unpacks to more",
            fix="do not use these results if you do not trust their source; otherwise write them again",
        )
