"""Large arrays on disk while a stage fills them, so that memory stays bounded whatever the size of a stack."""

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

from pipeline.arrays import FloatArray
from pipeline.io.atomic import remove_stale, unwritable
from pipeline.slabs import Allocate, Field

IN_MEMORY_BYTES = 512 * 2**20
"""Arrays up to this size stay in memory."""
FIELD_BYTES = 160 * 2**20
"""Fields up to this size stay in memory; a stage has about ten of them."""


@contextmanager
def scratch_arrays(beside: Path, shapes: dict[str, tuple[int, ...]]) -> Iterator[dict[str, FloatArray]]:
    """Give float32 arrays to fill; large ones are files in a hidden folder that goes when the block ends.

    Parameters
    ----------
    beside : the store that will be written; the hidden folder is next to it
    shapes : per name the shape
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
    """Give a hidden folder next to a store that goes when the block ends."""
    place = beside.with_name(f"{beside.stem}_scratch")
    folder = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        # First: of its own folders a process takes any for one that an earlier run left behind.
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
    if 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    return np.memmap(path, np.float32, "w+", shape=shape)


class ScratchField:
    """An array in a file that is read and written by slices, so that only these are in memory."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.ndim = len(shape)
        with path.open("wb") as file:
            file.truncate(int(np.prod(shape)) * self.dtype.itemsize)
        # Its room on the disk is free again as soon as nobody needs it.
        weakref.finalize(self, path.unlink, missing_ok=True)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.array(np.memmap(self.path, self.dtype, "r", shape=self.shape)[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        np.memmap(self.path, self.dtype, "r+", shape=self.shape)[key] = value


@contextmanager
def scratch_fields(beside: Path) -> Iterator[Allocate]:
    """Give a function that makes fields of zeros, in files where they are large, until the block ends.

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

        yield allocate
