"""Stage ``classify``: deviation → composition classes, plain, certain, and of the null run."""

from pathlib import Path

import numpy as np

from pipeline.arrays import BoolArray, FloatArray
from pipeline.composition.noise import deviation_sigma
from pipeline.config import ClassifyStage as Settings
from pipeline.io.stores import NamedArray, read_store, write_store
from pipeline.segment.classes import averaged_deviation, classify_confident, classify_deviation
from pipeline.stages.context import StageContext
from pipeline.stages.uncertainty import SIGMA_SMOOTHING_PX


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Classify, write. Without noise replicates every voxel of ``phases_confident`` is undecided."""
    reconstructed = read_store(inputs["reconstruct"])
    deviation = reconstructed["deviation"]
    particle = reconstructed["particle"].astype(bool)
    sigma = np.full(deviation.shape, np.nan, np.float32)
    null = np.zeros((0, *deviation.shape), np.float16)
    if "uncertainty" in inputs:
        uncertainty = read_store(inputs["uncertainty"])
        sigma, null = uncertainty["deviation_sigma"], uncertainty["null"]
    threshold = settings.threshold
    pixel_nm = float(reconstructed.attributes["pixel_nm"])
    if settings.voxel_nm is not None and settings.voxel_nm > pixel_nm:
        width_px = settings.voxel_nm / pixel_nm
        deviation, null = averaged(deviation[None], particle, width_px)[0], averaged(null, particle, width_px)
        if "uncertainty" in inputs:
            replicates = averaged(uncertainty["replicates"], particle, width_px)
            sigma = np.asarray(
                deviation_sigma(list(replicates), deviation, particle, smoothing_px=SIGMA_SMOOTHING_PX)
            )
    phases = classify_deviation(deviation, particle, threshold=threshold)
    confident = classify_confident(
        deviation, sigma, particle, threshold=threshold, confidence=settings.confidence
    )
    # The first null run stands for all as an image; the table of fractions uses every one.
    null_phases = (
        classify_deviation(null[0], particle, threshold=threshold) if len(null) else np.zeros_like(phases)
    )
    unknown = int(np.count_nonzero(particle & ~np.isfinite(deviation)))
    context.log(f"{unknown} of {int(particle.sum())} voxels of the particle have no deviation")
    volume = ("z", "y", "x")
    write_store(
        outputs["store"],
        {
            "phases": NamedArray(phases, volume, "1"),
            "phases_confident": NamedArray(confident, volume, "1"),
            "null_phases": NamedArray(null_phases, volume, "1"),
            "particle": NamedArray(particle.astype(np.uint8), volume, "1"),
        },
        provenance=context.provenance(inputs),
        attributes={
            "threshold": threshold,
            "confidence": settings.confidence,
            "pixel_nm": pixel_nm,
            "voxel_nm": max(pixel_nm, settings.voxel_nm or 0.0),
            "n_null": len(null),
            "voxels_without_deviation": unknown,
        },
    )


def averaged(deviations: FloatArray, particle: BoolArray, width_px: float) -> FloatArray:
    """Average every volume of a stack (n, n_z, n_y, n_x) over cubes within the particle; float32."""
    volumes = [averaged_deviation(one, particle, width_px=width_px) for one in deviations]
    return np.stack(volumes) if volumes else np.zeros(deviations.shape, np.float32)
