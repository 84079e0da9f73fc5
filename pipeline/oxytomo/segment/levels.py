"""Void fractions from grey values: local level of the solid, level of void, noise and blur."""

import math
import warnings
from dataclasses import dataclass

import numba
import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import ndtr

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.segment.distances import away_from, eroded
from oxytomo.segment.envelope import Envelope
from oxytomo.segment.smoothing import gaussian
from oxytomo.slabs import ROW_STEP, Field, on_grid, read, sample_step, slabs
from oxytomo.threads import parallel_kernel

BIN_PX = ROW_STEP
LEVEL_SMOOTHING_BINS = 4.0
CLEAR_PX = 4.0
"""The solid's level is measured this far from every void and from the skin, beyond the blur."""
REACH = 5
RESOLVED_PX = 3.0
FEWEST_VOXELS = 200
RESOLVED_VOXELS = 5000
"""A mean over this number of voxels has an error of 0.5 % of the contrast at a contrast-to-noise
ratio of 3."""
FEWEST_CORE = 30
"""Without air, this number of voxels in resolved voids is enough: an error of 0.06 of the contrast
at a contrast-to-noise ratio of 3."""
DARK_PX, DARK_REACH = 1.0, 4
MAD_TO_SIGMA = 1.4826
EDGE_PX, EDGE_BINS = 6, 48
EDGE_SHARE = 0.5
"""A skin with less of the contrast across it is the edge of a mask, not of a particle."""


@dataclass(frozen=True)
class Calibration:
    """Calibration from grey values to void fractions.

    Attributes
    ----------
    noise : standard deviation of the void fraction in the solid
    void_level, solid_level : grey values; that of the solid is a mean of its local levels
    void_level_from : "resolved voids", "air" or, where a mask leaves no air, "darkest voxels"
    """

    noise: float
    void_level: float
    solid_level: float
    void_level_from: str


def calibrate(volume: Field, envelope: Envelope, voids: Field, void: Field, *, blur_px: float) -> Calibration:
    """Compute the void fraction: the blurred inside of the skin minus the solid.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) grey values
    envelope : where the particles are
    voids : voids known so far; the solid's level is measured away from them
    void : overwritten with the void fraction inside the skin, 0 outside; noise makes it leave [0,
        1]
    blur_px : standard deviation of the blur
    """
    bins = _clear_bins(volume, envelope, voids, away_px=CLEAR_PX, depth_px=CLEAR_PX)
    if bins.count < FEWEST_VOXELS:
        bins = _clear_bins(volume, envelope, voids, away_px=1.0, depth_px=-np.inf)
    level = _LocalLevel(bins.sums, bins.weights, volume.shape)
    void_level, source = _void_level(volume, voids, envelope)
    floor = 0.05 * (envelope.solid_level - envelope.air_level)
    step = sample_step(volume.shape)
    local = np.concatenate(
        [
            on_grid(level.rows(s.rows), s.rows, step)[c]
            for s, c in zip(slabs(volume.shape), bins.clear, strict=True)
        ]
    )
    solid = (bins.values - np.float32(void_level)) / np.maximum(
        local - np.float32(void_level), np.float32(floor)
    )
    noise = MAD_TO_SIGMA * float(np.median(np.abs(solid - np.median(solid))))
    for slab in slabs(volume.shape):
        void[slab.rows] = _void_fraction(
            read(volume, slab.rows),
            level.rows(slab.rows),
            read(envelope.depth_px, slab.rows),
            void_level,
            floor,
            blur_px,
        )
    return Calibration(noise, void_level, float(local.mean(dtype=np.float64)), source)


