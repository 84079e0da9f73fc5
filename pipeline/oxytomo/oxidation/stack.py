"""A registered stack of one element, read in parts as needed."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, Field, Float64Array


@dataclass(frozen=True)
class EnergyStack:
    """Frames of one element through its edge on one grid.

    Attributes
    ----------
    value, variance : (n_energy, n_y, n_x) float32, optical density; NaN and inf where invalid
    energy_ev : (n_energy,) float64, increasing, as recorded
    lost : (n_energy,) bool, frames that are left out
    variance_factor : (n_energy,) variance of single pixels over that before the interpolation
    pixel_nm : pixel size, nm; NaN where unknown
    rows_at_once : rows that the file keeps in one piece
    """

    value: Field
    variance: Field
    energy_ev: Float64Array
    lost: BoolArray
    variance_factor: Float64Array
    pixel_nm: float
    rows_at_once: int

    @property
    def shared_noise(self) -> float:
        """Factor from the error of a mean over independent pixels to that over real pixels.

        Interpolation shares noise among neighbours: means over many pixels keep the noise of the
        raw ones, although each pixel has less.
        """
        return float(1 / np.sqrt(np.mean(self.variance_factor)))
