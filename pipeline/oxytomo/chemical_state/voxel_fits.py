"""The common way, for comparison: reconstruct every energy, then fit the spectrum of each voxel."""

import numpy as np

from oxytomo.arrays import BoolArray, Field, Float64Array, FloatArray
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.units import NM_PER_UM


def valence_by_voxel_fits(
    value: Field,
    tilt_deg: Float64Array,
    matrix: Float64Array,
    valences: Float64Array,
    particle: BoolArray,
    *,
    pixel_nm: float,
) -> FloatArray:
    """Reconstruct each energy by filtered back-projection and fit the components voxel by voxel.

    Least squares with equal weights of the energies, ``V = Σ v_c f_c`` with fractions clipped to 0
    to 1, as common programs for three-dimensional XANES do. Noise, the missing wedge and the rims
    of the particle enter every spectrum.

    Parameters
    ----------
    value : (n_energy, n_tilt, n_z, n_s) aligned optical densities, NaN where invalid
    tilt_deg : (n_tilt,)
    matrix : (n_energy, n_column) 1/µm, components first
    valences : (n_component,)
    particle : (n_z, n_y, n_x)
    pixel_nm : edge of a pixel, nm

    Returns
    -------
    (n_z, n_y, n_x) float32, NaN outside the particle and where the density is not positive
    """
    geometry = TiltGeometry.square(tilt_deg, value.shape[-1])
    per_um = np.float32(NM_PER_UM / pixel_nm)
    inverse = np.linalg.pinv(matrix)[: valences.size]
    components = np.zeros((valences.size, *particle.shape), np.float32)
    for energy in range(value.shape[0]):
        frames = np.asarray(value[energy])
        volume = filtered_backprojection(np.where(np.isfinite(frames), frames, 0), geometry) * per_um
        for k in range(valences.size):
            components[k] += np.float32(inverse[k, energy]) * volume
    total = components.sum(axis=0)
    known = particle & (total > 0)
    weighted = np.tensordot(valences.astype(np.float32), components, axes=1)
    valence = np.full(particle.shape, np.nan, np.float32)
    valence[known] = np.clip(weighted[known] / total[known], valences[0], valences[-1])
    return valence
