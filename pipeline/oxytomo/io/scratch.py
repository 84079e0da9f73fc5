"""Large arrays on disk while a stage fills them, so that memory stays bounded."""

import errno
import io
import os
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import FloatArray
from oxytomo.io.atomic import remove_stale, unwritable
from oxytomo.slabs import Box, Field, workspace

IN_MEMORY_BYTES = 512 * 2**20
"""Arrays up to this size stay in memory."""
FIELD_BYTES = 160 * 2**20
"""Fields up to this size stay in memory; a stage has about ten of them."""


@contextmanager
def scratch_arrays(beside: Path, shapes: dict[str, tuple[int, ...]]) -> Iterator[dict[str, FloatArray]]:
    """Give float32 arrays to fill.

    Large ones are files in a hidden folder that is removed when the block ends.

    Parameters
    ----------
    beside : the store that will be written; the hidden folder is next to it
    shapes : shape of each array, by name
    """
    with _scratch_folder(beside) as folder:
        try:
            arrays = {name: _array(folder / name, shape) for name, shape in shapes.items()}
        except OSError as error:
            raise unwritable(beside, error) from error
        yield arrays
        arrays.clear()


@contextmanager
def _scratch_folder(beside: Path) -> Iterator[Path]:
    """Give a hidden folder next to a store; it is removed when the block ends."""
    place = beside.with_name(f"{beside.stem}_scratch")
    folder = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        # Clean up first: later, the folder of this process would look like one left by an earlier
        # run.
        remove_stale(place)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(beside, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _array(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """Return an array to fill, in a file where it is large."""
    n_bytes = 4 * int(np.prod(shape))
    if n_bytes <= IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    with path.open("wb") as file:
        file.truncate(n_bytes)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            # A memory map of a file ends the process if it is written to on a full disk.
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    return np.memmap(path, np.float32, "r+", shape=shape)


class ScratchField:
    """An array in a file that is read and written by slices of step 1.

    It does not use a memory map: writing to one on a full disk ends the process, and mapped pages
    count as memory.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.ndim = len(shape)
        with path.open("wb") as file:
            file.truncate(int(np.prod(shape)) * self.dtype.itemsize)
        # Its disk space is free again as soon as nothing uses it.
        weakref.finalize(self, path.unlink, missing_ok=True)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        box, kept = self._box(key)
        found = np.empty(_sides(box), self.dtype)
        with self.path.open("rb", buffering=0) as file:
            for start, index, inner in self._runs(box):
                if inner is None:
                    _read(file, start, found[index])
                else:
                    lines = np.empty(self._lines(box), self.dtype)
                    _read(file, start, lines)
                    found[index] = lines[inner]
        return found.reshape(kept)

    def __setitem__(self, key: Any, value: Any) -> None:
        box, kept = self._box(key)
        given = np.broadcast_to(np.asarray(value, self.dtype), kept).reshape(_sides(box))
        with self.path.open("r+b", buffering=0) as file:
            for start, index, inner in self._runs(box):
                lines = given[index]
                if inner is not None:
                    lines = np.empty(self._lines(box), self.dtype)
                    _read(file, start, lines)
                    lines[inner] = given[index]
                _write(file, start, lines)

    def _box(self, key: Any) -> tuple[Box, tuple[int, ...]]:
        """Return a key as one slice for each axis, and the shape of what it selects."""
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *([slice(None)] * (self.ndim - len(keys))))
        box, kept = [], []
        for one, side in zip(keys, self.shape, strict=True):
            if isinstance(one, slice):
                start, stop, step = one.indices(side)
                if step != 1:
                    raise IndexError(key)
                box.append(slice(start, max(start, stop)))
                kept.append(max(start, stop) - start)
            else:
                place = range(side)[one]
                box.append(slice(place, place + 1))
        return tuple(box), tuple(kept)

    def _axis(self, box: Box) -> int:
        """Return the axis from which on a box is contiguous in the file."""
        cut = [axis for axis, one in enumerate(box) if one != slice(0, self.shape[axis])]
        return min(max(cut, default=0), max(self.ndim - 2, 0))

    def _lines(self, box: Box) -> tuple[int, ...]:
        axis = self._axis(box)
        return (box[axis].stop - box[axis].start, *self.shape[axis + 1 :])

    def _runs(self, box: Box) -> Iterator[tuple[int, tuple[int, ...], Box | None]]:
        """Yield the contiguous pieces of a box: first byte, position, and part of the piece."""
        axis = self._axis(box)
        inner = (slice(None), *box[axis + 1 :])
        whole = all(
            one == slice(0, side) for one, side in zip(box[axis + 1 :], self.shape[axis + 1 :], strict=True)
        )
        for index in np.ndindex(*_sides(box[:axis])):
            first = [one.start + i for one, i in zip(box[:axis], index, strict=True)] + [box[axis].start]
            start = int(np.dot(first, [int(np.prod(self.shape[a + 1 :])) for a in range(axis + 1)]))
            yield start * self.dtype.itemsize, index, None if whole else inner


def _sides(box: Box) -> tuple[int, ...]:
    return tuple(one.stop - one.start for one in box)


def _read(file: io.FileIO, start: int, into: Any) -> None:
    """Fill an array from a place in a file."""
    file.seek(start)
    left = memoryview(into).cast("B") if into.size else memoryview(b"")
    while left.nbytes:
        n_read = file.readinto(left)
        if not n_read:
            raise OSError(errno.EIO, "a scratch file is shorter than it was made", file.name)
        left = left[n_read:]


def _write(file: io.FileIO, start: int, values: Any) -> None:
    """Write an array to a place in a file."""
    file.seek(start)
    plain: Any = np.ascontiguousarray(values)
    left = memoryview(plain).cast("B") if plain.size else memoryview(b"")
    while left.nbytes:
        left = left[file.write(left) :]


@contextmanager
def scratch_fields(beside: Path) -> Iterator[None]:
    """Keep new fields on disk if they are large, until the block ends.

    Parameters
    ----------
    beside : the store that will be written; the files are in a hidden folder next to it
    """
    with _scratch_folder(beside) as folder:
        numbers = count()

        def allocate(shape: tuple[int, ...], dtype: Any) -> Field:
            if np.dtype(dtype).itemsize * int(np.prod(shape)) <= FIELD_BYTES:
                return np.zeros(shape, dtype)
            return ScratchField(folder / str(next(numbers)), shape, dtype)

        with workspace(allocate):
            yield
