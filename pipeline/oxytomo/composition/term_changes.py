"""Change of the amounts if one of the chosen model terms is left out and the rest fitted again."""

from collections.abc import Mapping

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.composition.instrument import Model
from oxytomo.composition.measured_edges import Columns
from oxytomo.composition.model_choice import decompose_with_model
from oxytomo.slabs import Field, new_field

FARTHEST_UM = 1e4
"""Changes are limited to this, far beyond any thickness: float16 ends at 65504."""


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
            change = np.clip(summed - own, -FARTHEST_UM, FARTHEST_UM)
            changes[place, 0, t] = change[0].astype(np.float16)
            changes[place, 1, t] = np.tensordot(metal, change, 1).astype(np.float16)
    return changes
