"""Area of a level surface and the volume it encloses, without keeping its triangles."""

import numba
import numpy as np

from oxytomo.arrays import FloatArray

TETRAHEDRA = np.array(
    [[0, first, 7 - last, 7] for first in (1, 2, 4) for last in (1, 2, 4) if first != last], np.int64
)
"""Six tetrahedra fill a cell (Kuhn 1960), each along one way from its first to its last corner;
corner 4 i + 2 j + k."""


@numba.njit(cache=True)
def level_surface(values: FloatArray, level: float, first: int) -> tuple[float, float]:
    """Return area (voxel faces) and enclosed volume (voxels) of a level surface.

    Marching tetrahedra (Doi and Koide 1991): values are linear in each of six tetrahedra per cell
    of eight voxels. The volume is a sum over triangles (divergence theorem), so the surface must be
    closed within the array, or over pieces that share a row.

    Parameters
    ----------
    values : (n_z, n_y, n_x) float32; above the level is inside
    level : level, between the smallest and the largest value
    first : row of the whole volume that row 0 of a piece corresponds to
    """
    area, volume = 0.0, 0.0
    corner = np.empty(8)
    inner, outer = np.empty(4, np.int64), np.empty(4, np.int64)
    points = np.empty((4, 3))
    for z in range(values.shape[0] - 1):
        for y in range(values.shape[1] - 1):
            before = -1
            for x in range(values.shape[2]):
                # Number of the four voxels of this column of cells that are inside; a cell lies
                # between two columns.
                here = int(values[z, y, x] > level) + int(values[z, y + 1, x] > level)
                here += int(values[z + 1, y, x] > level) + int(values[z + 1, y + 1, x] > level)
                before, above = here, before + here
                if x == 0 or above == 0 or above == 8:
                    continue
                for i in range(8):
                    corner[i] = values[z + (i >> 2), y + ((i >> 1) & 1), x - 1 + (i & 1)] - level
                for tetrahedron in TETRAHEDRA:
                    n_in, n_out = 0, 0
                    for i in tetrahedron:
                        if corner[i] > 0:
                            inner[n_in] = i
                            n_in += 1
                        else:
                            outer[n_out] = i
                            n_out += 1
                    if n_in == 0 or n_out == 0:
                        continue
                    # A triangle, or the four corners of a plane quadrilateral in order.
                    n = 0
                    for a in range(n_in):
                        for b in range(n_out):
                            i, o = inner[a], outer[b if a == 0 else n_out - 1 - b]
                            share = corner[i] / (corner[i] - corner[o])
                            points[n, 0] = (i >> 2) + share * ((o >> 2) - (i >> 2))
                            points[n, 1] = ((i >> 1) & 1) + share * (((o >> 1) & 1) - ((i >> 1) & 1))
                            points[n, 2] = (i & 1) + share * ((o & 1) - (i & 1))
                            n += 1
                    i, o = inner[0], outer[0]
                    for third in range(2, n):
                        vz, vy, vx = _cross(points[0], points[third - 1], points[third])
                        out = vz * ((o >> 2) - (i >> 2)) + vy * (((o >> 1) & 1) - ((i >> 1) & 1))
                        out += vx * ((o & 1) - (i & 1))
                        height = (
                            vz * (first + z + points[0, 0])
                            + vy * (y + points[0, 1])
                            + vx * (x - 1 + points[0, 2])
                        )
                        area += np.sqrt(vz * vz + vy * vy + vx * vx) / 2
                        volume += (height if out > 0 else -height) / 6
    return area, volume


@numba.njit(cache=True, inline="always")
def _cross(a: FloatArray, b: FloatArray, c: FloatArray) -> tuple[float, float, float]:
    """Return the normal of a triangle, with twice its area as length."""
    pz, py, px = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    qz, qy, qx = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return py * qx - px * qy, px * qz - pz * qx, pz * qy - py * qz


@numba.njit(cache=True)
def blurred(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return values convolved along all three axes with symmetric weights (middle first).

    Beyond the edges all values are zero.
    """
    n_z, n_y, n_x = values.shape
    reach = weights.size - 1
    first, second = np.zeros(values.shape, np.float32), np.zeros(values.shape, np.float32)
    for z in range(n_z):
        for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
            weight = weights[abs(a - z)]
            for y in range(n_y):
                for x in range(n_x):
                    first[z, y, x] += weight * values[a, y, x]
        for y in range(n_y):
            for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                weight = weights[abs(b - y)]
                for x in range(n_x):
                    second[z, y, x] += weight * first[z, b, x]
        first[z] = 0
        for y in range(n_y):
            for k in range(-reach, reach + 1):
                weight = weights[abs(k)]
                for x in range(max(-k, 0), min(n_x - k, n_x)):
                    first[z, y, x] += weight * second[z, y, x + k]
    return first
