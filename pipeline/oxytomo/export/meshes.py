"""Triangle meshes as VTP (with numbers on points and cells) and STL (shape only), in nanometres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, IntArray, NumberArray
from oxytomo.io.optional import optional_package

UNIT = "nm"
SAME_POINT_PX = 1e-3
"""Vertices nearer than this are one."""


@dataclass(frozen=True)
class MeshPiece:
    """One body or sheet of a mesh.

    Attributes
    ----------
    vertices : (n, 3) float64, z y x in voxels
    faces : (m, 3) int64, rows of ``vertices``
    on_points : numbers of each vertex
    on_cells : numbers of the whole piece, written to each of its triangles
    """

    vertices: Float64Array
    faces: IntArray
    on_points: Mapping[str, NumberArray] = field(default_factory=dict)
    on_cells: Mapping[str, float | int] = field(default_factory=dict)


def write_mesh(
    path: Path, pieces: Sequence[MeshPiece], *, voxel_nm: float, ends: tuple[str, float] | None
) -> dict[str, Any]:
    """Write ``path``.vtp and ``path``.stl and return their number of pieces and triangles, area and volume.

    Parameters
    ----------
    path : without suffix
    pieces : at least one
    voxel_nm : edge of a voxel; the voxel [0, 0, 0] has its centre at the origin, points are x y z
    ends : numbers of the vertices where the mesh is cut off, and the value at the cut, for sheets; None for bodies, which
        have a volume

    Raises
    ------
    MissingPackageError
        PyVista is not installed.
    """
    pv = optional_package("pyvista", what="meshes", extra="view")
    meshes = []
    for piece in pieces:
        mesh = pv.PolyData.from_regular_faces(piece.vertices[:, ::-1] * voxel_nm, piece.faces)
        for name, values in piece.on_points.items():
            mesh.point_data[name] = values
        mesh = mesh.clean(tolerance=SAME_POINT_PX * voxel_nm, absolute=True)
        if ends is not None:
            mesh = mesh.clip_scalar(scalars=ends[0], value=ends[1], invert=False)
            del mesh.point_data[ends[0]]
        for name, value in piece.on_cells.items():
            mesh.cell_data[name] = np.full(mesh.n_cells, value)
        meshes.append(mesh)
    whole = meshes[0].append_polydata(*meshes[1:])
    whole.field_data["length_unit"] = [UNIT]
    whole.save(path.with_suffix(".vtp"))
    whole.save(path.with_suffix(".stl"))
    facts = {"pieces": len(pieces), "triangles": whole.n_cells, "area_nm2": float(whole.area)}
    return facts if ends is not None else {**facts, "volume_nm3": _volume(whole)}


def _volume(mesh: Any) -> float:
    """Return the enclosed volume; VTK's own is an approximation that is off by up to a tenth of a percent."""
    corners = (mesh.points - mesh.points.mean(axis=0)).astype(np.float64)[mesh.regular_faces]
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6
