"""Frames of a stack through an absorption edge to optical density, one frame at a time.

The intensity without sample comes from flat frames, from an empty region, or from both. Flat frames
correct the shape of the beam, the empty region corrects changes of the source between flat and
frame.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.errors import InputError
from oxytomo.preprocess.optical_density import air_region, hot_pixels, pixel_noise

AIR_MARGIN_PX = 2
"""The empty region is eroded by this much, so that a drifting sample does not enter it."""


@dataclass(frozen=True)
class FrameDensity:
    """One frame as optical density.

    Attributes
    ----------
    value, variance : (n_y, n_x) float32, NaN and inf where invalid
    invalid : number of invalid pixels by reason
    light : counts per pixel in the empty region (transmission there, for transmission data)
    """

    value: FloatArray
    variance: FloatArray
    invalid: dict[str, int]
    light: float


def empty_region(mean_transmission: FloatArray, *, name: str) -> BoolArray:
    """Find the pixels without sample in the mean of all frames.

    Parameters
    ----------
    mean_transmission : (n_y, n_x) mean over the energies, of dark-corrected counts or of counts
        over the flat field; up to a factor; NaN where invalid
    name : subject of error messages

    Raises
    ------
    InputError
        When the sample fills the frames.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        density = -np.log(np.where(mean_transmission > 0, mean_transmission, np.nan)).astype(np.float32)
    region = air_region(density)
    if region is not None:
        shrunk: BoolArray = scipy.ndimage.binary_erosion(region, iterations=AIR_MARGIN_PX)
        if shrunk.sum() >= 25:
            return shrunk
        return region
    raise InputError(
        name,
        expected="an empty region beside the sample, to know the light without it",
        got="frames that the sample fills",
        fix="give it as 'normalize: {air: [first_row, last_row, first_column, last_column]}', or give flat frames "
        "and 'air_rescale: false'",
    )


def frame_density(
    raw: np.ndarray,
    *,
    dark: FloatArray | None,
    flat: FloatArray | None,
    air: BoolArray | None,
    opaque_transmission: float,
    hot_pixel_sigma: float,
    saturation_counts: float,
) -> FrameDensity:
    """Convert the counts of one frame to optical density, ``−ln((I − D)/I0)``, with variance.

    Parameters
    ----------
    raw : (n_y, n_x) counts
    dark : (n_y, n_x) mean dark frame, or None
    flat : (n, n_y, n_x) flat frames of this energy, or None: I0 is the mean of the empty region
    air : (n_y, n_x) bool, the empty region; None: use the flat frames without correction
    opaque_transmission : rays below it, or within three standard deviations of the dark level, are
        invalid
    hot_pixel_sigma, saturation_counts : see :func:`oxytomo.preprocess.optical_density.hot_pixels`

    Notes
    -----
    The variance is that of counting, with the mean of 3 × 3 pixels as the rate. From the pixel
    itself it would be too small where the counts happen to be high, and a weighted fit would be
    biased. The mean of ``−ln N`` of Poisson counts N is too high by 1/(2N); this is subtracted.
    """
    counts_raw = raw.astype(np.float32)
    finite = np.isfinite(counts_raw)
    counts_raw = np.where(finite, counts_raw, 0)
    hot, saturated = hot_pixels(counts_raw, sigma=hot_pixel_sigma, saturation=saturation_counts)
    level = np.float32(0) if dark is None else dark
    counts = counts_raw - level
    if flat is None:
        light = np.ones_like(counts)
        light_variance = np.float32(0)
    else:
        light = (flat.mean(axis=0, dtype=np.float64) - level).astype(np.float32)
        light_variance = np.maximum(light, 1) / np.float32(len(flat)) / np.maximum(light, 1) ** 2
    dead = light <= 0
    usable = finite & ~hot & ~saturated & ~dead
    scale = 1.0
    if air is not None:
        within = air & usable
        scale = float(counts[within].sum() / light[within].sum()) if within.any() else float("nan")
    if not scale > 0:
        return without_light(raw.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        transmission = counts / (light * np.float32(scale))
        rate = np.maximum(scipy.ndimage.uniform_filter(np.where(usable, counts, 0), 3, mode="nearest"), 1)
        share = scipy.ndimage.uniform_filter(usable.astype(np.float32), 3, mode="nearest")
        rate = np.maximum(rate / np.maximum(share, 0.1), 1)
        variance = (rate + level) / rate**2 + light_variance
        opaque = (transmission <= opaque_transmission) | (counts <= 3 * np.sqrt(np.maximum(level, 1)))
        value = -np.log(transmission) - 0.5 / rate
    reasons = {
        "not_finite": ~finite,
        "saturated": saturated & finite,
        "hot_or_dead": (hot | dead) & ~saturated & finite,
        "opaque": opaque & usable,
    }
    bad = ~usable | opaque
    return FrameDensity(
        np.where(bad, np.nan, value).astype(np.float32),
        np.where(bad, np.inf, variance).astype(np.float32),
        {reason: int(mask.sum()) for reason, mask in reasons.items()},
        float(np.median(counts[air & usable]))
        if air is not None and (air & usable).any()
        else float(np.median(light)),
    )


def ready_density(
    raw: np.ndarray, *, is_transmission: bool, air: BoolArray | None, opaque_transmission: float
) -> FrameDensity:
    """Optical density of a frame of transmission or optical density, with its own variance.

    Transmission is assumed to have Poisson-like noise, ``σ²(T) ∝ T``, scaled to the pixel-to-pixel
    noise of the frame; optical density is assumed to have uniform noise.
    """
    frame = raw.astype(np.float32)
    bad = ~np.isfinite(frame)
    invalid = {"not_finite": int(bad.sum()), "opaque": 0}
    level = 1.0
    if is_transmission:
        inside = air & ~bad if air is not None else None
        level = float(np.median(frame[inside])) if inside is not None and inside.any() else 1.0
        frame = frame / np.float32(level)
        opaque = (frame <= opaque_transmission) & ~bad
        invalid["opaque"] = int(opaque.sum())
        bad |= opaque
        noise = pixel_noise(np.where(bad, np.nan, frame))
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = noise**2 / max(float(np.median(frame[~bad])) if (~bad).any() else 1.0, 1e-6) / frame
            frame = -np.log(np.where(bad, 1, frame))
    else:
        if air is not None and (air & ~bad).any():
            level = float(np.median(frame[air & ~bad]))
            frame = frame - np.float32(level)
        variance = np.full_like(frame, pixel_noise(np.where(bad, np.nan, frame)) ** 2)
    return FrameDensity(
        np.where(bad, np.nan, frame).astype(np.float32),
        np.where(bad, np.inf, variance).astype(np.float32),
        invalid,
        level,
    )


def without_light(shape: tuple[int, ...]) -> FrameDensity:
    """Return a frame whose pixels are all invalid."""
    return FrameDensity(
        np.full(shape, np.nan, np.float32),
        np.full(shape, np.inf, np.float32),
        {"no_light": int(np.prod(shape))},
        0.0,
    )
