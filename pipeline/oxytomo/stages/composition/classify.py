"""Stage ``classify``: deviation → composition classes, plain, certain, and of the null run."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import UNDECIDED, BoolArray, FloatArray, LabelArray
from oxytomo.composition.noise import deviation_sigma
from oxytomo.config import ClassifyStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.measure.systematic import with_systematic
from oxytomo.segment.classes import (
    averaged_deviation,
    classify_confident,
    classify_deviation,
    lone_skin_voxels,
)
from oxytomo.slabs import Allocate, Field, Mapped, fill, in_memory, plane, read, slabs
from oxytomo.stages.composition.uncertainty import SIGMA_SMOOTHING_PX
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Classify, write. Without noise replicates every voxel of ``phases_confident`` is undecided."""
    reconstructed = read_store(inputs["reconstruct"])
    uncertainty = read_store(inputs["uncertainty"]) if "uncertainty" in inputs else None
    with scratch_fields(outputs["store"]) as allocate:
        _classify(reconstructed, uncertainty, inputs, outputs["store"], settings, context, allocate)


def _classify(
    reconstructed: Store,
    uncertainty: Store | None,
    inputs: dict[str, Path],
    path: Path,
    settings: Settings,
    context: StageContext,
    allocate: Allocate,
) -> None:
    """Classify slab by slab, and write."""
    deviation = reconstructed.field("deviation")
    particle = Mapped(reconstructed.field("particle"), lambda inside: inside.astype(bool), bool)
    sigma = None if uncertainty is None else uncertainty.field("deviation_sigma")
    null = None if uncertainty is None else uncertainty.field("null")
    threshold, pixel_nm = settings.threshold, float(reconstructed.attributes["pixel_nm"])
    if settings.voxel_nm is not None and settings.voxel_nm > pixel_nm:
        width_px = settings.voxel_nm / pixel_nm
        deviation = averaged(deviation, particle, width_px, allocate)
        if uncertainty is not None:
            null = averaged_each(uncertainty.field("null"), particle, width_px, allocate)
            replicates = averaged_each(uncertainty.field("replicates"), particle, width_px, allocate)
            sigma = deviation_sigma(
                [plane(replicates, k) for k in range(replicates.shape[0])],
                deviation,
                particle,
                smoothing_px=SIGMA_SMOOTHING_PX,
                allocate=allocate,
            )
            sigma = with_systematic(sigma, float(uncertainty.attributes["systematic"]), allocate)

    def labels(value: FloatArray, inside: BoolArray) -> LabelArray:
        return classify_deviation(value, inside, threshold=threshold)

    def certain(plain: LabelArray, value: FloatArray, inside: BoolArray, *error: FloatArray) -> LabelArray:
        spread = error[0] if error else np.full(value.shape, np.nan, np.float32)
        found = classify_confident(value, spread, inside, threshold=threshold, confidence=settings.confidence)
        found[lone_skin_voxels(plain, inside)] = UNDECIDED
        return found

    phases, confident, null_phases = (allocate(deviation.shape, np.uint8) for _ in range(3))
    fill(phases, labels, deviation, particle)
    fill(confident, certain, phases, deviation, particle, *(() if sigma is None else (sigma,)), halo=1)
    n_null = 0 if null is None else null.shape[0]
    if null is not None and n_null:
        # The first null run stands for all as an image; the table of fractions uses every one.
        fill(null_phases, labels, plane(null, 0), particle)
    voxels, unknown = _without_deviation(deviation, particle)
    context.log(f"{unknown} of {voxels} voxels of the particle have no deviation")
    volume = ("z", "y", "x")
    write_store(
        path,
        {
            "phases": NamedArray(phases, volume, "1"),
            "phases_confident": NamedArray(confident, volume, "1"),
            "null_phases": NamedArray(null_phases, volume, "1"),
            "particle": NamedArray(Mapped(particle, np.asarray, np.uint8), volume, "1"),
        },
        provenance=context.provenance(inputs),
        attributes={
            "threshold": threshold,
            "confidence": settings.confidence,
            "pixel_nm": pixel_nm,
            "voxel_nm": max(pixel_nm, settings.voxel_nm or 0.0),
            "n_null": n_null,
            "voxels_without_deviation": unknown,
        },
    )


def averaged(deviation: Field, particle: Field, width_px: float, allocate: Allocate = in_memory) -> Field:
    """Average a deviation over cubes within the particle; float32."""
    mean = allocate(deviation.shape, np.float32)
    fill(
        mean,
        lambda value, inside: averaged_deviation(value, inside.astype(bool), width_px=width_px),
        deviation,
        particle,
        halo=int(np.ceil(width_px / 2)) + 1,
    )
    return mean


def averaged_each(
    deviations: Field, particle: Field, width_px: float, allocate: Allocate = in_memory
) -> Field:
    """Average every volume of a stack (n, n_z, n_y, n_x) as :func:`averaged`."""
    stack = allocate(tuple(deviations.shape), np.float32)
    for k in range(deviations.shape[0]):
        mean = averaged(plane(deviations, k), particle, width_px, allocate)
        fill(plane(stack, k), np.asarray, mean)
    return stack


def _without_deviation(deviation: Field, particle: Field) -> tuple[int, int]:
    """Count the voxels of the particle, and those of them that have no deviation."""
    voxels = unknown = 0
    for slab in slabs(deviation.shape):
        inside = read(particle, slab.rows)
        voxels += int(np.count_nonzero(inside))
        unknown += int(np.count_nonzero(inside & ~np.isfinite(read(deviation, slab.rows))))
    return voxels, unknown
