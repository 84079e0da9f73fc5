"""Stage ``uncertainty``: noise replicates of the result, and the null run on a uniform particle."""

from pathlib import Path

import numpy as np

from oxytomo.composition.noise import deviation_sigma
from oxytomo.composition.replicates import SIGMA_SMOOTHING_PX, Chain, draws_of, fill_replicate
from oxytomo.composition.solving import solver_of
from oxytomo.config import UncertaintyStage as Settings
from oxytomo.io.composition_store import VOLUME, column_densities, stored_composition
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.measure.shells import depth_below_surface
from oxytomo.measure.systematic import (
    skin_oxygen_nm,
    systematic_error,
    with_skin,
    with_systematic,
)
from oxytomo.slabs import fill, plane, sampled
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Draw replicates and reconstruct them, or read those of other jobs, and write their scatter."""
    decomposed, reconstructed = read_store(inputs["decompose"]), read_store(inputs["reconstruct"])
    data, result = column_densities(decomposed), stored_composition(reconstructed)
    own, solver = settings.reference == "mode", solver_of(**settings.solver.model_dump())
    chain = Chain(data, result, solver, own_reference=own, threads=context.threads)
    counts = {"noise": settings.replicates, "null": settings.null_replicates}
    draws = draws_of(replicates=counts["noise"], null_replicates=counts["null"], seed=settings.seed)
    with scratch_fields(outputs["store"]) as allocate:
        shape = result.deviation.shape
        found = {kind: allocate((count, *shape), np.float16) for kind, count in counts.items()}
        for draw in draws:
            target = plane(found[draw.kind], draw.number - 1)
            if draw.key in inputs:
                fill(target, np.asarray, read_store(inputs[draw.key]).field("deviation"))
            else:
                name = "noise replicate" if draw.kind == "noise" else "null run"
                progress = context.progress(f"{name} {draw.number} of {counts[draw.kind]}")
                fill_replicate(target, draw, chain, allocate, progress)
        replicates = [plane(found["noise"], i) for i in range(counts["noise"])]
        sigma = deviation_sigma(
            replicates, result.deviation, result.particle, smoothing_px=SIGMA_SMOOTHING_PX, allocate=allocate
        )
        model = decomposed.attributes.get("model")
        error = systematic_error(model, own_reference=own)
        skin_px = skin_oxygen_nm(model) / float(reconstructed.attributes["pixel_nm"])
        depth = depth_below_surface(result.particle, voxel_nm=1.0, allocate=allocate) if skin_px else sigma
        whole = with_systematic(sigma, error, allocate)
        whole = with_skin(whole, depth, skin_px, allocate)
        of_noise = sampled(sigma, result.particle)
        write_store(
            outputs["store"],
            {
                "deviation_sigma": NamedArray(whole, VOLUME, "1"),
                "replicates": NamedArray(found["noise"], ("replicate", *VOLUME), "1"),
                "null": NamedArray(found["null"], ("replicate", *VOLUME), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "pixel_nm": reconstructed.attributes["pixel_nm"],
                "seed": settings.seed,
                "systematic": error,
                "skin_oxygen_px": skin_px,
                "noise": float(np.nanmedian(of_noise)) if np.isfinite(of_noise).any() else None,
            },
        )
