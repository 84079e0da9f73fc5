"""Grey values to void fractions: the solid's local level, the void's level, noise and blur."""

from dataclasses import dataclass

import edt
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import curve_fit
from scipy.special import ndtr

from pipeline.arrays import BoolArray, FloatArray
from pipeline.segment.envelope import Envelope

BIN_PX = 4
LEVEL_SMOOTHING_BINS = 4.0
CLEAR_PX = 4.0
"""The solid's level is taken this far from every void and from the skin, where blur does not reach."""
RESOLVED_PX = 3.0
FEWEST_VOXELS = 200
RESOLVED_VOXELS = 5000
"""A mean of so many voxels is known to 0.5 % of the contrast at a contrast-to-noise ratio of 3."""
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Calibration:
    """How grey values became void fractions.

    Attributes
    ----------
    void : (n_z, n_y, n_x) float32, void fraction inside the skin, 0 outside; noise makes it leave [0, 1]
    noise : standard deviation of the void fraction in the solid
    void_level, solid_level : grey values; the solid's is a mean of its local levels
    void_level_from : "resolved voids" or "air"
    """

    void: FloatArray
    noise: float
    void_level: float
    solid_level: float
    void_level_from: str


def calibrate(volume: FloatArray, envelope: Envelope, voids: BoolArray, *, blur_px: float) -> Calibration:
    """Return the void fraction: what the blurred skin encloses less what is solid.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) grey values
    envelope : where the particles are
    voids : what is known to be void so far; the solid's level is taken away from it
    blur_px : standard deviation of the blur
    """
    clear = _away(voids, CLEAR_PX) & (envelope.depth_px > CLEAR_PX)
    if clear.sum() < FEWEST_VOXELS:
        clear = envelope.solid & _away(voids, 1.0)
    level = local_level(volume, clear)
    void_level, source = _void_level(volume, voids, envelope)
    scale = np.maximum(level - void_level, 0.05 * (envelope.solid_level - envelope.air_level))
    solid = (volume - void_level) / scale
    noise = MAD_TO_SIGMA * float(np.median(np.abs(solid[clear] - np.median(solid[clear]))))
    skin = ndtr(envelope.depth_px / max(blur_px, 0.3)).astype(np.float32)
    near = envelope.depth_px > -3 * blur_px
    void: FloatArray = np.where(near, skin - solid, 0).astype(np.float32)
    return Calibration(void, noise, void_level, float(level[clear].mean()), source)


def local_level(volume: FloatArray, clear: BoolArray) -> FloatArray:
    """Return the mean of the clear voxels around each voxel, a Gaussian of 16 voxels wide."""
    sums, weights = _binned(np.where(clear, volume, 0)), _binned(clear)
    smooth = [gaussian_filter(a, LEVEL_SMOOTHING_BINS, mode="constant", truncate=6) for a in (sums, weights)]
    wide = [
        gaussian_filter(a, 4 * LEVEL_SMOOTHING_BINS, mode="constant", truncate=6) for a in (sums, weights)
    ]
    overall = float(sums.sum() / max(weights.sum(), 1))
    # Far from every clear voxel the level of a wider surrounding takes over.
    total = smooth[0] + 1e-3 * wide[0] + 1e-9 * overall
    weight = smooth[1] + 1e-3 * wide[1] + 1e-9
    coarse = (total / weight).astype(np.float32)
    factors = [n * BIN_PX if n > 1 else 1 for n in coarse.shape]
    grown = coarse
    for axis, (n, factor) in enumerate(zip(volume.shape, factors, strict=True)):
        grown = _interpolated(grown, axis, n) if factor > 1 else np.repeat(grown, n, axis)
    return grown


def _interpolated(values: FloatArray, axis: int, length: int) -> FloatArray:
    """Interpolate bins to voxels along one axis; bin centres are at 4 i + 1.5."""
    place = np.clip((np.arange(length) - (BIN_PX - 1) / 2) / BIN_PX, 0, values.shape[axis] - 1)
    low = place.astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    result: FloatArray = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return result


def _binned(values: FloatArray | BoolArray) -> FloatArray:
    """Sum over blocks of BIN_PX voxels."""
    for axis in range(values.ndim):
        starts = np.arange(0, values.shape[axis], BIN_PX)
        values = np.add.reduceat(values, starts, axis=axis, dtype=np.float32)
    return np.asarray(values, np.float32)


def _away(voids: BoolArray, distance_px: float) -> BoolArray:
    if not voids.any():
        return np.ones(voids.shape, bool)
    away: BoolArray = edt.edt(np.ascontiguousarray(~voids), black_border=False) > distance_px
    return away


def _void_level(volume: FloatArray, voids: BoolArray, envelope: Envelope) -> tuple[float, str]:
    """Return the grey value of resolved voids, of the air around the particle where there are too few."""
    # Flanks of a void are part of it where there is little noise, but they do not show its grey value.
    dark = np.ascontiguousarray(voids & ~envelope.solid)
    cores = edt.edt(dark, black_border=False) > RESOLVED_PX
    if cores.sum() >= RESOLVED_VOXELS:
        # The mean, as for the solid: fractions are summed, and dark fringes beside edges make grey values skew.
        return float(volume[cores].mean(dtype=np.float64)), "resolved voids"
    around = (envelope.depth_px < -CLEAR_PX) & (envelope.depth_px > -5 * CLEAR_PX)
    if around.sum() >= FEWEST_VOXELS:
        return float(np.median(volume[around])), "air"
    return envelope.air_level, "air"


def edge_blur(volume: FloatArray, envelope: Envelope, *, start_px: float) -> float:
    """Return the standard deviation of the blur from the mean grey value across the skin.

    Where the skin is rough the blur comes out too large. ``start_px`` is returned where the edge cannot be fitted.
    """
    near = np.abs(envelope.depth_px) < 6
    depth = envelope.depth_px[near]
    bins = np.floor((depth + 6) * 4).astype(int)
    count = np.bincount(bins, minlength=48)
    mean = np.bincount(bins, weights=volume[near], minlength=48)[:48] / np.maximum(count[:48], 1)
    centre = (np.arange(48) + 0.5) / 4 - 6
    used = count[:48] > 20
    if used.sum() < 20:
        return start_px
    try:
        found, _ = curve_fit(
            lambda d, low, high, middle, width: low + (high - low) * ndtr((d - middle) / np.abs(width)),
            centre[used],
            mean[used],
            p0=(envelope.air_level, envelope.solid_level, 0.0, 1.2),
            maxfev=2000,
        )
    except (RuntimeError, ValueError):
        return start_px
    return float(np.clip(abs(found[3]), 0.3, 4.0))
