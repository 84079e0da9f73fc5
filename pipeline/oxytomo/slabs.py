"""Volumes in slabs: local operations process some rows at a time, so that memory is bounded.

A field is an array that need not be in memory: it has a shape and a type, and its rows are read and
written by slices. An ordinary array is a field.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import Field as Field
from oxytomo.arrays import IntArray

SLAB_VOXELS = 24_000_000
FEWEST_ROWS = 48
"""A slab has at least this number of rows: thinner slabs would be mostly halo."""
ROW_STEP = 4
"""Slabs start at multiples of this number of rows, so that bins never span two slabs."""
SAMPLE_VOXELS = 20_000_000
"""Medians use at most this number of voxels, on a grid over the whole volume."""

Box = tuple[slice, ...]


Allocate = Callable[[tuple[int, ...], Any], Field]
"""Makes a field of zeros of a shape and a type."""


@dataclass(frozen=True)
class Slab:
    """Rows of a volume: ``rows`` of the whole, ``wide`` with a halo, ``core`` within ``wide``."""

    rows: slice
    wide: slice
    core: slice


def slabs(shape: tuple[int, ...], *, halo: int = 0, times_thinner: int = 1) -> Iterator[Slab]:
    """Split a volume into slabs along its first axis; the halo ends at the volume's edge.

    ``times_thinner`` is for operations that need many times the memory of the volume and a short
    halo.
    """
    n = shape[0]
    thick = max(FEWEST_ROWS, SLAB_VOXELS // max(int(np.prod(shape[1:])), 1)) // times_thinner
    thick = max(thick // ROW_STEP * ROW_STEP, ROW_STEP)
    for start in range(0, n, thick):
        stop = min(start + thick, n)
        low = max(0, start - halo)
        yield Slab(slice(start, stop), slice(low, min(stop + halo, n)), slice(start - low, stop - low))


def read(field: Field, rows: slice) -> NDArray[Any]:
    """Return rows of a field as one block of memory."""
    return np.ascontiguousarray(field[rows])


def fill(
    target: Field,
    function: Callable[..., NDArray[Any]],
    *sources: Field,
    halo: int = 0,
    times_thinner: int = 1,
) -> None:
    """Fill a field with a function of others that depends on at most ``halo`` rows around.

    The slabs are those of :func:`slabs`.
    """
    for slab in slabs(target.shape, halo=halo, times_thinner=times_thinner):
        target[slab.rows] = function(*(read(source, slab.wide) for source in sources))[slab.core]


def in_parts(*fields: Field) -> Iterator[tuple[NDArray[Any], ...]]:
    """Iterate over the same rows of several fields, slab by slab."""
    for slab in slabs(fields[0].shape):
        yield tuple(read(field, slab.rows) for field in fields)


def count_set(mask: Field) -> int:
    """Return the number of voxels that are not 0."""
    return sum(int(np.count_nonzero(part)) for (part,) in in_parts(mask))


def faces(field: Field) -> list[NDArray[Any]]:
    """Return the six faces of a volume in parts; the four edges of a single slice."""
    sides: list[NDArray[Any]] = []
    for slab in slabs(field.shape):
        part = read(field, slab.rows)
        sides += [part[:, 0], part[:, -1], part[:, :, 0], part[:, :, -1]]
    n = field.shape[0]
    return sides + [read(field, slice(row, row + 1)) for row in ((0, n - 1) if n > 1 else ())]


def gather(field: Field, index: IntArray) -> NDArray[Any]:
    """Return the values at voxels, (n, 3) z y x."""
    if isinstance(field, np.ndarray):
        return np.asarray(field[tuple(index.T)])
    values = np.empty(len(index), field.dtype)
    for slab in slabs(field.shape):
        own = np.flatnonzero((index[:, 0] >= slab.rows.start) & (index[:, 0] < slab.rows.stop))
        if own.size:
            z, y, x = index[own].T
            values[own] = field[slab.rows][z - slab.rows.start, y, x]
    return values


def largest(field: Field) -> int:
    """Return the largest value of a field of labels."""
    return max(int(read(field, slab.rows).max(initial=0)) for slab in slabs(field.shape))


def sample_step(shape: tuple[int, ...]) -> int:
    """Return the sampling step in voxels along each axis; 1 for a small volume."""
    return int(np.ceil((float(np.prod(shape)) / SAMPLE_VOXELS) ** (1 / 3)))


def on_grid(part: NDArray[Any], rows: slice, step: int) -> NDArray[Any]:
    """Return every ``step``-th voxel of some rows of a volume, on one grid for the whole volume."""
    if part.shape[0] == 0:
        return part
    return part[-rows.start % step :: step, ::step, ::step]


class View:
    """A read-only field that is read through a function.

    Parameters
    ----------
    shape, dtype : of the values that are read
    load : returns the part that a key selects
    stored : type of the values in the file, if it is not ``dtype``
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, load: Callable[[Any], Any], *, stored: Any = None
    ) -> None:
        self.shape, self.dtype, self.ndim = tuple(int(n) for n in shape), np.dtype(dtype), len(shape)
        self.stored = self.dtype if stored is None else np.dtype(stored)
        self._load = load

    def __getitem__(self, key: Any) -> Any:
        return self._load(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        msg = "a view cannot be written"
        raise TypeError(msg)


class Part:
    """A part of a field, as a field; writing to it writes to the field.

    Parameters
    ----------
    field : the whole
    place : for the first axes, a number (the axis is dropped) or a slice with start and stop
    """

    def __init__(self, field: Field, place: tuple[int | slice, ...]) -> None:
        sides = tuple(one.stop - one.start for one in place if isinstance(one, slice))
        self.shape, self.dtype = (*sides, *field.shape[len(place) :]), field.dtype
        self._field, self._place = field, place

    def _key(self, key: Any) -> tuple[Any, ...]:
        """Return the key of the whole field for a key of the part."""
        keys = list(key) if isinstance(key, tuple) else [key]
        whole: list[Any] = []
        for one in self._place:
            if isinstance(one, slice):
                start, stop, _ = (keys.pop(0) if keys else slice(None)).indices(one.stop - one.start)
                whole.append(slice(one.start + start, one.start + stop))
            else:
                whole.append(one)
        return (*whole, *keys)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self._field[self._key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._field[self._key(key)] = value


def window(field: Field, box: Box) -> Field:
    """Return a box of a field; writing to it writes to the field."""
    return field[box] if isinstance(field, np.ndarray) else Part(field, box)


def plane(field: Field, index: int) -> Field:
    """Return one item along the first axis; writing to it writes to the field."""
    return field[index] if isinstance(field, np.ndarray) else Part(field, (index,))


def reordered(field: Field, order: IntArray) -> View:
    """Return a field with its items along the first axis in another order."""

    def load(key: Any) -> NDArray[Any]:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if np.ndim(order[first]) == 0:
            return np.asarray(field[(int(order[first]), *rest)])
        chosen = order[first]
        runs = np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1)
        parts = [field[(slice(int(r[0]), int(r[-1]) + 1), *rest)] for r in runs if len(r)]
        return np.concatenate(parts) if parts else np.asarray(field[(slice(0, 0), *rest)])

    return View((len(order), *field.shape[1:]), field.dtype, load)


def mapped(field: Field, function: Callable[..., NDArray[Any]], dtype: Any, *others: Field) -> View:
    """Return a field whose values are a function of others at the same position."""

    def load(key: Any) -> NDArray[Any]:
        parts = (np.asarray(one[key]) for one in (field, *others))
        return np.asarray(function(*parts), np.dtype(dtype))

    return View(field.shape, dtype, load)


def read_ahead(field: Field) -> View:
    """Return a field that keeps its rows for the next box: for boxes by increasing first row."""
    kept: tuple[slice, NDArray[Any]] = slice(0, 0), np.zeros((0,), np.uint8)

    def load(box: Box) -> NDArray[Any]:
        nonlocal kept
        low, stop = box[0].start, min(box[0].stop, field.shape[0])
        if low < kept[0].start or stop > kept[0].stop:
            rows = slice(low, min(max(stop, low + FEWEST_ROWS), field.shape[0]))
            kept = rows, read(field, rows)
        inner = slice(low - kept[0].start, stop - kept[0].start)
        return np.asarray(kept[1][(inner, *box[1:])])

    return View(field.shape, field.dtype, load)


def sampled(field: Field, mask: Field | None = None) -> NDArray[Any]:
    """Return the values (within a mask), on a grid for large volumes.

    See :func:`sample_step`.
    """
    step = sample_step(field.shape)
    found = []
    for slab in slabs(field.shape):
        values = on_grid(read(field, slab.rows), slab.rows, step)
        inside = ... if mask is None else on_grid(read(mask, slab.rows), slab.rows, step).astype(bool)
        found.append(values[inside].ravel())
    return np.concatenate(found)


def in_memory(shape: tuple[int, ...], dtype: Any) -> Field:
    """Return zeros in memory."""
    return np.zeros(shape, dtype)


_WORKSPACE: ContextVar[Allocate] = ContextVar("workspace", default=in_memory)


@contextmanager
def workspace(allocate: Allocate) -> Iterator[None]:
    """Let :func:`new_field` take its fields from a function until the block ends.

    The storage of the values does not change them. A thread started within the block has no
    workspace at first, so its fields are in memory.
    """
    before = _WORKSPACE.set(allocate)
    try:
        yield
    finally:
        _WORKSPACE.reset(before)


def new_field(shape: tuple[int, ...], dtype: Any) -> Field:
    """Return a field of zeros in the current :func:`workspace`, or in memory without one."""
    return _WORKSPACE.get()(shape, dtype)
