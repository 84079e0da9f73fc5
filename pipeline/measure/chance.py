"""Is it more than chance? Means over some voxels of a particle against what their depth and random placement give."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import BoolArray, Float64Array, FloatArray

FEWEST = 30
"""Depths with fewer voxels are put together with the next ones."""
MOST_VOXELS = 20_000
"""So many voxels, chosen at random, stand for a larger set in the random placements."""


@dataclass(frozen=True)
class Against:
    """A mean over voxels against chance.

    Attributes
    ----------
    value : mean over the voxels
    expected : mean of all voxels of the particle that are as deep
    low, high : where random placements lie, with the wanted confidence; NaN without placements
    p_value : share of the placements that are at least as far from ``expected``
    """

    value: float
    expected: float
    low: float
    high: float
    p_value: float


def depth_levels(depth_nm: FloatArray, inside: BoolArray, *, voxel_nm: float) -> NDArray[np.int32]:
    """Return a number for the depth of each voxel, −1 outside; levels are a voxel thick and hold ``FEWEST`` voxels at least.

    Parameters
    ----------
    depth_nm : (n_z, n_y, n_x) array, finite inside
    inside : bool, the particle
    voxel_nm : edge of a voxel
    """
    layer = np.full(depth_nm.shape, -1, np.int32)
    layer[inside] = np.maximum(depth_nm[inside] / voxel_nm, 0).astype(np.int32)
    counts = np.bincount(layer[inside])
    # From the centre outwards: the deepest layers are the smallest.
    level, number, held = np.zeros(len(counts), np.int32), 0, 0
    for index in range(len(counts) - 1, -1, -1):
        level[index] = number
        held += int(counts[index])
        if held >= FEWEST:
            number, held = number + 1, 0
    if held and number:
        level[level == number] = number - 1
    layer[inside] = level[layer[inside]]
    return layer


def mean_by_level(values: FloatArray, levels: NDArray[np.int32]) -> FloatArray:
    """Return, at each voxel inside, the mean of the finite values of its level; NaN outside."""
    known = (levels >= 0) & np.isfinite(values)
    count = np.bincount(levels[known], minlength=int(levels.max()) + 1)
    total = np.bincount(levels[known], values[known], minlength=len(count))
    with np.errstate(invalid="ignore"):
        means = np.append(total / count, np.nan).astype(np.float32)
    found: FloatArray = means[levels]
    return found


def against_chance(
    values: FloatArray,
    member: BoolArray,
    levels: NDArray[np.int32],
    *,
    rotations: Float64Array,
    confidence: float,
    rng: np.random.Generator,
) -> Against:
    """Compare a mean over voxels with voxels as deep, and with the same pattern turned about the particle's centre.

    A turned pattern keeps its size and clustering, so that the interval knows that neighbouring voxels are no independent
    witnesses; what it gains or loses by lying deeper is taken out with the mean of each depth. Voxels that are turned out of
    the particle are left out.

    Parameters
    ----------
    values : (n_z, n_y, n_x) array, NaN where unknown
    member : bool, the voxels
    levels : from :func:`depth_levels`
    rotations : (n, 3, 3) random rotations
    confidence : of the interval
    rng : random numbers, for large sets
    """
    expected = mean_by_level(values, levels)
    excess = values - expected
    chosen = member & np.isfinite(excess)
    if not chosen.any():
        return Against(*[float("nan")] * 5)
    value, wanted = (float(array[chosen].mean(dtype=np.float64)) for array in (values, expected))
    turned = _turned_means(excess, chosen, _centre(levels >= 0), rotations, rng)
    turned = turned[np.isfinite(turned)]
    if len(turned) < 2:
        return Against(value, wanted, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(turned, [(1 - confidence) / 2, (1 + confidence) / 2])
    beyond = int((np.abs(turned) >= abs(value - wanted)).sum())
    return Against(value, wanted, wanted + float(low), wanted + float(high), (1 + beyond) / (1 + len(turned)))


def _centre(inside: BoolArray) -> Float64Array:
    along = [inside.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    return np.array([float(counts @ np.arange(len(counts)) / counts.sum()) for counts in along])


def _turned_means(
    excess: FloatArray,
    chosen: BoolArray,
    centre: Float64Array,
    rotations: Float64Array,
    rng: np.random.Generator,
) -> Float64Array:
    """Return the mean of ``excess`` over the chosen voxels turned in each way; NaN where none stays in the particle."""
    index = np.flatnonzero(chosen)
    if len(index) > MOST_VOXELS:
        index = index[rng.choice(len(index), MOST_VOXELS, replace=False)]
    places = (np.stack(np.unravel_index(index, chosen.shape), axis=1) - centre).astype(np.float32)
    means = np.full(len(rotations), np.nan)
    for number, rotation in enumerate(rotations.astype(np.float32)):
        found = np.rint(places @ rotation.T + centre.astype(np.float32)).astype(np.int64)
        found = found[((found >= 0) & (found < excess.shape)).all(axis=1)]
        values = excess[tuple(found.T)]
        values = values[np.isfinite(values)]
        if values.size:
            means[number] = values.mean(dtype=np.float64)
    return means
