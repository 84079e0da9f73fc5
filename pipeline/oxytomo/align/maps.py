"""Maps of different elements on one grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oxytomo.align.energies import FixedFrames, register_energies
from oxytomo.align.resample import resample
from oxytomo.arrays import FloatArray

MAX_SHIFT_PX = 30.0
NEGLIGIBLE_PX = 0.05
"""Maps with the same pixel size whose shift is smaller than this are kept as they are."""


@dataclass(frozen=True)
class MapPlace:
    """Transform of maps to the grid of other maps.

    Attributes
    ----------
    shape : (n_y, n_x) of that grid
    magnification : its pixel size over that of the maps
    shift_px : dy, dx in pixels of the maps
    """

    shape: tuple[int, int]
    magnification: float
    shift_px: tuple[float, float]

    def moved(self, array: FloatArray) -> FloatArray:
        """Bring a map to the grid, NaN beyond its edges."""
        out, _ = resample(
            array[None].astype(np.float32),
            np.ones((1, *array.shape), np.float32),
            dy_px=np.array([self.shift_px[0]]),
            dx_px=np.array([self.shift_px[1]]),
            magnification=self.magnification,
            rotation_deg=0.0,
            shape=self.shape,
        )
        return out[0]


def place_on(
    jump: FloatArray, fixed: FloatArray, *, pixel_nm: float, fixed_pixel_nm: float
) -> MapPlace | None:
    """Find where maps lie on the grid of other maps, from the pixel sizes and both edge jumps.

    Parameters
    ----------
    jump, fixed : (n_y, n_x) float32 edge jumps of both, 0 where unknown
    pixel_nm, fixed_pixel_nm : pixel sizes; taken as equal where one is NaN

    Returns
    -------
    The place, or None where both are on one grid already
    """
    sizes_known = np.isfinite([fixed_pixel_nm, pixel_nm]).all()
    magnification = fixed_pixel_nm / pixel_nm if sizes_known else 1.0
    shape = (int(fixed.shape[0]), int(fixed.shape[1]))
    scaled = MapPlace(shape, magnification, (0.0, 0.0)).moved(jump)
    found = register_energies(
        scaled[None],
        FixedFrames(fixed.astype(np.float32)[None], 1.0),
        max_shift_px=MAX_SHIFT_PX,
        chemistry=True,
    )
    dy, dx = (float(value) * magnification for value in found.shifts[0])
    same = shape == jump.shape and abs(magnification - 1) < 1e-3
    if same and max(abs(dy), abs(dx)) < NEGLIGIBLE_PX:
        return None
    return MapPlace(shape, magnification, (dy, dx))


def placed(maps: Mapping[str, FloatArray], place: MapPlace | None) -> dict[str, FloatArray]:
    """Return maps on another grid; without a place they are returned as they are."""
    return {name: array if place is None else place.moved(array) for name, array in maps.items()}
