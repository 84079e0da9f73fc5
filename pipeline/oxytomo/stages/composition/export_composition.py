"""Stage ``export_composition``: element densities, deviation, classes and particle as one OME-Zarr image."""

from pathlib import Path

from oxytomo.config import ExportStage as Settings
from oxytomo.export.ngff import Channel, Label
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.stores import read_store
from oxytomo.palette import (
    CONFIDENT_COLORS,
    CONFIDENT_NAMES,
    DEVIATION_WINDOW,
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    PHASE_COLORS,
    PHASE_NAMES,
    display_window,
    element_color,
)
from oxytomo.slabs import plane, sampled
from oxytomo.stages.context import StageContext

INPUTS = ("reconstruct", "uncertainty", "classify")


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``reconstruct``, ``uncertainty`` and ``classify``, write ``store``."""
    reconstructed, classified = read_store(inputs["reconstruct"]), read_store(inputs["classify"])
    elements = [str(element) for element in reconstructed.attributes["elements"]]
    densities = reconstructed.field("elements")
    deviation = reconstructed.field("deviation")
    sigma = read_store(inputs["uncertainty"]).field("deviation_sigma")
    channels = [
        Channel(
            element,
            density,
            element_color(element, position),
            display_window(sampled(density), percent=0.1, from_zero=True),
            active=False,
        )
        for position, element in enumerate(elements)
        for density in (plane(densities, position),)
    ]
    channels.append(Channel("tm_o_deviation", deviation, GREY, DEVIATION_WINDOW))
    window = display_window(sampled(sigma), percent=1.0, from_zero=True)
    channels.append(Channel("tm_o_deviation_sigma", sigma, GREY, window, active=False))
    labels = [
        Label("phases", classified.field("phases"), PHASE_COLORS, PHASE_NAMES),
        Label("phases_confident", classified.field("phases_confident"), CONFIDENT_COLORS, CONFIDENT_NAMES),
        Label("particle", classified.field("particle"), PARTICLE_COLORS, PARTICLE_NAMES),
    ]
    write_image(
        outputs["store"],
        channels,
        name=settings.sample,
        axes=("c", "z", "y", "x"),
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        labels=labels,
        ngff=settings.ngff,
        chunk=settings.chunk,
        shard=settings.shard,
        levels=settings.levels,
        threads=context.threads,
        attributes=provenance_attributes(
            context.provenance(inputs),
            kind="composition",
            sample=settings.sample,
            threshold=classified.attributes["threshold"],
            reference_tm_o=reconstructed.attributes["reference_tm_o"],
            units=dict.fromkeys((channel.name for channel in channels), "1"),
        ),
    )
    context.log(f"{len(channels)} channels and {len(labels)} label images of {densities.shape[1:]} voxels")
