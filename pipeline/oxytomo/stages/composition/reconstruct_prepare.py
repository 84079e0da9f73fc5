"""Stage ``reconstruct_prepare``: common data of all parts: support, noise and reference."""

from pathlib import Path

from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.deviation_steps import prepare
from oxytomo.composition.first_look import FIRST_ITERATIONS
from oxytomo.composition.progress import Progress
from oxytomo.config.stage_settings import ReconstructStepStage as Settings
from oxytomo.io.composition_store import column_densities, reference_of
from oxytomo.io.particle_parts import VOLUME, ground_attributes
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Make a first reconstruction of the whole field and write."""
    data = column_densities(read_store(inputs["decompose"]))
    with scratch_fields(outputs["store"]):
        ground = prepare(
            data,
            solver=DeviationSolver(**settings.solver.model_dump(exclude={"method"})),
            reference_tm_o=reference_of(settings.reference, inputs),
            start=None,
            n_metals=len(data.atoms) - 1,
            progress=Progress(context.progress("first look"), FIRST_ITERATIONS),
        )
        rows = [(core.start, core.stop) for core, _ in ground.slabs]
        context.log(f"{settings.solver.parts} parts, slabs of slices {rows}")
        write_store(
            outputs["store"],
            {
                "support": NamedArray(ground.support, VOLUME, "1"),
                "total": NamedArray(ground.total, VOLUME, "1"),
            },
            provenance=context.provenance(inputs),
            attributes=ground_attributes(ground),
        )
