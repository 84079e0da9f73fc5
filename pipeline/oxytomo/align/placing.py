"""Labels of one volume on the grid of another, to which it was registered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.slabs import Box, Field, fill, in_parts, largest, read, slabs

PIECE = 2_000_000


@dataclass(frozen=True)
class Placement:
    """Position of the moving volume on the fixed grid.

    The inverse of :class:`oxytomo.align.rigid.RigidFit`'s transform.

    Attributes
    ----------
    rotation, translation_nm : place in moving = rotation @ place in fixed + translation
    from_nm, onto_nm : voxel sizes of the moving and the fixed volume
    shape : of the fixed volume
    """

    rotation: Float64Array
    translation_nm: Float64Array
    from_nm: float
    onto_nm: float
    shape: tuple[int, int, int]

    @property
    def division(self) -> int:
        """Number of parts along each edge of a voxel, so that none of its targets is missed."""
        return int(np.ceil(2 * self.from_nm / self.onto_nm))

    @property
    def part_share(self) -> float:
        """Volume of such a part in voxels of the fixed volume."""
        return (self.from_nm / self.onto_nm / self.division) ** 3

    def within(self, box: Box) -> "Placement":
        """Return the same position for a box of the fixed volume."""
        first = np.array([one.start for one in box])
        n_z, n_y, n_x = (one.stop - one.start for one in box)
        moved = self.translation_nm + self.rotation @ (first * self.onto_nm)
        return replace(self, translation_nm=moved, shape=(n_z, n_y, n_x))

    def of_part(self, first_nm: Float64Array, voxel_nm: float) -> "Placement":
        """Return the position of a part of the moving volume that has voxels of its own size.

        ``first_nm`` is the centre of its first voxel in the moving volume.
        """
        return replace(self, translation_nm=self.translation_nm - first_nm, from_nm=voxel_nm)

    def reached(self, box: Box) -> Box:
        """Return the box of the fixed volume that contains a box of the moving one.

        It has a margin of two voxels.
        """
        ends = np.array([(one.start - 0.5, one.stop - 0.5) for one in box])
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        places = (corners * self.from_nm - self.translation_nm) @ self.rotation / self.onto_nm
        low, high = np.floor(places.min(axis=0)) - 2, np.ceil(places.max(axis=0)) + 3
        return tuple(
            slice(min(max(int(a), 0), n), max(min(int(b), n), 0))
            for a, b, n in zip(low, high, self.shape, strict=True)
        )

    def sources(self, n_rows: int) -> range:
        """Return the rows of a moving volume that can have voxels in the fixed volume."""
        ends = np.array([(-1.0, side) for side in self.shape]) * self.onto_nm
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        rows = (corners @ self.rotation.T + self.translation_nm)[:, 0] / self.from_nm
        low, high = int(np.floor(rows.min())) - 1, int(np.ceil(rows.max())) + 2
        return range(min(max(low, 0), n_rows), max(min(high, n_rows), 0))

    def targets(self, index: IntArray) -> tuple[IntArray, IntArray]:
        """Return the row of the voxel and the flat index of the target.

        There is one of each for every part of the voxels (n, 3).
        """
        n = self.division
        offsets = (np.indices((n, n, n)).reshape(3, -1).T + 0.5) / n - 0.5
        places = ((index[:, None] + offsets) * self.from_nm - self.translation_nm) @ self.rotation
        found = np.rint(places / self.onto_nm).astype(np.int64).reshape(-1, 3)
        inside = ((found >= 0) & (found < self.shape)).all(axis=1)
        rows = np.repeat(np.arange(len(index)), n**3)[inside]
        return rows, np.ravel_multi_index(tuple(found[inside].T), self.shape)


def placed_share(weight: Callable[[slice], FloatArray], rows: int, placement: Placement) -> FloatArray:
    """Return the share of each voxel of the fixed volume that something in the moving one fills.

    Parameters
    ----------
    weight : gives, for some rows of the moving volume, the share of each voxel that is filled
    rows : number of rows of the moving volume
    """
    total = np.zeros(int(np.prod(placement.shape)), np.float32)
    for row in placement.sources(rows):
        part = weight(slice(row, row + 1))
        for some, source, target in _pieces(part > 0, row, placement):
            np.add.at(total, target, part[tuple(some[source].T)])
    total *= np.float32(placement.part_share)
    return total.reshape(placement.shape)


def placed_mean(values: FloatArray, weight: FloatArray, placement: Placement, *, least: float) -> FloatArray:
    """Return the mean of a quantity of the moving volume in each voxel of the fixed volume.

    NaN where less than ``least`` of a voxel has the quantity.

    Parameters
    ----------
    values : (n_z, n_y, n_x) of any sign, finite where ``weight`` is above 0
    weight : share of each voxel that counts, 0 to 1
    placement : position of the moving volume on the fixed grid
    least : smallest share of a voxel of the fixed volume
    """
    n_rows = len(values)
    known = np.where(weight > 0, values, np.float32(0))

    def of(sign: float) -> FloatArray:
        def part(rows: slice) -> FloatArray:
            return np.maximum(np.float32(sign) * known[rows], 0) * weight[rows]

        return placed_share(part, n_rows, placement)

    filled = placed_share(lambda rows: weight[rows], n_rows, placement)
    total = of(1.0) - of(-1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(filled >= least, total / filled, np.float32(np.nan)).astype(np.float32)


def placed_labels(labels: Field, placement: Placement) -> NDArray[np.int32]:
    """Return the label that fills most of each voxel of the fixed volume, 0 where there is none.

    A label that fills only a little of a voxel, such as a crack thinner than a voxel, still counts.
    """
    keys: list[Any] = []
    counts: list[Any] = []
    size = int(np.prod(placement.shape))
    rows = placement.sources(labels.shape[0])
    for slab in slabs((len(rows), *labels.shape[1:])):
        part = read(labels, slice(rows.start + slab.rows.start, rows.start + slab.rows.stop))
        for some, source, target in _pieces(part > 0, rows.start + slab.rows.start, placement):
            label = part[tuple(some[source].T)].astype(np.int64)
            key, count = np.unique(label * size + target, return_counts=True)
            keys.append(key)
            counts.append(count)
    found = np.zeros(size, np.int32)
    if keys:
        key, first = np.unique(np.concatenate(keys), return_inverse=True)
        count = np.bincount(first, np.concatenate(counts), minlength=len(key))
        order = np.argsort(count, kind="stable")
        found[key[order] % size] = key[order] // size
    return found.reshape(placement.shape)


def _pieces(
    where: BoolArray, first_row: int, placement: Placement
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield groups of voxels.

    For each group: its places (n, 3), and the row and the target of every part that has a target.
    """
    index = np.argwhere(where)
    at_once = max(1, PIECE // placement.division**3)
    for start in range(0, len(index), at_once):
        some = index[start : start + at_once]
        yield some, *placement.targets(some + np.array([first_row, 0, 0]))


def trim(labels: Field, share: Field, *, last: int) -> None:
    """Remove labels up to ``last`` where the share is below half the largest share of that label.

    Blur and partly filled voxels make a body larger by a voxel. Its wall is where the share is one
    half.

    Parameters
    ----------
    labels, share : from :func:`placed_labels` (changed) and :func:`placed_share`
    last : labels above it (cracks, which are thinner than a voxel) are kept as they are
    """
    reached = np.zeros(largest(labels) + 1, np.float32)
    for numbers, filled in in_parts(labels, share):
        np.maximum.at(reached, numbers.ravel(), filled.ravel())
    least = 0.5 * np.minimum(reached, 1)
    fill(labels, lambda n, s: np.where((n > last) | (s >= least[n]), n, 0).astype(np.int32), labels, share)
