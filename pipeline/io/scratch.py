"""Large arrays on disk while a stage fills them, so that memory stays bounded whatever the size of a stack."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.arrays import FloatArray
from pipeline.io.atomic import remove_stale, unwritable

IN_MEMORY_BYTES = 512 * 2**20
"""Arrays up to this size stay in memory."""


@contextmanager
def scratch_arrays(beside: Path, shapes: dict[str, tuple[int, ...]]) -> Iterator[dict[str, FloatArray]]:
    """Give float32 arrays to fill; large ones are files in a hidden folder that goes when the block ends.

    Parameters
    ----------
    beside : the store that will be written; the hidden folder is next to it
    shapes : per name the shape
    """
    place = beside.with_name(f"{beside.stem}_scratch")
    folder = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        # First: of its own folders a process takes any for one that an earlier run left behind.
        remove_stale(place)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: _array(folder / name, shape) for name, shape in shapes.items()}
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(beside, error) from error
    try:
        yield arrays
    finally:
        arrays.clear()
        shutil.rmtree(folder, ignore_errors=True)


def _array(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """Return an array to fill, in a file where it is large."""
    if 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    return np.memmap(path, np.float32, "w+", shape=shape)
