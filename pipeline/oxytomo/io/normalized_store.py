"""The store of one normalised series, sorted by tilt angle."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.io.rounding import in_fewer_bits
from oxytomo.io.stores import NamedArray, Provenance, write_store
from oxytomo.preprocess.tilt_series import Ordered
from oxytomo.slabs import reordered


def write_normalized(
    path: Path, ordered: Ordered, *, unit: str, stripe_change: float, provenance: Provenance
) -> None:
    """Write a normalised series.

    ``stripe_change`` is the relative change of its total by the removal of stripes.
    """
    series, normalized, order = ordered.series, ordered.normalized, ordered.order

    def moved(shift_px: Float64Array | None) -> NamedArray:
        known = np.zeros((series.n_frames, 2)) if shift_px is None else shift_px[order]
        return NamedArray(known, ("tilt", "axis"), "pixel")

    frames = ("tilt", "y", "x")
    small = in_fewer_bits(ordered.value, reordered(normalized.variance, order))
    arrays = {
        "value": NamedArray(small.value, frames, unit),
        "variance": NamedArray(small.variance, frames, f"{unit}^2"),
        "tilt_deg": NamedArray(series.tilt_deg[order], ("tilt",), "degree"),
        "pixel_nm": NamedArray(series.pixel_nm[order], ("tilt",), "nanometer"),
        "energy_ev": NamedArray(series.energy_ev[order], ("tilt",), "electronvolt"),
        "acquisition_index": NamedArray(order.astype(np.int64), ("tilt",), "1"),
        "air_level": NamedArray(normalized.air_level[order], ("tilt",), "1"),
        "illumination_shift_px": moved(normalized.illumination_shift_px),
        "illumination_error_px": moved(normalized.illumination_error_px),
    }
    attributes = {
        "quantity": "signal" if unit == "signal" else "optical_density",
        "invalid": normalized.invalid,
        "n_pixels": int(np.prod(series.frames.shape)),
        "stripe_change": stripe_change,
        "rounding": small.record,
        "metadata": dict(series.metadata),
    }
    write_store(path, arrays, provenance=provenance, attributes=attributes)
