"""Element sinograms of one particle, and quantities computed from them ray by ray."""

from dataclasses import dataclass, replace

import numpy as np

from oxytomo.arrays import Field, Float64Array, FloatArray
from oxytomo.composition.decomposition import combine
from oxytomo.errors import InputError
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.slabs import new_field

TILTS_AT_ONCE = 16
"""Number of tilts of all elements that are read together."""


@dataclass(frozen=True)
class ColumnDensities:
    """Element sinograms of one particle.

    Attributes
    ----------
    areal : (n_element, n_tilt, n_z, n_s) float32, µm of reference density, NaN where unknown;
        oxygen first
    covariance : (n_pair, n_tilt, n_z, n_s) float32, µm², inf where unknown; both may be on disk
    tilt_deg : (n_tilt,) degrees
    atoms : (n_element,) atoms per formula unit; those of the metals are their weights in TM
    pixel_um : detector pixel, µm
    """

    areal: Field
    covariance: Field
    tilt_deg: Float64Array
    atoms: Float64Array
    pixel_um: float

    @property
    def oxygen(self) -> Float64Array:
        """Coefficients that select oxygen."""
        return np.eye(len(self.atoms))[0]

    @property
    def metal(self) -> Float64Array:
        """Coefficients of TM: atoms of each metal as a share of all metals."""
        metals = np.concatenate([[0.0], self.atoms[1:]])
        return metals / metals.sum()

    @property
    def total(self) -> Float64Array:
        """Coefficients of the density that shows the particle: the mean of TM and O."""
        return 0.5 * (self.oxygen + self.metal)

    @property
    def single(self) -> Float64Array:
        """Coefficients of what is solved for beside oxygen and TM: (n, n_element), each metal."""
        return np.eye(len(self.atoms))[1:]

    def expected(self, oxygen: FloatArray, metal: FloatArray) -> FloatArray:
        """Return the elements, (n_element, …), of which these are the combinations O and TM."""
        return np.stack([oxygen] + [metal] * (len(self.atoms) - 1))

    def total_of(self, oxygen: FloatArray, metal: FloatArray) -> FloatArray:
        """Return the density that shows the particle, from O and TM."""
        return 0.5 * (metal + oxygen)

    @property
    def geometry(self) -> TiltGeometry:
        """The usual geometry: slices as wide as the detector."""
        return TiltGeometry.square(self.tilt_deg, self.areal.shape[-1])

    @property
    def parts(self) -> list[slice]:
        """Tilts in the groups that are read together."""
        starts = range(0, self.tilt_deg.size, TILTS_AT_ONCE)
        return [slice(start, min(start + TILTS_AT_ONCE, self.tilt_deg.size)) for start in starts]

    def rows(self, rows: slice) -> "ColumnDensities":
        """Return some rows of the detector, in memory."""
        areal, covariance = (np.asarray(each[:, :, rows]) for each in (self.areal, self.covariance))
        return replace(self, areal=areal, covariance=covariance)

    def sinogram(self, coefficients: Float64Array, *, model_error_px: float = 0.0) -> tuple[Field, Field]:
        """Combine elements: line integrals in pixels and inverse variance, both 0 where invalid.

        ``model_error_px``, the error of a path length, is added in quadrature to the noise.
        """
        values, weights = (new_field(self.areal.shape[1:], np.float32) for _ in range(2))
        for tilts in self.parts:
            value, variance = combine(self.areal, self.covariance, coefficients, tilts)
            valid = np.isfinite(value) & np.isfinite(variance)
            weight = np.where(valid, self.pixel_um**2 / np.where(valid, variance, 1), 0).astype(np.float32)
            weights[tilts] = weight / (1 + np.float32(model_error_px**2) * weight)
            values[tilts] = np.where(valid, value / np.float32(self.pixel_um), 0)
        return values, weights


def halved_rays(values: Field, weights: Field) -> tuple[FloatArray, FloatArray]:
    """Average rays over 2 × 2 pixels, weighted by inverse variance.

    Returns line integrals, in pixels twice as large, and their inverse variance.

    Parameters
    ----------
    values, weights : (n_tilt, n_z, n_s) from :meth:`ColumnDensities.sinogram`; an odd last row or
        column is dropped
    """
    n_tilt, n_z, n_s = values.shape[0], values.shape[1] // 2, values.shape[2] // 2
    small, weight = (np.zeros((n_tilt, n_z, n_s), np.float32) for _ in range(2))
    for t in range(n_tilt):
        w = np.asarray(weights[t])[: 2 * n_z, : 2 * n_s]
        v = w * np.asarray(values[t])[: 2 * n_z, : 2 * n_s]
        w, v = (part.reshape(n_z, 2, n_s, 2).sum(axis=(1, 3)) for part in (w, v))
        small[t] = np.divide(v, 2 * w, out=np.zeros_like(v), where=w > 0)
        weight[t] = 4 * w
    return small, weight


def ratio_of_sums(data: ColumnDensities) -> float:
    """Mean TM/O of the whole particle, from the sums over all valid rays."""
    metal, oxygen = (
        sum(float(np.sum(values[part], dtype=np.float64)) for part in data.parts)
        for values in (data.sinogram(which)[0] for which in (data.metal, data.oxygen))
    )
    if oxygen <= 0:
        raise InputError(
            "oxygen",
            expected="a positive sum of the oxygen signal",
            got=f"{oxygen:.3g}",
            fix="check the oxygen series",
        )
    return metal / oxygen
