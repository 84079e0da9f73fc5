"""Stage ``export_tomogram``: write a volume as OME-Zarr."""

from pathlib import Path

import numpy as np

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.ngff import Channel
from oxytomo.io.stores import read_store
from oxytomo.palette import GREY, display_window
from oxytomo.slabs import mapped, sampled
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``reconstruct``, write ``store`` with the axes z, y, x."""
    reconstructed = read_store(inputs["reconstruct"])
    volume = mapped(reconstructed.field("volume"), np.asarray, np.float32)
    window = display_window(sampled(volume), percent=0.5, from_zero=False)
    unit = reconstructed.unit("volume")
    write_image_product(
        outputs["store"],
        [Channel("volume", volume, GREY, window)],
        [],
        context=context,
        inputs=inputs,
        settings=settings,
        axes=("z", "y", "x"),
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        kind="tomogram",
        units={"volume": unit},
    )
