"""Rings: detector columns that answer differently leave straight stripes in a sinogram."""

import numpy as np
import scipy.ndimage

from pipeline.arrays import FloatArray


def remove_stripes(projections: FloatArray, *, width_px: int) -> FloatArray:
    """Even out detector columns by sorting: each column's values, sorted, are smoothed over the neighbouring columns.

    Sorting along the tilts gives each column a smooth distribution of values, which differs from that of its neighbours only
    where the column itself is wrong; a median across the columns takes that out, and sorting back puts every value in its place.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, all finite
    width_px : widest stripe, columns; the median is over the next larger odd number

    Returns
    -------
    (n_tilt, n_z, n_s) float32

    Notes
    -----
    Also changes what truly stays in one column at every tilt: structures near the rotation axis lose contrast.

    References
    ----------
    Vo, Atwood & Drakopoulos, Opt. Express 26, 28396 (2018), algorithm 3.
    """
    order = np.argsort(projections, axis=0, kind="stable")
    ranked = np.take_along_axis(projections, order, axis=0)
    size = width_px + 1 - width_px % 2
    smooth = scipy.ndimage.median_filter(ranked, size=(1, 1, size), mode="nearest")
    evened = np.empty_like(projections)
    np.put_along_axis(evened, order, smooth, axis=0)
    return evened
