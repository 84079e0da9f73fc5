"""Stage ``export_meshes``: surfaces of particles, pores and cracks as VTP and STL."""

from pathlib import Path

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.record import provenance_attributes
from oxytomo.export.void_meshes import void_meshes, write_meshes
from oxytomo.io.atomic import complete_or_absent
from oxytomo.io.stores import read_store
from oxytomo.io.tables import read_csv
from oxytomo.io.void_stores import read_voids
from oxytomo.stages.context import StageContext
from oxytomo.stages.progress import counted


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``voids``, ``pores`` and ``cracks``; write the folder ``meshes``."""
    store = read_store(inputs["voids"])
    voids, voxel_nm = read_voids(store), float(store.attributes["voxel_nm"])
    found = void_meshes(voids, read_csv(inputs["pores"]), read_csv(inputs["cracks"]), voxel_nm=voxel_nm)
    record = provenance_attributes(context.provenance(inputs), sample=settings.sample)
    with complete_or_absent(outputs["meshes"]) as folder:
        write_meshes(folder, found, voxel_nm=voxel_nm, record=record)
    counts = ", ".join(counted(len(pieces), kind.removesuffix("s")) for kind, pieces in found.items())
    context.log("a slice has no meshes" if voids.particle.shape[0] == 1 else f"meshes: {counts}")
