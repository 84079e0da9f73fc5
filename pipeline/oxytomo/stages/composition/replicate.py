"""Stage ``replicate``: one noise replicate of a result, or one null run; and what ``uncertainty`` makes of them in one job."""

from pathlib import Path

import numpy as np

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.noise import replicate, replicate_rng, uniform_composition
from oxytomo.composition.result import Composition
from oxytomo.config import DeviationSettings, ReconstructStage, UncertaintyStage
from oxytomo.config import ReplicateStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.slabs import Allocate, Field, fill
from oxytomo.stages.composition.reconstruct import column_densities, solve
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Draw, reconstruct, write."""
    data = column_densities(read_store(inputs["decompose"]))
    composition = stored_composition(read_store(inputs["reconstruct"]))
    with scratch_fields(outputs["store"]) as allocate:
        deviation = allocate(composition.deviation.shape, np.float16)
        source = composition if settings.kind == "noise" else uniform_composition(composition, allocate)
        repeat(source, data, deviation, settings, context, "replicate", allocate)
        write_store(
            outputs["store"],
            {"deviation": NamedArray(deviation, ("z", "y", "x"), "1")},
            provenance=context.provenance(inputs),
            attributes={"seed": settings.seed},
        )


def stored_composition(store: Store) -> Composition:
    """Return a reconstructed composition of which slices are read when they are needed."""
    return Composition(
        elements=store.field("elements"),
        difference=store.field("difference"),
        deviation=store.field("deviation"),
        particle=store.field("particle"),
        total=store.field("total"),
        reference_tm_o=float(store.attributes["reference_tm_o"]),
    )


def repeat(
    source: Composition,
    data: ColumnDensities,
    target: Field,
    settings: Settings,
    context: StageContext,
    label: str,
    allocate: Allocate,
) -> None:
    """Fill a field, float16, with the deviation of one replicate of a composition by the same chain."""
    method = ReconstructStage(solver=settings.solver, reference=settings.reference)
    reference = None if settings.reference == "mode" else source.reference_tm_o

    def again(noisy: ColumnDensities, start: Composition) -> Composition:
        return solve(
            noisy,
            method,
            context,
            reference,
            start=start,
            with_metals=False,
            label=label,
            allocate=allocate,
        )

    one = replicate(
        source,
        data,
        psf_px=settings.solver.psf_px if isinstance(settings.solver, DeviationSettings) else 0.0,
        solve=again,
        rng=replicate_rng(settings.seed, settings.kind, settings.number),
        allocate=allocate,
    )
    # float16 ends at 65504; a deviation of 100 is as far from any threshold.
    fill(target, lambda part: np.clip(part, -100, 100).astype(np.float16), one)


def replicates_of(settings: UncertaintyStage) -> list[Settings]:
    """Return the replicates and null runs that a result is given."""
    counts = {"noise": settings.replicates, "null": settings.null_replicates}
    shared = settings.model_dump(include={"seed", "solver", "reference"})
    return [
        Settings.model_validate(shared | {"kind": kind, "number": number})
        for kind, count in counts.items()
        for number in range(1, 1 + count)
    ]
