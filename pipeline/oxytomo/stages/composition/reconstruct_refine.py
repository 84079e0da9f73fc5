"""Stage ``reconstruct_refine``: difference from the mode of the particle in some slices."""

from pathlib import Path

import numpy as np

from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.deviation_steps import refine_slab, thickness
from oxytomo.composition.progress import Progress
from oxytomo.config.stage_settings import ReconstructPartStage as Settings
from oxytomo.io.composition_store import column_densities
from oxytomo.io.particle_parts import (
    VOLUME,
    read_ground,
    rows_of_part,
    write_part,
)
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store
from oxytomo.slabs import new_field
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Solve the slabs of this part again and write."""
    data = column_densities(read_store(inputs["decompose"]), in_memory_bytes=0)
    solver = DeviationSolver(**settings.solver.model_dump(exclude={"method"}))
    ground = read_ground(inputs, data, solver)
    first = read_store(inputs["join"]).field("difference")
    own, rows = ground.of_part(settings.part, solver.parts), rows_of_part(ground, settings.part, solver.parts)
    share = sum(ground.share(slab) for slab in own)
    most = round(share * solver.iterations)
    progress = Progress(context.progress(f"slices {rows.start} to {rows.stop - 1}"), most)
    with scratch_fields(outputs["store"]):
        difference = new_field((rows.stop - rows.start, *ground.support.shape[1:]), np.float32)
        found = [
            (
                refine_slab(
                    data,
                    ground,
                    slab,
                    difference,
                    first_row=rows.start,
                    solver=solver,
                    difference=first,
                    progress=progress,
                ),
                thickness(slab),
            )
            for slab in own
        ]
        arrays = {"difference": NamedArray(difference, VOLUME, "1")}
        write_part(outputs["store"], arrays, rows.start, found, context.provenance(inputs))
