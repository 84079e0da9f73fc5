"""Stage ``uncertainty``: noise replicates of the result, and null run of a uniform particle."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import ReplicateKind
from oxytomo.composition.noise import deviation_sigma
from oxytomo.composition.replicates import SIGMA_SMOOTHING_PX, Chain, replicates_of
from oxytomo.composition.solving import solver_of
from oxytomo.composition.term_readings import deviations_without
from oxytomo.config.stage_settings import UncertaintyStage as Settings
from oxytomo.io.composition_store import VOLUME, column_densities, stored_composition
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.measure.shared_errors import shared_errors, with_shared_errors
from oxytomo.slabs import plane, sampled
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Reconstruct replicates, or read those of other jobs, and write their scatter."""
    decomposed, reconstructed = read_store(inputs["decompose"]), read_store(inputs["reconstruct"])
    data, result = column_densities(decomposed), stored_composition(reconstructed)
    own, solver = settings.reference == "mode", solver_of(**settings.solver.model_dump())
    chain = Chain(data, result, solver, own_reference=own, threads=context.threads)
    stored = {key: read_store(path).field("deviation") for key, path in inputs.items() if "_" in key}
    with scratch_fields(outputs["store"]):
        counts: dict[ReplicateKind, int] = {"noise": settings.replicates, "null": settings.null_replicates}
        found = replicates_of(chain, counts, stored, context.progress, seed=settings.seed)
        replicates = [plane(found["noise"], i) for i in range(settings.replicates)]
        sigma = deviation_sigma(
            replicates, result.deviation, result.particle, smoothing_px=SIGMA_SMOOTHING_PX
        )
        model, pixel_nm = decomposed.attributes.get("model"), reconstructed.attributes["pixel_nm"]
        errors = shared_errors(model, own_reference=own, pixel_nm=float(pixel_nm))
        whole = with_shared_errors(sigma, result.particle, errors)
        of_noise = sampled(sigma, result.particle)
        left_out = list(decomposed.attributes.get("terms_left_out") or ())
        arrays: dict[str, NamedArray] = {}
        if left_out:
            changes = decomposed.field("without_term")
            without = deviations_without(left_out, changes, chain, context.progress)
            arrays["without_term"] = NamedArray(without, ("term", *VOLUME), "1")
        write_store(
            outputs["store"],
            arrays
            | {
                "deviation_sigma": NamedArray(whole, VOLUME, "1"),
                "replicates": NamedArray(found["noise"], ("replicate", *VOLUME), "1"),
                "null": NamedArray(found["null"], ("replicate", *VOLUME), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "pixel_nm": pixel_nm,
                "seed": settings.seed,
                "terms_left_out": left_out,
                **errors,
                "noise": float(np.nanmedian(of_noise)) if np.isfinite(of_noise).any() else None,
            },
        )
