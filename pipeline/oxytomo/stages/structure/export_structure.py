"""Stage ``export_structure``: the volume with particle and voids as OME-Zarr labels."""

from pathlib import Path

import numpy as np

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.ngff import Channel, Label
from oxytomo.io.stores import read_store
from oxytomo.palette import (
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    VOID_COLORS,
    VOID_NAMES,
    display_window,
    instance_colors,
)
from oxytomo.slabs import largest, mapped, sampled
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``volume`` and ``voids``, write ``store`` with the axes z, y, x."""
    stored, segmented = read_store(inputs["volume"]), read_store(inputs["voids"])
    volume = mapped(stored.field("volume"), np.asarray, np.float32)
    instances = segmented.field("instances")
    n_voids = largest(instances)
    colors = instance_colors(n_voids)
    particle = mapped(segmented.field("particle"), lambda labels: labels > 0, np.uint8)
    names = {label: "outside" if label == 0 else f"void {label}" for label in colors}
    write_image_product(
        outputs["store"],
        [Channel("volume", volume, GREY, display_window(sampled(volume), percent=0.5, from_zero=False))],
        [
            Label("particle", particle, PARTICLE_COLORS, PARTICLE_NAMES),
            Label("voids", segmented.field("voids"), VOID_COLORS, VOID_NAMES),
            Label("void_instances", instances, colors, names),
        ],
        context=context,
        inputs=inputs,
        settings=settings,
        axes=("z", "y", "x"),
        voxel_nm=float(stored.attributes["voxel_nm"]),
        kind="structure",
        n_pores=segmented.attributes["n_pores"],
        units={"volume": stored.unit("volume")},
    )
