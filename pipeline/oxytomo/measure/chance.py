"""Significance against chance: means over voxels compared by depth and with random placement."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.slabs import (
    Field,
    fill,
    gather,
    in_parts,
    largest,
    mapped,
    new_field,
    read,
    slabs,
)

FEWEST = 30
"""Depth levels with fewer voxels are merged with the next ones."""
MOST_VOXELS = 20_000
"""Larger sets are represented by this many random voxels in the random placements."""
TURNED_AT_ONCE = 50
"""Number of random placements whose values are looked up together."""


@dataclass(frozen=True)
class Against:
    """A mean over voxels against chance.

    Attributes
    ----------
    value : mean over the voxels
    expected : mean of all voxels of the particle at the same depth
    low, high : interval of the random placements at the given confidence; NaN without placements
    p_value : share of the placements that are at least as far from ``expected``
    """

    value: float
    expected: float
    low: float
    high: float
    p_value: float


def depth_levels(depth_nm: Field, inside: Field, *, voxel_nm: float) -> Any:
    """Return the depth level of each voxel, −1 outside.

    Levels are one voxel thick and hold at least ``FEWEST`` voxels.

    Parameters
    ----------
    depth_nm : (n_z, n_y, n_x) field, finite inside
    inside : bool, the particle
    voxel_nm : edge of a voxel, nm
    """

    def layers(depth: FloatArray) -> NDArray[np.int32]:
        return np.maximum(depth / voxel_nm, 0).astype(np.int32)

    counts = np.zeros(0, np.int64)
    for depth, inner in in_parts(depth_nm, inside):
        more = np.bincount(layers(depth[inner]), minlength=len(counts))
        more[: len(counts)] += counts
        counts = more
    # From the centre outwards: the deepest layers are the smallest.
    level, number, held = np.zeros(len(counts), np.int32), 0, 0
    for index in range(len(counts) - 1, -1, -1):
        level[index] = number
        held += int(counts[index])
        if held >= FEWEST:
            number, held = number + 1, 0
    if held and number:
        level[level == number] = number - 1

    def numbered(depth: FloatArray, inner: BoolArray) -> NDArray[np.int32]:
        found = np.full(depth.shape, -1, np.int32)
        found[inner] = level[layers(depth[inner])]
        return found

    levels = new_field(depth_nm.shape, np.int32)
    fill(levels, numbered, depth_nm, inside)
    return levels


def level_means(values: Field, levels: Field) -> FloatArray:
    """Return the mean of the finite values of each level, and NaN as the last for outside (−1)."""
    n_levels = largest(levels) + 1
    count, total = np.zeros(n_levels), np.zeros(n_levels)
    for part, level in in_parts(values, levels):
        known = (level >= 0) & np.isfinite(part)
        count += np.bincount(level[known], minlength=n_levels)
        total += np.bincount(level[known], part[known], minlength=n_levels)
    with np.errstate(invalid="ignore"):
        return np.append(total / count, np.nan).astype(np.float32)


def against_chance(
    values: Field,
    member: Field,
    levels: Field,
    *,
    rotations: Float64Array,
    confidence: float,
    rng: np.random.Generator,
) -> Against:
    """Compare a mean over voxels with voxels of the same depth and with random rotations.

    The pattern is rotated about the particle's centre.

    A rotated pattern keeps its size and clustering, so the interval takes into account that
    neighbouring voxels are not independent. The effect of a different depth is removed with the
    mean of each depth level. Voxels that are rotated out of the particle are left out.

    Parameters
    ----------
    values : (n_z, n_y, n_x) field, NaN where unknown
    member : bool, the voxels of the pattern
    levels : from :func:`depth_levels`
    rotations : (n, 3, 3) random rotations
    confidence : confidence of the interval
    rng : random numbers, for large sets
    """
    means = level_means(values, levels)
    excess = mapped(values, lambda part, level: part - means[level], np.float32, levels)
    chosen = mapped(member, lambda one, part: one & np.isfinite(part), np.bool_, excess)
    count, total, wanted = 0, 0.0, 0.0
    for one, part, level in in_parts(chosen, values, levels):
        count += int(one.sum())
        total += float(part[one].sum(dtype=np.float64))
        wanted += float(means[level[one]].sum(dtype=np.float64))
    if not count:
        return Against(*[float("nan")] * 5)
    value, wanted = total / count, wanted / count
    turned = _turned_means(excess, _some(chosen, count, rng), _centre(levels), rotations)
    turned = turned[np.isfinite(turned)]
    if len(turned) < 2:
        return Against(value, wanted, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(turned, [(1 - confidence) / 2, (1 + confidence) / 2])
    beyond = int((np.abs(turned) >= abs(value - wanted)).sum())
    return Against(value, wanted, wanted + float(low), wanted + float(high), (1 + beyond) / (1 + len(turned)))


def _centre(levels: Field) -> Float64Array:
    """Return the index of the centre of the particle."""
    along = [np.zeros(side, np.int64) for side in levels.shape]
    for slab in slabs(levels.shape):
        inside = read(levels, slab.rows) >= 0
        along[0][slab.rows] = inside.sum(axis=(1, 2))
        along[1] += inside.sum(axis=(0, 2))
        along[2] += inside.sum(axis=(0, 1))
    return np.array([float(counts @ np.arange(len(counts)) / counts.sum()) for counts in along])


def _some(chosen: Field, count: int, rng: np.random.Generator) -> IntArray:
    """Return the positions (n, 3) of the chosen voxels, or of a random sample of them."""
    number = rng.choice(count, MOST_VOXELS, replace=False) if count > MOST_VOXELS else np.arange(count)
    places, before = np.zeros((len(number), 3), np.int64), 0
    for slab in slabs(chosen.shape):
        part = read(chosen, slab.rows)
        flat = np.flatnonzero(part)
        own = np.flatnonzero((number >= before) & (number < before + len(flat)))
        found = np.unravel_index(flat[number[own] - before], part.shape)
        places[own] = np.stack(found, axis=1) + np.array([slab.rows.start, 0, 0])
        before += len(flat)
    return places


def _turned_means(
    excess: Field, places: IntArray, centre: Float64Array, rotations: Float64Array
) -> Float64Array:
    """Return the mean of ``excess`` over the positions, for each rotation.

    NaN where no position stays in the particle.
    """
    means = np.full(len(rotations), np.nan)
    away, middle = (places - centre).astype(np.float32), centre.astype(np.float32)
    for start in range(0, len(rotations), TURNED_AT_ONCE):
        some = rotations[start : start + TURNED_AT_ONCE].astype(np.float32)
        turned = np.rint(away @ some.transpose(0, 2, 1) + middle).astype(np.int32)
        stays = ((turned >= 0) & (turned < excess.shape)).all(axis=2)
        values = gather(excess, turned[stays])
        for number, own in enumerate(np.split(values, np.cumsum(stays.sum(axis=1))[:-1]), start):
            known = own[np.isfinite(own)]
            if known.size:
                means[number] = known.mean(dtype=np.float64)
    return means
