"""A raw stack through an edge to optical density, frame by frame, sorted by energy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from oxytomo.arrays import (
    AnyArray,
    BoolArray,
    Float64Array,
    FloatArray,
    IntArray,
    Quantity,
)
from oxytomo.errors import ConfigError, InputError
from oxytomo.preprocess.complex_images import complex_density, intensity
from oxytomo.preprocess.empty_region import given_region
from oxytomo.preprocess.energy_stack import FrameDensity, empty_region, frame_density, ready_density
from oxytomo.preprocess.in_words import left_out


class RawStack(Protocol):
    """A raw stack in acquisition order, of which one frame is read at a time."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (n_energy, n_y, n_x)."""

    @property
    def energy_ev(self) -> Float64Array:
        """Energies in any order, (n_energy,)."""

    @property
    def quantity(self) -> Quantity:
        """Quantity in the pixels."""

    @property
    def n_flat(self) -> int:
        """Number of flat frames, over all energies."""

    def frame(self, index: int, /) -> AnyArray:
        """Read one frame, (n_y, n_x)."""

    def flat(self, index: int, /) -> FloatArray | None:
        """Read the flat frames of one frame, (n, n_y, n_x)."""

    def dark(self) -> FloatArray | None:
        """Return the mean dark frame, (n_y, n_x)."""


@dataclass(frozen=True)
class DensityOptions:
    """Conversion of counts to optical density; see the settings of the same names."""

    element: str
    air: tuple[int, int, int, int] | None
    air_rescale: bool
    complex_sigma_od: float | None
    opaque_transmission: float
    hot_pixel_sigma: float
    saturation_counts: float | None


@dataclass(frozen=True)
class StackDensity:
    """Facts of the conversion of a raw stack to optical density.

    Attributes
    ----------
    order : (n_energy,) int64, raw frame of each energy, by increasing energy
    light : (n_energy,) counts per pixel in the empty region, by increasing energy
    air : (n_y, n_x) bool, the empty region; None where flat frames are trusted
    invalid : number of invalid pixels by reason
    n_pixels : number of pixels of all frames
    """

    order: IntArray
    light: Float64Array
    air: BoolArray | None
    invalid: dict[str, int]
    n_pixels: int

    def described(self, energy_ev: Float64Array) -> str:
        """Return energies, invalid pixels and size of the empty region in words."""
        return (
            f"{self.order.size} energies from {energy_ev.min():g} to {energy_ev.max():g} eV; "
            f"{left_out(self.invalid, self.n_pixels)}; empty region of {0 if self.air is None else int(self.air.sum())} pixels"
        )


def stack_density(
    stack: RawStack,
    options: DensityOptions,
    value: FloatArray,
    variance: FloatArray,
    *,
    progress: Callable[[int, int], None],
) -> StackDensity:
    """Fill ``value`` and ``variance`` with the optical density of a stack, by increasing energy.

    Parameters
    ----------
    stack : raw, in any order
    options : settings of the conversion
    value, variance : (n_energy, n_y, n_x) float32, overwritten; NaN and inf where invalid
    progress : told how many frames of all are done

    Raises
    ------
    InputError
        When no pixel of any frame is valid, or no empty region is found.
    """
    order = np.argsort(stack.energy_ev, kind="stable")
    dark = stack.dark()
    air = stack_air(stack, dark, options)
    invalid: dict[str, int] = {}
    light = np.empty(order.size)
    for place, index in enumerate(order):
        one = _density(stack, int(index), dark, air, options)
        value[place], variance[place] = one.value, one.variance
        light[place] = one.light
        for reason, count in one.invalid.items():
            invalid[reason] = invalid.get(reason, 0) + count
        progress(place + 1, order.size)
    n_pixels = int(np.prod(stack.shape))
    if sum(invalid.values()) >= n_pixels:
        raise InputError(
            options.element,
            expected="at least some valid pixels",
            got="none after normalisation",
            fix="look at the raw frames, flats and darks with `oxytomo inspect`",
        )
    return StackDensity(order.astype(np.int64), light, air, invalid, n_pixels)


def stack_air(stack: RawStack, dark: FloatArray | None, options: DensityOptions) -> BoolArray | None:
    """Return the empty region, given or found; None where flat frames are trusted."""
    if options.air is not None:
        return given_region(options.air, stack.shape[1:], name=options.element)
    if stack.quantity == "counts" and stack.n_flat == 0 and not options.air_rescale:
        raise ConfigError(
            f"normalize.air_rescale of {options.element}",
            expected="flat frames, or the light from the empty region",
            got="neither",
            fix="give 'flat:' beside the images, or set air_rescale: true",
        )
    if stack.quantity == "optical_density" or not options.air_rescale:
        return None
    return empty_region(mean_transmission(stack, dark), name=options.element)


def mean_transmission(stack: RawStack, dark: FloatArray | None) -> FloatArray:
    """Return the mean of all frames over their flat field, each divided by its own median.

    Each frame has the same weight, whatever the intensity of the source was; (n_y, n_x) float32,
    NaN where no frame is valid.
    """
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
        known = np.isfinite(frame)
        total += np.where(known, frame, 0) / (level if level > 0 else 1)
        valid += known
    mean = np.divide(total, valid, out=np.full_like(total, np.nan), where=valid > 0)
    return mean.astype(np.float32)


def _density(
    stack: RawStack, index: int, dark: FloatArray | None, air: BoolArray | None, options: DensityOptions
) -> FrameDensity:
    """Return one frame as optical density."""
    raw = stack.frame(index)
    if stack.quantity == "complex":
        return complex_density(
            raw,
            air=air,
            sigma_od=options.complex_sigma_od,
            opaque_transmission=options.opaque_transmission,
        )
    if stack.quantity != "counts":
        return ready_density(
            raw,
            is_transmission=stack.quantity == "transmission",
            air=air,
            opaque_transmission=options.opaque_transmission,
        )
    integer = np.issubdtype(raw.dtype, np.integer)
    top = float(np.iinfo(raw.dtype.name).max) if integer else np.inf
    return frame_density(
        raw,
        dark=dark,
        flat=stack.flat(index),
        air=air,
        opaque_transmission=options.opaque_transmission,
        hot_pixel_sigma=options.hot_pixel_sigma,
        saturation_counts=options.saturation_counts or top,
    )
