"""Large arrays on disk while a stage fills them block by block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.arrays import FloatArray
from pipeline.io.atomic import remove_stale, unwritable


@contextmanager
def scratch_array(beside: Path, name: str, shape: tuple[int, ...]) -> Iterator[FloatArray]:
    """Give a float32 array in a hidden file beside a store; the file goes when the block ends.

    Parameters
    ----------
    beside : path of the store that the array is for
    name : what the array is, part of the file's name
    shape : its shape
    """
    place = beside.with_name(f"{beside.stem}_{name}")
    path = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(place)
        array = np.memmap(path, np.float32, "w+", shape=shape)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise unwritable(beside, error) from error
    try:
        yield array
    finally:
        path.unlink(missing_ok=True)
