"""Where composition classes lie to voids and surface, and the composition beside each void."""

from collections.abc import Mapping, Sequence

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pipeline.arrays import BoolArray, Float64Array, FloatArray, LabelArray
from pipeline.measure.chance import Against, against_chance, mean_by_level
from pipeline.measure.shells import Column, replicate_errors
from pipeline.segment.classes import CLASS_LABELS
from pipeline.slabs import Field, slabs

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

DEFINITIONS = {
    "mean_distance_nm": "mean over the voxels of a class of the distance of their centres to the centre of the nearest voxel "
    "of a pore (half void or more), of a crack (touched by it) or of either (void); to the surface: depth below the skin of "
    "the structure's particle",
    "expected": "the same over all voxels of the particle that are as deep (layers of one voxel); for the surface, over all",
    "chance95": "where 95 % of random placements lie: the pattern of the class turned as a whole at random about the particle's "
    "centre, less the mean of each depth; null for the surface, whose distance is the depth, and without voids",
    "p_value": "share of the placements as far from expected as the measured value, or farther",
    "null_run": "the same for the classes that noise and reconstruction alone make in a particle of uniform composition; what "
    "is near voids there is an artefact",
    "near_share": "share of the voxels of a class that are within near_nm of a void",
    "near_mean_deviation": "mean deviation of voxels outside voids and within near_nm of one",
    "neighbourhood": "voxels of a void_neighbourhoods row: outside voids, within near_nm of this void and nearer to it than to "
    "any other",
    "standard_error": "of the mean deviation of a neighbourhood: standard deviation over the noise replicates; nothing else is "
    "in it, nor is the error of the registration",
    "expected_deviation": "mean deviation of all voxels of the particle as deep as those of the neighbourhood",
}


def distances_nm(
    voids: LabelArray, depth_nm: FloatArray, *, pore: int, crack: int, voxel_nm: float
) -> dict[str, FloatArray]:
    """Return the distance of each voxel to the nearest pore, crack, void and to the surface; NaN where there is none.

    Parameters
    ----------
    voids : (n_z, n_y, n_x) labels
    depth_nm : depth below the surface
    pore, crack : labels in ``voids``
    voxel_nm : edge of a voxel
    """
    masks = {"pore": voids == pore, "crack": voids == crack, "void": voids > 0}
    found = {name: _distance(mask) * np.float32(voxel_nm) for name, mask in masks.items()}
    return found | {"surface": depth_nm}


def _distance(mask: BoolArray) -> FloatArray:
    if not mask.any():
        return np.full(mask.shape, np.nan, np.float32)
    distance: FloatArray = edt.edt(np.ascontiguousarray(~mask), black_border=False)
    return distance


def distance_table(
    distances: Mapping[str, FloatArray],
    phases: LabelArray,
    null_phases: LabelArray | None,
    levels: NDArray[np.int32],
    *,
    voxel_nm: float,
    rotations: Float64Array,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Column]:
    """Compare the distance of each class to each feature with chance.

    Parameters
    ----------
    distances : from :func:`distances_nm`
    phases, null_phases : (n_z, n_y, n_x) classes, and those of the null run or None
    levels : from :func:`pipeline.measure.chance.depth_levels`
    voxel_nm : edge of a voxel
    rotations, confidence, rng : see :func:`pipeline.measure.chance.against_chance`

    Returns
    -------
    columns ``class``, ``feature``, ``volume_nm3``, ``mean_distance_nm``, ``expected_nm``, ``chance_low_nm``,
    ``chance_high_nm``, ``p_value``, ``null_run_nm``
    """
    inside = levels >= 0
    rows = []
    for name, label in CLASS_LABELS.items():
        member = (phases == label) & inside
        for feature in FEATURES:
            values = distances[feature]
            turns = rotations[:0] if feature == "surface" else rotations
            found = against_chance(values, member, levels, rotations=turns, confidence=confidence, rng=rng)
            expected = float(np.mean(values[inside])) if feature == "surface" else found.expected
            null = np.nan if null_phases is None else _mean(values, (null_phases == label) & inside)
            volume = int(member.sum()) * voxel_nm**3
            rows.append(
                (name, feature, volume, found.value, expected, found.low, found.high, found.p_value, null)
            )
    return {
        name: list(column) for name, column in zip(DISTANCE_COLUMNS, zip(*rows, strict=True), strict=True)
    }


