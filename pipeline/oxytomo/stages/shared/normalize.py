"""Stage ``normalize``: one raw series → optical density (or signal) with variance, sorted by tilt angle."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from oxytomo.arrays import AnyArray, Quantity, StoredArray, TiltSeries
from oxytomo.config import NormalizeStage as Settings
from oxytomo.config import source_files
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.readers import read_tilt_series
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.preprocess.empty_region import given_region
from oxytomo.preprocess.frames_from_air import density_from_air, density_of_complex
from oxytomo.preprocess.optical_density import (
    Normalized,
    check_same_shape,
    density_of_transmission,
    optical_density,
    signal,
)
from oxytomo.preprocess.plausible import looked_at, require_plausible
from oxytomo.preprocess.stripes import without_stripes
from oxytomo.slabs import Allocate, Field, Reordered
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import read_request


def run(
    _inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    """Read, normalise, sort by angle, write; the raw files are named by the settings, not by ``inputs``."""
    raw = {f"raw_{i}": path for i, path in enumerate(source_files(settings.source))}
    series = read_tilt_series(read_request(settings.source))
    if settings.source.tilt_axis == "horizontal":
        series = transposed(series)
    check_same_shape(f"{settings.series}: flat field", series.frames, series.flat)
    check_same_shape(f"{settings.series}: dark field", series.frames, series.dark)
    with scratch_fields(outputs["store"]) as allocate:
        _normalize_and_write(series, raw, outputs["store"], settings, context, allocate)


def _normalize_and_write(
    series: TiltSeries,
    raw: dict[str, Path],
    path: Path,
    settings: Settings,
    context: StageContext,
    allocate: Allocate,
) -> None:
    """Normalise frame by frame and write in the order of the angles."""
    quantity = _quantity(series, settings)
    require_plausible(settings.series, [series.frames[i] for i in looked_at(series.n_frames)], quantity)
    try:
        normalized = _normalize(series, quantity, settings, allocate)
    except PipelineError as error:  # the array functions do not know which series they were given
        raise InputError(
            f"{settings.series} ({settings.source.images[0]}): {error.subject}",
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from error
    if not any(np.isfinite(normalized.value[i]).any() for i in range(series.n_frames)):
        raise InputError(
            settings.series,
            expected="at least some valid pixels",
            got="none after normalisation",
            fix="look at the raw frames, flats and darks with `oxytomo inspect`",
        )
    order = np.argsort(series.tilt_deg, kind="stable")
    value: Field = Reordered(normalized.value, order)
    stripe_change = 0.0
    if settings.stripe_removal != "none":
        value, stripe_change = without_stripes(value, method=settings.stripe_removal, allocate=allocate)
        context.log(f"{settings.series}: stripe removal changed the total by {100 * stripe_change:+.3f} %")
    frame_axes = ("tilt", "y", "x")
    unit = "signal" if quantity == "signal" or _phase(quantity, settings) else "1"
    n_pixels = int(np.prod(series.frames.shape))
    context.log(
        f"{settings.series}: {series.n_frames} frames, "
        + ", ".join(f"{count} {reason}" for reason, count in normalized.invalid.items())
        + f" of {n_pixels} pixels; air level {normalized.air_level.min():.3f} to {normalized.air_level.max():.3f}"
    )
    shift, spread = normalized.illumination_shift_px, normalized.illumination_error_px
    if shift is not None:
        rms = float(np.sqrt(np.mean(np.sum(shift**2, axis=1))))
        context.log(
            f"{settings.series}: the illumination moved by {rms:.2f} px rms between flats and frames, corrected"
        )
    never = np.zeros((series.n_frames, 2))
    write_store(
        path,
        {
            "value": NamedArray(value, frame_axes, unit),
            "variance": NamedArray(Reordered(normalized.variance, order), frame_axes, f"{unit}^2"),
            "tilt_deg": NamedArray(series.tilt_deg[order], ("tilt",), "degree"),
            "pixel_nm": NamedArray(series.pixel_nm[order], ("tilt",), "nanometer"),
            "energy_ev": NamedArray(series.energy_ev[order], ("tilt",), "electronvolt"),
            "acquisition_index": NamedArray(order.astype(np.int64), ("tilt",), "1"),
            "air_level": NamedArray(normalized.air_level[order], ("tilt",), "1"),
            "illumination_shift_px": NamedArray(
                never if shift is None else shift[order], ("tilt", "axis"), "pixel"
            ),
            "illumination_error_px": NamedArray(
                never if spread is None else spread[order], ("tilt", "axis"), "pixel"
            ),
        },
        provenance=context.provenance(raw),
        attributes={
            "quantity": "signal" if unit == "signal" else "optical_density",
            "invalid": normalized.invalid,
            "n_pixels": n_pixels,
            "stripe_change": stripe_change,
            "metadata": dict(series.metadata),
        },
    )


class Turned:
    """Frames with rows and columns swapped when they are asked for."""

    def __init__(self, frames: StoredArray) -> None:
        n, n_y, n_x = frames.shape
        self.shape, self.dtype, self._frames = (n, n_x, n_y), frames.dtype, frames

    def __getitem__(self, number: int) -> AnyArray:
        return np.ascontiguousarray(np.asarray(self._frames[number]).T)


def transposed(series: TiltSeries) -> TiltSeries:
    """Swap rows and columns of all frames, so that a horizontal tilt axis becomes vertical."""
    return replace(
        series,
        frames=Turned(series.frames),
        flat=None if series.flat is None else np.ascontiguousarray(series.flat.swapaxes(1, 2)),
        dark=None if series.dark is None else np.ascontiguousarray(series.dark.swapaxes(1, 2)),
    )


def _quantity(series: TiltSeries, settings: Settings) -> Quantity:
    """What the user says, else what the file says of normalised data, else what the branch expects."""
    if settings.source.quantity is not None:
        return settings.source.quantity
    if series.quantity in ("transmission", "optical_density", "complex"):
        return series.quantity
    return settings.default_quantity


def _phase(quantity: Quantity, settings: Settings) -> bool:
    """Return whether a complex series gives its phase; only a volume of one quantity can be made of it."""
    part = settings.source.complex_part or ("phase" if settings.series == "phase_maps" else "modulus")
    if quantity != "complex":
        if settings.source.complex_part is not None:
            raise InputError(
                "complex_part", expected="complex images", got=quantity, fix="remove 'complex_part'"
            )
        return False
    wrong = (settings.default_quantity == "signal") != (part == "phase")
    if wrong and settings.series != "signal":
        raise InputError(
            "complex_part",
            expected="the modulus for absorption, the phase for phase maps, neither for element maps",
            got=f"complex images ({part})",
            fix="use the phase in 'tomogram' or in 'structure: {phase_maps: …}'",
        )
    return part == "phase"


def _normalize(series: TiltSeries, quantity: Quantity, settings: Settings, allocate: Allocate) -> Normalized:
    phase = _phase(quantity, settings)
    if quantity == "signal":
        return signal(series, allocate=allocate)
    n_y, n_x = series.frames.shape[1:]
    air = None if settings.air is None else given_region(settings.air, (n_y, n_x), name=settings.series)
    if quantity == "complex":
        return density_of_complex(
            series,
            name=settings.series,
            phase=phase,
            air=air,
            air_rescale=settings.air_rescale,
            sigma_od=settings.complex_sigma_od,
            opaque_transmission=settings.opaque_transmission,
            allocate=allocate,
        )
    if quantity == "counts":
        integer = np.issubdtype(series.frames.dtype, np.integer)
        top = float(np.iinfo(series.frames.dtype.name).max) if integer else np.inf
        if series.flat is None and settings.light_from_air:
            return density_from_air(
                series,
                name=settings.series,
                air=air,
                opaque_transmission=settings.opaque_transmission,
                hot_pixel_sigma=settings.hot_pixel_sigma,
                saturation_counts=settings.saturation_counts or top,
                allocate=allocate,
            )
        return optical_density(
            series,
            flat_field=settings.flat_field,
            air_rescale=settings.air_rescale,
            opaque_transmission=settings.opaque_transmission,
            hot_pixel_sigma=settings.hot_pixel_sigma,
            saturation_counts=settings.saturation_counts or top,
            air=air,
            illumination=settings.illumination,
            allocate=allocate,
        )
    return density_of_transmission(
        series,
        is_transmission=quantity == "transmission",
        opaque_transmission=settings.opaque_transmission,
        allocate=allocate,
    )
