"""Positions of composition classes relative to voids and surface, and composition near voids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.measure.chance import Against, against_chance, level_means
from oxytomo.measure.shells import replicate_errors
from oxytomo.measure.tables import table
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.segment.distances import distance_inside
from oxytomo.slabs import (
    Field,
    count_set,
    fill,
    in_parts,
    mapped,
    new_field,
    read,
    slabs,
)

if TYPE_CHECKING:
    import pandas as pd

FEATURES = ("pore", "crack", "void", "surface")

DISTANCE_COLUMNS = (
    "class",
    "feature",
    "volume_nm3",
    "mean_distance_nm",
    "expected_nm",
    "chance_low_nm",
    "chance_high_nm",
    "p_value",
    "null_run_nm",
)

NEIGHBOURHOOD_COLUMNS = (
    "kind",
    "number",
    "centroid_z_nm",
    "centroid_y_nm",
    "centroid_x_nm",
    "n_voxels",
    "mean_deviation",
    "standard_error",
    "expected_deviation",
    *CLASS_LABELS,
)


def distances_nm(
    voids: Field, depth_nm: Field, *, pore: int, crack: int, voxel_nm: float
) -> dict[str, Field]:
    """Return the distance of each voxel to the nearest pore, crack, void and to the surface.

    NaN where there is no such feature.

    Parameters
    ----------
    voids : (n_z, n_y, n_x) labels
    depth_nm : depth below the surface, nm
    pore, crack : labels in ``voids``
    voxel_nm : edge of a voxel, nm
    """
    kinds = {"pore": (pore,), "crack": (crack,), "void": (pore, crack)}
    found: dict[str, Field] = {}
    for name, labels in kinds.items():
        away = mapped(voids, lambda part, labels=labels: ~np.isin(part, labels), np.bool_)
        if all(part.all() for (part,) in in_parts(away)):
            found[name] = mapped(voids, lambda part: np.full(part.shape, np.nan), np.float32)
            continue
        distance = new_field(voids.shape, np.float32)
        distance_inside(away, distance)
        found[name] = mapped(distance, lambda part: part * np.float32(voxel_nm), np.float32)
    return found | {"surface": depth_nm}


def distance_table(
    distances: Mapping[str, Field],
    phases: Field,
    null_phases: Field | None,
    levels: Field,
    *,
    voxel_nm: float,
    rotations: Float64Array,
    confidence: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Compare the distance of each class to each feature with chance.

    Parameters
    ----------
    distances : from :func:`distances_nm`
    phases, null_phases : (n_z, n_y, n_x) classes, and those of the null run or None
    levels : from :func:`oxytomo.measure.chance.depth_levels`
    voxel_nm : edge of a voxel, nm
    rotations, confidence, rng : see :func:`oxytomo.measure.chance.against_chance`

    Returns
    -------
    table : one row per class and feature: ``class``, ``feature`` (text), ``volume_nm3``,
        ``mean_distance_nm``, ``expected_nm``, ``chance_low_nm``, ``chance_high_nm``, ``p_value``,
        ``null_run_nm`` (float64)
    """
    inside = mapped(levels, lambda part: part >= 0, np.bool_)
    rows = []
    for name, label in CLASS_LABELS.items():
        member = of_class(phases, label, levels)
        volume = count_set(member) * voxel_nm**3
        for feature in FEATURES:
            values = distances[feature]
            turns = rotations[:0] if feature == "surface" else rotations
            found = against_chance(values, member, levels, rotations=turns, confidence=confidence, rng=rng)
            expected = mean_of(values, inside) if feature == "surface" else found.expected
            null = np.nan if null_phases is None else mean_of(values, of_class(null_phases, label, levels))
            rows.append(
                (name, feature, volume, found.value, expected, found.low, found.high, found.p_value, null)
            )
    return table(dict(zip(DISTANCE_COLUMNS, zip(*rows, strict=True), strict=True)))


def near_shares(
    void_distance_nm: Field,
    phases: Field,
    null_phases: Field | None,
    levels: Field,
    *,
    near_nm: float,
    rotations: Float64Array,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, tuple[Against, float]]:
    """Return the share of each class near a void, compared with chance, and in the null run.

    Near means within ``near_nm``.
    """
    near = mapped(
        void_distance_nm,
        lambda part: np.where(np.isfinite(part), part <= near_nm, np.nan),
        np.float32,
    )
    found = {}
    for name, label in CLASS_LABELS.items():
        member = of_class(phases, label, levels)
        against = against_chance(near, member, levels, rotations=rotations, confidence=confidence, rng=rng)
        null = np.nan if null_phases is None else mean_of(near, of_class(null_phases, label, levels))
        found[name] = (against, null)
    return found


def of_class(phases: Field, label: int, levels: Field) -> Field:
    """Return the voxels of the particle that belong to a class."""
    return mapped(phases, lambda part, level: (part == label) & (level >= 0), np.bool_, levels)


