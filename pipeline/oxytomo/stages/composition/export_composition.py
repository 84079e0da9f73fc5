"""Stage ``export_composition``: densities, deviation and classes as an OME-Zarr image."""

from pathlib import Path

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.composition_images import composition_channels, composition_labels
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``reconstruct``, ``uncertainty`` and ``classify``, write ``store``."""
    reconstructed, classified = read_store(inputs["reconstruct"]), read_store(inputs["classify"])
    elements = [str(element) for element in reconstructed.attributes["elements"]]
    densities, deviation = reconstructed.field("elements"), reconstructed.field("deviation")
    sigma = read_store(inputs["uncertainty"]).field("deviation_sigma")
    channels = composition_channels(elements, densities, deviation, sigma)
    labels = composition_labels(*map(classified.field, ("phases", "phases_confident", "particle")))
    write_image_product(
        outputs["store"],
        channels,
        labels,
        axes=("c", "z", "y", "x"),
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        kind="composition",
        inputs=inputs,
        settings=settings,
        context=context,
        threshold=classified.attributes["threshold"],
        reference_tm_o=reconstructed.attributes["reference_tm_o"],
    )
