"""Stage ``export_structure``: the volume with particle, voids and their numbers as OME-Zarr labels."""

from pathlib import Path

import numpy as np

from pipeline.config import ExportStage as Settings
from pipeline.export.ngff import Channel, Label
from pipeline.export.ome_zarr import write_image
from pipeline.export.record import provenance_attributes
from pipeline.io.stores import read_store
from pipeline.palette import (
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    VOID_COLORS,
    VOID_NAMES,
    display_window,
    instance_colors,
)
from pipeline.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``volume`` and ``voids``, write ``store`` with the axes z, y, x."""
    stored, segmented = read_store(inputs["volume"]), read_store(inputs["voids"])
    volume = stored["volume"].astype(np.float32, copy=False)
    instances = segmented["instances"]
    colors = instance_colors(int(instances.max()))
    names = {label: "outside" if label == 0 else f"void {label}" for label in colors}
    write_image(
        outputs["store"],
        [Channel("volume", volume, GREY, display_window(volume, percent=0.5, from_zero=False))],
        name=settings.sample,
        axes=("z", "y", "x"),
        voxel_nm=float(stored.attributes["voxel_nm"]),
        labels=[
            Label("particle", (segmented["particle"] > 0).astype(np.uint8), PARTICLE_COLORS, PARTICLE_NAMES),
            Label("voids", segmented["voids"], VOID_COLORS, VOID_NAMES),
            Label("void_instances", instances, colors, names),
        ],
        ngff=settings.ngff,
        chunk=settings.chunk,
        shard=settings.shard,
        levels=settings.levels,
        attributes=provenance_attributes(
            context.provenance(inputs),
            kind="structure",
            sample=settings.sample,
            n_pores=segmented.attributes["n_pores"],
            units={"volume": stored.unit("volume")},
        ),
    )
    context.log(
        f"volume of {volume.shape} voxels with particle, voids and {int(instances.max())} single voids"
    )
