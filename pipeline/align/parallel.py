"""Frames of a series side by side: SciPy works on one at a time, and lets other threads run meanwhile."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from numba import get_num_threads

Result = TypeVar("Result")


def map_frames(function: Callable[..., Result], *stacks: Iterable[Any]) -> list[Result]:
    """Apply a function to the frames of one or several stacks, as many at a time as Numba has threads; in order."""
    with ThreadPoolExecutor(get_num_threads()) as pool:
        return list(pool.map(function, *stacks))
