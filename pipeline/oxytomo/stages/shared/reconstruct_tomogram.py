"""Stage ``reconstruct_tomogram``: one aligned series → a volume in 1/µm (or signal per µm)."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.config import ReconstructTomogramStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.reconstruct.backends import reconstruct
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.slabs import Mapped, plane
from oxytomo.stages.context import StageContext
from oxytomo.units import NM_PER_UM


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Reconstruct slab by slab, write."""
    aligned = read_store(inputs["align"])
    value, variance = (plane(aligned.field(name), 0) for name in ("value", "variance"))
    pixel_nm = float(aligned.attributes["pixel_nm"])
    pixel_um = np.float32(pixel_nm / NM_PER_UM)
    tilt_deg = aligned["tilt_deg"]

    def line_integral(v: FloatArray, s: FloatArray) -> FloatArray:
        return np.where(np.isfinite(v) & np.isfinite(s), v / pixel_um, 0)

    def weight(v: FloatArray, s: FloatArray) -> FloatArray:
        valid = np.isfinite(v) & np.isfinite(s)
        return np.where(valid, pixel_um**2 / np.where(valid, s, 1), 0)

    with scratch_fields(outputs["store"]) as allocate:
        volume = reconstruct(
            Mapped(value, line_integral, np.float32, variance),
            Mapped(value, weight, np.float32, variance),
            TiltGeometry.square(tilt_deg, value.shape[-1]),
            algorithm=settings.algorithm,
            backend=settings.backend,
            iterations=settings.iterations,
            nonnegative=settings.nonnegative,
            tv_weight=settings.tv_weight,
            threads=context.threads,
            allocate=allocate,
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
