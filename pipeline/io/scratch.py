"""Large arrays on disk while a stage fills them, so that memory stays bounded whatever the size of a stack."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.io.atomic import unwritable

IN_MEMORY_BYTES = 512 * 2**20
"""Arrays up to this size stay in memory."""


@contextmanager
def scratch_arrays(
    beside: Path, shapes: dict[str, tuple[int, ...]]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Give float32 arrays to fill; large ones are files in a hidden folder that goes when the block ends.

    Parameters
    ----------
    beside : the store that will be written; the hidden folder is next to it
    shapes : per name the shape
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{beside.name}.scratch-", dir=beside.parent) as folder:
        arrays: dict[str, NDArray[np.float32]] = {}
        for name, shape in shapes.items():
            if 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
                arrays[name] = np.empty(shape, np.float32)
                continue
            try:
                arrays[name] = np.memmap(Path(folder) / name, np.float32, "w+", shape=shape)
            except OSError as error:
                raise unwritable(beside, error) from error
        yield arrays
        arrays.clear()
