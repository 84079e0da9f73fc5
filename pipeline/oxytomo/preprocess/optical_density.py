"""Counts to transmission to optical density, with variance and validity.

Every pixel keeps its value, its variance and the reason if it is invalid. Invalid pixels are not
filled with plausible values: an opaque ray, a hot or dead pixel or a zinger is NaN with infinite
variance, and counted. Frames are processed one at a time; the results are written to fields, which
need not be in memory.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, Field, Float64Array, FloatArray, TiltSeries
from oxytomo.errors import ShapeError
from oxytomo.preprocess.flat_field import Flats, flats_in_time, mean_dark, relative_to_mean, require_light
from oxytomo.preprocess.illumination import IlluminationPattern, illumination_shifts
from oxytomo.preprocess.in_words import left_out
from oxytomo.preprocess.neighbours import second_highest_and_lowest
from oxytomo.slabs import new_field

SHARPEST = 0.1
"""Share of the level by which the sample itself may stand out in a single pixel, for small counting
noise."""


@dataclass
class Normalized:
    """A normalised series in acquisition order.

    Attributes
    ----------
    value : (n_frame, n_y, n_x) float32, optical density or signal, NaN where invalid
    variance : (n_frame, n_y, n_x) float32, of the value, inf where invalid
    invalid : number of invalid pixels by reason
    air_level : (n_frame,) float64, transmission of the empty region before the rescale (1 where
        none was found)
    illumination_shift_px, illumination_error_px : (n_frame, 2) float64, rows and columns, shift of
        the illumination against the flat field, which is corrected; None if there was no shift, or
        it was not fitted
    """

    value: Field
    variance: Field
    invalid: dict[str, int] = field(default_factory=dict)
    air_level: Float64Array = field(default_factory=lambda: np.ones(0))
    illumination_shift_px: Float64Array | None = None
    illumination_error_px: Float64Array | None = None


def normalization_lines(normalized: Normalized, n_pixels: int) -> list[str]:
    """Return sentences on a normalised series: invalid pixels, air level, illumination."""
    level, shift = normalized.air_level, normalized.illumination_shift_px
    n_frame = normalized.value.shape[0]
    lines = [
        f"{n_frame} frame{'s' if n_frame != 1 else ''}; {left_out(normalized.invalid, n_pixels)}; "
        f"brightness beside the sample {level.min():.3f} to {level.max():.3f} of the flat frames"
    ]
    if shift is not None:
        rms = float(np.sqrt(np.mean(np.sum(shift**2, axis=1))))
        lines.append(f"the illumination moved by {rms:.2f} px rms between flats and frames, corrected")
    return lines


def hot_pixels(frames: np.ndarray, *, sigma: float, saturation: float) -> tuple[BoolArray, BoolArray]:
    """Find hot or dead pixels and zingers, and saturated pixels, in one frame or flat.

    A pixel is marked if it lies more than ``sigma`` standard deviations of the counting noise, and
    more than :data:`SHARPEST`, above the second largest or below the second smallest of its eight
    neighbours. It then belongs to neither side of any edge, and a bad neighbour does not hide it.
    """
    frame = frames.astype(np.float32)
    saturated = frame >= saturation
    high, low = second_highest_and_lowest(frame)

    def limit(level: FloatArray) -> FloatArray:
        return np.maximum(sigma * np.sqrt(np.maximum(level, 1)), SHARPEST * level)

    hot = (frame - high > limit(high)) | (low - frame > limit(low))
    return hot & ~saturated, saturated


def optical_density(
    series: TiltSeries,
    *,
    flat_field: str,
    air_rescale: bool,
    opaque_transmission: float,
    hot_pixel_sigma: float,
    saturation_counts: float,
    illumination: Literal["auto", "none"],
    air: BoolArray | None = None,
) -> Normalized:
    """Convert counts to optical density, ``−ln((I − D)/(F − D))``, with variance.

    Parameters
    ----------
    series : counts with flat (and dark) frames
    flat_field : "mean", "nearest" or "interpolate" over the flats in time
    air_rescale : rescale each frame so that the air around the sample transmits 1
    opaque_transmission : rays with a transmission below it, or below three standard deviations of
        the dark level, carry no information and are invalid
    hot_pixel_sigma : see :func:`hot_pixels`
    saturation_counts : a pixel with at least this many counts is saturated
    illumination : "auto" corrects a shift of the illumination against the flat field, if the air
        shows one
    air : (n_y, n_x) bool, the empty region, which ``air_rescale`` uses in all frames; None: found
        in each frame

    Notes
    -----
    The variance is that of counting statistics: ``1/(I − D) + D/(I − D)² + var(F)/F²`` with I, D, F
    in counts.
    """
    n, n_y, n_x = series.frames.shape
    dark = mean_dark(series.dark, (n_y, n_x))
    flats = flats_in_time(series, dark, flat_field=flat_field)
    require_light(flats, series)
    exposure = np.broadcast_to(
        relative_to_mean(series.exposure_s) * relative_to_mean(series.ring_current_ma), (n,)
    )
    flat_bad = np.zeros((n_y, n_x), bool)
    for one in flats.means:
        flat_bad |= hot_pixels(one, sigma=4 * hot_pixel_sigma, saturation=np.inf)[0] | (one <= 0)
    value, variance = (new_field((n, n_y, n_x), np.float32) for _ in range(2))
    invalid = dict.fromkeys(("hot_or_dead", "zinger", "saturated", "opaque", "not_finite"), 0)
    marked = np.zeros((n_y, n_x), np.int64)
    for i in range(n):
        raw = series.frames[i].astype(np.float32)
        finite = np.isfinite(raw)
        raw = np.where(finite, raw, 0)
        hot, saturated = hot_pixels(raw, sigma=hot_pixel_sigma, saturation=saturation_counts)
        f, f_variance = flats.of_frame(i)
        counts = raw - dark
        with np.errstate(divide="ignore", invalid="ignore"):
            transmission = counts / (f * np.float32(exposure[i]))
            relative = (np.maximum(counts, 1) + dark) / counts**2 + f_variance / f**2
        hot |= flat_bad
        opaque = (transmission <= opaque_transmission) | (counts <= 3 * np.sqrt(np.maximum(dark, 1)))
        for reason, mask in (
            ("not_finite", ~finite),
            ("saturated", saturated & finite),
            ("opaque", opaque & ~hot & ~saturated & finite),
        ):
            invalid[reason] += int(mask.sum())
        marked += hot & ~saturated & finite
        bad = ~finite | saturated | hot | opaque
        value[i] = np.where(bad, np.nan, -np.log(np.where(bad, 1, transmission)))
        variance[i] = np.where(bad, np.inf, relative)
    # A pixel that is hot in most frames is defective; one that is hot in a few was hit by a stray
    # photon.
    persistent = marked > n / 2
    invalid["hot_or_dead"], invalid["zinger"] = int(marked[persistent].sum()), int(marked[~persistent].sum())
    moved = _follow_illumination(value, variance, flats, flat_bad) if illumination == "auto" else None
    air_level = np.ones(n)
    if air_rescale:
        level, found = air_levels(value) if air is None else _levels_within(value, air)
        air_level = np.exp(-level)
        for i in np.flatnonzero(found).tolist():
            value[i] = value[i] - np.float32(level[i])
    shift, error = moved if moved is not None else (None, None)
    return Normalized(value, variance, invalid, air_level, shift, error)


def _follow_illumination(
    value: Field, variance: Field, flats: Flats, flat_bad: BoolArray
) -> tuple[Float64Array, Float64Array] | None:
    """Correct the frames of a series for a shift of the illumination against its flats.

    Returns shifts and errors, (n_frame, 2).
    """
    patterns = [IlluminationPattern(mean, flat_bad) for mean in flats.means]
    nearest = np.where(flats.share > 0.5, flats.later, flats.earlier)
    found = illumination_shifts(value, variance, lambda i: patterns[int(nearest[i])])
    if found is None:
        return None
    for i, one in enumerate(found):
        value[i] = value[i] + patterns[int(nearest[i])].correction(one.shift_px)
    return np.array([one.shift_px for one in found]), np.array([one.error_px for one in found])


def air_levels(value: Field) -> tuple[Float64Array, BoolArray]:
    """Optical density of the empty region of each frame, and whether one was found.

    The air consists of the pixels within the noise of the lowest level of the smoothed frame,
    connected to its margin. A frame has no such air if fewer than 2 % of its pixels belong to it or
    if they are not level (to the noise, or 0.01). Then the most frequent level is taken if a tenth
    of the frame lies within 0.03 of it. Otherwise there is no air: the sample fills the frame.

    Parameters
    ----------
    value : (n_frame, n_y, n_x) float32, NaN where invalid

    Returns
    -------
    level : (n_frame,) float64, dimensionless
    found : (n_frame,) bool
    """
    # The outermost 3 % often contain the edge of a slit or of the detector.
    trim_y, trim_x = (round(0.03 * size) for size in value.shape[1:])
    n, n_y, n_x = value.shape
    level, found = np.zeros(n), np.zeros(n, bool)
    for i in range(n):
        frame = np.asarray(value[i])[trim_y : n_y - trim_y, trim_x : n_x - trim_x]
        region = air_region(frame)
        if region is not None:
            level[i], found[i] = float(np.median(frame[region])), True
    return level, found


def _levels_within(value: Field, air: BoolArray) -> tuple[Float64Array, BoolArray]:
    """Optical density of a given empty region in each frame, and whether it has valid pixels."""
    inside = [np.asarray(value[i])[air] for i in range(value.shape[0])]
    found = np.array([bool(np.isfinite(one).any()) for one in inside])
    level = [float(np.nanmedian(one)) if known else 0.0 for one, known in zip(inside, found, strict=True)]
    return np.array(level), found


def air_region(frame: FloatArray) -> BoolArray | None:
    """Pixels of a frame in the empty region, None if the sample fills the frame.

    Parameters
    ----------
    frame : (n_y, n_x) float32 optical density up to a constant, NaN where invalid
    """
    filled = np.where(np.isfinite(frame), frame, np.nanmedian(frame) if np.isfinite(frame).any() else 0)
    # Over 5 × 5 pixels the noise is five times smaller, so that sample and air separate without a
    # selection of dark outliers.
    smooth = scipy.ndimage.uniform_filter(filled.astype(np.float32), 5, mode="nearest")
    low = float(np.percentile(smooth, 5))
    noise = 1.4826 * float(np.median(np.abs(filled - smooth)))
    region = _reaching_margin(smooth < low + 3 * noise / 5)
    level_enough = region.any() and float(np.std(smooth[region])) < max(2 * noise / 5, 0.01)
    if not (level_enough and region.mean() >= 0.02):
        # An uneven background has no lowest level: its most frequent level is used if it is wide
        # enough.
        width = max(2 * noise / 5, 0.01)
        counts, edges = np.histogram(smooth, np.arange(smooth.min(), smooth.max() + 2 * width, width))
        peak = edges[int(np.convolve(counts, np.ones(3), mode="same").argmax())] + width / 2
        region = _reaching_margin(np.abs(smooth - peak) < 3 * width)
        level_enough = region.mean() >= 0.1
    region &= np.isfinite(frame)
    return region if level_enough and region.any() else None


def _reaching_margin(mask: BoolArray) -> BoolArray:
    """Keep the connected parts of a mask that reach the margin of the frame."""
    labels, _ = scipy.ndimage.label(mask)
    touching = np.unique(np.concatenate([labels[:, 0], labels[:, -1], labels[0], labels[-1]]))
    return np.isin(labels, touching[touching > 0])


def signal(series: TiltSeries) -> Normalized:
    """Pass on a signal proportional to the amount, with its variance.

    Examples are fluorescence or EDS counts, and HAADF.

    A variance that comes with the series is used, averaged over 5 × 5 pixels. Integers without
    negative values count as counts (variance = max(counts, 1)). Other values get the variance of
    their own pixel-to-pixel noise, estimated per frame from the differences of neighbours.
    """
    value, variance = (new_field(series.frames.shape, np.float32) for _ in range(2))
    counts = np.issubdtype(series.frames.dtype, np.integer) and all(
        int(series.frames[i].min()) >= 0 for i in range(series.n_frames)
    )
    lost = 0
    for i in range(series.n_frames):
        frame = series.frames[i].astype(np.float32)
        bad = ~np.isfinite(frame)
        frame[bad] = np.nan
        # Neighbours share one rate: the local mean is a better variance than the pixel's own count
        # of 0 or 1.
        if counts or series.variance is not None:
            rate = frame if series.variance is None else series.variance[i]
            error = np.maximum(scipy.ndimage.uniform_filter(rate, 5), np.float32(0.5))
        else:
            error = np.full(frame.shape, pixel_noise(frame) ** 2, np.float32)
        value[i], variance[i] = frame, np.where(bad, np.float32(np.inf), error)
        lost += int(bad.sum())
    return Normalized(value, variance, {"not_finite": lost}, np.ones(series.n_frames))


def density_of_transmission(
    series: TiltSeries, *, is_transmission: bool, opaque_transmission: float
) -> Normalized:
    """Optical density of data that are transmission, or optical density already.

    The variance is estimated from the pixel noise.
    """
    value, variance = (new_field(series.frames.shape, np.float32) for _ in range(2))
    invalid = dict.fromkeys(("not_finite", "opaque") if is_transmission else ("not_finite",), 0)
    for i in range(series.n_frames):
        frame = series.frames[i].astype(np.float32)
        bad = ~np.isfinite(frame)
        invalid["not_finite"] += int(bad.sum())
        if is_transmission:
            opaque = (frame <= opaque_transmission) & ~bad
            invalid["opaque"] += int(opaque.sum())
            bad |= opaque
            frame = -np.log(np.where(bad, 1, frame))
        frame = np.where(bad, np.nan, frame).astype(np.float32)
        value[i] = frame
        variance[i] = np.where(bad, np.inf, pixel_noise(frame) ** 2).astype(np.float32)
    return Normalized(value, variance, invalid, np.ones(series.n_frames))


def pixel_noise(frame: FloatArray) -> float:
    """Standard deviation of white noise in a frame, from diagonal second differences.

    The mask is Immerkær's.
    """
    filled = np.where(np.isfinite(frame), frame, 0)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    second = scipy.ndimage.convolve(filled, mask)
    return max(float(1.4826 * np.median(np.abs(second)) / 6.0), 1e-6)


def check_same_shape(name: str, frames: Field, other: FloatArray | None) -> None:
    """Raise if flat or dark frames are of another size than the frames."""
    if other is not None and other.shape[1:] != frames.shape[1:]:
        raise ShapeError(
            name,
            expected=f"frames of {frames.shape[1]} × {frames.shape[2]} pixels",
            got=f"{other.shape[1]} × {other.shape[2]}",
            fix="use flat and dark frames of the same camera region and binning",
        )
