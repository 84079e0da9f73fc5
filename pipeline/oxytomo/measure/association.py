"""Elemental association: which metal is short, or in excess, in each class, and how deep."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.slabs import Field, read, slabs

OXYGEN = "O"
PARTS = 3
"""The box of the particle is divided into 3 × 3 × 3 parts for the errors."""
FEW_PARTS = 4
FEW_VOXELS = 27
DEPARTING = ("oxygen_poor", "oxygen_rich")


def elemental_association(
    elements: Mapping[str, Field], phases: Field, shells: Field, *, n_shells: int
) -> dict[str, Any] | None:
    """Return how much of each metal a class has per oxygen, relative to the target class.

    For the metal M in the voxels of a class, ``(Σ ρ_M / Σ ρ_O) / (Σ ρ_M / Σ ρ_O, target) − 1``. A
    ratio of sums has no bias from dividing noisy voxels. Dividing by the target class removes every
    factor that all voxels share, such as a wrong cross-section. Weighted with the atoms of the
    formula, the values of the metals add up to the deviation of the class from that of the target.

    The standard error is a delete-one jackknife over the 3 × 3 × 3 parts of the volume (Künsch,
    Ann. Stat. 17, 1217, 1989), because the noise of neighbouring voxels is correlated. It contains
    noise and the scatter between domains. It does not contain the loss of contrast in the
    reconstruction: each density is regularised by itself, so a small domain shows less than it has.

    Parameters
    ----------
    elements : relative density of each element, (n_z, n_y, n_x) fields
    phases : (n_z, n_y, n_x) labels of the classes
    shells : (n_z, n_y, n_x) labels 1 to n_shells from rim to centre
    n_shells : number of shells

    Returns
    -------
    association : by class and metal: ``value``, ``standard_error``, and ``shells``, a list of such
        pairs from rim to centre; None for fewer than 27 voxels, and errors are None where the class
        is in fewer than four parts. None without oxygen, metals or target
    """
    metals = [name for name in elements if name != OXYGEN]
    if OXYGEN not in elements or not metals:
        return None
    sums, voxels = _sums([elements[name] for name in (OXYGEN, *metals)], phases, shells, n_shells=n_shells)
    target = sums[:, 0].sum(axis=1)
    if voxels[0].sum() < FEW_VOXELS or not (target.sum(axis=1) > 0).all():
        return None
    found: dict[str, Any] = {}
    for row, name in ((list(CLASS_LABELS).index(name), name) for name in DEPARTING):
        own, count = sums[:, row], voxels[row]
        found[name] = {
            metal: _entry(own.sum(axis=1), target, count.sum(axis=0), k)
            | {"shells": [_entry(own[:, s], target, count[s], k) for s in range(n_shells)]}
            for k, metal in enumerate(metals, start=1)
        }
    return found


def _sums(
    densities: list[Field], phases: Field, shells: Field, *, n_shells: int
) -> tuple[Float64Array, IntArray]:
    """Return sums of densities, (n_element, n_class, n_shell, n_part), and numbers of voxels."""
    shape, n_parts = phases.shape, PARTS**3
    size = (len(CLASS_LABELS), n_shells, n_parts)
    sums, voxels = np.zeros((len(densities), *size)), np.zeros(size, np.int64)
    number = np.full(256, -1)
    number[list(CLASS_LABELS.values())] = np.arange(len(CLASS_LABELS))
    along = [np.arange(side) * PARTS // max(1, side) for side in shape]
    for slab in slabs(shape):
        kind, shell = number[read(phases, slab.rows)], read(shells, slab.rows).astype(np.int64)
        part = (along[0][slab.rows, None, None] * PARTS + along[1][:, None]) * PARTS + along[2]
        values = [read(density, slab.rows) for density in densities]
        known = (kind >= 0) & (shell > 0) & np.isfinite(values).all(axis=0)
        place = ((kind * n_shells + shell - 1) * n_parts + part)[known]
        voxels += np.bincount(place, minlength=voxels.size).reshape(size)
        for total, value in zip(sums, values, strict=True):
            total += np.bincount(place, value[known], minlength=voxels.size).reshape(size)
    return sums, voxels


def _entry(own: Float64Array, target: Float64Array, voxels: IntArray, metal: int) -> dict[str, float | None]:
    """Return value and error of a metal from the sums over the parts, (n_element, n_part)."""
    if voxels.sum() < FEW_VOXELS or own[0].sum() <= 0:
        return {"value": None, "standard_error": None}

    def ratio(kept: Any) -> float:
        oxygen, base = own[0, kept].sum(), target[0, kept].sum()
        return float(own[metal, kept].sum() / oxygen * base / target[metal, kept].sum() - 1)

    value = ratio(slice(None))
    used = np.flatnonzero((voxels > 0) | (target[0] != 0))
    if np.count_nonzero(voxels) < FEW_PARTS:
        return {"value": value, "standard_error": None}
    left_out = np.array([ratio(np.delete(np.arange(voxels.size), part)) for part in used])
    spread = np.sum((left_out - left_out.mean()) ** 2)
    return {"value": value, "standard_error": float(np.sqrt(spread * (used.size - 1) / used.size))}
