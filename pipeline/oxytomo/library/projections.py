"""Conversion of raw tilt series to optical density or signal, sorted by tilt."""

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from oxytomo.arrays import Brief, Float64Array, FloatArray, IntArray, Quantity, TiltSeries
from oxytomo.config import NormalizeSettings
from oxytomo.errors import ConfigError
from oxytomo.library.defaults import checked, options_of, require_made
from oxytomo.preprocess.optical_density import check_same_shape
from oxytomo.preprocess.plausible import looked_at, require_plausible
from oxytomo.preprocess.stripes import without_stripes
from oxytomo.preprocess.tilt_series import (
    Meaning,
    Normalization,
    normalize_series,
    require_valid_pixels,
)

NORMALIZE = NormalizeSettings()
Region = tuple[int, int, int, int]
"""First row, last row, first column, last column."""


@dataclass(frozen=True, eq=False, repr=False)
class Projections(Brief):
    """One normalised series, sorted by tilt.

    Attributes
    ----------
    value : (n_tilt, n_y, n_x) float32, optical density or signal; NaN where invalid
    variance : (n_tilt, n_y, n_x) float32, of the value; inf where invalid
    tilt_deg : (n_tilt,) ascending, degrees
    energy_ev, pixel_nm : (n_tilt,) photon energy, eV, and pixel size in the object plane, nm; NaN
        if unknown
    acquisition_index : (n_tilt,) number of the frame in the raw series
    quantity : "optical_density" or "signal"
    invalid : number of invalid pixels by reason
    air_level : (n_tilt,) transmission of the empty region before it was scaled to 1
    """

    value: FloatArray
    variance: FloatArray
    tilt_deg: Float64Array
    energy_ev: Float64Array
    pixel_nm: Float64Array
    acquisition_index: IntArray
    quantity: Literal["optical_density", "signal"]
    invalid: dict[str, int] = field(default_factory=dict)
    air_level: Float64Array = field(default_factory=lambda: np.ones(0))


def normalize(
    series: TiltSeries,
    *,
    quantity: Quantity | None = None,
    flat_field: Literal["mean", "nearest", "interpolate"] = NORMALIZE.flat_field,
    air_rescale: bool = NORMALIZE.air_rescale,
    illumination: Literal["auto", "none"] = NORMALIZE.illumination,
    opaque_transmission: float = NORMALIZE.opaque_transmission,
    hot_pixel_sigma: float = NORMALIZE.hot_pixel_sigma,
    stripe_removal: Literal["none", "sorting", "filtering", "fitting"] = NORMALIZE.stripe_removal,
    saturation_counts: float | None = NORMALIZE.saturation_counts,
    air: Region | None = NORMALIZE.air,
    complex_sigma_od: float | None = NORMALIZE.complex_sigma_od,
    complex_part: Literal["modulus", "phase"] = "modulus",
    light_from_air: bool = False,
) -> Projections:
    """Convert a raw series to optical density, ``−ln((I − D)/(F − D))``, with its variance.

    Invalid values are not replaced: opaque rays, hot and dead pixels and stray photons are NaN with
    infinite variance, and they are counted. The variance is that of counting statistics.

    Parameters
    ----------
    series : raw frames with their flat and dark frames, from :func:`read_series`
    quantity : quantity of the pixels; None: as given in the series. Transmission and optical
        density need no flats; a signal is kept, with its variance
    flat_field : flat field of a frame: "mean" of all flats, "nearest" or "interpolate" in time
    air_rescale : rescale each frame so that the transmission of the empty region is 1
    illumination : "auto" corrects a shift of the illumination between flats and frames, if the air
        around the sample shows one; "none" does not
    opaque_transmission : rays with a lower transmission are invalid
    hot_pixel_sigma : pixels that differ by more standard deviations from their neighbours are
        invalid
    stripe_removal : "sorting", "filtering" or "fitting" remove stripes from the sinograms (Vo et
        al., Opt. Express 26, 28396, 2018; needs the package algotom)
    saturation_counts : counts at which the detector saturates; None: the largest of its type
    air : empty region as first row, last row, first and last column; None: found in each frame
    complex_sigma_od : complex images: standard deviation of the optical density; None: measured in
        the empty region
    complex_part : complex images: "modulus" for absorption or "phase"
    light_from_air : without flats, take the incident intensity from the empty region of each frame

    Returns
    -------
    Projections, sorted by tilt

    Raises
    ------
    InputError
        For counts without flat frames, flats that are not above the dark level, frames without an
        empty region if one is needed, and a series without a valid pixel.
    ShapeError
        For flat or dark frames of another size.
    ConfigError
        For a setting out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from oxytomo import normalize, simulate_tilt_series
    >>> raw = simulate_tilt_series(elements=["O"], size=32, n_tilts=5).series["O_post"]
    >>> projections = normalize(raw)
    >>> projections.value.shape, projections.tilt_deg.tolist()
    ((5, 32, 32), [-65.0, -32.5, 0.0, 32.5, 65.0])
    >>> bool(np.isinf(projections.variance[np.isnan(projections.value)]).all())
    True
    """
    require_made(series, TiltSeries, "series", "read_series")
    settings = checked(
        NormalizeSettings,
        "normalize",
        flat_field=flat_field,
        air_rescale=air_rescale,
        illumination=illumination,
        opaque_transmission=opaque_transmission,
        hot_pixel_sigma=hot_pixel_sigma,
        stripe_removal=stripe_removal,
        saturation_counts=saturation_counts,
        air=air,
        complex_sigma_od=complex_sigma_od,
    )
    check_same_shape("flat field", series.frames, series.flat)
    check_same_shape("dark field", series.frames, series.dark)
    pixels = _known_quantity(quantity or series.quantity)
    meaning = Meaning(pixels, phase=pixels == "complex" and complex_part == "phase")
    require_plausible("series", [series.frames[i] for i in looked_at(series.n_frames)], pixels)
    normalized = normalize_series(
        series, meaning, options_of(Normalization, settings, light_from_air=light_from_air), name="series"
    )
    require_valid_pixels(normalized, "series")
    order = np.argsort(series.tilt_deg, kind="stable")
    value = np.asarray(normalized.value[:])[order]
    if settings.stripe_removal != "none":
        cleaned, _ = without_stripes(value, method=settings.stripe_removal)
        value = np.asarray(cleaned[:])
    return Projections(
        value=value,
        variance=np.asarray(normalized.variance[:])[order],
        tilt_deg=series.tilt_deg[order],
        energy_ev=series.energy_ev[order],
        pixel_nm=series.pixel_nm[order],
        acquisition_index=order.astype(np.int64),
        quantity="signal" if meaning.unit == "signal" else "optical_density",
        invalid=normalized.invalid,
        air_level=normalized.air_level[order],
    )


def _known_quantity(quantity: Quantity) -> Quantity:
    """Refuse an unknown quantity."""
    if quantity not in get_args(Quantity):
        raise ConfigError(
            "quantity",
            expected=", ".join(get_args(Quantity)),
            got=repr(quantity),
            fix="say what the pixels hold",
        )
    return quantity