def near_shares(
    void_distance_nm: FloatArray,
    phases: LabelArray,
    null_phases: LabelArray | None,
    levels: NDArray[np.int32],
    *,
    near_nm: float,
    rotations: Float64Array,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, tuple[Against, float]]:
    """Return the share of each class that is within ``near_nm`` of a void, against chance, and that of the null run."""
    near = np.where(np.isfinite(void_distance_nm), void_distance_nm <= near_nm, np.nan).astype(np.float32)
    found = {}
    for name, label in CLASS_LABELS.items():
        member = (phases == label) & (levels >= 0)
        against = against_chance(near, member, levels, rotations=rotations, confidence=confidence, rng=rng)
        null = np.nan if null_phases is None else _mean(near, (null_phases == label) & (levels >= 0))
        found[name] = (against, null)
    return found


def neighbourhoods(
    instances: NDArray[np.int32], inside: BoolArray, *, near_nm: float, voxel_nm: float
) -> NDArray[np.int32]:
    """Return the void to whose neighbourhood each voxel belongs, 0 where to none.

    Parameters
    ----------
    instances : (n_z, n_y, n_x) numbers of voids, 0 elsewhere
    inside : bool, the particle
    near_nm : how far a neighbourhood reaches
    voxel_nm : edge of a voxel
    """
    labels = np.zeros(instances.shape, np.int32)
    for slab in slabs(instances.shape, halo=int(near_nm / voxel_nm) + 1, times_thinner=2):
        some = instances[slab.wide]
        if some.any():
            distance, nearest = distance_transform_edt(some == 0, return_indices=True)
            near = inside[slab.wide] & (some == 0) & (distance * voxel_nm <= near_nm)
            labels[slab.rows] = np.where(near, some[tuple(nearest)], 0)[slab.core]
    return labels


def neighbourhood_table(
    labels: NDArray[np.int32],
    instances: NDArray[np.int32],
    deviation: FloatArray,
    replicates: Sequence[Field],
    phases: LabelArray,
    levels: NDArray[np.int32],
    *,
    n_voids: int,
    n_pores: int,
    voxel_nm: float,
) -> dict[str, Column]:
    """Measure the composition beside each void.

    Parameters
    ----------
    labels : from :func:`neighbourhoods`
    instances : numbers of voids on the same grid: pores 1 … n_pores, then cracks
    deviation : (n_z, n_y, n_x) array, NaN where unknown
    replicates : deviations of noise replicates, each (n_z, n_y, n_x)
    phases, levels : classes; from :func:`pipeline.measure.chance.depth_levels`
    n_voids, n_pores : how many voids there are, and how many of them are pores
    voxel_nm : edge of a voxel

    Returns
    -------
    columns ``kind``, ``number`` (row of ``pores.csv`` or ``cracks.csv``), ``centroid_z_nm``, ``centroid_y_nm``,
    ``centroid_x_nm`` (on the composition's grid, from the centre of its first voxel), ``n_voxels``, ``mean_deviation``,
    ``standard_error`` (NaN without two replicates), ``expected_deviation`` and the fraction of each class; one row per void
    """
    known = (labels > 0) & np.isfinite(deviation)
    own = np.where(known, labels, 0)
    count = np.bincount(own[known], minlength=n_voids + 1)[1:]
    expected = mean_by_level(deviation, levels)
    number = np.arange(1, n_voids + 1)
    is_pore = number <= n_pores
    columns: dict[str, Column] = {
        "kind": ["pore" if one else "crack" for one in is_pore],
        "number": np.where(is_pore, number, number - n_pores),
    }
    where = np.argwhere(instances > 0)
    of_void = instances[tuple(where.T)]
    for axis, name in enumerate("zyx"):
        columns[f"centroid_{name}_nm"] = _means(where[:, axis], of_void, n_voids) * voxel_nm
    columns["n_voxels"] = count
    columns["mean_deviation"] = _means(deviation[known], own[known], n_voids)
    columns["standard_error"] = (
        replicate_errors(replicates, own, n_shells=n_voids)
        if len(replicates) >= 2
        else np.full(n_voids, np.nan)
    )
    columns["expected_deviation"] = _means(expected[known], own[known], n_voids)
    for name, label in CLASS_LABELS.items():
        columns[name] = _means(phases[known] == label, own[known], n_voids)
    return columns


def _means(values: NDArray[np.generic], labels: NDArray[np.int32], n: int) -> Float64Array:
    total = np.bincount(labels, values, minlength=n + 1)[1:]
    count = np.bincount(labels, minlength=n + 1)[1:]
    with np.errstate(invalid="ignore"):
        found: Float64Array = total / count
    return found


def _mean(values: FloatArray, where: BoolArray) -> float:
    chosen = values[where]
    chosen = chosen[np.isfinite(chosen)]
    return float(chosen.mean(dtype=np.float64)) if chosen.size else float("nan")
