"""Closed surfaces of particles and pores as triangles."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects
from skimage.measure import marching_cubes

from oxytomo.arrays import Float64Array, IntArray
from oxytomo.measure.pore_surface import pore_box, pore_mesh
from oxytomo.slabs import Box, Field, read, slabs

FAR_PX = 3.0
"""Larger distances to the skin are clipped: they do not move the surface."""


@dataclass(frozen=True)
class Surface:
    """Triangles around one body.

    Attributes
    ----------
    vertices : (n, 3) float64, z y x in voxels; whole numbers are voxel centres. Where two pieces
        meet, vertices are duplicated
    faces : (m, 3) int64, rows of ``vertices``; counterclockwise seen from outside in the axes x y z
    """

    vertices: Float64Array
    faces: IntArray

    @property
    def area(self) -> float:
        """Area in voxel faces."""
        corners = self.vertices[self.faces]
        sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return float(np.linalg.norm(sides, axis=1).sum()) / 2

    @property
    def volume(self) -> float:
        """Enclosed volume in voxels."""
        corners = (self.vertices - self.vertices.mean(axis=0))[self.faces]
        # The order z y x is a mirror image of x y z, so the sign of the stored order is reversed.
        return -float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6

    def scaled_to(self, volume: float) -> "Surface":
        """Return the surface scaled about its middle to enclose ``volume`` voxels."""
        middle = self.vertices.mean(axis=0)
        factor = np.cbrt(volume / self.volume)
        return Surface(middle + factor * (self.vertices - middle), self.faces)


def label_boxes(labels: Field, count: int) -> tuple[IntArray, IntArray]:
    """Return the first and last voxels of the labels 1 … ``count``, (count, 3) each.

    First > last for a missing label.
    """
    low, high = np.full((count, 3), np.iinfo(np.int64).max), np.full((count, 3), -1)
    for slab in slabs(labels.shape):
        part = read(labels, slab.rows)
        start = np.array([slab.rows.start, 0, 0])
        for row, box in enumerate(find_objects(part, max_label=max(count, 1))[:count]):
            if box is not None:
                low[row] = np.minimum(low[row], start + [s.start for s in box])
                high[row] = np.maximum(high[row], start + [s.stop - 1 for s in box])
    return low, high


def pore_body(void: Field, zone: Field, low: IntArray, high: IntArray, label: int) -> Surface | None:
    """Return the surface at one half of the smoothed void fraction of a pore.

    Where the fraction stays below one half, it is at half of the peak.

    The surface of a small pore encloses less than the pore's volume because of blur; scale it to
    that volume. Parameters as in :func:`oxytomo.measure.pore_surface.pore_surface`.
    """
    corner = np.array([s.start - 1 for s in pore_box(low, high)])
    return _joined((vertices + corner, faces) for vertices, faces in pore_mesh(void, zone, low, high, label))


def particle_body(
    particle: Field, depth_px: Field, low: IntArray, high: IntArray, label: int
) -> Surface | None:
    """Return the skin of one particle, scaled to the volume of its voxels.

    It is flat where the volume ends.

    Parameters
    ----------
    particle : (n_z, n_y, n_x) uint8, particle of each voxel
    depth_px : float32, distance to the skin, positive inside
    low, high : (3,) first and last voxels of the particle
    label : of the particle
    """
    shape = particle.shape
    box = tuple(
        slice(max(0, int(a) - 2), min(int(b) + 3, n)) for a, b, n in zip(low, high, shape, strict=True)
    )
    n = box[0].stop - box[0].start
    corner = np.array([s.start - 1 for s in box])
    pieces, count = [], 0
    for slab in slabs((n, *(s.stop - s.start for s in box[1:])), halo=1):
        depth, own = _depth_of(particle, depth_px, box, slab.wide, label)
        count += int(own[slab.core].sum())
        # A row of air before the first and after the last row; pieces share a row with the next
        # one.
        first, last = int(slab.rows.start == 0), int(slab.rows.stop == n)
        rows = depth[slab.core.start : slab.core.stop + 1]
        padded = np.pad(rows, ((first, last), (1, 1), (1, 1)), constant_values=-FAR_PX)
        if padded.min() < 0 < padded.max():
            vertices, faces, _, _ = marching_cubes(padded, 0.0, allow_degenerate=False)
            offset = corner + np.array([slab.rows.start + 1 - first, 0, 0])
            pieces.append((vertices.astype(np.float64) + offset, faces.astype(np.int64)))
    surface = _joined(pieces)
    return None if surface is None else surface.scaled_to(float(count))


def _depth_of(
    particle: Field, depth_px: Field, box: Box, rows: slice, label: int
) -> tuple[Float64Array, Float64Array]:
    """Return the distance to the skin of one particle in rows of its box, and its mask."""
    part = (slice(box[0].start + rows.start, box[0].start + rows.stop), *box[1:])
    labels = np.asarray(particle[part])
    depth = np.clip(np.asarray(depth_px[part]), -FAR_PX, FAR_PX)
    # A touching neighbour counts as outside.
    return np.where((labels != 0) & (labels != label), -np.abs(depth), depth), labels == label


def _joined(pieces: Iterable[tuple[Float64Array, IntArray]]) -> Surface | None:
    """Join the pieces of a mesh; None without pieces or if they enclose no volume."""
    parts = list(pieces)
    if not parts:
        return None
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    surface = Surface(
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + offset for (_, faces), offset in zip(parts, offsets, strict=True)]),
    )
    return surface if surface.volume > 0 else None
