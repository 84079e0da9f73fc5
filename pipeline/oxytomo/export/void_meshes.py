"""Surfaces of particles, pores and cracks, with their numbers from the tables."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.export.meshes import UNIT, MeshPiece, write_mesh
from oxytomo.io.tables import write_json
from oxytomo.measure.sheet_surfaces import RIM_SHARE, sheet_surface
from oxytomo.measure.surfaces import label_boxes, particle_body, pore_body
from oxytomo.segment.sheets import local_aperture
from oxytomo.segment.voids import Voids
from oxytomo.slabs import largest, read_ahead

PORE_COLUMNS = ("pore", "particle", "volume_nm3", "equivalent_diameter_nm", "sphericity", "network", "open")
CRACK_COLUMNS = ("crack", "particle", "area_nm2", "volume_nm3", "angle_to_radius_deg", "network", "open")
DEFINITIONS = {
    "particle": "the skin, at the voxels' volume; cracks that are open to the outside lie beneath it",
    "pores": "void fraction at one half, each pore scaled about its middle to the volume in pores.csv",
    "cracks": "middle surface of each crack (it has no thickness); aperture_nm on the points is the local aperture",
}

Columns = Mapping[str, Sequence[str]]
"""A table as text, by column."""


def void_meshes(
    voids: Voids, pores: Columns, cracks: Columns, *, voxel_nm: float
) -> dict[str, list[MeshPiece]]:
    """Return the meshes of a segmentation by kind; none for a single slice.

    Parameters
    ----------
    voids : the segmentation
    pores, cracks : the written tables of :mod:`oxytomo.measure.void_tables`
    voxel_nm : edge of a voxel
    """
    if voids.particle.shape[0] == 1:
        return {"particle": [], "pores": [], "cracks": []}
    return {
        "particle": list(_particles(voids)),
        "pores": list(_pores(voids, pores, voxel_nm)),
        "cracks": list(_cracks(voids, cracks, voxel_nm)),
    }


def write_meshes(
    folder: Path, found: Mapping[str, list[MeshPiece]], *, voxel_nm: float, record: Mapping[str, Any]
) -> None:
    """Write the files of each kind of mesh that has pieces, and ``meshes.json``.

    Parameters
    ----------
    folder : output folder, which is created
    found : pieces by kind
    voxel_nm : edge of a voxel
    record : provenance
    """
    folder.mkdir()
    facts: dict[str, Any] = {}
    for kind, pieces in found.items():
        ends = ("share", RIM_SHARE) if kind == "cracks" else None
        written = write_mesh(folder / kind, pieces, voxel_nm=voxel_nm, ends=ends) if pieces else None
        facts[kind] = {"definition": DEFINITIONS[kind], "written": written}
    content = {
        "unit": UNIT,
        "axes": "x, y, z; the centre of the voxel (z, y, x) of structure.ome.zarr is at (x, y, z) voxel sizes",
        "voxel_nm": voxel_nm,
        "meshes": facts,
        **record,
    }
    write_json(folder / "meshes.json", content)


def _particles(voids: Voids) -> Iterator[MeshPiece]:
    low, high = label_boxes(voids.particle, largest(voids.particle))
    for row in np.flatnonzero(high[:, 0] >= 0):
        label = int(row) + 1
        surface = particle_body(voids.particle, voids.depth_px, low[row], high[row], label)
        if surface is not None:
            yield MeshPiece(surface.vertices, surface.faces, on_cells={"particle": label})


def _pores(voids: Voids, table: Columns, voxel_nm: float) -> Iterator[MeshPiece]:
    low, high = label_boxes(voids.instances, voids.n_pores)
    void, zone = read_ahead(voids.void), read_ahead(voids.zone)
    for row in range(voids.n_pores):
        volume = float(table["volume_nm3"][row]) / voxel_nm**3
        surface = pore_body(void, zone, low[row], high[row], row + 1) if volume > 0 else None
        if surface is not None:
            surface = surface.scaled_to(volume)
            yield MeshPiece(surface.vertices, surface.faces, on_cells=row_numbers(table, PORE_COLUMNS, row))


def _cracks(voids: Voids, table: Columns, voxel_nm: float) -> Iterator[MeshPiece]:
    sheets = voids.sheets
    if not sheets.count:
        return
    aperture = local_aperture(sheets, voids.void.shape)
    order = np.argsort(sheets.sheet, kind="stable")
    limits = np.searchsorted(sheets.sheet[order], np.arange(1, sheets.count + 2))
    for row in range(sheets.count):
        own = order[limits[row] : limits[row + 1]]
        surface = sheet_surface(sheets.index[own], sheets.normal[own], sheets.area_px[own], aperture[own])
        if surface is not None and surface.share.max() > RIM_SHARE:
            yield MeshPiece(
                surface.vertices,
                surface.faces,
                {"aperture_nm": surface.aperture_px * voxel_nm, "share": surface.share},
                row_numbers(table, CRACK_COLUMNS, row),
            )


def row_numbers(table: Columns, names: tuple[str, ...], row: int) -> dict[str, float | int]:
    """Return some columns of one row as numbers: true 1, false 0, unknown −1."""
    texts = {name: table[name][row] for name in names}
    whole = {"True": 1, "False": 0, "unknown": -1}
    return {
        name: whole[text] if text in whole else int(text) if text.isdigit() else float(text)
        for name, text in texts.items()
    }
