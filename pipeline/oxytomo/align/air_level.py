"""One air for all energies of a tilt: the region beside the sample that all of them see, and their levels there.

Each series is levelled to the air that it sees by itself. On a film with holes that is a hole at one energy, the film at
the next and a mixture at the third: the optical densities then carry an offset that is the spectrum of nothing. Levels taken
over the same pixels at all energies differ from the true ones by the spectrum of what lies there, which is that of
the film, and a film is a component of the decomposition.
"""

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.slabs import Field

LEAST_PIXELS = 300
AWAY_PX = 3
"""The shadow of the sample is kept so far away from."""
LEAST_SHADOW = 0.08
"""Optical density, as a share of that of the thickest rays, from which a pixel belongs to the shadow of the sample."""
SIGNIFICANT = 5.0
"""Levels are taken off if they exceed so many times their errors, in the root mean square over the tilts of any energy."""
LEAST_LEVEL = 1e-3
"""Levels whose root mean square over the tilts is smaller at every energy are left: they change no composition."""
WILD = 4.0
"""Pixels so many standard deviations from the median of the region do not count."""


def common_air_levels(value: Field, variance: Field) -> Float64Array | None:
    """Levels of the air of every frame over the pixels that all energies see; None where they are 0 within their errors.

    Parameters
    ----------
    value, variance : (n_energy, n_tilt, n_y, n_x) float32, aligned optical densities, NaN and inf where invalid; they are
        read tilt by tilt

    Returns
    -------
    (n_energy, n_tilt) float64, to be taken off the frames; 0 for tilts without a region beside the sample
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
    """Pixels (n_y, n_x) that are valid at all energies and away from the shadow of the sample; None for too few.

    Parameters
    ----------
    frames : (n_energy, n_y, n_x) float32, optical densities
    """
    valid = np.isfinite(frames).all(axis=0)
    if np.count_nonzero(valid) < LEAST_PIXELS:
        return None
    mean = np.where(valid, frames, 0).mean(axis=0)
    # Smoothed over valid pixels alone.
    weight = scipy.ndimage.gaussian_filter(valid.astype(np.float32), 1.5)
    smooth = scipy.ndimage.gaussian_filter(mean, 1.5) / np.maximum(weight, 1e-3)
    shadow = valid & (smooth > LEAST_SHADOW * float(np.percentile(smooth[valid], 98)))
    region: BoolArray = valid & ~scipy.ndimage.binary_dilation(shadow, iterations=AWAY_PX)
    return region if np.count_nonzero(region) >= LEAST_PIXELS else None


def levels_within(
    frames: FloatArray, variance: FloatArray, region: BoolArray
) -> tuple[Float64Array, Float64Array]:
    """Mean optical density of every energy over a region, and its standard error from the noise of its pixels.

    Parameters
    ----------
    frames, variance : (n_energy, n_y, n_x) float32; region : (n_y, n_x) bool, valid at all energies
    """
    inside, noise = frames[:, region].astype(np.float64), variance[:, region].astype(np.float64)
    away = np.abs(inside - np.median(inside, axis=1, keepdims=True))
    # The same pixels at all energies: a pixel that is wild at one of them counts at none.
    kept = (away < WILD * np.maximum(inside.std(axis=1, keepdims=True), 1e-9)).all(axis=0)
    count = max(int(np.count_nonzero(kept)), 1)
    return inside[:, kept].mean(axis=1), np.sqrt(noise[:, kept].sum(axis=1)) / count
