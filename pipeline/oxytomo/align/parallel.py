"""Frames of a series in parallel: SciPy uses one thread per frame and releases the lock."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numba import get_num_threads

from oxytomo.arrays import FloatArray

Result = TypeVar("Result")
GROUP_PIXELS = 16_000_000
"""Frames are processed in groups of this many pixels, or of one frame per thread."""


def map_frames(function: Callable[..., Result], *stacks: Iterable[Any]) -> list[Result]:
    """Apply a function to the frames of one or several stacks, in order.

    As many run in parallel as Numba has threads.
    """
    with ThreadPoolExecutor(get_num_threads()) as pool:
        return list(pool.map(function, *stacks))


def stack_frames(
    function: Callable[..., FloatArray], first: FloatArray, *others: Iterable[Any]
) -> FloatArray:
    """Apply a function that keeps the shape of a frame to all frames of a stack, in parallel.

    Returns (n, n_y, n_x) float32.
    """
    found = np.empty(first.shape, np.float32)
    with ThreadPoolExecutor(get_num_threads()) as pool:
        for index, frame in enumerate(pool.map(function, first, *others)):
            found[index] = frame
    return found


def frame_groups(shape: tuple[int, ...]) -> Iterator[slice]:
    """Split a series (n, n_y, n_x) into groups of frames, so that memory does not grow with n."""
    size = max(get_num_threads(), GROUP_PIXELS // max(shape[1] * shape[2], 1))
    for start in range(0, shape[0], size):
        yield slice(start, min(start + size, shape[0]))
