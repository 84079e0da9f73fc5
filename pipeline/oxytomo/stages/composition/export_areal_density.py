"""Stage ``export_areal_density``: maps of areal density, their errors, optical densities."""

from pathlib import Path

import numpy as np

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.composition_images import areal_channels
from oxytomo.io.composition_store import only_tilt
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose`` and ``align``, write ``store``.

    Channels: ``<El>`` and then ``<El>_sigma``, areal densities in µm of the reference density, and
    the aligned optical density of each series under the name of the series.
    """
    decomposed, aligned = read_store(inputs["decompose"]), read_store(inputs["align"])
    elements = [str(element) for element in decomposed.attributes["elements"]]
    series = [str(name) for name in aligned.attributes["series"]]
    areal, covariance = only_tilt(decomposed, "areal"), only_tilt(decomposed, "covariance")
    rows, columns = np.triu_indices(len(elements))
    densities = dict(zip(series, only_tilt(aligned, "value"), strict=True))
    channels = areal_channels(elements, areal, covariance[rows == columns], densities)
    units = {channel.name: "micrometer" for channel in channels[: 2 * len(elements)]}
    write_image_product(
        outputs["store"],
        channels,
        [],
        axes=("c", "y", "x"),
        voxel_nm=float(decomposed.attributes["pixel_nm"]),
        kind="areal_density",
        inputs=inputs,
        settings=settings,
        context=context,
        units=units | dict.fromkeys(series, "1"),
    )
