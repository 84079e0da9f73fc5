"""Stage ``classify``: composition classes from the deviation, with confidence and null run."""

from pathlib import Path

import numpy as np

from oxytomo.composition.averaging import averaged, averaged_each, averaged_sigma
from oxytomo.config.stage_settings import ClassifyStage as Settings
from oxytomo.io.composition_store import VOLUME
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.measure.shared_errors import with_shared_errors
from oxytomo.segment.classification import classify_volume, without_deviation
from oxytomo.slabs import mapped
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Classify and write. Without noise replicates every confident class is undecided."""
    reconstructed = read_store(inputs["reconstruct"])
    uncertainty = read_store(inputs["uncertainty"]) if "uncertainty" in inputs else None
    pixel_nm = float(reconstructed.attributes["pixel_nm"])
    width_px = (settings.voxel_nm or 0.0) / pixel_nm
    deviation = reconstructed.field("deviation")
    particle = mapped(reconstructed.field("particle"), lambda inside: inside.astype(bool), bool)
    sigma = None if uncertainty is None else uncertainty.field("deviation_sigma")
    null = None if uncertainty is None else uncertainty.field("null")
    limits = {"threshold": settings.threshold, "confidence": settings.confidence}
    with scratch_fields(outputs["store"]):
        if width_px > 1:
            deviation = averaged(deviation, particle, width_px)
        if width_px > 1 and uncertainty is not None:
            null = averaged_each(uncertainty.field("null"), particle, width_px)
            sigma = averaged_sigma(uncertainty.field("replicates"), deviation, particle, width_px)
            sigma = with_shared_errors(sigma, particle, uncertainty.attributes)
        found = classify_volume(deviation, particle, sigma, null, **limits)
        voxels, unknown = without_deviation(deviation, particle)
        context.log(f"{unknown} of {voxels} voxels of the particle have no value")
        write_store(
            outputs["store"],
            {
                "phases": NamedArray(found.phases, VOLUME, "1"),
                "phases_confident": NamedArray(found.confident, VOLUME, "1"),
                "null_phases": NamedArray(found.null_phases, VOLUME, "1"),
                "particle": NamedArray(mapped(particle, np.asarray, np.uint8), VOLUME, "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                **limits,
                "pixel_nm": pixel_nm,
                "voxel_nm": max(pixel_nm, settings.voxel_nm or 0.0),
                "n_null": found.n_null,
                "voxels_without_deviation": unknown,
            },
        )
