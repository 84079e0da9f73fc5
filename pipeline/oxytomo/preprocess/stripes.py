"""Removal of stripes from sinograms (rings in slices) with the methods of the package Algotom.

It is off by default.

Any stripe filter also changes real structure, and with it the ratios of elements. The change is
therefore measured and recorded.
"""

from typing import Literal, get_args

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.errors import ConfigError, MissingPackageError
from oxytomo.slabs import Field, new_field

StripeMethod = Literal["sorting", "filtering", "fitting"]


ROWS = 16
"""Detector rows that are read and written together."""


def without_stripes(value: Field, *, method: StripeMethod) -> tuple[Field, float]:
    """Remove stripes from every sinogram.

    Parameters
    ----------
    value : (n_tilt, n_y, n_x) float32 by ascending tilt, NaN where invalid; these pixels stay NaN
    method : the method of Vo et al.: "sorting" (their algorithm 3), "filtering" (2) or "fitting"
        (1)

    Returns
    -------
    value : series without stripes
    change : relative change of the total of the series

    References
    ----------
    Vo, Atwood, Drakopoulos, Opt. Express 26, 28396 (2018); Vo et al., Opt. Express 29, 17849 (2021)
    for the package.
    """
    if method not in get_args(StripeMethod):
        raise ConfigError(
            "stripe_removal",
            expected=", ".join(get_args(StripeMethod)),
            got=method,
            fix="choose one of these",
        )
    try:
        from algotom.prep import removal
    except ImportError as error:
        raise MissingPackageError(
            "stripe_removal",
            expected="the package algotom",
            got="not installed",
            fix="install it with `pip install algotom`, or set normalize.stripe_removal: none",
        ) from error
    remove = {
        "sorting": removal.remove_stripe_based_sorting,
        "filtering": removal.remove_stripe_based_filtering,
        "fitting": removal.remove_stripe_based_fitting,
    }[method]
    cleaned = new_field(value.shape, np.float32)
    before, after = 0.0, 0.0
    for start in range(0, value.shape[1], ROWS):
        rows = np.array(value[:, start : start + ROWS])
        before += float(np.nansum(rows, dtype=np.float64))
        for row in range(rows.shape[1]):
            sinogram = rows[:, row]
            valid = np.isfinite(sinogram)
            rows[:, row] = np.where(valid, remove(_filled(sinogram)), np.nan)
        after += float(np.nansum(rows, dtype=np.float64))
        cleaned[:, start : start + ROWS] = rows
    return cleaned, (after - before) / before if before else 0.0


def _filled(sinogram: FloatArray) -> FloatArray:
    """Bridge invalid pixels along the tilt, for the filter only."""
    filled = sinogram.copy()
    tilts = np.arange(len(sinogram))
    for column in np.flatnonzero(~np.isfinite(sinogram).all(axis=0)):
        valid = np.isfinite(sinogram[:, column])
        filled[:, column] = np.interp(tilts, tilts[valid], sinogram[valid, column]) if valid.any() else 0.0
    return filled
