"""Blocks: memory layout of volumes and sinograms during projection.

All slices of a parallel-beam scan share one geometry, so the slice index is the innermost,
contiguous axis: volumes are ``(block, y, x, slice)`` and sinograms ``(block, tilt, s, slice)``.
Lines of slices start at cache lines. A vector across two cache lines costs as much as two
(projections take 1.4 to 1.7 times as long).
"""

from typing import Final

import numpy as np
from numba import prange

from oxytomo.arrays import FloatArray, IntArray
from oxytomo.reconstruct.lines import WIDTH
from oxytomo.threads import parallel_kernel

SLICES: Final = 128
"""Largest number of slices per block: 512 bytes of float32, eight cache lines."""
LINE: Final = WIDTH
"""The number of slices of a block is a multiple of a cache line."""
_BYTES: Final = 64


def empty_blocks(shape: tuple[int, ...]) -> FloatArray:
    """Return an uninitialised array of float32 that starts at a cache line."""
    size = 4 * int(np.prod(shape))
    room = np.empty(size + _BYTES, np.uint8)
    first = -room.ctypes.data % _BYTES
    return room[first : first + size].view(np.float32).reshape(shape)


def zero_blocks(shape: tuple[int, ...]) -> FloatArray:
    """Return zeros of float32 that start at a cache line."""
    blocks = empty_blocks(shape)
    blocks.fill(0)
    return blocks


def copy_of(blocks: FloatArray) -> FloatArray:
    """Return a copy that starts at a cache line."""
    copy = empty_blocks(blocks.shape)
    copy[...] = blocks
    return copy


def slices_per_block(n_z: int) -> int:
    """Width of the blocks for ``n_z`` slices."""
    fewest = max(1, -(-n_z // SLICES))
    return LINE * max(1, -(-n_z // (fewest * LINE)))


def to_blocks(array: FloatArray) -> FloatArray:
    """Move the slice axis innermost: (n_z, a, b) → (block, a, b, slice).

    The last block is padded with zeros.

    Slices are spread evenly over the smallest number of blocks, so that the padding is small.
    """
    n_z, n_a, n_b = array.shape
    n_k = slices_per_block(n_z)
    blocks = zero_blocks((-(-n_z // n_k), n_a, n_b, n_k))
    _to_blocks(np.ascontiguousarray(array, np.float32), blocks)
    return blocks


def from_blocks(blocks: FloatArray, n_z: int) -> FloatArray:
    """Undo :func:`to_blocks`: (block, a, b, slice) → (n_z, a, b)."""
    array = np.empty((n_z, blocks.shape[1], blocks.shape[2]), np.float32)
    _from_blocks(blocks, array)
    return array


def sinogram_blocks(projections: FloatArray) -> FloatArray:
    """Projections (n_tilt, n_z, n_s) → sinogram blocks (block, tilt, s, slice)."""
    return to_blocks(projections.transpose(1, 0, 2))


def projections_from_blocks(blocks: FloatArray, n_z: int) -> FloatArray:
    """Sinogram blocks (block, tilt, s, slice) → projections (n_tilt, n_z, n_s)."""
    return np.ascontiguousarray(from_blocks(blocks, n_z).transpose(1, 0, 2))


def extents(inside: FloatArray) -> IntArray:
    """First non-zero vector of LINE slices of a mask, and the one after the last.

    They are given for each line of a mask (block, y, x, slice).

    Returns
    -------
    (block, y, x, 2) int64; equal numbers where a line is 0
    """
    some = np.asarray(inside.reshape(*inside.shape[:3], -1, LINE).any(axis=-1))
    first, last = some.argmax(axis=-1), some.shape[-1] - some[..., ::-1].argmax(axis=-1)
    none = ~np.asarray(some.any(axis=-1))
    first[none] = last[none] = 0
    return np.stack([first, last], axis=-1)


@parallel_kernel(nogil=True)
def _to_blocks(array, blocks):  # type: ignore[no-untyped-def]
    n_z, n_a, n_b = array.shape
    n_k = blocks.shape[3]
    for a in prange(n_a):
        for z in range(n_z):
            block, k = z // n_k, z % n_k
            for b in range(n_b):
                blocks[block, a, b, k] = array[z, a, b]


@parallel_kernel(nogil=True)
def _from_blocks(blocks, array):  # type: ignore[no-untyped-def]
    n_z, n_a, n_b = array.shape
    n_k = blocks.shape[3]
    for a in prange(n_a):
        for z in range(n_z):
            block, k = z // n_k, z % n_k
            for b in range(n_b):
                array[z, a, b] = blocks[block, a, b, k]
