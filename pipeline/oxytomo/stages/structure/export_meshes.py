"""Stage ``export_meshes``: surfaces of particles and pores and middle surfaces of cracks as VTP and STL."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.config import ExportStage as Settings
from oxytomo.export.meshes import UNIT, MeshPiece, write_mesh
from oxytomo.export.record import provenance_attributes
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.stores import read_store
from oxytomo.io.tables import read_csv, write_json
from oxytomo.measure.sheet_surfaces import RIM_SHARE, sheet_surface
from oxytomo.measure.surfaces import label_boxes, particle_body, pore_body
from oxytomo.segment.sheets import local_aperture
from oxytomo.segment.voids import Voids
from oxytomo.slabs import ReadAhead, largest
from oxytomo.stages.context import StageContext
from oxytomo.stages.structure.segment_voids import read_voids

PORE_COLUMNS = ("pore", "particle", "volume_nm3", "equivalent_diameter_nm", "sphericity", "network", "open")
CRACK_COLUMNS = ("crack", "particle", "area_nm2", "volume_nm3", "angle_to_radius_deg", "network", "open")
DEFINITIONS = {
    "particle": "the skin, at the voxels' volume; cracks that are open to the outside lie beneath it",
    "pores": "void fraction at one half, each pore scaled about its middle to the volume in pores.csv",
    "cracks": "middle surface of each crack (it has no thickness); aperture_nm on the points is the local aperture",
}

Columns = Mapping[str, Sequence[str]]


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``voids``, ``pores`` and ``cracks``, write the folder ``meshes``."""
    store = read_store(inputs["voids"])
    voids, voxel_nm = read_voids(store), float(store.attributes["voxel_nm"])
    flat = voids.particle.shape[0] == 1
    found = {
        "particle": [] if flat else list(_particles(voids)),
        "pores": [] if flat else list(_pores(voids, read_csv(inputs["pores"]), voxel_nm)),
        "cracks": [] if flat else list(_cracks(voids, read_csv(inputs["cracks"]), voxel_nm)),
    }
    facts: dict[str, Any] = {}
    with complete_or_absent(outputs["meshes"]) as folder:
        folder.mkdir()
        for kind, pieces in found.items():
            ends = ("share", RIM_SHARE) if kind == "cracks" else None
            written = write_mesh(folder / kind, pieces, voxel_nm=voxel_nm, ends=ends) if pieces else None
            facts[kind] = {"definition": DEFINITIONS[kind], "written": written}
        content = {
            "unit": UNIT,
            "axes": "x, y, z; the centre of the voxel (z, y, x) of structure.ome.zarr is at (x, y, z) voxel sizes",
            "voxel_nm": voxel_nm,
            "meshes": facts,
            **provenance_attributes(context.provenance(inputs), sample=settings.sample),
        }
        write_json(folder / "meshes.json", content)
    counts = ", ".join(f"{len(pieces)} {kind}" for kind, pieces in found.items())
    context.log("a slice has no meshes" if flat else f"meshes: {counts}")


def _particles(voids: Voids) -> Iterator[MeshPiece]:
    low, high = label_boxes(voids.particle, largest(voids.particle))
    for row in np.flatnonzero(high[:, 0] >= 0):
        label = int(row) + 1
        surface = particle_body(voids.particle, voids.depth_px, low[row], high[row], label)
        if surface is not None:
            yield MeshPiece(surface.vertices, surface.faces, on_cells={"particle": label})


def _pores(voids: Voids, table: Columns, voxel_nm: float) -> Iterator[MeshPiece]:
    low, high = label_boxes(voids.instances, voids.n_pores)
    void, zone = ReadAhead(voids.void), ReadAhead(voids.zone)
    for row in range(voids.n_pores):
        volume = float(table["volume_nm3"][row]) / voxel_nm**3
        surface = pore_body(void, zone, low[row], high[row], row + 1) if volume > 0 else None
        if surface is not None:
            surface = surface.scaled_to(volume)
            yield MeshPiece(surface.vertices, surface.faces, on_cells=_numbers(table, PORE_COLUMNS, row))


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
                _numbers(table, CRACK_COLUMNS, row),
            )


def _numbers(table: Columns, names: tuple[str, ...], row: int) -> dict[str, float | int]:
    """Return one row of a table as numbers."""
    texts = {name: table[name][row] for name in names}
    whole = {"True": 1, "False": 0, "unknown": -1}
    return {
        name: whole[text] if text in whole else int(text) if text.isdigit() else float(text)
        for name, text in texts.items()
    }
