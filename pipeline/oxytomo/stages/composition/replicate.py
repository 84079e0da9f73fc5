"""Stage ``replicate``: one noise replicate of a result, or one null run."""

from pathlib import Path

import numpy as np

from oxytomo.composition.replicates import Chain, Draw, fill_replicate
from oxytomo.composition.solving import solver_of
from oxytomo.config.stage_settings import ReplicateStage as Settings
from oxytomo.io.composition_store import VOLUME, column_densities, stored_composition
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.slabs import new_field
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Draw noise, reconstruct and write."""
    chain = Chain(
        column_densities(read_store(inputs["decompose"])),
        stored_composition(read_store(inputs["reconstruct"])),
        solver_of(**settings.solver.model_dump()),
        own_reference=settings.reference == "mode",
        threads=context.threads,
    )
    draw = Draw(settings.kind, settings.number, settings.seed)
    with scratch_fields(outputs["store"]):
        deviation = new_field(chain.composition.deviation.shape, np.float16)
        fill_replicate(deviation, draw, chain, context.progress("replicate"))
        write_store(
            outputs["store"],
            {"deviation": NamedArray(deviation, VOLUME, "1")},
            provenance=context.provenance(inputs),
            attributes={"seed": settings.seed},
        )
