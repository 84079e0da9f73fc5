"""Resolution levels by factors of two: mean for images, most frequent value for labels."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import FloatArray

SLAB = 16
"""Number of coarse planes that are computed at once."""


def level_shapes(shape: tuple[int, ...], *, levels: int | None, largest_side: int) -> list[tuple[int, ...]]:
    """Return the shape of each resolution level, the finest first.

    Parameters
    ----------
    shape : (n_z, n_y, n_x) or (n_y, n_x)
    levels : number of levels; None: until the largest side is small enough
    largest_side : the size in voxels that is small enough

    Notes
    -----
    Sides are halved and rounded up; a side of one voxel is kept. The coarsest level is a single
    voxel.
    """
    shapes = [tuple(shape)]
    while len(shapes) < levels if levels is not None else max(shapes[-1]) > largest_side:
        if max(shapes[-1]) == 1:
            break
        shapes.append(tuple(-(-side // 2) for side in shapes[-1]))
    return shapes


def level_factors(shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return, per level and axis, how many voxels of the finest level one voxel spans.

    A side of one voxel cannot be halved, so the factor of that axis stays.
    """
    factors = [(1,) * len(shapes[0])]
    for finer in shapes[:-1]:
        pairs = zip(factors[-1], finer, strict=True)
        factors.append(tuple(factor * (2 if side > 1 else 1) for factor, side in pairs))
    return factors


def halve_by_mean(image: FloatArray) -> FloatArray:
    """Average blocks of two voxels along every axis; NaN is ignored.

    Parameters
    ----------
    image : (n_z, n_y, n_x) or (n_y, n_x) float32

    Returns
    -------
    Every side halved and rounded up, float32. A block at an odd end averages the voxels it has; a
    block without any number is NaN.
    """

    def mean(corners: NDArray[Any]) -> NDArray[Any]:
        known = ~np.isnan(corners)
        count = known.sum(axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            total = np.where(known, corners, 0.0).sum(axis=0, dtype=np.float64)
            return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)

    return _halve(image, mean)


def halve_by_mode(labels: NDArray[Any]) -> NDArray[Any]:
    """Take the most frequent label of blocks of two voxels along every axis.

    Parameters
    ----------
    labels : (n_z, n_y, n_x) or (n_y, n_x) integers

    Returns
    -------
    Every side halved and rounded up, same type. In a tie the largest label wins, so that thin
    layers of a rare class do not vanish in favour of the background.
    """

    def mode(corners: NDArray[Any]) -> NDArray[Any]:
        best, best_count = corners[0], np.zeros(corners.shape[1:], np.uint8)
        for corner in corners:
            count = (corners == corner).sum(axis=0, dtype=np.uint8)
            better = (count > best_count) | ((count == best_count) & (corner > best))
            best = np.where(better, corner, best)
            best_count = np.where(better, count, best_count)
        return best

    return _halve(labels, mode)


def _halve(array: NDArray[Any], reduce: Any) -> NDArray[Any]:
    """Apply ``reduce`` to the (2^ndim, …) voxels of every block, one slab of planes at a time."""
    result = np.empty(tuple(-(-side // 2) for side in array.shape), array.dtype)
    for first in range(0, result.shape[0], SLAB):
        planes = array[2 * first : 2 * (first + SLAB)]
        # Repeating the last voxel of an odd side changes neither the mean nor the mode of its
        # block.
        planes = np.pad(planes, [(0, side % 2) for side in planes.shape], mode="edge")
        result[first : first + SLAB] = reduce(np.stack(list(_corners(planes))))
    return result


def _corners(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for offsets in itertools.product((0, 1), repeat=array.ndim):
        yield array[tuple(slice(offset, None, 2) for offset in offsets)]
