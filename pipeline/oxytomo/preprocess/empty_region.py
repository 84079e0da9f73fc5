"""The empty region beside the sample that a user gives, as a mask."""

import numpy as np

from oxytomo.arrays import BoolArray
from oxytomo.errors import ConfigError


def given_region(air: tuple[int, int, int, int], shape: tuple[int, int], *, name: str) -> BoolArray:
    """Return the empty region (n_y, n_x) between first and last row and column.

    A region outside the frame is refused.

    Parameters
    ----------
    air : first row, last row, first column, last column, all inclusive
    shape : (n_y, n_x) of the frames
    name : subject of error messages
    """
    y0, y1, x0, x1 = air
    if not (0 <= y0 <= y1 < shape[0] and 0 <= x0 <= x1 < shape[1]):
        raise ConfigError(
            f"normalize.air of {name}",
            expected=f"rows within 0 to {shape[0] - 1} and columns within 0 to {shape[1] - 1}, first before last",
            got=str(list(air)),
            fix="correct the region",
        )
    region = np.zeros(shape, bool)
    region[y0 : y1 + 1, x0 : x1 + 1] = True
    return region
