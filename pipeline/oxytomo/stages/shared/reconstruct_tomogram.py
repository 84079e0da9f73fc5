"""Stage ``reconstruct_tomogram``: volume in 1/µm (or signal per µm) from an aligned series."""

from pathlib import Path

from oxytomo.config.stage_settings import ReconstructTomogramStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.rays import weighted_rays
from oxytomo.slabs import plane
from oxytomo.stages.context import StageContext
from oxytomo.units import NM_PER_UM


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Reconstruct slab by slab and write."""
    aligned = read_store(inputs["align"])
    value, variance = (plane(aligned.field(name), 0) for name in ("value", "variance"))
    pixel_nm = float(aligned.attributes["pixel_nm"])
    tilt_deg = aligned["tilt_deg"]
    integrals, weights = weighted_rays(value, variance, pixel_um=pixel_nm / NM_PER_UM)
    with scratch_fields(outputs["store"]):
        volume = reconstruct(
            integrals,
            weights,
            TiltGeometry.square(tilt_deg, value.shape[-1]),
            algorithm=settings.algorithm,
            backend=settings.backend,
            iterations=settings.iterations,
            nonnegative=settings.nonnegative,
            tv_weight=settings.tv_weight,
            threads=context.threads,
            on_iteration=context.progress(settings.algorithm),
        )
        unit = "signal/micrometer" if aligned.attributes["quantity"] == "signal" else "1/micrometer"
        write_store(
            outputs["store"],
            {"volume": NamedArray(volume, ("z", "y", "x"), unit)},
            provenance=context.provenance(inputs),
            attributes={
                "pixel_nm": pixel_nm,
                "unit": unit,
                "algorithm": settings.algorithm,
                "n_tilt": int(tilt_deg.size),
                "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
            },
        )
