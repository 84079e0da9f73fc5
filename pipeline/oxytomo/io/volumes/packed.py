"""Values packed by zlib or gzip, unpacked some rows at a time to save memory."""

import math
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.errors import InputError
from oxytomo.io.volumes.base import rows_of_file
from oxytomo.slabs import View

ZLIB, GZIP = zlib.MAX_WBITS, zlib.MAX_WBITS | 16
"""Kinds of packing."""
_PIECE = 2**20
_MEMBER = b"\x1f\x8b"
"""What each member of a gzip file begins with."""


def packed_rows(path: Path, start: int, kind: int, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> View:
    """Return values packed from a place in a file on, as rows, after a check of their number.

    Read rows in their order: to go back, unpacking starts again at the first row.

    Raises
    ------
    InputError
        Where there are more or fewer values than the shape says; zlib.error where the file is
        damaged.
    """
    wanted = math.prod(shape) * dtype.itemsize
    got = 0
    for piece in _unpacked(path, start, kind):
        got += len(piece)
        if got > wanted:
            break
    if got != wanted:
        raise InputError(
            str(path),
            expected=f"{wanted} bytes of values",
            got="more packed data than that" if got > wanted else f"{got}",
            fix="copy the file again from its source; it is truncated, or its header is wrong",
        )
    stream = _Stream(path, start, kind)
    per_row = wanted // shape[0] if shape[0] else 0

    last: tuple[slice, Any] = slice(0), np.zeros((0, *shape[1:]), dtype)

    def load(key: Any) -> Any:
        nonlocal last
        keys = key if isinstance(key, tuple) else (key,)
        first, stop, step = keys[0].indices(shape[0])
        wide = slice(first, max(stop, first))
        kept, rows = last
        if kept != wide:  # else other columns of the same rows
            data = stream.read(first * per_row, (wide.stop - first) * per_row)
            rows = np.frombuffer(data, dtype).reshape(-1, *shape[1:])
            last = wide, rows
        return rows[(slice(None, None, step), *keys[1:])]

    return rows_of_file(shape, dtype, load, path)


def _unpacked(path: Path, start: int, kind: int) -> Iterator[bytes]:
    """Yield unpacked bytes, a piece at a time.

    Of gzip all members one after the other, but nothing else behind them.
    """
    with path.open("rb") as file:
        file.seek(start)
        unpacker = zlib.decompressobj(kind)
        rest = b""
        while rest or (rest := file.read(_PIECE)):
            piece = unpacker.decompress(rest, _PIECE)
            if piece:
                yield piece
            rest = unpacker.unconsumed_tail
            if unpacker.eof:
                rest = unpacker.unused_data
                while len(rest) < len(_MEMBER) and (more := file.read(_PIECE)):
                    rest += more
                if kind != GZIP or not rest.startswith(_MEMBER):
                    return
                unpacker = zlib.decompressobj(kind)


class _Stream:
    """Unpacked bytes at any place; the last piece and the place behind it are kept."""

    def __init__(self, path: Path, start: int, kind: int) -> None:
        self._source = path, start, kind
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pieces, self._at, self._piece = _unpacked(*self._source), 0, b""

    def read(self, place: int, count: int) -> bytearray:
        with self._lock:
            if place < self._at:
                self._begin()
            found = bytearray()
            while len(found) < count:
                inside = place + len(found) - self._at
                if inside >= len(self._piece):
                    self._at += len(self._piece)
                    self._piece = next(self._pieces)
                    continue
                found += self._piece[inside : inside + count - len(found)]
            return found
