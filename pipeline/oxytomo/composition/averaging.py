"""Deviations averaged over cubes within the particle.

They are classified in this form where voxels are smaller than the resolution.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oxytomo.composition.noise import deviation_sigma
from oxytomo.composition.replicates import SIGMA_SMOOTHING_PX
from oxytomo.segment.classes import averaged_deviation
from oxytomo.slabs import Box, Field, fill, new_field, plane, window


def averaged(deviation: Field, particle: Field, width_px: float) -> Field:
    """Average a deviation (n_z, n_y, n_x) over cubes of an edge within the particle; float32."""
    mean = new_field(deviation.shape, np.float32)
    fill(
        mean,
        lambda value, inside: averaged_deviation(value, inside.astype(bool), width_px=width_px),
        deviation,
        particle,
        halo=int(np.ceil(width_px / 2)) + 1,
    )
    return mean


def averaged_each(deviations: Field, particle: Field, width_px: float) -> Field:
    """Average every volume of a stack (n, n_z, n_y, n_x) as :func:`averaged`."""
    stack = new_field(tuple(deviations.shape), np.float32)
    for k in range(deviations.shape[0]):
        mean = averaged(plane(deviations, k), particle, width_px)
        fill(plane(stack, k), np.asarray, mean)
    return stack


def averaged_sigma(replicates: Field, deviation: Field, particle: Field, width_px: float) -> Field:
    """Return the standard error of an averaged deviation.

    The replicates (n, n_z, n_y, n_x) are averaged in the same way.
    """
    stack = averaged_each(replicates, particle, width_px)
    return deviation_sigma(
        [plane(stack, k) for k in range(stack.shape[0])], deviation, particle, smoothing_px=SIGMA_SMOOTHING_PX
    )


class AveragedRepeats(Sequence[Field]):
    """Deviations of noise replicates in the particle's box, each averaged on access."""

    def __init__(self, stack: Field, box: Box, averaged_in_particle: Callable[[Field], Field]) -> None:
        self._stack, self._box, self._averaged = stack, box, averaged_in_particle

    def __len__(self) -> int:
        return int(self._stack.shape[0])

    def __getitem__(self, number: Any) -> Any:
        return self._averaged(window(plane(self._stack, range(len(self))[number]), self._box))
