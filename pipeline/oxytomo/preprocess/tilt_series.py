"""Conversion of one raw tilt series to optical density or signal, for any quantity."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from oxytomo.arrays import AnyArray, Field, IntArray, Quantity, TiltSeries
from oxytomo.errors import InputError
from oxytomo.preprocess.empty_region import given_region
from oxytomo.preprocess.frames_from_air import density_from_air, density_of_complex
from oxytomo.preprocess.optical_density import (
    Normalized,
    density_of_transmission,
    optical_density,
    signal,
)
from oxytomo.slabs import View
from oxytomo.units import OF_ENERGY_EV


@dataclass(frozen=True)
class Normalization:
    """Settings of the normalisation; see the settings of the same names.

    Attributes
    ----------
    air : first row, last row, first column, last column of the empty region; None: found in each
        frame
    light_from_air : counts without flat frames are normalised by the empty region of each frame
    """

    flat_field: Literal["mean", "nearest", "interpolate"]
    air_rescale: bool
    illumination: Literal["auto", "none"]
    opaque_transmission: float
    hot_pixel_sigma: float
    saturation_counts: float | None
    air: tuple[int, int, int, int] | None
    complex_sigma_od: float | None
    light_from_air: bool


@dataclass(frozen=True)
class Meaning:
    """Quantity in the pixels of a series, and whether the phase of complex images is used."""

    quantity: Quantity
    phase: bool

    @property
    def unit(self) -> str:
        """The unit of the normalised values: ``signal``, or 1 for optical density."""
        return "signal" if self.quantity == "signal" or self.phase else "1"


def meaning_of(
    series: TiltSeries,
    *,
    name: str,
    given: Quantity | None,
    default: Quantity,
    complex_part: Literal["modulus", "phase"] | None,
) -> Meaning:
    """Return the quantity of a series: from the user, normalised data, or the branch's default.

    Parameters
    ----------
    name : name of the series, for error messages about complex images
    given : quantity that the user gives
    default : default of the branch
    complex_part : part of complex images that the user asks for
    """
    quantity = default
    if given is not None:
        quantity = given
    elif series.quantity in ("transmission", "optical_density", "complex"):
        quantity = series.quantity
    part = complex_part or ("phase" if name == "phase_maps" else "modulus")
    if quantity != "complex":
        if complex_part is not None:
            raise InputError(
                "complex_part", expected="complex images", got=quantity, fix="remove 'complex_part'"
            )
        return Meaning(quantity, phase=False)
    wrong = (default == "signal") != (part == "phase")
    if wrong and name != "signal":
        raise InputError(
            "complex_part",
            expected="the modulus for absorption, the phase for phase maps, neither for element maps",
            got=f"complex images ({part})",
            fix="use the phase in 'tomogram' or in 'structure: {phase_maps: …}'",
        )
    return Meaning(quantity, phase=part == "phase")


def normalize_series(series: TiltSeries, meaning: Meaning, how: Normalization, *, name: str) -> Normalized:
    """Normalise a series frame by frame; the result is in acquisition order.

    Parameters
    ----------
    series : as it was recorded
    meaning : quantity in its pixels
    how : settings of the normalisation
    name : subject of error messages
    """
    quantity = meaning.quantity
    if quantity == "signal":
        return signal(series)
    n_y, n_x = series.frames.shape[1:]
    air = None if how.air is None else given_region(how.air, (n_y, n_x), name=name)
    if quantity == "complex":
        return density_of_complex(
            series,
            name=name,
            phase=meaning.phase,
            air=air,
            air_rescale=how.air_rescale,
            sigma_od=how.complex_sigma_od,
            opaque_transmission=how.opaque_transmission,
        )
    if quantity != "counts":
        return density_of_transmission(
            series, is_transmission=quantity == "transmission", opaque_transmission=how.opaque_transmission
        )
    saturation_counts = how.saturation_counts or _largest_count(series.frames)
    if series.flat is None and how.light_from_air:
        return density_from_air(
            series,
            name=name,
            air=air,
            opaque_transmission=how.opaque_transmission,
            hot_pixel_sigma=how.hot_pixel_sigma,
            saturation_counts=saturation_counts,
        )
    return optical_density(
        series,
        flat_field=how.flat_field,
        air_rescale=how.air_rescale,
        opaque_transmission=how.opaque_transmission,
        hot_pixel_sigma=how.hot_pixel_sigma,
        saturation_counts=saturation_counts,
        air=air,
        illumination=how.illumination,
    )


def require_valid_pixels(normalized: Normalized, name: str) -> None:
    """Refuse a series without any valid pixel."""
    if not any(np.isfinite(normalized.value[i]).any() for i in range(normalized.value.shape[0])):
        raise InputError(
            name,
            expected="at least some valid pixels",
            got="none after normalisation",
            fix="look at the raw frames, flats and darks with `oxytomo inspect`",
        )


@dataclass(frozen=True)
class Ordered:
    """A normalised series in the order of its angles.

    Attributes
    ----------
    series, normalized : in acquisition order
    value : (n_tilt, n_y, n_x) values in the order of the angles, without stripes if these were
        removed
    order : (n_tilt,) frame of each angle
    """

    series: TiltSeries
    normalized: Normalized
    value: Field
    order: IntArray


def at_energy(series: TiltSeries, energy_ev: float, *, name: str) -> TiltSeries:
    """Return the frames of one energy of a series that has several.

    Flat fields must be common to all energies, because they cannot be attributed to one.

    Raises
    ------
    InputError
        If no frame has this energy.
    """
    chosen = np.flatnonzero(np.abs(series.energy_ev - energy_ev) <= OF_ENERGY_EV)
    if chosen.size == 0:
        known = np.unique(np.round(series.energy_ev[np.isfinite(series.energy_ev)], 2))
        raise InputError(
            name,
            expected=f"frames at {energy_ev:g} eV",
            got=", ".join(f"{energy:g}" for energy in known[:8]) or "no energies in the file",
            fix="correct 'energies_ev', or give 'energy_dataset' if the file has them elsewhere",
        )
    n_y, n_x = series.frames.shape[1:]

    def own(values: Any) -> Any:
        return None if values is None else values[chosen]

    return replace(
        series,
        frames=View(
            (chosen.size, n_y, n_x), series.frames.dtype, lambda key: series.frames[_places(chosen, key)]
        ),
        tilt_deg=series.tilt_deg[chosen],
        energy_ev=series.energy_ev[chosen],
        pixel_nm=series.pixel_nm[chosen],
        flat_position=None,
        variance=own(series.variance),
        exposure_s=own(series.exposure_s),
        ring_current_ma=own(series.ring_current_ma),
    )


def _places(chosen: IntArray, key: Any) -> Any:
    first, *rest = key if isinstance(key, tuple) else (key,)
    return (chosen[first], *rest)


def transposed(series: TiltSeries) -> TiltSeries:
    """Swap rows and columns of all frames: a horizontal tilt axis becomes vertical."""
    n, n_y, n_x = series.frames.shape

    def turned(number: int) -> AnyArray:
        return np.ascontiguousarray(np.asarray(series.frames[number]).T)

    return replace(
        series,
        frames=View((n, n_x, n_y), series.frames.dtype, turned),
        flat=None if series.flat is None else np.ascontiguousarray(series.flat.swapaxes(1, 2)),
        dark=None if series.dark is None else np.ascontiguousarray(series.dark.swapaxes(1, 2)),
    )


def _largest_count(frames: Field) -> float:
    """Return the largest value of an integer type, infinity for floats."""
    return float(np.iinfo(frames.dtype.name).max) if np.issubdtype(frames.dtype, np.integer) else np.inf
