"""Classes of a whole volume slab by slab: all voxels, certain voxels, and the null run."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import UNDECIDED, BoolArray, FloatArray, LabelArray
from oxytomo.segment.classes import classify_confident, classify_deviation, lone_skin_voxels
from oxytomo.slabs import Field, fill, new_field, plane, read, slabs


@dataclass(frozen=True)
class Classified:
    """Classes of the voxels of a particle, (n_z, n_y, n_x) uint8 each.

    Attributes
    ----------
    phases : by the deviation alone
    confident : where the class is certain in spite of the noise, else undecided
    null_phases : of the first null run, 0 where there is none
    n_null : number of null runs
    """

    phases: Field
    confident: Field
    null_phases: Field
    n_null: int


def classify_volume(
    deviation: Field,
    particle: Field,
    sigma: Field | None,
    null: Field | None,
    *,
    threshold: float,
    confidence: float,
) -> Classified:
    """Classify the voxels of a particle by their deviation.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) float32, NaN where not known
    particle : (n_z, n_y, n_x) bool
    sigma : its standard error; None leaves every voxel undecided
    null : (n, n_z, n_y, n_x) deviations of null runs; the first one is kept as an image
    threshold : deviation above which a voxel is oxygen-poor or oxygen-rich
    confidence : probability that a certain voxel belongs to its class
    """

    def labels(value: FloatArray, inside: BoolArray) -> LabelArray:
        return classify_deviation(value, inside, threshold=threshold)

    def certain(plain: LabelArray, value: FloatArray, inside: BoolArray, *error: FloatArray) -> LabelArray:
        spread = error[0] if error else np.full(value.shape, np.nan, np.float32)
        found = classify_confident(value, spread, inside, threshold=threshold, confidence=confidence)
        found[lone_skin_voxels(plain, inside)] = UNDECIDED
        return found

    phases, confident, null_phases = (new_field(deviation.shape, np.uint8) for _ in range(3))
    fill(phases, labels, deviation, particle)
    fill(confident, certain, phases, deviation, particle, *(() if sigma is None else (sigma,)), halo=1)
    n_null = 0 if null is None else null.shape[0]
    if null is not None and n_null:
        fill(null_phases, labels, plane(null, 0), particle)
    return Classified(phases, confident, null_phases, n_null)


def without_deviation(deviation: Field, particle: Field) -> tuple[int, int]:
    """Count the voxels of the particle, and those among them without a deviation."""
    voxels = unknown = 0
    for slab in slabs(deviation.shape):
        inside = read(particle, slab.rows)
        voxels += int(np.count_nonzero(inside))
        unknown += int(np.count_nonzero(inside & ~np.isfinite(read(deviation, slab.rows))))
    return voxels, unknown
