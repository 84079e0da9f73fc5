"""Three orthogonal cuts through a layer, as pictures, without Qt."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray

AXES = ("z", "y", "x")
EMPTY = (60, 62, 66)
"""Colour of places without a value."""


@dataclass(frozen=True)
class Volume:
    """Values with their place.

    Attributes
    ----------
    values : (n_z, n_y, n_x)
    scale_nm, origin_nm : voxel size, and centre of the first voxel
    """

    values: FloatArray
    scale_nm: Float64Array
    origin_nm: Float64Array

    def index(self, place_nm: Float64Array) -> tuple[int, int, int]:
        """Return the voxel nearest to a place, at the border if the place is outside."""
        found = np.rint((np.asarray(place_nm, float) - self.origin_nm) / self.scale_nm)
        z, y, x = np.clip(found, 0, np.asarray(self.values.shape) - 1).astype(int)
        return int(z), int(y), int(x)

    def place(self, index: tuple[float, ...]) -> Float64Array:
        """Return the place of a voxel in nm."""
        found: Float64Array = self.origin_nm + np.asarray(index, float) * self.scale_nm
        return found


def shown_axes(across: int) -> tuple[int, int]:
    """Return the axes that run down and to the right in the cut across an axis."""
    down, right = (axis for axis in range(3) if axis != across)
    return down, right


def cut(
    volume: Volume, across: int, place_nm: Float64Array, colors: Callable[[FloatArray], np.ndarray]
) -> np.ndarray:
    """Return the cut through a place as a picture, (rows, columns, 3) uint8.

    Parameters
    ----------
    volume : the values
    across : axis that the cut is perpendicular to
    place_nm : place that it passes through, z y x
    colors : maps values to red, green, blue, opacity in 0 to 1
    """
    plane = np.take(volume.values, volume.index(place_nm)[across], axis=across)
    known = np.isfinite(plane)
    rgba = np.asarray(colors(np.where(known, plane, 0.0).astype(np.float32)), float)
    alpha = np.where(known, rgba[..., 3], 0.0)[..., None]
    mixed = 255 * rgba[..., :3] * alpha + np.asarray(EMPTY) * (1 - alpha)
    return np.ascontiguousarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
