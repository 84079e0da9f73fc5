"""Particles given by the user as a mask."""

import numpy as np

from oxytomo.arrays import FloatArray, LabelArray
from oxytomo.slabs import Field, fill, new_field


def given_particles(values: Field) -> Field:
    """Return a mask of the user as labels: values are rounded; 0 and less is outside.

    Parameters
    ----------
    values : (n_z, n_y, n_x), numbers of particles up to 255

    Returns
    -------
    (n_z, n_y, n_x) uint8
    """
    mask = new_field(values.shape, np.uint8)
    fill(mask, _labels, values)
    return mask


def _labels(values: FloatArray) -> LabelArray:
    labels: LabelArray = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return labels
