"""Density and valence volumes of one element from its component sinograms."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.chemical_state.columns import StateColumns, mean_valence
from oxytomo.chemical_state.voxel_fits import clipped, reconstruct_voxels
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.result import Composition
from oxytomo.errors import InputError
from oxytomo.slabs import Field, fill, mapped, new_field, plane

TWO: Final = 2
"""The fractions of two components follow from the valence."""


@dataclass(frozen=True)
class ChemicalState:
    """Reconstructed chemical state of one element, (n_z, n_y, n_x) each.

    Attributes
    ----------
    result : density of the element (``elements[0]``), deviation ``V − V₀`` and its product with the
        density (``difference``), particle
    components : (n_component, …) density of each component
    reference_valence : V₀
    """

    result: Composition
    components: Field
    reference_valence: float

    @property
    def valence(self) -> Field:
        """Valence, NaN outside the particle."""
        base = np.float32(self.reference_valence)
        return mapped(self.result.deviation, lambda part: base + part, np.float32)


def reconstruct_state(
    data: StateColumns,
    *,
    solver: DeviationSolver | None,
    reference: float | None,
    threads: int = 1,
    on_progress: OnProgress | None = None,
) -> ChemicalState:
    """Reconstruct the density of an element and its valence.

    Parameters
    ----------
    data : component sinograms; its own reference valence is not used
    solver : settings of the reconstruction with the deviation as the unknown; None for fits of
        every voxel (:mod:`oxytomo.chemical_state.voxel_fits`)
    reference : valence that deviations refer to; None for the particle's own mode
    threads : for the back-projection of the fits of voxels
    on_progress : called with (iterations done, iterations in all)
    """
    mean = mean_valence(data)
    if not np.isfinite(mean):
        raise InputError(
            "valence",
            expected="a positive sum of the element's edge jump",
            got="none",
            fix="check the energies of the series and the references",
        )
    start = replace(data, reference_valence=mean if reference is None else reference)
    ratio = None if reference is None else 1.0
    if solver is None:
        solved = reconstruct_voxels(start, reference=ratio, threads=threads, on_progress=on_progress)
    else:
        solved = reconstruct_deviation(
            start,
            solver=solver,
            reference_tm_o=ratio,
            start=None,
            with_metals=len(data.valences) > TWO,
            on_progress=on_progress,
        )
    result, valence = _in_valences(solved, start.reference_valence)
    if solver is None:
        result = replace(result, deviation=clipped(result.deviation, data, valence))
    return ChemicalState(result, _components(result, data, valence), valence)


def _in_valences(solved: Composition, base: float) -> tuple[Composition, float]:
    """Return the same result as deviations V − V₀, and V₀.

    A mode found by the solver is a ratio ``r = 1 + V₀ − base`` and its deviation is ``(V − V₀)/r``.
    """
    ratio = solved.reference_tm_o
    if ratio == 1.0:
        return solved, base
    deviation = new_field(solved.deviation.shape, np.float32)
    fill(deviation, lambda part: np.float32(ratio) * part, solved.deviation)
    return replace(solved, deviation=deviation, reference_tm_o=1.0), base + ratio - 1.0


def _components(result: Composition, data: StateColumns, reference: float) -> Field:
    """Return the density of each component.

    Two follow from density and valence, unless all were solved for one by one.
    """
    n = len(data.valences)
    found = new_field((n, *result.total.shape), np.float32)
    if result.elements.shape[0] > n:
        for k in range(n):
            fill(plane(found, k), np.asarray, plane(result.elements, 1 + k))
        return found
    low, high = (np.float32(value) for value in data.valences)

    def share(k: int, density: FloatArray, deviation: FloatArray, inside: BoolArray) -> FloatArray:
        valence = np.where(inside, reference + np.nan_to_num(deviation), 0)
        part = (valence - low) / (high - low)
        return np.where(inside, density * (part if k else 1 - part), 0).astype(np.float32)

    for k in range(n):
        fill(
            plane(found, k),
            lambda *parts, k=k: share(k, *parts),
            plane(result.elements, 0),
            result.deviation,
            result.particle,
        )
    return found
