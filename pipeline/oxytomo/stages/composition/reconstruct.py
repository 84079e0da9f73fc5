"""Stage ``reconstruct``: densities, deviation and particle from element sinograms."""

from pathlib import Path

from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.solving import reconstruct_composition, solver_in_words, solver_of
from oxytomo.config.stage_settings import ReconstructStage as Settings
from oxytomo.io.composition_store import column_densities, reference_of, write_composition
from oxytomo.io.particle_parts import composition_of_parts
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.slabs import count_set
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Reconstruct, or join the parts that other jobs have reconstructed, and write."""
    decomposed = read_store(inputs["decompose"])
    data, solver = column_densities(decomposed), solver_of(**settings.solver.model_dump())
    with scratch_fields(outputs["store"]):
        if "prepare" in inputs and isinstance(solver, DeviationSolver):
            result = composition_of_parts(inputs, data, solver)
        else:
            result = reconstruct_composition(
                data,
                solver=solver,
                reference_tm_o=reference_of(settings.reference, inputs),
                start=None,
                with_metals=True,
                threads=context.threads,
                on_progress=context.progress("reconstruct"),
            )
        context.log(
            f"TM/O of the reference is {result.reference_tm_o:.4f} times that of the formula; particle of "
            f"{count_set(result.particle)} voxels; {solver_in_words(result.record)}"
        )
        provenance, method = context.provenance(inputs), settings.solver.method
        write_composition(outputs["store"], result, decomposed, method=method, provenance=provenance)
