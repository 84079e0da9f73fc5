"""Ridge voxels and their neighbours: sheets of ridge voxels, and sums over sheets."""

from dataclasses import dataclass

import numba
import numpy as np

from oxytomo.arrays import FloatArray, IntArray
from oxytomo.threads import parallel_kernel

STEP_OUT = 0.8
"""Largest distance in voxels of a ridge from the plane of its neighbour on the same sheet."""

SAME_PLANE_COSINE, SAME_PLANE_PX = 0.9, 1.5
"""Region in the plane of a ridge voxel: limits along its direction and its position."""


@dataclass(frozen=True)
class Lookup:
    """Index of ridge voxels, without an array of the volume's size.

    Attributes
    ----------
    start : (n_z n_y + 1,) int64, first entry of each line along x
    column : (n,) int64, the x of each entry, increasing within a line
    row : (n,) int64, the row of the ridge voxel
    shape : of the volume
    """

    start: IntArray
    column: IntArray
    row: IntArray
    shape: tuple[int, ...]

    def rows_at(self, place: IntArray) -> IntArray:
        """Return the rows of the ridge voxels at positions (n, 3) of the volume, −1 for none."""
        found: IntArray = _rows_at(self.start, self.column, self.row, self.shape[1], place)
        return found


def lookup(index: IntArray, shape: tuple[int, ...]) -> Lookup:
    """Sort ridge voxels, (n, 3) z y x, into the lines of a volume."""
    n_z, n_y, n_x = shape
    place = np.ravel_multi_index(tuple(index.T), (n_z, n_y, n_x))
    order = np.argsort(place, kind="stable")
    line, column = np.divmod(place[order], n_x)
    return Lookup(np.searchsorted(line, np.arange(n_z * n_y + 1)), column, order, shape)


@numba.njit(cache=True)
def _first(column, low, high, x):  # type: ignore[no-untyped-def]
    """Return the first entry from ``low`` on whose column is at least x."""
    while low < high:
        middle = (low + high) // 2
        if column[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)
def _rows_at(start: IntArray, column: IntArray, row: IntArray, n_y: int, place: IntArray) -> IntArray:
    out = np.full(place.shape[0], -1, np.int64)
    for i in range(place.shape[0]):
        z, y, x = place[i]
        line = z * n_y + y
        entry = _first(column, start[line], start[line + 1], x)
        if entry < start[line + 1] and column[entry] == x:
            out[i] = row[entry]
    return out


@numba.njit(cache=True)
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def sheets_of_ridges(index: IntArray, normal: FloatArray, found: Lookup, cosine: float) -> IntArray:
    """Join ridge voxels within two voxels of each other that lie in each other's planes.

    Parameters
    ----------
    index, normal : from :func:`oxytomo.segment.plates.ridges`
    found : index of the ridge voxels
    cosine : smallest |n · n'| of neighbours on one sheet

    Returns
    -------
    sheet : (n,) int64, 0 …, numbered in the order of their first voxel
    """
    sheet: IntArray = _sheets(
        index, normal, found.start, found.column, found.row, found.shape[0], found.shape[1], cosine
    )
    return sheet


@numba.njit(cache=True)
def _sheets(index, normal, start, column, row, n_z, n_y, cosine):  # type: ignore[no-untyped-def]
    n = index.shape[0]
    parent = np.arange(n)
    for i in range(n):
        z, y, x = index[i]
        for a in range(max(z - 2, 0), min(z + 3, n_z)):
            for b in range(max(y - 2, 0), min(y + 3, n_y)):
                line = a * n_y + b
                entry = _first(column, start[line], start[line + 1], x - 2)
                while entry < start[line + 1] and column[entry] <= x + 2:
                    j = row[entry]
                    entry += 1
                    if j > i:
                        dot, out_i, out_j = 0.0, -normal[i, 3], normal[j, 3]
                        for k in range(3):
                            step = index[j, k] - index[i, k]
                            dot += normal[i, k] * normal[j, k]
                            out_i += step * normal[i, k]
                            out_j += step * normal[j, k]
                        # Normals have no sign: an offset along one is that along the other times
                        # the dot product.
                        out_i += normal[j, 3] * dot
                        out_j -= normal[i, 3] * dot
                        if abs(dot) >= cosine and max(abs(out_i), abs(out_j)) <= STEP_OUT:
                            p, q = _root(parent, i), _root(parent, j)
                            parent[max(p, q)] = min(p, q)
    sheet = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        r = _root(parent, i)
        if r == i:
            sheet[i] = count
            count += 1
        else:
            sheet[i] = sheet[r]
    return sheet


def sums_around(
    index: IntArray, normal: FloatArray, sheet: IntArray, values: FloatArray, found: Lookup, reach: int
) -> FloatArray:
    """Return sums over the sheet around each ridge voxel, within its plane.

    Parameters
    ----------
    index, normal, sheet : (n, 3), (n, 4) and (n,) of ridge voxels, see
        :func:`oxytomo.segment.plates.ridges`
    values : (n, k) values to sum
    found : index of the ridge voxels
    reach : radius of the ball in voxels

    Returns
    -------
    (n, k) float32
    """
    sums: FloatArray = _sums(
        index,
        normal,
        sheet,
        values,
        found.start,
        found.column,
        found.row,
        found.shape[0],
        found.shape[1],
        reach,
    )
    return sums


@parallel_kernel(element_ns=100)
def _sums(index, normal, sheet, values, start, column, row, n_z, n_y, reach):  # type: ignore[no-untyped-def]
    n, n_values = values.shape
    out = np.zeros((n, n_values), np.float32)
    for i in numba.prange(n):
        z, y, x = index[i]
        for a in range(max(z - reach, 0), min(z + reach + 1, n_z)):
            for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                line = a * n_y + b
                entry = _first(column, start[line], start[line + 1], x - reach)
                while entry < start[line + 1] and column[entry] <= x + reach:
                    j = row[entry]
                    dz, dy, dx = a - z, b - y, column[entry] - x
                    entry += 1
                    if sheet[j] != sheet[i] or dz * dz + dy * dy + dx * dx > reach * reach:
                        continue
                    dot, out_of_plane = 0.0, dz * normal[i, 0] + dy * normal[i, 1] + dx * normal[i, 2]
                    for k in range(3):
                        dot += normal[i, k] * normal[j, k]
                    out_of_plane += normal[j, 3] * dot - normal[i, 3]
                    if abs(dot) >= SAME_PLANE_COSINE and abs(out_of_plane) <= SAME_PLANE_PX:
                        for k in range(n_values):
                            out[i, k] += values[j, k]
    return out
