"""Stage ``export_states``: densities, valences, errors and classes as an OME-Zarr image."""

from pathlib import Path

from oxytomo.config.stage_settings import ExportStage as Settings
from oxytomo.export.state_images import line_channels, particle_label, state_channels, state_labels
from oxytomo.io.chemical_state_stores import is_white_line
from oxytomo.io.stores import read_store
from oxytomo.stages.context import StageContext
from oxytomo.stages.image_product import write_image_product


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``measure``, ``reconstruct_<El>`` and ``uncertainty_<El>``, write ``store``."""
    measured = read_store(inputs["measure"])
    elements = [str(element) for element in measured.attributes["elements"]]
    channels, labels, references = [], [], {}
    for position, element in enumerate(elements):
        reconstructed = read_store(inputs[f"reconstruct_{element}"])
        uncertainty = read_store(inputs[f"uncertainty_{element}"])
        if is_white_line(reconstructed):
            channels += line_channels(element, position, reconstructed, uncertainty)
            labels.append(particle_label(element, reconstructed))
            continue
        channels += state_channels(element, position, reconstructed, uncertainty)
        labels += state_labels(element, reconstructed, measured)
        references[element] = reconstructed.attributes["reference_valence"]
    write_image_product(
        outputs["store"],
        channels,
        labels,
        axes=("c", "z", "y", "x"),
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        kind="chemical_state",
        inputs=inputs,
        settings=settings,
        context=context,
        units={channel.name: "electronvolt" if channel.name.endswith("_ev") else "1" for channel in channels},
        reference_valence=references,
        threshold=measured.attributes["threshold"],
    )
