"""The same data read without one of the chosen model terms: amounts, and the deviation.

Every other term is fitted again. The change of the amounts of oxygen and metal goes through the
same reconstruction, which starts from the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.instrument import Model
from oxytomo.composition.measured_edges import Columns
from oxytomo.composition.model_choice import decompose_with_model
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.replicates import Chain
from oxytomo.composition.solving import reconstruct_composition
from oxytomo.slabs import Field, fill, new_field, plane


def changes_without(
    value: Field,
    variance: Field,
    areal: Field,
    models: Mapping[str, Model],
    columns: Columns,
    metal: Float64Array,
) -> Field:
    """Return by how much oxygen and metal change in every ray without each term.

    Parameters
    ----------
    value, variance : (n_series, n_tilt, n_y, n_x) optical density
    areal : (n_element, n_tilt, n_y, n_x) µm, amounts with all terms, oxygen first
    models : by term, the model without it
    columns : which element each amount of a model belongs to
    metal : (n_element,) weights of the elements in TM

    Returns
    -------
    changes : (n_term, 2, n_tilt, n_y, n_x) float16, µm, of oxygen and of the metals together; NaN
        where not solved
    """
    n_tilt = value.shape[1]
    changes = new_field((len(models), 2, *value.shape[1:]), np.float16)
    for t in range(n_tilt):
        density, error = np.asarray(value[:, t]), np.asarray(variance[:, t])
        own = np.asarray(areal[:, t])
        for place, model in enumerate(models.values()):
            solved = decompose_with_model(density, error, model, adapt=bool(model.random_terms))
            summed = columns.summed(solved.areal, solved.covariance)[0] if columns.measured else solved.areal
            change = summed - own
            changes[place, 0, t] = change[0].astype(np.float16)
            changes[place, 1, t] = np.tensordot(metal, change, 1).astype(np.float16)
    return changes


def changed(data: ColumnDensities, change: Field) -> ColumnDensities:
    """Return sinograms with the change of oxygen and metal, (2, n_tilt, n_z, n_s), added."""
    areal = new_field(data.areal.shape, np.float32)
    for tilts in data.parts:
        oxygen, metal = (np.asarray(change[k, tilts], np.float32) for k in range(2))
        for k in range(areal.shape[0]):
            areal[k, tilts] = np.asarray(data.areal[k, tilts]) + (metal if k else oxygen)
    return replace(data, areal=areal)


def deviations_without(
    names: Sequence[str], changes: Field, chain: Chain, progress: Callable[[str], OnProgress]
) -> Field:
    """Return the deviation without each term, (n_term, n_z, n_y, n_x) float16.

    Parameters
    ----------
    names : of the terms
    changes : from :func:`changes_without`
    chain : how the result was reconstructed
    progress : gives a function of ``(done, total)`` for a name
    """
    found = new_field((len(names), *chain.composition.deviation.shape), np.float16)
    for place, name in enumerate(names):
        other = reconstruct_composition(
            changed(chain.data, plane(changes, place)),
            solver=chain.solver,
            reference_tm_o=None if chain.own_reference else chain.composition.reference_tm_o,
            start=chain.composition,
            with_metals=False,
            threads=chain.threads,
            on_progress=progress(f"reading without {name}"),
        )
        fill(plane(found, place), lambda part: np.clip(part, -100, 100).astype(np.float16), other.deviation)
    return found
