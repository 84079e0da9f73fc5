"""Connected components of masks, labelled slab by slab, and filled bodies."""

from collections.abc import Callable, Iterator

import cc3d
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from oxytomo.arrays import BoolArray, IntArray
from oxytomo.slabs import Field, new_field, slabs

CORNERS = 26
"""Neighbours that share a face, an edge or a corner."""
FACES = 6
"""Neighbours that share a face."""

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


class Components:
    """Connected components, numbered from 1 in the order of their first voxels.

    Labels of more than one slab are not stored: each pass labels the slabs again, and a table says
    which labels of neighbouring slabs are the same.
    """

    def __init__(
        self, mask: Callable[[slice], BoolArray], shape: tuple[int, ...], *, connectivity: int
    ) -> None:
        """Label ``mask``, a function that returns the mask of some rows, and join across slabs."""
        self._mask, self._shape, self._connectivity = mask, shape, connectivity
        self._offset = [0]
        self._only: Labels | None = None
        joins: list[IntArray] = []
        last = np.zeros(shape[1:], np.int64)
        for slab in slabs(shape):
            found = self._slab(slab.rows)
            if slab.rows == slice(0, shape[0]):
                self._only = found
            labels = found.astype(np.int64)
            offset = self._offset[-1]
            labels[labels > 0] += offset
            joins.append(_touching(last, labels[0], connectivity))
            self._offset.append(max(offset, int(labels.max(initial=0))))
            last = labels[-1]
        total = self._offset[-1] + 1
        pairs = np.concatenate(joins)
        graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(total, total))
        _, member = connected_components(graph, directed=False)
        # Of labels that are the same the first is the lowest, so that bodies keep the order of
        # their first voxels.
        _, first, inverse = np.unique(member, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int32)
        rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
        self._table = rank[inverse]
        self.count = len(first) - 1

    def _slab(self, rows: slice) -> Labels:
        labels: Labels = cc3d.connected_components(
            np.ascontiguousarray(self._mask(rows)), connectivity=self._connectivity, out_dtype=np.uint32
        ).view(np.int32)
        return labels

    def __iter__(self) -> Iterator[tuple[slice, Labels]]:
        """Iterate over rows and their labels."""
        for slab, offset in zip(slabs(self._shape), self._offset, strict=False):
            labels = self._slab(slab.rows) if self._only is None else self._only
            table = self._table[offset : offset + int(labels.max(initial=0)) + 1].copy()
            table[0] = 0
            yield slab.rows, table[labels]

    def sizes(self) -> IntArray:
        """Return the number of voxels by label; entry 0 is 0."""
        found = np.zeros(self.count + 1, np.int64)
        for _, labels in self:
            found += np.bincount(labels.ravel(), minlength=self.count + 1)
        found[0] = 0
        return found


def _touching(last: IntArray, first: IntArray, connectivity: int) -> IntArray:
    """Return pairs of labels that touch from one row to the next."""
    n_y, n_x = first.shape
    reach = (-1, 0, 1) if connectivity == CORNERS else (0,)
    found = []
    for dy in reach:
        for dx in reach:
            a = last[max(0, dy) : n_y + min(0, dy), max(0, dx) : n_x + min(0, dx)]
            b = first[max(0, -dy) : n_y + min(0, -dy), max(0, -dx) : n_x + min(0, -dx)]
            both = (a > 0) & (b > 0)
            found.append(np.unique(np.stack([a[both], b[both]], axis=1), axis=0))
    return np.concatenate(found)


def filled_bodies(solid: Field) -> Field:
    """Return bodies with their closed voids filled.

    A void is closed if no path through faces leads from it to the edge of the volume.

    Voids and cracks that are open to the outside stay open: their walls are surface. The single
    slice of a two-dimensional image does not open its voids.

    Parameters
    ----------
    solid : (n_z, n_y, n_x) bool
    """
    shape = solid.shape
    filled = new_field(shape, np.bool_)
    background = Components(lambda rows: ~solid[rows], shape, connectivity=FACES)
    outside = np.zeros(background.count + 1, bool)
    for rows, labels in background:
        sides = [labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]]
        if rows.start == 0 and shape[0] > 1:
            sides.append(labels[0])
        if rows.stop == shape[0] and shape[0] > 1:
            sides.append(labels[-1])
        for side in sides:
            outside[np.unique(side)] = True
    outside[0] = False
    for rows, labels in background:
        filled[rows] = ~outside[labels]
    return filled
