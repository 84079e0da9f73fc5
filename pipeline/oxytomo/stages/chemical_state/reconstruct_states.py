"""Stage ``reconstruct_states``: density and valence volumes of one element."""

from pathlib import Path

from oxytomo.chemical_state.reconstruction import reconstruct_state
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.solving import solver_in_words
from oxytomo.config.stage_settings import ReconstructStatesStage as Settings
from oxytomo.errors import errors_about
from oxytomo.io.chemical_state_stores import line_tables, state_columns, write_lines, write_state
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.slabs import count_set
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose``, write ``store``."""
    decomposed = read_store(inputs["decompose"])
    element = str(decomposed.attributes["element"])
    data = state_columns(decomposed, 0.0)
    with scratch_fields(outputs["store"]), errors_about(element):
        state = reconstruct_state(
            data,
            solver=DeviationSolver(**settings.solver.model_dump()) if settings.method == "rays" else None,
            reference=settings.reference,
            threads=context.threads,
            on_progress=context.progress("reconstruct"),
        )
        context.log(
            f"{element}: {'reference place' if line_tables(decomposed) else 'reference valence'} "
            f"{state.reference_valence:.3f}; particle of {count_set(state.result.particle)} voxels; "
            + solver_in_words(state.result.record)
        )
        write = write_lines if line_tables(decomposed) else write_state
        write(outputs["store"], state, decomposed, context.provenance(inputs))