@parallel_kernel(element_ns=30)
def _void_fraction(
    grey: FloatArray, level: FloatArray, depth_px: FloatArray, void_level: float, floor: float, blur_px: float
) -> FloatArray:
    """Return the blurred inside of the skin minus the share of solid, at each voxel."""
    out = np.zeros(grey.shape, np.float32)
    n_z, n_y, n_x = grey.shape
    width = max(blur_px, 0.3) * math.sqrt(2.0)
    for z in numba.prange(n_z):
        for y in range(n_y):
            for x in range(n_x):
                depth = depth_px[z, y, x]
                if depth > -3 * blur_px:
                    inside = 1.0 if depth > 6 * width else 0.5 * (1 + math.erf(depth / width))
                    solid = (grey[z, y, x] - void_level) / max(level[z, y, x] - void_level, floor)
                    out[z, y, x] = inside - solid
    return out


@dataclass(frozen=True)
class _ClearBins:
    """Sums and numbers of clear voxels in bins.

    It has the clear voxels on the sampling grid, by slab, and their values.
    """

    sums: FloatArray
    weights: FloatArray
    clear: list[BoolArray]
    values: FloatArray
    count: int


def _clear_bins(
    volume: Field, envelope: Envelope, voids: Field, *, away_px: float, depth_px: float
) -> _ClearBins:
    step = sample_step(volume.shape)
    sums, weights, where, values, count = [], [], [], [], 0
    for slab in slabs(volume.shape, halo=REACH):
        grey, depth = read(volume, slab.rows), read(envelope.depth_px, slab.rows)
        clear = away_from(read(voids, slab.wide), away_px)[slab.core] & (depth > depth_px)
        if np.isneginf(depth_px):
            clear &= read(envelope.solid, slab.rows)
        sums.append(_binned(np.where(clear, grey, 0)))
        weights.append(_binned(clear))
        chosen = on_grid(clear, slab.rows, step)
        where.append(chosen)
        values.append(on_grid(grey, slab.rows, step)[chosen])
        count += int(clear.sum())
    return _ClearBins(np.concatenate(sums), np.concatenate(weights), where, np.concatenate(values), count)


class _LocalLevel:
    """The mean of the clear voxels around each voxel, over a Gaussian of 16 voxels."""

    def __init__(self, sums: FloatArray, weights: FloatArray, shape: tuple[int, ...]) -> None:
        def smoothed(values: FloatArray, sigma: float) -> FloatArray:
            found: FloatArray = gaussian(values, sigma, mode="constant", truncate=6)
            return found

        near, far = LEVEL_SMOOTHING_BINS, 4 * LEVEL_SMOOTHING_BINS
        overall = float(sums.sum(dtype=np.float64) / max(weights.sum(dtype=np.float64), 1))
        # Far from every clear voxel the level of a wider neighbourhood is used.
        total = smoothed(sums, near) + 1e-3 * smoothed(sums, far) + 1e-9 * overall
        weight = smoothed(weights, near) + 1e-3 * smoothed(weights, far) + 1e-9
        self._coarse, self._shape = (total / weight).astype(np.float32), shape

    def rows(self, rows: slice) -> FloatArray:
        """Return the level of some rows of the volume."""
        grown = self._coarse
        for axis, n in enumerate(self._shape):
            place = np.arange(n)[rows] if axis == 0 else np.arange(n)
            grown = _interpolated(grown, axis, place) if n > 1 else np.repeat(grown, place.size, axis)
        return grown


