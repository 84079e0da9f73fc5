"""Local thickness: the diameter of the largest ball inside the pores that covers a voxel."""

import edt
import numba
import numpy as np

from pipeline.arrays import BoolArray, FloatArray


def local_thickness(mask: BoolArray) -> FloatArray:
    """Return the local thickness in voxels (Hildebrand and Rüegsegger 1997), 0 outside the mask.

    Balls are painted from the largest to the smallest distance to the background; one that lies inside the ball
    of a neighbour is skipped. A ball ends between its last voxel centre and the nearest one outside, whose squared distances
    are whole numbers and mostly neighbours: half is taken off the latter. That holds for round pores about a voxel's centre
    (within 0.3 voxels from a radius of 4 on); balls between centres come out up to a voxel too small and plates up to a
    voxel too thick: their aperture is measured from profiles.

    Parameters
    ----------
    mask : (n_z, n_y, n_x) bool
    """
    radius = edt.edt(np.ascontiguousarray(mask), black_border=False)
    keep = _own_balls(radius)
    places = np.flatnonzero(keep)
    order = places[np.argsort(-radius.ravel()[places], kind="stable")]
    thickness: FloatArray = _paint(radius, order)
    return thickness


@numba.njit(cache=True)
def _own_balls(radius: FloatArray) -> BoolArray:
    """Say which balls no neighbour's ball contains."""
    n_z, n_y, n_x = radius.shape
    keep = np.zeros(radius.shape, np.bool_)
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                r = radius[z, y, x]
                if r <= 0:
                    continue
                own = True
                for a in range(max(z - 1, 0), min(z + 2, n_z)):
                    for b in range(max(y - 1, 0), min(y + 2, n_y)):
                        for c in range(max(x - 1, 0), min(x + 2, n_x)):
                            away = np.sqrt((a - z) ** 2 + (b - y) ** 2 + (c - x) ** 2)
                            if away > 0 and radius[a, b, c] >= r + away - 1e-4:
                                own = False
                keep[z, y, x] = own
    return keep


@numba.njit(cache=True)
def _paint(radius: FloatArray, order: np.ndarray) -> FloatArray:
    n_z, n_y, n_x = radius.shape
    out = np.zeros(radius.shape, np.float32)
    for place in order:
        z, y, x = place // (n_y * n_x), place // n_x % n_y, place % n_x
        r = radius[z, y, x]
        value = 2 * np.sqrt(r * r - np.float32(0.5))
        reach = int(r)
        square = r * r
        for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
            for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                rest = square - (a - z) ** 2 - (b - y) ** 2
                if rest <= 0:
                    continue
                side = int(np.sqrt(rest))
                for c in range(max(x - side, 0), min(x + side + 1, n_x)):
                    if out[a, b, c] == 0 and radius[a, b, c] > 0 and (c - x) ** 2 < rest:
                        out[a, b, c] = value
    return out
