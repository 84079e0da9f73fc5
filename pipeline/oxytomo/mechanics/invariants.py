"""Scalars of a stress tensor: principal, von Mises, hydrostatic, and hoop stress."""

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray


def hydrostatic(stress: FloatArray) -> FloatArray:
    """Return the hydrostatic stress, the mean of the three normal stresses; tension is positive.

    ``stress`` is (6, …): xx, yy, zz, xy, xz, yz.
    """
    mean: FloatArray = stress[:3].mean(0)
    return mean


def von_mises(stress: FloatArray) -> FloatArray:
    """Return the equivalent stress of von Mises, √(3/2 s : s) with the deviator s."""
    deviator = stress[:3] - hydrostatic(stress)
    squared: FloatArray = (deviator**2).sum(0) + 2 * (stress[3:] ** 2).sum(0)
    return np.sqrt(1.5 * squared)


def first_principal(stress: FloatArray, where: BoolArray) -> FloatArray:
    """Return the largest principal stress, which opens cracks; 0 where ``where`` is false.

    Closed formula for the eigenvalues of a symmetric 3 × 3 matrix (Smith, Commun. ACM 4, 168,
    1961).
    """
    mean = hydrostatic(stress)
    second = ((stress[:3] - mean) ** 2).sum(0) / 6 + (stress[3:] ** 2).sum(0) / 3
    size = np.sqrt(second)
    xx, yy, zz = stress[:3] - mean
    xy, xz, yz = stress[3:]
    determinant = xx * (yy * zz - yz**2) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    cosine = np.clip(determinant / np.maximum(2 * size**3, np.float32(1e-30)), -1, 1)
    largest: FloatArray = mean + 2 * size * np.cos(np.arccos(cosine) / 3)
    return np.where(where, largest, np.float32(0.0)).astype(np.float32)


def hoop(stress: FloatArray, centre: tuple[float, float, float] | Float64Array) -> FloatArray:
    """Return the mean hoop stress about a centre.

    It is the mean of the normal stresses in the two directions tangential to a sphere about the
    centre.

    Parameters
    ----------
    stress : (6, n_z, n_y, n_x)
    centre : voxel, z, y, x
    """
    z, y, x = np.meshgrid(
        *(
            np.arange(size, dtype=np.float32) - np.float32(at)
            for size, at in zip(stress.shape[1:], centre, strict=True)
        ),
        indexing="ij",
        sparse=True,
    )
    xx, yy, zz, xy, xz, yz = stress
    radial = xx * x * x + yy * y * y + zz * z * z + 2 * (xy * x * y + xz * x * z + yz * y * z)
    radial = radial / np.maximum(z * z + y * y + x * x, np.float32(1e-6))
    return ((xx + yy + zz - radial) / 2).astype(np.float32)
