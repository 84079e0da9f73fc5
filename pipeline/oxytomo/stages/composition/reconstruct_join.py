"""Stage ``reconstruct_join``: join the parts of a particle; find its most frequent TM/O."""

from pathlib import Path

from oxytomo.composition.deviation import refer_to_mode
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.config.stage_settings import ReconstructStepStage as Settings
from oxytomo.io.composition_store import column_densities
from oxytomo.io.particle_parts import (
    VOLUME,
    gathered_parts,
    ground_attributes,
    read_ground,
    stores_of,
)
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.segment.particle import particle_mask
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Join the parts, find the mode of TM/O, which is the new reference, and write."""
    data = column_densities(read_store(inputs["decompose"]))
    solver = DeviationSolver(**settings.solver.model_dump(exclude={"method"}))
    ground = read_ground(inputs, data, solver)
    with scratch_fields(outputs["store"]):
        parts = stores_of(inputs, "part", solver.parts)
        gathered = gathered_parts(parts, ground.support.shape, 1)
        particle = particle_mask(gathered.total)
        ground = refer_to_mode(data, ground, solver, gathered, particle)
        context.log(f"reference TM/O {ground.reference_tm_o:.4f} of nominal")
        write_store(
            outputs["store"],
            {
                "particle": NamedArray(particle, VOLUME, "1"),
                "difference": NamedArray(gathered.difference, VOLUME, "1"),
            },
            provenance=context.provenance(inputs),
            attributes=ground_attributes(ground),
        )
