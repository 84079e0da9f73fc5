"""Larger pixels, for a quick look."""

import numpy as np

from oxytomo.arrays import FloatArray, Quantity
from oxytomo.slabs import Field


def bin_frames(frames: Field, *, factor: int, quantity: Quantity) -> FloatArray:
    """Return frames with pixels that are ``factor`` times larger in both directions.

    Counts are summed, so that they keep the statistics of photons; all other quantities are
    averaged. A large pixel with an invalid (NaN) part is invalid. Rows and columns that fill no
    large pixel are cut off at the end.

    Parameters
    ----------
    frames : (n, n_y, n_x), read frame by frame
    factor : 1 or more
    quantity : quantity in the pixels

    Returns
    -------
    binned : (n, n_y // factor, n_x // factor) float32
    """
    n, rows, columns = frames.shape[0], frames.shape[1] // factor, frames.shape[2] // factor
    scale = 1.0 if quantity == "counts" else 1.0 / factor**2
    binned = np.empty((n, rows, columns), np.float32)
    for number in range(n):
        frame = np.asarray(frames[number], np.float64)[: rows * factor, : columns * factor]
        binned[number] = scale * frame.reshape(rows, factor, columns, factor).sum(axis=(1, 3))
    return binned
