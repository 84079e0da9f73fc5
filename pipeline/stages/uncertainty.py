"""Stage ``uncertainty``: noise replicates of the result, and the null run on a uniform particle."""

from pathlib import Path

import numpy as np

from pipeline.composition.column_densities import ColumnDensities
from pipeline.composition.noise import deviation_sigma, replicate, uniform_composition
from pipeline.composition.result import Composition
from pipeline.config import DeviationSettings, ReconstructStage
from pipeline.config import UncertaintyStage as Settings
from pipeline.io.scratch import scratch_fields
from pipeline.io.stores import NamedArray, read_store, write_store
from pipeline.slabs import Field, fill, plane
from pipeline.stages.context import StageContext
from pipeline.stages.reconstruct import column_densities, solve

SIGMA_SMOOTHING_PX = 2.0


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Draw replicates, reconstruct them, write their scatter."""
    decomposed, reconstructed = read_store(inputs["decompose"]), read_store(inputs["reconstruct"])
    data = column_densities(decomposed)
    composition = Composition(
        elements=reconstructed.field("elements"),
        difference=reconstructed.field("difference"),
        deviation=reconstructed.field("deviation"),
        particle=reconstructed.field("particle"),
        total=reconstructed.field("total"),
        reference_tm_o=float(reconstructed.attributes["reference_tm_o"]),
    )
    method = ReconstructStage(solver=settings.solver, reference=settings.reference)
    reference = None if settings.reference == "mode" else composition.reference_tm_o
    psf_px = settings.solver.psf_px if isinstance(settings.solver, DeviationSettings) else 0.0
    rng = np.random.default_rng(settings.seed)
    shape = composition.deviation.shape
    with scratch_fields(outputs["store"]) as allocate:

        def repeat(source: Composition, count: int, name: str) -> Field:
            volumes = allocate((count, *shape), np.float16)
            for i in range(count):
                label = f"{name} {i + 1} of {count}"

                def again(noisy: ColumnDensities, start: Composition, label: str = label) -> Composition:
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

                one = replicate(source, data, psf_px=psf_px, solve=again, rng=rng, allocate=allocate)
                # float16 ends at 65504; a deviation of 100 is as far from any threshold.
                fill(plane(volumes, i), lambda part: np.clip(part, -100, 100).astype(np.float16), one)
            return volumes

        replicates = repeat(composition, settings.replicates, "noise replicate")
        uniform = uniform_composition(composition, allocate)
        null = repeat(uniform, settings.null_replicates, "null run")
        sigma = deviation_sigma(
            [plane(replicates, i) for i in range(settings.replicates)],
            composition.deviation,
            composition.particle,
            smoothing_px=SIGMA_SMOOTHING_PX,
            allocate=allocate,
        )
        volume = ("z", "y", "x")
        write_store(
            outputs["store"],
            {
                "deviation_sigma": NamedArray(sigma, volume, "1"),
                "replicates": NamedArray(replicates, ("replicate", *volume), "1"),
                "null": NamedArray(null, ("replicate", *volume), "1"),
            },
            provenance=context.provenance(inputs),
            attributes={"pixel_nm": reconstructed.attributes["pixel_nm"], "seed": settings.seed},
        )
