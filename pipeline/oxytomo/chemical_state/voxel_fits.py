"""The common way, for comparison: reconstruct every energy, then fit the spectrum of each voxel.

Filtered back-projection and a fit with equal weights of the energies are both linear, and one acts
on places and the other on energies. Their order does not change the result. Here the fit comes
first, so that only the components are back-projected, not every energy. Then the valence of a voxel
is ``Σ v_c ρ_c / Σ ρ_c``, clipped to the range of the references, as fits with fractions from 0 to 1
do. Noise, the missing wedge and the rims of the particle enter the spectrum of every voxel.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from oxytomo.arrays import Field, Float64Array, FloatArray
from oxytomo.chemical_state.columns import StateColumns
from oxytomo.composition.decomposition import pair_index
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.ratio import RatioSolver, reconstruct_ratio
from oxytomo.composition.result import Composition
from oxytomo.slabs import fill, new_field, plane

PLAIN: Final = RatioSolver(algorithm="fbp", backend="oxytomo", iterations=1, smoothing_px=0.0)
"""Filtered back-projection without smoothing."""


def equal_weights(
    value: FloatArray, variance: FloatArray, matrix: Float64Array
) -> tuple[FloatArray, FloatArray]:
    """Fit components with the same weight of all energies.

    Parameters
    ----------
    value, variance : (n_energy, …) optical density; NaN and inf where invalid
    matrix : (n_energy, n_column) 1/µm

    Returns
    -------
    areal : (n_column, …) µm, NaN where an energy is invalid
    covariance : (n_pair, …) µm², inf there
    """
    inverse = np.linalg.pinv(matrix)
    n = len(inverse)
    known = (np.isfinite(value) & np.isfinite(variance)).all(axis=0)
    areal = np.tensordot(inverse, np.where(known, value, 0), axes=1).astype(np.float32)
    areal[:, ~known] = np.nan
    noise = np.where(known, variance, 0)
    products = np.stack([inverse[i] * inverse[j] for i, j in pair_index(n)])
    covariance = np.tensordot(products, noise, axes=1).astype(np.float32)
    covariance[:, ~known] = np.inf
    return areal, covariance


def reconstruct_voxels(
    data: StateColumns, *, reference: float | None, threads: int, on_progress: OnProgress | None
) -> Composition:
    """Back-project the components and divide: density, deviation from a reference, particle.

    ``elements`` of the result are the density and then the components. A ``reference`` of None is
    the particle's own mode. The deviation is not clipped yet.
    """
    result = reconstruct_ratio(
        data, solver=PLAIN, reference_tm_o=reference, threads=threads, on_progress=on_progress
    )
    elements = new_field((1 + len(data.valences), *result.total.shape), np.float32)
    fill(plane(elements, 0), np.asarray, result.total)
    for k in range(len(data.valences)):
        fill(plane(elements, 1 + k), np.asarray, plane(result.elements, k))
    return replace(result, elements=elements)


def clipped(deviation: Field, data: StateColumns, reference_valence: float) -> Field:
    """Return deviations of valences within the range of the references; NaN stays."""
    low, high = (np.float32(one - reference_valence) for one in (data.valences[0], data.valences[-1]))
    found = new_field(deviation.shape, np.float32)
    fill(found, lambda part: np.clip(part, low, high), deviation)
    return found
