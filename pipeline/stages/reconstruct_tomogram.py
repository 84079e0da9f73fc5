"""Stage ``reconstruct_tomogram``: one aligned series → a volume in 1/µm (or signal per µm)."""

from pathlib import Path

import numpy as np

from pipeline.config import ReconstructTomogramStage as Settings
from pipeline.io.stores import NamedArray, read_store, write_store
from pipeline.reconstruct.backends import reconstruct
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.stages.context import StageContext
from pipeline.units import NM_PER_UM


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Reconstruct, write."""
    aligned = read_store(inputs["align"])
    value, variance = aligned["value"][0], aligned["variance"][0]
    pixel_nm = float(aligned.attributes["pixel_nm"])
    pixel_um = np.float32(pixel_nm / NM_PER_UM)
    valid = np.isfinite(value) & np.isfinite(variance)
    tilt_deg = aligned["tilt_deg"]
    volume = reconstruct(
        np.where(valid, value / pixel_um, 0).astype(np.float32),
        np.where(valid, pixel_um**2 / np.where(valid, variance, 1), 0).astype(np.float32),
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
