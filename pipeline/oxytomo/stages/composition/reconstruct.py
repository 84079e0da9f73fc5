"""Stage ``reconstruct``: element sinograms → densities, deviation and particle."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import StoredArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.ratio import RatioSolver, reconstruct_ratio
from oxytomo.composition.result import Composition, mode_of
from oxytomo.config import DeviationSettings, RatioSettings
from oxytomo.config import ReconstructStage as Settings
from oxytomo.config.settings import Reference
from oxytomo.io.scratch import IN_MEMORY_BYTES, scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.slabs import Allocate, sampled, slabs
from oxytomo.stages.composition.particle_parts import composition_of_parts, deviation_solver
from oxytomo.stages.context import StageContext
from oxytomo.units import NM_PER_UM


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Reconstruct, or put together what other jobs have reconstructed, and write."""
    store = read_store(inputs["decompose"])
    data = column_densities(store)
    with scratch_fields(outputs["store"]) as allocate:
        if "prepare" in inputs and isinstance(settings.solver, DeviationSettings):
            result = composition_of_parts(inputs, data, deviation_solver(settings.solver), allocate)
        else:
            result = solve(
                data,
                settings,
                context,
                reference_of(settings.reference, inputs),
                start=None,
                with_metals=True,
                label="reconstruct",
                allocate=allocate,
            )
        _write(result, store, outputs["store"], inputs, settings, context)


def _write(
    result: Composition,
    store: Store,
    path: Path,
    inputs: dict[str, Path],
    settings: Settings,
    context: StageContext,
) -> None:
    voxels = sum(int(np.count_nonzero(result.particle[slab.rows])) for slab in slabs(result.particle.shape))
    context.log(
        f"reference TM/O {result.reference_tm_o:.4f} of nominal; particle {voxels} voxels; "
        + ", ".join(f"{name} {value:.4g}" for name, value in result.record.items())
    )
    tilt_deg = store["tilt_deg"]
    volume = ("z", "y", "x")
    write_store(
        path,
        {
            "elements": NamedArray(result.elements, ("element", *volume), "1"),
            "total": NamedArray(result.total, volume, "1"),
            "difference": NamedArray(result.difference, volume, "1"),
            "deviation": NamedArray(result.deviation, volume, "1"),
            "particle": NamedArray(result.particle, volume, "1"),
        },
        provenance=context.provenance(inputs),
        attributes={
            "elements": store.attributes["elements"],
            "atoms": store.attributes["atoms"],
            "pixel_nm": store.attributes["pixel_nm"],
            "n_tilt": int(tilt_deg.size),
            "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
            "reference_tm_o": result.reference_tm_o,
            "solver": result.record | {"method": settings.solver.method},
        },
    )


def reference_of(reference: Reference, inputs: dict[str, Path]) -> float | None:
    """Return the TM/O, relative to the formula, that deviations refer to; None for the particle's own mode."""
    if reference == "mode":
        return None
    if reference == "nominal":
        return 1.0
    pristine = read_store(inputs["pristine"])
    inside = sampled(pristine.field("deviation"), pristine.field("particle"))
    return float(pristine.attributes["reference_tm_o"]) * (1 + mode_of(inside))


def column_densities(store: Store, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> ColumnDensities:
    """Element sinograms of a decomposed store; larger ones than that stay on disk."""

    def array(name: str) -> StoredArray:
        stored = store.array(name)
        return store[name] if stored.nbytes <= in_memory_bytes else stored

    return ColumnDensities(
        areal=array("areal"),
        covariance=array("covariance"),
        tilt_deg=store["tilt_deg"],
        atoms=np.array(store.attributes["atoms"], np.float64),
        pixel_um=float(store.attributes["pixel_nm"]) / NM_PER_UM,
    )


def solve(
    data: ColumnDensities,
    settings: Settings,
    context: StageContext,
    reference_tm_o: float | None,
    *,
    start: Composition | None,
    with_metals: bool,
    label: str,
    allocate: Allocate,
) -> Composition:
    """Run the configured method; used for the sample and, with a start, for its noise replicates."""
    progress = context.progress(label)
    chosen: DeviationSettings | RatioSettings = settings.solver
    if isinstance(chosen, DeviationSettings):
        return reconstruct_deviation(
            data,
            solver=deviation_solver(chosen),
            reference_tm_o=reference_tm_o,
            start=start,
            with_metals=with_metals,
            allocate=allocate,
            on_progress=progress,
        )
    return reconstruct_ratio(
        data,
        solver=RatioSolver(
            algorithm=chosen.algorithm,
            backend=chosen.backend,
            iterations=chosen.iterations,
            smoothing_px=chosen.smoothing_px,
        ),
        reference_tm_o=reference_tm_o,
        threads=context.threads,
        allocate=allocate,
        on_progress=progress,
    )
