"""Series of a phase-contrast scan from stores, and phase maps to a store."""

from pathlib import Path

import numpy as np

from oxytomo.align.rotation import RotationAxis
from oxytomo.io.records import Provenance
from oxytomo.io.stores import NamedArray, Store, write_store
from oxytomo.phase.retrieval import PhaseMaps
from oxytomo.phase.scan import PhaseScan, ScanSeries
from oxytomo.slabs import Field


def scan_series(name: str, store: Store) -> ScanSeries:
    """Return a normalised series; its frames are read on access."""
    facts = {key: store[key] for key in ("tilt_deg", "energy_ev", "pixel_nm")}
    return ScanSeries(name, store.digest, store.field("value"), **facts)


def write_phase_maps(path: Path, maps: PhaseMaps, scan: PhaseScan, provenance: Provenance) -> None:
    """Write the phase maps of a scan as a store."""
    per_frame, misfit = ("series", "tilt"), maps.misfit
    unit = "radian" if scan.quantity == "phase_lag" else "1"
    write_store(
        path,
        {
            "value": NamedArray(maps.value, ("tilt", "y", "x"), unit),
            "tilt_deg": NamedArray(scan.tilt_deg, ("tilt",), "degree"),
            "dy_px": NamedArray(maps.shift_px[..., 0], per_frame, "pixel"),
            "dx_px": NamedArray(maps.shift_px[..., 1], per_frame, "pixel"),
            "misfit": NamedArray(misfit, per_frame, "1"),
        },
        provenance=provenance,
        attributes={
            "series": list(scan.names),
            "quantity": scan.quantity,
            "method": scan.method,
            "pixel_nm": scan.pixel_nm,
            "energy_ev": scan.energy_ev,
            "delta_beta": scan.delta_beta,
            "magnification": [one.magnification for one in scan.distances],
            "effective_distance_nm": scan.distances_nm,
            "source_sample_mm": scan.source_sample_mm,
            "diffraction_limit_nm": scan.diffraction_limit_nm,
            "warnings": maps.warnings,
            "quality": {"mean_misfit": float(np.nanmean(misfit)) if np.isfinite(misfit).any() else None},
        },
    )


def write_phase_volume(
    path: Path, volume: Field, maps: Store, axis: RotationAxis, unit: str, provenance: Provenance
) -> None:
    """Write a volume (n_z, n_y, n_x) that was reconstructed from a store of phase maps."""
    facts, tilt_deg = maps.attributes, maps["tilt_deg"]
    write_store(
        path,
        {"volume": NamedArray(volume, ("z", "y", "x"), unit)},
        provenance=provenance,
        attributes={
            "voxel_nm": facts["pixel_nm"],
            "quantity": "delta" if unit == "1" else facts["quantity"],
            "unit": unit,
            "method": facts["method"],
            "axis_column": axis.column,
            "axis_from": axis.how,
            "n_tilt": int(tilt_deg.size),
            "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
            "warnings": [*facts["warnings"], *axis.remarks],
        },
    )
