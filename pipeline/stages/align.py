"""Stage ``align``: all series of a branch → one pixel grid, one tilt axis, resampled once."""

from pathlib import Path

import numpy as np

from pipeline.align.axis import find_axis
from pipeline.align.energies import register_energies
from pipeline.align.register import fill_invalid
from pipeline.align.resample import resample
from pipeline.align.tilts import (
    TiltAlignment,
    background_free,
    centre_of_mass_shifts,
    match_projections,
    shifted,
    vertical_shifts,
)
from pipeline.arrays import Float64Array, FloatArray
from pipeline.config import AlignStage as Settings
from pipeline.errors import InputError, ShapeError
from pipeline.io.stores import NamedArray, Store, read_store, write_store
from pipeline.io.tables import write_csv
from pipeline.stages.context import StageContext

SMOOTHING_PX = 1.5
"""Gaussian smoothing before frames are compared: wide enough to calm noise, narrow against the particle's edge."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Estimate magnification and shifts, compose them, resample once, write."""
    names = list(settings.series)
    stores = [read_store(inputs[name]) for name in names]
    single = settings.branch == "areal_density"
    tilt_deg = np.zeros(1) if single else _common_tilts(names, stores)
    pixel_nm = np.array([_pixel_nm(name, store) for name, store in zip(names, stores, strict=True)])
    common_nm = float(pixel_nm.mean())
    scale = common_nm / pixel_nm if settings.magnification == "recorded" else np.ones(len(names))
    raw = [_frames(store, average=single) for store in stores]
    shape = raw[0][0].shape[1:]
    n_tilt = tilt_deg.size

    # A first look at one magnification, without shifts, to find the shifts; the raw pixels are resampled once, below.
    still = np.zeros(n_tilt)
    look = [
        resample(v, var, dy_px=still, dx_px=still, magnification=m, rotation_deg=0.0, shape=shape)[0]
        if abs(m - 1) > 1e-6
        else v
        for (v, var), m in zip(raw, scale, strict=True)
    ]
    signal_to_noise = np.array([_signal_to_noise(v, var) for v, var in raw])
    reference = int(signal_to_noise.argmax())
    energy_shifts = np.zeros((len(names), n_tilt, 2))
    energy_residual = np.zeros(len(names))
    register = (
        settings.energies if settings.energies is not None else stores[0].attributes["quantity"] != "signal"
    )
    progress = context.progress("register energies")
    for e in range(len(names)):
        if register and e != reference:
            energy_shifts[e], misfit = register_energies(
                look[e], look[reference], max_shift_px=settings.max_shift_px, sigma_px=SMOOTHING_PX
            )
            energy_residual[e] = float(np.nanmean(misfit))
        progress(e + 1, len(names))

    driver = _driver(look, energy_shifts, signal_to_noise)
    tilts = _align_tilts(driver, tilt_deg, settings, context)
    total = energy_shifts + tilts.shifts
    context.log(
        f"reference series {names[reference]}; residual {np.nanmean(tilts.residual):.4f} of the contrast after "
        f"{tilts.rounds} rounds, last move {tilts.last_move_px:.3f} px"
    )

    progress = context.progress("resample")
    value = np.empty((len(names), n_tilt, *shape), np.float32)
    variance = np.empty_like(value)
    for e, (v, var) in enumerate(raw):
        value[e], variance[e] = resample(
            v,
            var,
            dy_px=total[e, :, 0] * scale[e],
            dx_px=total[e, :, 1] * scale[e],
            magnification=float(scale[e]),
            rotation_deg=0.0,
            shape=shape,
        )
        progress(e + 1, len(names))
    energies = np.array([float(np.mean(store["energy_ev"])) for store in stores])
    axes = ("series", "tilt", "y", "x")
    quantity = stores[0].attributes["quantity"]
    unit = "signal" if quantity == "signal" else "1"
    write_store(
        outputs["store"],
        {
            "value": NamedArray(value, axes, unit),
            "variance": NamedArray(variance, axes, f"{unit}^2"),
            "tilt_deg": NamedArray(tilt_deg, ("tilt",), "degree"),
            "dy_px": NamedArray(total[..., 0], ("series", "tilt"), "pixel"),
            "dx_px": NamedArray(total[..., 1], ("series", "tilt"), "pixel"),
            "magnification": NamedArray(scale, ("series",), "1"),
            "residual": NamedArray(tilts.residual, ("tilt",), "1"),
        },
        provenance=context.provenance(inputs),
        attributes={
            "series": names,
            "energies_ev": energies.tolist(),
            "pixel_nm": common_nm,
            "quantity": quantity,
            "invalid": {n: s.attributes["invalid"] for n, s in zip(names, stores, strict=True)},
            "n_pixels": {n: s.attributes["n_pixels"] for n, s in zip(names, stores, strict=True)},
            "quality": {
                "reference_series": names[reference],
                "mean_residual": float(np.nanmean(tilts.residual)),
                "misfit_by_round": tilts.misfit.tolist(),
                "last_move_px": tilts.last_move_px,
                "energy_residual": dict(zip(names, energy_residual.tolist(), strict=True)),
            },
        },
    )
    write_csv(outputs["table"], _table(energies, tilt_deg, total * scale[:, None, None]))


