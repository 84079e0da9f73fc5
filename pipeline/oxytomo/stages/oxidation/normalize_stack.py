"""Stage ``normalize_stack``: the raw stack of one element → optical density with variance, sorted by energy."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import BoolArray
from oxytomo.config import NormalizeStackStage as Settings
from oxytomo.config import source_files
from oxytomo.errors import ConfigError, InputError
from oxytomo.io.readers.spectral import SpectralStack
from oxytomo.io.scratch import scratch_arrays
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.preprocess.complex_images import complex_density, intensity
from oxytomo.preprocess.empty_region import given_region
from oxytomo.preprocess.energy_stack import FrameDensity, empty_region, frame_density, ready_density
from oxytomo.preprocess.plausible import looked_at, require_plausible
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import open_stack


def run(
    _inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    """Read frame by frame, normalise, write; the raw files are named by the settings, not by ``inputs``."""
    raw = {f"raw_{i}": path for i, path in enumerate(source_files(settings.source))}
    stack = open_stack(settings.source)
    require_plausible(settings.element, [stack.frame(i) for i in looked_at(stack.shape[0])], stack.quantity)
    order = np.argsort(stack.energy_ev, kind="stable")
    dark = stack.dark()
    air = _air(stack, dark, settings)
    invalid: dict[str, int] = {}
    light = np.empty(order.size)
    progress = context.progress("normalize")
    with scratch_arrays(outputs["store"], {"value": stack.shape, "variance": stack.shape}) as arrays:
        for place, index in enumerate(order):
            one = _density(stack, int(index), dark, air, settings)
            arrays["value"][place], arrays["variance"][place] = one.value, one.variance
            light[place] = one.light
            for reason, count in one.invalid.items():
                invalid[reason] = invalid.get(reason, 0) + count
            progress(place + 1, order.size)
        n_pixels = int(np.prod(stack.shape))
        if sum(invalid.values()) >= n_pixels:
            raise InputError(
                settings.element,
                expected="at least some valid pixels",
                got="none after normalisation",
                fix="look at the raw frames, flats and darks with `oxytomo inspect`",
            )
        axes = ("energy", "y", "x")
        write_store(
            outputs["store"],
            {
                "value": NamedArray(arrays["value"], axes, "1"),
                "variance": NamedArray(arrays["variance"], axes, "1"),
                "energy_ev": NamedArray(stack.energy_ev[order], ("energy",), "electronvolt"),
                "acquisition_index": NamedArray(order.astype(np.int64), ("energy",), "1"),
                "light": NamedArray(light, ("energy",), "1"),
                "air": NamedArray(np.zeros(stack.shape[1:], bool) if air is None else air, axes[1:], "1"),
            },
            provenance=context.provenance(raw),
            attributes={
                "element": settings.element,
                "pixel_nm": stack.pixel_nm,
                "invalid": invalid,
                "n_pixels": n_pixels,
                "metadata": stack.metadata,
            },
        )
    context.log(
        f"{order.size} energies from {stack.energy_ev.min():g} to {stack.energy_ev.max():g} eV, "
        + ", ".join(f"{count} {reason}" for reason, count in invalid.items())
        + f" of {n_pixels} pixels; empty region of {0 if air is None else int(air.sum())} pixels"
    )


def _air(stack: SpectralStack, dark: np.ndarray | None, settings: Settings) -> BoolArray | None:
    """Return the empty region: the given one, the one that is found, or none where the flats are to be trusted."""
    if settings.air is not None:
        return given_region(settings.air, stack.shape[1:], name=settings.element)
    if stack.quantity == "counts" and stack.n_flat == 0 and not settings.air_rescale:
        raise ConfigError(
            f"normalize.air_rescale of {settings.element}",
            expected="flat frames, or the light from the empty region",
            got="neither",
            fix="give 'flat:' beside the images, or set air_rescale: true",
        )
    if stack.quantity == "optical_density" or not settings.air_rescale:
        return None
    total, valid = np.zeros(stack.shape[1:]), np.zeros(stack.shape[1:])
    for index in range(stack.shape[0]):
        raw = stack.frame(index)
        frame = (intensity(raw) if stack.quantity == "complex" else raw).astype(np.float64)
        if dark is not None:
            frame -= dark
        flat = stack.flat(index) if stack.quantity == "counts" else None
        if flat is not None:
            light = flat.mean(axis=0) - (0 if dark is None else dark)
            frame = np.divide(frame, light, out=np.full_like(frame, np.nan), where=light > 0)
        if not np.isfinite(frame).any():
            continue
        level = np.nanmedian(frame)
        # Each frame counts alike, whatever the light of the source was.
        known = np.isfinite(frame)
        total += np.where(known, frame, 0) / (level if level > 0 else 1)
        valid += known
    mean = np.divide(total, valid, out=np.full_like(total, np.nan), where=valid > 0)
    return empty_region(mean.astype(np.float32), name=settings.element)


def _density(
    stack: SpectralStack, index: int, dark: np.ndarray | None, air: BoolArray | None, settings: Settings
) -> FrameDensity:
    """Return one frame as optical density."""
    raw = stack.frame(index)
    if stack.quantity == "complex":
        return complex_density(
            raw,
            air=air,
            sigma_od=settings.complex_sigma_od,
            opaque_transmission=settings.opaque_transmission,
        )
    if stack.quantity != "counts":
        return ready_density(
            raw,
            is_transmission=stack.quantity == "transmission",
            air=air,
            opaque_transmission=settings.opaque_transmission,
        )
    integer = np.issubdtype(raw.dtype, np.integer)
    top = float(np.iinfo(raw.dtype.name).max) if integer else np.inf
    return frame_density(
        raw,
        dark=dark,
        flat=stack.flat(index),
        air=air,
        opaque_transmission=settings.opaque_transmission,
        hot_pixel_sigma=settings.hot_pixel_sigma,
        saturation_counts=settings.saturation_counts or top,
    )
