"""Scenes of renders: coloured bodies in nanometres, and a section through them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from oxytomo.arrays import BoolArray, Float64Array, IntArray, LabelArray, NumberArray
from oxytomo.io.optional import optional_package

SMOOTHING_PX = 0.6
"""Blur of the voxels of a body before its surface is drawn; very small bodies disappear."""
TAUBIN_STEPS, TAUBIN_BAND = 30, 0.05
SECTION_ZOOM, SECTION_BLUR_PX = 5, 0.9
"""Points per voxel on the faces of a cut, which are smoothed by about a voxel."""
SKIN_OPACITY = 0.22


@dataclass(frozen=True)
class Body:
    """Surfaces of one kind.

    Attributes
    ----------
    name : name in the legend
    color : hexadecimal
    mesh : PyVista mesh; x y z in nm, the voxel [0, 0, 0] at the origin
    opacity : 1 for solid
    about : numbers to show for a body under the pointer: name with unit -> cell array of the mesh
    """

    name: str
    color: str
    mesh: Any
    opacity: float = 1.0
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """Bodies, and the labels that a cut shows.

    Attributes
    ----------
    name, title : name of the files, and title as text
    skin : the particle's outer surface
    bodies : bodies inside the surface
    labels : (n_z, n_y, n_x) labels, 0 outside, shown on the faces of the cut-away
    colors : label -> hexadecimal colour
    names : label -> name
    voxel_nm : edge of a voxel of ``labels``
    """

    name: str
    title: str
    skin: Body
    bodies: Sequence[Body]
    labels: LabelArray
    colors: Mapping[int, str]
    names: Mapping[int, str]
    voxel_nm: float

    @property
    def centre_nm(self) -> Float64Array:
        """Centre of the particle, x y z in nm."""
        low, high = np.array(self.skin.mesh.bounds).reshape(3, 2).T
        return (low + high) / 2

    @property
    def cut_nm(self) -> Float64Array:
        """Corner of the removed octant: the voxel centre next to the centre, x y z in nm."""
        return np.round(self.centre_nm / self.voxel_nm) * self.voxel_nm

    @property
    def reach_nm(self) -> float:
        """Radius of the sphere about the centre that contains the particle."""
        return float(np.linalg.norm(self.skin.mesh.points - self.centre_nm, axis=1).max())


def label_surface(inside: BoolArray, *, voxel_nm: float) -> Any | None:
    """Return the smoothed surface of voxels as a PyVista mesh in nm, None if there is none.

    Marching cubes at a level of 0.5 of the blurred voxels, then Taubin smoothing, which keeps the
    volume.

    Parameters
    ----------
    inside : (n_z, n_y, n_x) bool
    voxel_nm : edge of a voxel
    """
    pv = optional_package("pyvista", what="oxytomo render", extra="view")
    places = np.argwhere(inside)
    if places.size == 0:
        return None
    low = np.maximum(places.min(axis=0) - 2, 0)
    high = places.max(axis=0) + 3
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    padded = np.pad(inside[box].astype(np.float32), 2)
    blurred = gaussian_filter(padded, SMOOTHING_PX)
    grid = pv.ImageData(dimensions=blurred.shape[::-1], spacing=(voxel_nm,) * 3)
    grid.origin = tuple((low[::-1] - 2) * voxel_nm)
    mesh = grid.contour([0.5], scalars=blurred.ravel(), method="flying_edges")
    if mesh.n_cells == 0:
        return None
    mesh.clear_data()
    return mesh.smooth_taubin(n_iter=TAUBIN_STEPS, pass_band=TAUBIN_BAND).compute_normals(
        auto_orient_normals=True, non_manifold_traversal=False
    )


def triangles(mesh: Any) -> tuple[NumberArray, IntArray, IntArray]:
    """Return the points of a mesh, its polygons as triangles, and the cell of each triangle.

    Degenerate cells (points and lines), which remain after cleaning a mesh, come before the
    polygons and are not triangles.
    """
    pv = optional_package("pyvista", what="oxytomo render", extra="view")
    polygons = mesh.GetPolys()
    start = np.asarray(pv.convert_array(polygons.GetOffsetsArray()), np.int64)
    corners = np.asarray(pv.convert_array(polygons.GetConnectivityArray()), np.int64)
    sizes, before = np.diff(start), mesh.n_verts + mesh.n_lines
    faces, cells = [], []
    for size in np.unique(sizes[sizes >= 3]):
        own = np.flatnonzero(sizes == size)
        fans = corners[start[own][:, None] + np.arange(size)]
        for corner in range(1, size - 1):
            faces.append(fans[:, [0, corner, corner + 1]])
            cells.append(before + own)
    if not faces:
        return np.asarray(mesh.points), np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    return np.asarray(mesh.points), np.concatenate(faces), np.concatenate(cells)


def section_faces(scene: Scene) -> list[Any]:
    """Return the three faces of the cut-away as meshes with one colour (``rgb``) per cell.

    The octant of high x, high y and low z is removed. Labels are interpolated, so that the faces
    match the smooth surfaces. Nothing is drawn outside the particle.
    """
    pv = optional_package("pyvista", what="oxytomo render", extra="view")
    middle = np.round(scene.cut_nm[::-1] / scene.voxel_nm).astype(int)
    n = scene.labels.shape
    keep = (slice(0, middle[0] + 1), slice(middle[1], n[1]), slice(middle[2], n[2]))
    faces = []
    for axis in range(3):
        box = list(keep)
        box[axis] = slice(middle[axis], middle[axis] + 1)
        labels = _finer(np.squeeze(scene.labels[tuple(box)], axis=axis))
        across = [other for other in range(3) if other != axis]
        lines: list[Float64Array] = [np.empty(0)] * 3
        for place, other in enumerate(across):
            start = box[other].start
            edges = np.linspace(start, start + (labels.shape[place] - 1) / SECTION_ZOOM, labels.shape[place])
            half = 0.5 / SECTION_ZOOM
            lines[other] = np.concatenate([edges - half, [edges[-1] + half]]) * scene.voxel_nm
        lines[axis] = np.array([middle[axis] * scene.voxel_nm])
        grid = pv.RectilinearGrid(*lines[::-1])
        flat = labels.ravel()
        rgb = np.zeros((flat.size, 3), np.uint8)
        for label, color in scene.colors.items():
            rgb[flat == label] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        grid.cell_data["rgb"] = rgb
        if (flat > 0).any():
            faces.append(grid.extract_cells(np.flatnonzero(flat > 0)).extract_surface(algorithm=None))
    return faces


def _finer(labels: LabelArray) -> LabelArray:
    """Return labels on a finer grid: the label with the largest interpolated, blurred fraction."""
    values = np.unique(labels)
    shape = tuple((side - 1) * SECTION_ZOOM + 1 for side in labels.shape)
    factors = [new / old for new, old in zip(shape, labels.shape, strict=True)]
    blur = SECTION_BLUR_PX * SECTION_ZOOM
    shares = np.stack(
        [
            gaussian_filter(zoom((labels == value).astype(np.float32), factors, order=1), blur)
            for value in values
        ]
    )
    return values[shares.argmax(axis=0)]
