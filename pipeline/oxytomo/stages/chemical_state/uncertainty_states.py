"""Stage ``uncertainty_states``: noise replicates of a valence, null run of a uniform particle."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from oxytomo.arrays import ReplicateKind
from oxytomo.chemical_state.errors import DENSITY_ITERATIONS, REPLICATE_SCALE, VOXEL_SCALE, valence_sigma
from oxytomo.chemical_state.voxel_fits import PLAIN, clipped
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.replicates import Chain, replicates_of
from oxytomo.config.stage_settings import UncertaintyStatesStage as Settings
from oxytomo.io.chemical_state_stores import line_errors, state_columns, stored_state
from oxytomo.io.composition_store import VOLUME
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.slabs import plane, sampled
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose`` and ``reconstruct``, write ``store``."""
    decomposed, reconstructed = read_store(inputs["decompose"]), read_store(inputs["reconstruct"])
    data = state_columns(decomposed, float(reconstructed.attributes["reference_valence"]))
    result = stored_state(reconstructed)
    plain = settings.method == "voxels"
    given = DeviationSolver(**settings.solver.model_dump())
    few = min(given.element_iterations, DENSITY_ITERATIONS)
    solver = PLAIN if plain else replace(given, element_iterations=few)
    chain = Chain(data, result, solver, own_reference=False, threads=context.threads)
    with scratch_fields(outputs["store"]):
        counts: dict[ReplicateKind, int] = {"noise": settings.replicates, "null": settings.null_replicates}
        found = replicates_of(chain, counts, {}, context.progress, seed=settings.seed)
        repeats = [plane(found["noise"], i) for i in range(settings.replicates)]
        if plain:  # the noise can leave the range of the references, the result cannot
            repeats = [clipped(one, data, data.reference_valence) for one in repeats]
        scale = VOXEL_SCALE if plain else REPLICATE_SCALE
        sigma = valence_sigma(repeats, result.deviation, result.particle, scale=scale)
        inside = sampled(sigma, result.particle)
        write_store(
            outputs["store"],
            line_errors(reconstructed, decomposed, sigma)
            | {
                "deviation_sigma": NamedArray(sigma, VOLUME, "1"),
                "replicates": NamedArray(found["noise"], ("replicate", *VOLUME), "1"),
                "null": NamedArray(found["null"], ("replicate", *VOLUME), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "pixel_nm": reconstructed.attributes["pixel_nm"],
                "seed": settings.seed,
                "noise": float(np.nanmedian(inside)) if np.isfinite(inside).any() else None,
            },
        )
