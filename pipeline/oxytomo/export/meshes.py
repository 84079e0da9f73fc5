"""Write triangle meshes in nm as VTP (with point and cell data) and STL (shape only)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, IntArray, NumberArray
from oxytomo.io.optional import optional_package

UNIT = "nm"
SAME_POINT_PX = 1e-3
"""Vertices closer than this are merged."""


@dataclass(frozen=True)
class MeshPiece:
    """One closed surface or sheet of a mesh.

    Attributes
    ----------
    vertices : (n, 3) float64, z y x in voxels
    faces : (m, 3) int64, rows of ``vertices``
    on_points : values at each vertex
    on_cells : values of the whole piece, written to each of its triangles
    """

    vertices: Float64Array
    faces: IntArray
    on_points: Mapping[str, NumberArray] = field(default_factory=dict)
    on_cells: Mapping[str, float | int] = field(default_factory=dict)


def write_mesh(
    path: Path, pieces: Sequence[MeshPiece], *, voxel_nm: float, ends: tuple[str, float] | None
) -> dict[str, Any]:
    """Write ``path``.vtp and ``path``.stl; return numbers of pieces and triangles, area, volume.

    Parameters
    ----------
    path : without suffix
    pieces : at least one
    voxel_nm : edge of a voxel; the voxel [0, 0, 0] has its centre at the origin, points are x y z
    ends : for sheets, the point data that limits the mesh, and its value at the limit; None for
        closed surfaces, which have a volume

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
    """Return the enclosed volume; the approximation of VTK is wrong by up to 0.1 %."""
    corners = (mesh.points - mesh.points.mean(axis=0)).astype(np.float64)[mesh.regular_faces]
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6
