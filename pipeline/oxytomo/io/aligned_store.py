"""Normalised stores as input of an alignment, and the store of aligned series."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.align.applied import JudgedAlignment, Pictures, Resampled
from oxytomo.align.energies import EnergyRegistration
from oxytomo.align.inputs import NormalizedSeries
from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError
from oxytomo.io.rounding import in_fewer_bits
from oxytomo.io.stores import NamedArray, Provenance, Store, write_store


@dataclass(frozen=True)
class SeriesFacts:
    """Facts of the series in normalised stores.

    Attributes
    ----------
    energies_ev : (n_series,) eV, NaN where unknown
    pixel_nm : mean pixel size, nm, that of the aligned frames
    magnification : (n_series,) recorded raw pixels per output pixel
    attributes : attributes that the aligned store takes over
    """

    energies_ev: Float64Array
    pixel_nm: float
    magnification: Float64Array
    attributes: Mapping[str, Any]

    @property
    def quantity(self) -> str:
        """Quantity in the pixels: ``optical_density`` or ``signal``."""
        return str(self.attributes["quantity"])


def normalized_series(stores: Mapping[str, Store]) -> list[NormalizedSeries]:
    """Return the series of normalised stores by name; frames are read on access."""
    return [
        NormalizedSeries(
            name,
            store.field("value"),
            store.field("variance"),
            store["tilt_deg"],
            np.asarray(store["acquisition_index"]),
        )
        for name, store in stores.items()
    ]


def air_was_levelled(stores: Mapping[str, Store]) -> bool:
    """Return whether each of several series was set to its own air level.

    If the levels are kept as recorded, the answer is no.
    """
    return len(stores) > 1 and all(
        "air_level" in one.names and bool((np.asarray(one["air_level"]) != 1).any())
        for one in stores.values()
    )


def series_facts(stores: Mapping[str, Store], *, one_magnification: bool) -> SeriesFacts:
    """Return the facts of normalised stores.

    With ``one_magnification`` the recorded pixel sizes are not compared.
    """
    pixel_nm = np.array([_pixel_nm(name, store) for name, store in stores.items()])
    common_nm = float(pixel_nm.mean())
    first = next(iter(stores.values()))
    return SeriesFacts(
        energies_ev=np.array([float(np.mean(store["energy_ev"])) for store in stores.values()]),
        pixel_nm=common_nm,
        magnification=np.ones(len(stores)) if one_magnification else common_nm / pixel_nm,
        attributes={
            "quantity": first.attributes["quantity"],
            "invalid": {name: store.attributes["invalid"] for name, store in stores.items()},
            "n_pixels": {name: store.attributes["n_pixels"] for name, store in stores.items()},
            "stripe_change": {
                name: store.attributes.get("stripe_change", 0.0) for name, store in stores.items()
            },
        },
    )


def _pixel_nm(name: str, store: Store) -> float:
    pixel = store["pixel_nm"]
    if not np.isfinite(pixel).all():
        raise InputError(
            name,
            expected="a pixel size",
            got="none in the file",
            fix="give `pixel_nm:` (object-plane pixel in nm) beside the images",
        )
    return float(pixel.mean())


def write_aligned(
    path: Path,
    judged: JudgedAlignment,
    resampled: Resampled,
    pictures: Pictures | None,
    facts: SeriesFacts,
    provenance: Provenance,
) -> None:
    """Write the store of an alignment: resampled frames, shifts, misfits, pictures, record."""
    inputs, tilts, solution, used = (
        judged.inputs,
        judged.found.tilts,
        judged.found.solution,
        judged.frames.used,
    )
    axes = ("series", "tilt", "y", "x")
    unit = "signal" if facts.quantity == "signal" else "1"
    scale = solution.magnification[:, None]
    small = in_fewer_bits(resampled.value, resampled.variance)
    arrays = {
        "value": NamedArray(small.value, axes, unit),
        "variance": NamedArray(small.variance, axes, f"{unit}^2"),
        "tilt_deg": NamedArray(inputs.tilt_deg[used], ("tilt",), "degree"),
        "frame": NamedArray(inputs.acquisition_order[used], ("tilt",), "1"),
        "dy_px": NamedArray((solution.dy_px / scale)[:, used], ("series", "tilt"), "pixel"),
        "dx_px": NamedArray((solution.dx_px / scale)[:, used], ("series", "tilt"), "pixel"),
        "magnification": NamedArray(solution.magnification, ("series",), "1"),
        "residual": NamedArray(tilts.misfit_after[used], ("tilt",), "1"),
        "residual_as_recorded": NamedArray(tilts.misfit_before[used], ("tilt",), "1"),
        **_pictures(pictures, unit),
    }
    attributes = {
        "series": list(inputs.names),
        "energies_ev": facts.energies_ev.tolist(),
        "pixel_nm": facts.pixel_nm,
        **facts.attributes,
        "quality": _quality(judged),
        "rounding": small.record,
    }
    write_store(path, arrays, provenance=provenance, attributes=attributes)


def _pictures(pictures: Pictures | None, unit: str) -> dict[str, NamedArray]:
    if pictures is None:
        return {}
    arrays = {
        "row": NamedArray(pictures.row, ("state", "tilt", "x"), unit),
        "slice": NamedArray(pictures.slice, ("state", "y", "x"), f"{unit}/pixel"),
    }
    if pictures.numbers.size:
        arrays["shown_frames"] = NamedArray(pictures.shown, ("shown", "y", "x"), unit)
        arrays["shown_frame_numbers"] = NamedArray(pictures.numbers, ("shown",), "1")
    return arrays


def _quality(judged: JudgedAlignment) -> dict[str, Any]:
    """Return the record of an alignment as plain values."""
    inputs, found, frames, tilts = judged.inputs, judged.found, judged.frames, judged.found.tilts
    registered = [
        (name, one)
        for name, one in zip(inputs.names, found.energies, strict=True)
        if isinstance(one, EnergyRegistration)
    ]
    return {
        "verdict": judged.verdict,
        "warnings": judged.warnings,
        "left_out": [{"frame": n, "tilt_deg": t, "reason": why} for n, t, why in frames.left_out],
        "suspicious_frames": inputs.acquisition_order[frames.suspicious].tolist(),
        "reference_series": inputs.names[found.reference],
        "driver_binning": found.driver.binning.factor,
        "start": tilts.start,
        "misfit_of_starts": tilts.starts,
        "misfit_by_round": tilts.alignment.misfit.tolist(),
        "last_move_px": tilts.alignment.last_move_px,
        "precision_px": tilts.alignment.precision_px.tolist(),
        "axis_tilt_deg": tilts.axis_tilt_deg,
        "axis_tilt_error_deg": tilts.axis_tilt_error_deg,
        "applied_axis_tilt_deg": tilts.applied_axis_tilt_deg,
        "energy_residual": {name: float(np.nanmedian(one.residual)) for name, one in registered},
        "energy_magnification": {name: one.magnification for name, one in registered},
        "repeats": {name: [vars(repeat) for repeat in repeats] for name, repeats in inputs.repeats.items()},
    }