def neighbourhoods(instances: Field, inside: Field, *, near_nm: float, voxel_nm: float) -> Field:
    """Return the number of the void in whose neighbourhood each voxel lies, 0 for none; int32.

    Parameters
    ----------
    instances : (n_z, n_y, n_x) numbers of voids, 0 elsewhere
    inside : bool, the particle
    near_nm : radius of a neighbourhood, nm
    voxel_nm : edge of a voxel, nm
    """

    def nearest(numbers: NDArray[np.int32], inner: BoolArray) -> NDArray[np.int32]:
        if not numbers.any():
            return np.zeros(numbers.shape, np.int32)
        distance, place = distance_transform_edt(numbers == 0, return_indices=True)
        near = inner & (numbers == 0) & (distance * voxel_nm <= near_nm)
        return np.where(near, numbers[tuple(place)], 0).astype(np.int32)

    labels = new_field(instances.shape, np.int32)
    fill(labels, nearest, instances, inside, halo=int(near_nm / voxel_nm) + 1, times_thinner=2)
    return labels


@dataclass(frozen=True)
class Neighbourhoods:
    """Voids and their neighbourhoods, on one grid.

    Attributes
    ----------
    labels : (n_z, n_y, n_x) int32 field, from :func:`neighbourhoods`
    instances : numbers of the voids: pores 1 … n_pores, then cracks
    n_voids, n_pores : number of voids, and of pores among them
    """

    labels: Field
    instances: Field
    n_voids: int
    n_pores: int


def neighbourhood_table(
    near: Neighbourhoods,
    deviation: Field,
    replicates: Sequence[Field],
    phases: Field,
    levels: Field,
    *,
    voxel_nm: float,
) -> pd.DataFrame:
    """Measure the composition beside each void.

    Parameters
    ----------
    near : the voids and their neighbourhoods
    deviation : (n_z, n_y, n_x) field, NaN where unknown
    replicates : deviations of noise replicates, each (n_z, n_y, n_x)
    phases, levels : classes; from :func:`oxytomo.measure.chance.depth_levels`
    voxel_nm : edge of a voxel, nm

    Returns
    -------
    table : one row per void: ``kind`` (text), ``number`` (row of ``pores.csv`` or ``cracks.csv``,
        int64), ``centroid_z_nm``, ``centroid_y_nm``, ``centroid_x_nm`` (on the composition's grid,
        from the centre of its first voxel), ``n_voxels`` (int64), ``mean_deviation``,
        ``standard_error`` (NaN without two replicates), ``expected_deviation`` and the fraction of
        each class (float64)
    """
    count, means = _means_beside(near, deviation, phases, levels)
    centroid = _centroids(near.instances, near.n_voids)
    error = np.full(near.n_voids, np.nan)
    if len(replicates) >= 2:
        known = mapped(near.labels, lambda own, v: np.where(np.isfinite(v), own, 0), np.int32, deviation)
        error = replicate_errors(replicates, known, means["mean_deviation"], n_shells=near.n_voids)
    number = np.arange(1, near.n_voids + 1)
    is_pore = number <= near.n_pores
    columns = {
        "kind": np.where(is_pore, "pore", "crack"),
        "number": np.where(is_pore, number, number - near.n_pores),
        **{f"centroid_{name}_nm": centroid[axis] * voxel_nm for axis, name in enumerate("zyx")},
        "n_voxels": count.astype(np.int64),
        "standard_error": error,
        **means,
    }
    return table({name: columns[name] for name in NEIGHBOURHOOD_COLUMNS})


def _means_beside(
    near: Neighbourhoods, deviation: Field, phases: Field, levels: Field
) -> tuple[Float64Array, dict[str, Float64Array]]:
    """Return, per void, the number of voxels near it, and means over them by column."""
    expected, size = level_means(deviation, levels), near.n_voids + 1
    totals = {name: np.zeros(size) for name in ("mean_deviation", "expected_deviation", *CLASS_LABELS)}
    count = np.zeros(size)
    for labels, value, phase, level in in_parts(near.labels, deviation, phases, levels):
        known = (labels > 0) & np.isfinite(value)
        own = labels[known]
        count += np.bincount(own, minlength=size)
        totals["mean_deviation"] += np.bincount(own, value[known], minlength=size)
        totals["expected_deviation"] += np.bincount(own, expected[level[known]], minlength=size)
        for name, label in CLASS_LABELS.items():
            totals[name] += np.bincount(own, phase[known] == label, minlength=size)
    with np.errstate(invalid="ignore"):
        return count[1:], {name: (total / count)[1:] for name, total in totals.items()}


def _centroids(instances: Field, n_voids: int) -> Float64Array:
    """Return the centroids of voids in voxels, (3, n_voids) z y x; NaN for voids without voxels."""
    size, middle = np.zeros(n_voids + 1), np.zeros((3, n_voids + 1))
    for slab in slabs(instances.shape):
        void = read(instances, slab.rows)
        where = np.nonzero(void > 0)
        size += np.bincount(void[where], minlength=n_voids + 1)
        for axis, place in enumerate(where):
            first = slab.rows.start if axis == 0 else 0
            middle[axis] += np.bincount(void[where], place + first, minlength=n_voids + 1)
    with np.errstate(invalid="ignore"):
        centroid: Float64Array = (middle / size)[:, 1:]
    return centroid


def mean_of(values: Field, where: Field) -> float:
    """Return the mean of the finite values within a mask; NaN without values."""
    count, total = 0, 0.0
    for part, inside in in_parts(values, where):
        chosen = part[inside]
        chosen = chosen[np.isfinite(chosen)]
        count, total = count + chosen.size, total + float(chosen.sum(dtype=np.float64))
    return total / count if count else float("nan")
