"""The reconstructed composition of one particle, and the reference that deviations refer to."""

from dataclasses import dataclass, field

import numpy as np

from oxytomo.arrays import Brief, FloatArray
from oxytomo.slabs import Field


@dataclass(frozen=True, repr=False)
class Composition(Brief):
    """Reconstructed composition of one particle; the volumes are fields, large ones on disk.

    Attributes
    ----------
    elements : (n_element, n_z, n_y, n_x) float32, relative density
    difference : (n_z, n_y, n_x) float32, TM − reference · O, relative density
    deviation : (n_z, n_y, n_x) float32, NaN outside the particle
    particle : (n_z, n_y, n_x) bool, solid
    total : (n_z, n_y, n_x) float32, mean of TM and O
    reference_tm_o : the TM/O, relative to the nominal composition, that the deviation refers to
    record : how the solution was obtained (weights, iterations, misfits)
    """

    elements: Field
    difference: Field
    deviation: Field
    particle: Field
    total: Field
    reference_tm_o: float
    record: dict[str, float] = field(default_factory=dict)


def mode_of(values: FloatArray) -> float:
    """Most frequent value, from a histogram, refined by the median around it.

    The bins are a fiftieth of the inner range wide.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0
    low, high = np.percentile(finite, [5, 95])
    if high - low < 1e-9:
        return float(np.median(finite))
    counts, edges = np.histogram(finite, bins=50, range=(float(low), float(high)))
    smooth = np.convolve(counts, np.ones(5), mode="same")
    at = int(smooth.argmax())
    middle, reach = 0.5 * (edges[at] + edges[at + 1]), 3 * (edges[1] - edges[0])
    return float(np.median(finite[np.abs(finite - middle) <= reach]))
