"""Closed surfaces of particles and pores as triangles."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

from pipeline.arrays import Float64Array, FloatArray, IntArray, LabelArray

SMOOTHING_PX = 0.7
"""Quiets the noise of the void fraction before its surface is drawn at one half."""
REACH_PX = 4
"""Blur spreads a pore's void fraction so far beyond its own voxels."""
FAR_PX = 3.0
"""Distances to the skin beyond this do not move the surface."""

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


@dataclass(frozen=True)
class Surface:
    """Triangles around one body.

    Attributes
    ----------
    vertices : (n, 3) float64, z y x in voxels; whole numbers are voxel centres
    faces : (m, 3) int64, rows of ``vertices``; counterclockwise seen from outside once the axes are x y z
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
        # Turning z y x into x y z mirrors, so the sign is that of the stored order reversed.
        return -float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6

    def scaled_to(self, volume: float) -> "Surface":
        """Return the surface scaled about its middle to enclose ``volume`` voxels."""
        middle = self.vertices.mean(axis=0)
        factor = np.cbrt(volume / self.volume)
        return Surface(middle + factor * (self.vertices - middle), self.faces)


def pore_surface(void: FloatArray, zone: Labels, box: tuple[slice, ...], label: int) -> Surface | None:
    """Return where the smoothed void fraction of one pore is one half, or half of its peak where it stays below.

    Blur makes the surface of a small pore enclose less than the pore's volume: scale it to that.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    zone : int32, the pore's voxels with the surroundings that blur spreads it to
    box : around the pore's own voxels
    label : of the pore
    """
    wide = tuple(slice(max(0, s.start - REACH_PX), s.stop + REACH_PX) for s in box)
    own = np.where(zone[wide] == label, void[wide], 0)
    smooth = gaussian_filter(np.pad(own, 1), SMOOTHING_PX)
    return _closed(smooth, min(0.5, 0.5 * float(smooth.max())), [s.start - 1 for s in wide])


def particle_surface(
    particle: LabelArray, depth_px: FloatArray, box: tuple[slice, ...], label: int
) -> Surface | None:
    """Return the skin of one particle, scaled to the volume of its voxels; it is flat where the volume ends.

    Parameters
    ----------
    particle : (n_z, n_y, n_x) uint8, particle of each voxel
    depth_px : float32, distance to the skin, positive inside
    box : around the particle
    label : of the particle
    """
    wide = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in box)
    labels = particle[wide]
    depth = np.clip(depth_px[wide], -FAR_PX, FAR_PX)
    # A neighbour that touches is outside.
    depth = np.where((labels != 0) & (labels != label), -np.abs(depth), depth)
    padded = np.pad(depth, 1, constant_values=-FAR_PX)
    surface = _closed(padded, 0.0, [s.start - 1 for s in wide])
    return None if surface is None else surface.scaled_to(float((labels == label).sum()))


def _closed(field: FloatArray, level: float, start: list[int]) -> Surface | None:
    """Return the surface around values above a level that the padded field does not reach at its faces."""
    if not field.min() < level < field.max():
        return None
    vertices, faces, _, _ = marching_cubes(field, level, allow_degenerate=False)
    surface = Surface(vertices.astype(np.float64) + start, faces.astype(np.int64))
    return surface if surface.volume > 0 else None
