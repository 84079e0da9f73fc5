"""Line integrals per pixel and their weights from aligned frames."""

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.slabs import Field, mapped


def weighted_rays(value: Field, variance: Field, *, pixel_um: float) -> tuple[Field, Field]:
    """Return line integrals in pixels and their inverse variance, float32, as views.

    Values are computed on access.

    A ray with an unknown value or variance is 0 with weight 0.

    Parameters
    ----------
    value, variance : (n_tilt, n_y, n_x) of a series, per µm of path after division by the pixel
    pixel_um : edge of a pixel, µm
    """
    pixel = np.float32(pixel_um)

    def line_integral(v: FloatArray, s: FloatArray) -> FloatArray:
        return np.where(np.isfinite(v) & np.isfinite(s), v / pixel, 0)

    def weight(v: FloatArray, s: FloatArray) -> FloatArray:
        valid = np.isfinite(v) & np.isfinite(s)
        return np.where(valid, pixel**2 / np.where(valid, s, 1), 0)

    return mapped(value, line_integral, np.float32, variance), mapped(value, weight, np.float32, variance)
