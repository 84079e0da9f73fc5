"""Volume from phase maps at all angles, for any position of the rotation axis, and its unit."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.reconstruct.backends import OnIteration, reconstruct
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.slabs import Field, mapped
from oxytomo.units import NM_PER_UM

MIN_TILTS = 3


def require_angles(name: str, tilt_deg: Float64Array) -> None:
    """A scan with fewer angles is refused."""
    if tilt_deg.size < MIN_TILTS:
        raise InputError(
            name,
            expected=f"at least {MIN_TILTS} angles for a volume",
            got=str(tilt_deg.size),
            fix="give the whole scan",
        )


@dataclass(frozen=True)
class VoxelUnit:
    """Unit of the voxels.

    Attributes
    ----------
    factor : factor from a line integral per pixel to the unit
    unit : ``1``, ``radian/micrometer`` or ``1/micrometer``
    """

    factor: np.float32
    unit: str


def voxel_unit(quantity: str, *, pixel_nm: float, wavelength_nm: float) -> VoxelUnit:
    """Return the conversion from line integrals per pixel to δ, rad/µm or 1/µm.

    A phase lag is ``2π/λ ∫ δ dl``: for pixels of size p it is divided by ``2π p/λ``.

    Parameters
    ----------
    quantity : ``phase_lag`` or ``optical_density``
    pixel_nm : edge of a pixel and of a voxel, nm
    wavelength_nm : wavelength of the photons, nm; if it is NaN (unknown) the result stays a phase
    """
    if quantity == "phase_lag" and np.isfinite(wavelength_nm):
        return VoxelUnit(np.float32(wavelength_nm / (2 * np.pi * pixel_nm)), "1")
    unit = "radian/micrometer" if quantity == "phase_lag" else "1/micrometer"
    return VoxelUnit(np.float32(NM_PER_UM / pixel_nm), unit)


def back_projected(
    frames: Field,
    tilt_deg: Float64Array,
    *,
    axis_column: float,
    factor: np.float32,
    threads: int,
    on_iteration: OnIteration,
) -> Field:
    """Reconstruct slices as wide as the frames by filtered back-projection, slab by slab.

    Parameters
    ----------
    frames : (n_tilt, n_z, n_x) float32, line integrals per pixel; NaN counts as 0
    tilt_deg : (n_tilt,) degrees
    axis_column : detector column of the rotation axis; it lies in the middle of the slices
    factor : multiplies the result
    threads, on_iteration : as in :func:`oxytomo.reconstruct.backends.reconstruct`

    Returns
    -------
    (n_z, n_x, n_x) float32, computed on access
    """
    n_x = frames.shape[2]
    middle = (n_x - 1) / 2
    volume = reconstruct(
        mapped(frames, lambda part: np.nan_to_num(part, nan=0.0), np.float32),
        None,
        TiltGeometry(tilt_deg, n_x, axis_column, n_x, n_x, middle, middle),
        algorithm="fbp",
        backend="oxytomo",
        iterations=1,
        nonnegative=False,
        tv_weight=None,
        threads=threads,
        on_iteration=on_iteration,
    )
    return mapped(volume, lambda part: factor * part, np.float32)
