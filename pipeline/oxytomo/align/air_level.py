"""One air level for all energies of a tilt, from the region beside the sample that they share.

Each series is first levelled to its own air. On a film with holes this may be a hole at one energy,
the film at the next, and a mixture at the third. The optical densities then carry an offset that is
the spectrum of no substance. Levels taken over the same pixels at all energies differ from the true
ones by the spectrum of what lies in these pixels. That is the spectrum of the film, and the film is
a component of the decomposition.
"""

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.slabs import Field

LEAST_PIXELS = 300
AWAY_PX = 3
"""Distance that the air region keeps from the shadow of the sample."""
LEAST_SHADOW = 0.08
"""A pixel belongs to the shadow of the sample above this share of the optical density of the
thickest rays."""
SIGNIFICANT = 5.0
"""Levels are subtracted if their root mean square over the tilts exceeds this many standard errors
at any energy."""
LEAST_LEVEL = 1e-3
"""Levels below this root mean square at every energy are kept as they are: they change no
composition."""
WILD = 4.0
"""Pixels further than this many standard deviations from the median of the region are left out."""


def common_air_levels(value: Field, variance: Field) -> Float64Array | None:
    """Air level of every frame over the pixels that all energies share.

    None where all levels are 0 within their errors.

    Parameters
    ----------
    value, variance : (n_energy, n_tilt, n_y, n_x) float32, aligned optical densities, NaN and inf
        where invalid; they are read tilt by tilt

    Returns
    -------
    (n_energy, n_tilt) float64, optical density to subtract from the frames; 0 for tilts that have
    no region beside the sample
    """
    n_energy, n_tilt = value.shape[:2]
    level, error = np.zeros((n_energy, n_tilt)), np.full((n_energy, n_tilt), np.inf)
    for t in range(n_tilt):
        frames = np.asarray(value[:, t])
        region = air_beside(frames)
        if region is not None:
            level[:, t], error[:, t] = levels_within(frames, np.asarray(variance[:, t]), region)
    known = np.isfinite(error).all(axis=0)
    if n_energy < 2 or not known.any():
        return None
    beyond = np.sqrt(np.mean((level / error)[:, known] ** 2, axis=1))
    size = np.sqrt(np.mean(level[:, known] ** 2, axis=1))
    return level if ((beyond > SIGNIFICANT) & (size > LEAST_LEVEL)).any() else None


def air_beside(frames: FloatArray) -> BoolArray | None:
    """Pixels (n_y, n_x) that are valid at all energies and away from the shadow of the sample.

    None for too few.

    Parameters
    ----------
    frames : (n_energy, n_y, n_x) float32, optical densities
    """
    valid = np.isfinite(frames).all(axis=0)
    if np.count_nonzero(valid) < LEAST_PIXELS:
        return None
    mean = np.where(valid, frames, 0).mean(axis=0)
    # Smooth over valid pixels only.
    weight = scipy.ndimage.gaussian_filter(valid.astype(np.float32), 1.5)
    smooth = scipy.ndimage.gaussian_filter(mean, 1.5) / np.maximum(weight, 1e-3)
    shadow = valid & (smooth > LEAST_SHADOW * float(np.percentile(smooth[valid], 98)))
    region: BoolArray = valid & ~scipy.ndimage.binary_dilation(shadow, iterations=AWAY_PX)
    return region if np.count_nonzero(region) >= LEAST_PIXELS else None


def levels_within(
    frames: FloatArray, variance: FloatArray, region: BoolArray
) -> tuple[Float64Array, Float64Array]:
    """Mean optical density of every energy over a region, and its standard error.

    The standard error is from the noise of the pixels.

    Parameters
    ----------
    frames, variance : (n_energy, n_y, n_x) float32; region : (n_y, n_x) bool, valid at all energies
    """
    inside, noise = frames[:, region].astype(np.float64), variance[:, region].astype(np.float64)
    away = np.abs(inside - np.median(inside, axis=1, keepdims=True))
    # The same pixels count at all energies: a pixel that is an outlier at one is left out at all.
    kept = (away < WILD * np.maximum(inside.std(axis=1, keepdims=True), 1e-9)).all(axis=0)
    count = max(int(np.count_nonzero(kept)), 1)
    return inside[:, kept].mean(axis=1), np.sqrt(noise[:, kept].sum(axis=1)) / count
