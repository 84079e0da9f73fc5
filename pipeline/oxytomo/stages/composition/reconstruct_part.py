"""Stage ``reconstruct_part``: densities and difference in a part of the slices."""

from pathlib import Path

from oxytomo.composition.deviation import iterations_of
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.deviation_steps import Solutions, solve_slab, thickness
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
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Solve the slabs of this part and write."""
    data = column_densities(read_store(inputs["decompose"]), in_memory_bytes=0)
    solver, n_metals = DeviationSolver(**settings.solver.model_dump(exclude={"method"})), len(data.atoms) - 1
    ground = read_ground(inputs, data, solver)
    own, rows = ground.of_part(settings.part, solver.parts), rows_of_part(ground, settings.part, solver.parts)
    share = sum(ground.share(slab) for slab in own)
    most = round(share * iterations_of(solver, n_metals, again=False))
    progress = Progress(context.progress(f"slices {rows.start} to {rows.stop - 1}"), most)
    with scratch_fields(outputs["store"]):
        shape = (rows.stop - rows.start, *ground.support.shape[1:])
        part = Solutions.empty(shape, 1 + n_metals, rows.start)
        found = [
            (
                solve_slab(data, ground, slab, part, solver=solver, start=None, progress=progress),
                thickness(slab),
            )
            for slab in own
        ]
        arrays = {
            "total": NamedArray(part.total, VOLUME, "1"),
            "elements": NamedArray(part.elements, ("element", *VOLUME), "1"),
            "difference": NamedArray(part.difference, VOLUME, "1"),
        }
        write_part(outputs["store"], arrays, rows.start, found, context.provenance(inputs))
