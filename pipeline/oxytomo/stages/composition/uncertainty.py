"""Stage ``uncertainty``: noise replicates of the result, and the null run on a uniform particle."""

from pathlib import Path

import numpy as np

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.noise import deviation_sigma, uniform_composition
from oxytomo.composition.result import Composition
from oxytomo.config import UncertaintyStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.measure.systematic import systematic_error, with_systematic
from oxytomo.slabs import Allocate, Field, fill, plane, sampled
from oxytomo.stages.composition.reconstruct import column_densities
from oxytomo.stages.composition.replicate import repeat, replicates_of, stored_composition
from oxytomo.stages.context import StageContext

SIGMA_SMOOTHING_PX = 2.0


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Draw replicates and reconstruct them, or read those of other jobs, and write their scatter."""
    decomposed, reconstructed = read_store(inputs["decompose"]), read_store(inputs["reconstruct"])
    data = column_densities(decomposed)
    composition = stored_composition(reconstructed)
    with scratch_fields(outputs["store"]) as allocate:
        found = _replicates(inputs, composition, data, settings, context, allocate)
        replicates = found["noise"]
        sigma = deviation_sigma(
            [plane(replicates, i) for i in range(settings.replicates)],
            composition.deviation,
            composition.particle,
            smoothing_px=SIGMA_SMOOTHING_PX,
            allocate=allocate,
        )
        error = systematic_error(
            decomposed.attributes.get("model"), own_reference=settings.reference == "mode"
        )
        of_noise = sampled(sigma, composition.particle)
        volume = ("z", "y", "x")
        write_store(
            outputs["store"],
            {
                "deviation_sigma": NamedArray(with_systematic(sigma, error, allocate), volume, "1"),
                "replicates": NamedArray(replicates, ("replicate", *volume), "1"),
                "null": NamedArray(found["null"], ("replicate", *volume), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "pixel_nm": reconstructed.attributes["pixel_nm"],
                "seed": settings.seed,
                "systematic": error,
                "noise": float(np.nanmedian(of_noise)) if np.isfinite(of_noise).any() else None,
            },
        )


def _replicates(
    inputs: dict[str, Path],
    composition: Composition,
    data: ColumnDensities,
    settings: Settings,
    context: StageContext,
    allocate: Allocate,
) -> dict[str, Field]:
    """Return the deviations of all replicates and null runs, float16."""
    counts = {"noise": settings.replicates, "null": settings.null_replicates}
    shape = composition.deviation.shape
    volumes = {kind: allocate((count, *shape), np.float16) for kind, count in counts.items()}
    for one in replicates_of(settings):
        target = plane(volumes[one.kind], one.number - 1)
        key = f"{one.kind}_{one.number}"
        if key in inputs:
            fill(target, np.asarray, read_store(inputs[key]).field("deviation"))
        else:
            name = "noise replicate" if one.kind == "noise" else "null run"
            label = f"{name} {one.number} of {counts[one.kind]}"
            source = composition if one.kind == "noise" else uniform_composition(composition, allocate)
            repeat(source, data, target, one, context, label, allocate)
    return volumes
