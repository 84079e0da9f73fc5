"""Standard error of the valence of each voxel: noise of replicates, and the place of borders.

Replicates are drawn from the result, whose borders are sharp and on the voxel grid, so they find
them again where they were. The true border crosses a voxel anywhere. Nearly all large errors lie
within a voxel of a border. Their size is the step of the valence times a small displacement:

``σ² = m² + (d |∇V|)² + floor²``

with the root mean square ``m`` of the differences between replicates and result around the voxel.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.composition.noise import deviation_sigma
from oxytomo.composition.replicates import SIGMA_SMOOTHING_PX
from oxytomo.slabs import Field, fill, new_field

REPLICATE_SCALE: Final = 1.0
"""Factor of the scatter of replicates in σ."""
BORDER_PX: Final = 0.1
"""Displacement of a border, voxels. Both were chosen on simulated particles, in and around domains
(``benchmarks/chemical_state.py``)."""
VOXEL_SCALE: Final = 1.6
"""Factor of the scatter of replicates where every voxel was fitted: the blur and the wedge of the
back-projection are in the result that the replicates are drawn from."""
DENSITY_ITERATIONS: Final = 15
"""Iterations for the density of a replicate, which starts from the density that it was drawn from:
more change σ by half a percent."""
SIGMA_FLOOR: Final = 0.005
"""Smallest standard error of a valence."""


def valence_sigma(replicates: Sequence[Field], deviation: Field, particle: Field, *, scale: float) -> Field:
    """Return the standard error of the valence, (n_z, n_y, n_x) float32, NaN outside the particle.

    Parameters
    ----------
    replicates : deviations of noise replicates; without any the error is unknown everywhere
    deviation : V − V₀, NaN outside the particle
    particle : bool
    scale : factor of the scatter of the replicates
    """
    noise = deviation_sigma(
        replicates,
        deviation,
        particle,
        smoothing_px=SIGMA_SMOOTHING_PX,
        scale=scale,
        floor=SIGMA_FLOOR,
    )

    def with_borders(sigma: FloatArray, values: FloatArray, inside: BoolArray) -> FloatArray:
        return np.hypot(sigma, np.float32(BORDER_PX) * steepest(values, inside))

    found = new_field(deviation.shape, np.float32)
    fill(found, with_borders, noise, deviation, particle, halo=1)
    return found


def steepest(values: FloatArray, inside: BoolArray) -> FloatArray:
    """Return the steepest gradient of each voxel, per voxel, to neighbours in the particle.

    Along each axis it is the larger of the two differences, because a border is as wide as a voxel.
    """
    values = np.where(inside & np.isfinite(values), values, 0)
    square = np.zeros(values.shape, np.float32)
    for axis in range(values.ndim):
        first, last = (slice(None),) * axis + (slice(1, None),), (slice(None),) * axis + (slice(-1),)
        step = np.where(inside[first] & inside[last], np.diff(values, axis=axis), 0) ** 2
        largest = np.zeros_like(square)
        largest[last] = step
        largest[first] = np.maximum(largest[first], step)
        square += largest
    return np.sqrt(square)
