"""The files of a stage store's arrays: present, as declared, and as written.

Every chunk ends with a checksum of its bytes. The seal of an array is a digest of these checksums,
so that a changed value is noticed without unpacking anything.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.errors import StoreError
from oxytomo.io.plain_files import foreign_kind, printable, read_json_object, walk
from oxytomo.io.zarr_guard import V2, ArrayFacts, array_facts

_HEAD_BYTES, _SUM_BYTES = 16, 4
_FILTERS = ("bytes", "blosc", "crc32c")


def check_array(path: Path, name: str, layout: Mapping[str, Any]) -> str:
    """Return the seal of an array after a look at all its files.

    Parameters
    ----------
    path : the store
    name : of the array
    layout : what the store says of it: ``shape`` and ``dtype``

    Raises
    ------
    StoreError
        When a file is missing or is none of the array's, a chunk declares another size than it has,
        or the metadata of the array are not those of this package.
    """
    folder = path / name
    try:
        metadata = read_json_object(folder / "zarr.json")
        codecs = [one["name"] for one in metadata["codecs"]]
        same = metadata["shape"] == layout["shape"] and metadata["data_type"] == layout["dtype"]
        plain = metadata["node_type"] == "array" and metadata["chunk_key_encoding"]["name"] == "default"
        plain = plain and (metadata["chunk_key_encoding"].get("configuration") or {"separator": "/"}) == {
            "separator": "/"
        }
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        raise _incomplete(path, name, "") from error
    facts = array_facts(folder, metadata)
    if not same or not plain or tuple(codecs) != _FILTERS:
        raise _incomplete(path, name, "its metadata are not those that were written")
    return _seal(path, name, facts)


def seal_of(path: Path, name: str) -> str:
    """Return the seal of an array that was just written."""
    return _seal(path, name, array_facts(path / name, read_json_object(path / name / "zarr.json")))


def _seal(path: Path, name: str, facts: ArrayFacts) -> str:
    counts = tuple(-(-side // chunk) for side, chunk in zip(facts.shape, facts.chunks, strict=True))
    files = sum(1 for _ in _chunk_files(path, name))
    if files != math.prod(counts):  # counted first, as what is declared may have no end
        raise _incomplete(
            path,
            name,
            f"{files} of {math.prod(counts)} chunks" if files < math.prod(counts) else "more files",
        )
    seal = hashlib.sha256()
    for index in np.ndindex(*counts):
        key = "/".join(("c", *map(str, index)))
        try:
            size, head, tail = _ends(path / name / key)
        except OSError as error:
            raise _incomplete(path, name, "") from error
        if size < _HEAD_BYTES + _SUM_BYTES or int.from_bytes(head[12:16], "little") != size - _SUM_BYTES:
            raise _incomplete(path, name, f"a chunk {key} that was cut short")
        if int.from_bytes(head[4:8], "little") != facts.chunk_bytes:
            raise _incomplete(path, name, f"a chunk {key} of another size than it declares")
        seal.update(f"{key}:{size}:".encode() + tail)
    return seal.hexdigest()


def _chunk_files(path: Path, name: str) -> Iterator[str]:
    """Yield the files of the chunks of an array; refuses links, pipes and devices."""
    for entry in walk(path / name):
        kind = foreign_kind(entry)
        if kind or entry.name in V2:
            raise _incomplete(path, name, f"{kind or entry.name} in it")
        plain = entry.is_file(follow_symlinks=False)
        if plain and (entry.name.isdigit() or entry.name == "c"):
            yield entry.path


def _ends(file: Path) -> tuple[int, bytes, bytes]:
    """Return the size of a file, its first bytes and its last."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        return (
            size,
            os.pread(descriptor, _HEAD_BYTES, 0),
            os.pread(descriptor, _SUM_BYTES, max(size - _SUM_BYTES, 0)),
        )
    finally:
        os.close(descriptor)


def _incomplete(path: Path, name: str, why: str) -> StoreError:
    return StoreError(
        printable(path),
        expected="a complete store",
        got=f"array {name!r} that is missing or incomplete{f': {why}' if why else ''}",
        fix="delete this folder and rerun the stage that writes it",
    )
