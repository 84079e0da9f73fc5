"""Sinograms of the chemical components of one element, as input of the deviation method.

The deviation method of TM/O (:mod:`oxytomo.composition.deviation`) needs two combinations of
sinograms: a density, and a second one whose ratio to it is known at the reference. Here these are
``ρ = Σ_c ρ_c`` and ``ρ (1 + V − V₀)`` with the mean valence ``V = Σ_c v_c ρ_c / ρ``. Their
difference ``Σ_c (v_c − V₀) ρ_c`` has zero projections wherever the valence is ``V₀``, and the
deviation is ``V − V₀`` itself.
"""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.composition.column_densities import ColumnDensities


@dataclass(frozen=True)
class StateColumns(ColumnDensities):
    """Component sinograms of one element.

    ``areal`` and ``covariance`` have an axis of components; ``atoms`` is 1 for each of them.

    Attributes
    ----------
    valences : (n_component,) increasing
    reference_valence : the valence V₀ that deviations refer to
    """

    valences: Float64Array
    reference_valence: float

    @property
    def oxygen(self) -> Float64Array:
        """Coefficients of the density of the element."""
        return np.ones(len(self.valences))

    @property
    def metal(self) -> Float64Array:
        """Coefficients of the density times ``1 + V − V₀``."""
        return 1 + self.valences - self.reference_valence

    @property
    def total(self) -> Float64Array:
        """Coefficients of the density that shows the particle: that of the element."""
        return self.oxygen

    @property
    def single(self) -> Float64Array:
        """Coefficients of each component."""
        return np.eye(len(self.valences))

    def expected(self, oxygen: FloatArray, metal: FloatArray) -> FloatArray:
        """Return components with these combinations: the lowest and the highest valence."""
        share = (metal - oxygen) / np.float32(self.valences[-1] - self.valences[0])
        # Σ (v_c − V₀) ρ_c = metal − oxygen
        low = np.float32((self.valences[-1] - self.reference_valence) / np.ptp(self.valences))
        found = np.zeros((len(self.valences), *oxygen.shape), np.float32)
        found[0], found[-1] = low * oxygen - share, (1 - low) * oxygen + share
        return found

    def total_of(self, oxygen: FloatArray, metal: FloatArray) -> FloatArray:
        """Return the density of the element."""
        return oxygen


def mean_valence(data: StateColumns) -> float:
    """Mean valence of the whole particle, from the sums over all valid rays.

    NaN if their density is not positive.
    """
    sums = np.zeros(2)
    for place, which in enumerate((data.oxygen, data.valences)):
        values = data.sinogram(which)[0]
        sums[place] = sum(float(np.sum(values[part], dtype=np.float64)) for part in data.parts)
    return float(sums[1] / sums[0]) if sums[0] > 0 else float("nan")