def _interpolated(values: FloatArray, axis: int, place: IntArray) -> FloatArray:
    """Interpolate bins to voxels along one axis; bin centres are at 4 i + 1.5."""
    bins = np.clip((place - (BIN_PX - 1) / 2) / BIN_PX, 0, values.shape[axis] - 1)
    low = bins.astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (bins - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    result: FloatArray = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return result


def _binned(values: FloatArray | BoolArray) -> FloatArray:
    """Sum over blocks of BIN_PX voxels."""
    for axis in range(values.ndim):
        starts = np.arange(0, values.shape[axis], BIN_PX)
        values = np.add.reduceat(values, starts, axis=axis, dtype=np.float32)
    return np.asarray(values, np.float32)


def _void_level(volume: Field, voids: Field, envelope: Envelope) -> tuple[float, str]:
    """Return the grey value of resolved voids, or of the surrounding air if there are too few."""
    step = sample_step(volume.shape)
    total, count, air = 0.0, 0, []
    for slab in slabs(volume.shape, halo=REACH):
        # Flanks of a void belong to it at low noise, but they do not have its grey value.
        dark = read(voids, slab.wide) & ~read(envelope.solid, slab.wide)
        grey, depth = read(volume, slab.rows), read(envelope.depth_px, slab.rows)
        cores = eroded(dark, RESOLVED_PX)[slab.core]
        for row, own in zip(grey, cores, strict=True):
            total += float(row[own].sum(dtype=np.float64))
        count += int(cores.sum())
        around = (depth < -CLEAR_PX) & (depth > -5 * CLEAR_PX)
        air.append(on_grid(grey, slab.rows, step)[on_grid(around, slab.rows, step)])
    if count >= RESOLVED_VOXELS:
        # The mean, as for the solid: fractions are summed, and dark fringes beside edges make the
        # distribution of grey values skewed.
        return total / count, "resolved voids"
    sample = np.concatenate(air)
    if sample.size < FEWEST_VOXELS and envelope.bounded and not envelope.masked:
        return envelope.air_level, "air"
    # Regions outside the mask may be solid.
    half = 0.5 * (envelope.air_level + envelope.solid_level)
    sample = sample[sample < half] if envelope.masked else sample
    if sample.size >= FEWEST_VOXELS:
        return float(np.median(sample)), "air"
    # Without air, a few voxels of a void are better than Otsu's threshold between void and solid.
    if count >= FEWEST_CORE:
        return total / count, "resolved voids"
    return _darkest(volume), "darkest voxels"


def _darkest(volume: Field) -> float:
    """Return the grey level of wide voids: that of the darkest voxels of a smoothed volume."""
    lowest = np.inf
    for slab in slabs(volume.shape, halo=DARK_REACH):
        lowest = min(lowest, float(gaussian(read(volume, slab.wide), DARK_PX)[slab.core].min()))
    return lowest


def edge_blur(volume: Field, envelope: Envelope, *, start_px: float) -> float:
    """Return the standard deviation of the blur from the mean grey value across the skin.

    For a rough skin the blur comes out too large. ``start_px`` is returned if the edge cannot be
    fitted.
    """
    count, total = np.zeros(EDGE_BINS), np.zeros(EDGE_BINS)
    for slab in slabs(volume.shape):
        _add_edge(read(volume, slab.rows), read(envelope.depth_px, slab.rows), count, total)
    mean = total / np.maximum(count, 1)
    centre = (np.arange(EDGE_BINS) + 0.5) / 4 - EDGE_PX
    used = count > 20
    if used.sum() < 20:
        return start_px
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, _ = curve_fit(
                lambda d, low, high, middle, width: low + (high - low) * ndtr((d - middle) / np.abs(width)),
                centre[used],
                mean[used],
                p0=(envelope.air_level, envelope.solid_level, 0.0, 1.2),
                maxfev=2000,
            )
    except (RuntimeError, ValueError, OptimizeWarning):
        return start_px
    if found[1] - found[0] < EDGE_SHARE * (envelope.solid_level - envelope.air_level):
        return start_px  # the edge of a mask that cuts through solid shows no blur
    return float(np.clip(abs(found[3]), 0.3, 4.0))


@numba.njit(cache=True)
def _add_edge(grey: FloatArray, depth_px: FloatArray, count: Float64Array, total: Float64Array) -> None:
    """Add voxels near the skin to bins of a quarter voxel of depth."""
    n_z, n_y, n_x = grey.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                depth = depth_px[z, y, x]
                if abs(depth) < EDGE_PX:
                    place = int((depth + EDGE_PX) * 4)
                    count[place] += 1
                    total[place] += grey[z, y, x]
