"""Stage ``export_oxidation``: valence maps of all elements and their errors as one image."""

from pathlib import Path

import numpy as np

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.valence_image import valence_image
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``measure`` and ``fit_<El>``, write ``store``."""
    measured = read_store(inputs["measure"])
    elements = [str(element) for element in measured.attributes["elements"]]
    fits = {element: read_store(inputs[f"fit_{element}"]) for element in elements}
    image = valence_image(fits, measured[f"{elements[0]}_agglomerates"])
    if not np.isfinite(image.pixel_nm):
        context.log("warning: the pixel size is not known; the image has 1 nm per pixel (give 'pixel_nm:')")
    write_image_product(
        outputs["store"],
        image.channels,
        image.labels,
        axes=("c", "y", "x"),
        voxel_nm=image.pixel_shown_nm,
        kind="oxidation",
        inputs=inputs,
        settings=settings,
        context=context,
        units={one.name: "electronvolt" if one.name.endswith("_ev") else "1" for one in image.channels},
        shifts_px=image.shifts_px,
    )
