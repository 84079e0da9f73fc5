"""Stage ``uncertainty``: noise replicates of the result, and the null run on a uniform particle."""

from pathlib import Path

import numpy as np

from pipeline.composition.deviation import ColumnDensities, Composition
from pipeline.composition.noise import deviation_sigma, replicate, uniform_composition
from pipeline.config import DeviationSettings, ReconstructStage
from pipeline.config import UncertaintyStage as Settings
from pipeline.io.stores import NamedArray, read_store, write_store
from pipeline.stages.context import StageContext
from pipeline.stages.reconstruct import column_densities, solve

SIGMA_SMOOTHING_PX = 2.0


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Draw replicates, reconstruct them, write their scatter."""
    decomposed, reconstructed = read_store(inputs["decompose"]), read_store(inputs["reconstruct"])
    data = column_densities(decomposed)
    composition = Composition(
        elements=np.asarray(reconstructed.array("elements")[:1]),
        difference=reconstructed["difference"],
        deviation=reconstructed["deviation"],
        particle=reconstructed["particle"].astype(bool),
        total=reconstructed["total"],
        reference_tm_o=float(reconstructed.attributes["reference_tm_o"]),
    )
    method = ReconstructStage(solver=settings.solver, reference=settings.reference)
    reference = None if settings.reference == "mode" else composition.reference_tm_o
    psf_px = settings.solver.psf_px if isinstance(settings.solver, DeviationSettings) else 0.0
    rng = np.random.default_rng(settings.seed)

    def repeat(source: Composition, count: int, name: str) -> list[np.ndarray]:
        volumes = []
        for i in range(count):
            label = f"{name} {i + 1} of {count}"

            def again(noisy: ColumnDensities, start: Composition, label: str = label) -> Composition:
                return solve(noisy, method, context, reference, start=start, with_metals=False, label=label)

            volumes.append(replicate(source, data, psf_px=psf_px, solve=again, rng=rng))
        return volumes

    replicates = repeat(composition, settings.replicates, "noise replicate")
    null = repeat(uniform_composition(composition), settings.null_replicates, "null run")
    sigma = deviation_sigma(
        replicates, composition.deviation, composition.particle, smoothing_px=SIGMA_SMOOTHING_PX
    )
    volume = ("z", "y", "x")
    shape = composition.deviation.shape
    write_store(
        outputs["store"],
        {
            "deviation_sigma": NamedArray(sigma, volume, "1"),
            "replicates": NamedArray(_stack(replicates, shape), ("replicate", *volume), "1"),
            "null": NamedArray(_stack(null, shape), ("replicate", *volume), "1"),
        },
        provenance=context.provenance(inputs),
        attributes={"pixel_nm": reconstructed.attributes["pixel_nm"], "seed": settings.seed},
    )


def _stack(volumes: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    # float16 ends at 65504; a deviation of 100 is as far from any threshold.
    return (
        np.clip(np.stack(volumes), -100, 100).astype(np.float16)
        if volumes
        else np.zeros((0, *shape), np.float16)
    )