def _align_tilts(
    driver: FloatArray, tilt_deg: Float64Array, settings: Settings, context: StageContext
) -> TiltAlignment:
    """Shifts between the tilts, the offset of the axis included; only the axis when the tilts are not to be moved."""
    n_tilt, _, n_x = driver.shape
    middle = (n_x - 1) / 2
    none = np.zeros((n_tilt, 2))
    nothing = TiltAlignment(none, np.zeros(n_tilt), 0.0, 0, np.zeros(0))
    if settings.branch == "areal_density":
        return nothing
    given = None if settings.axis_column is None else settings.axis_column - middle
    if not settings.tilts:
        if given is None:
            column, _, misfit = find_axis(
                background_free(driver),
                tilt_deg,
                max_shift_px=settings.max_shift_px,
                iterations=12,
                on_iteration=context.progress("find the tilt axis"),
            )
            given = column - middle
            context.log(f"tilt axis at column {column:.2f}, misfit {misfit.min():.4f} of the data")
        none[:, 1] = given
        return nothing
    clean = background_free(driver)
    start = np.zeros((n_tilt, 2))
    start[:, 0] = vertical_shifts(clean, max_shift_px=settings.max_shift_px, rounds=4)
    start[:, 1] = centre_of_mass_shifts(shifted(clean, start), tilt_deg)
    if given is not None:
        start[:, 1] += given - np.median(start[:, 1])
    return match_projections(
        np.where(np.isfinite(driver), clean, np.nan).astype(np.float32),
        tilt_deg,
        start,
        rounds=settings.iterations,
        sirt_iterations=20,
        max_shift_px=settings.max_shift_px,
        sigma_px=1.0,
        vertical=True,
        on_iteration=context.progress("match projections"),
    )


def _common_tilts(names: list[str], stores: list[Store]) -> Float64Array:
    """Tilts that all series share; raises where they differ, repeat or are too few."""
    tilts = [store["tilt_deg"] for store in stores]
    first = tilts[0]
    for name, other in zip(names, tilts, strict=True):
        if other.size != first.size or np.abs(other - first).max() > 0.01:
            raise InputError(
                name,
                expected=f"the tilt angles of {names[0]} ({first.size} from {first.min():g}° to {first.max():g}°)",
                got=f"{other.size} from {other.min():g}° to {other.max():g}°",
                fix="give series of the same tilts, or cut them to the common ones",
            )
    if first.size < 3:
        raise InputError(
            names[0],
            expected="at least 3 tilt angles for a volume",
            got=str(first.size),
            fix="use the areal_density branch for a single projection",
        )
    gaps = np.diff(first)
    if (gaps < 1e-4).any():
        at = first[1:][gaps < 1e-4]
        raise InputError(
            names[0],
            expected="every tilt angle once",
            got=f"repeated angles: {', '.join(f'{a:g}°' for a in at[:5])}",
            fix="average repeated frames or cut the angle table",
        )
    return first


def _frames(store: Store, *, average: bool) -> tuple[FloatArray, FloatArray]:
    """Value and variance of a series; with ``average`` the mean of all its frames as one."""
    value, variance = store["value"], store["variance"]
    if not average or value.shape[0] == 1:
        return value, variance
    valid = np.isfinite(value)
    count = valid.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(valid, value, 0).sum(axis=0, keepdims=True) / count
        error = np.where(valid, variance, 0).sum(axis=0, keepdims=True) / count**2
    return (
        np.where(count > 0, mean, np.nan).astype(np.float32),
        np.where(count > 0, error, np.inf).astype(np.float32),
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


def _signal_to_noise(value: FloatArray, variance: FloatArray) -> float:
    valid = np.isfinite(value)
    return float(np.std(value[valid]) / np.sqrt(np.median(variance[valid])))


def _driver(look: list[FloatArray], shifts: np.ndarray, signal_to_noise: np.ndarray) -> FloatArray:
    """Mean of all series, weighed by their signal to noise, each moved onto the reference series."""
    shapes = {frames.shape for frames in look}
    if len(shapes) > 1:
        raise ShapeError(
            "series",
            expected="frames of one size",
            got=", ".join(str(s) for s in sorted(shapes)),
            fix="crop or bin the series to the same camera region",
        )
    total = np.zeros(look[0].shape, np.float32)
    for frames, shift, weight in zip(look, shifts, signal_to_noise, strict=True):
        filled = fill_invalid(frames)
        moved = shifted(filled, shift) if np.any(shift) else filled
        total += np.float32(weight / signal_to_noise.sum()) * moved
    return total


def _table(energies: Float64Array, tilt_deg: Float64Array, shift_px: np.ndarray) -> dict[str, list[float]]:
    n_series, n_tilt = shift_px.shape[:2]
    return {
        "energy_ev": [round(float(e), 3) for e in np.repeat(energies, n_tilt)],
        "tilt_deg": [round(float(t), 4) for t in np.tile(tilt_deg, n_series)],
        "dy_px": [round(float(v), 4) for v in shift_px[..., 0].ravel()],
        "dx_px": [round(float(v), 4) for v in shift_px[..., 1].ravel()],
    }
