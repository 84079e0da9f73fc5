"""Change of the composition and the size of a particle with dose, from the frames of one scan.

In parallel light the sums over a frame do not depend on the tilt. The total metal over the total
oxygen, and the spread of the mass along the tilt axis, are the same in every frame of an undamaged
particle (Helgason, The Radon Transform, 1980: the moments of a projection). A trend of these sums
with the order of acquisition is therefore damage, without a reconstruction.

Thick rays, stray light and blur make the sums depend on the path length, which is longer at high
tilts. A tilt axis that is not along the rows of the detector mixes the width of the particle into
its size, as far as the mass along and across the axis is correlated. Both are fitted with the trend
from the frames' own moments. If the frames were taken so that the path length follows
the order of acquisition, the two cannot be told apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from scipy.special import stdtrit

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.decomposition import combine

SHADOW, MARGIN_PX = 0.1, 2
"""A ray is in the shadow above this share of the frame's thickest rays; a margin is added."""
FAR_WORSE = 100.0
"""A ray with this many times the median variance (several energies lost) is replaced."""
FEWEST_FRAMES = 12
BLOCKS = 12
"""Number of groups of successive frames whose means are compared: errors of neighbouring tilts
resemble each other."""
SIGNIFICANT = 4.0
"""A trend counts beyond this many standard errors (nine degrees of freedom: 3 in 1000)."""
LEAST_CHANGE = 0.003
"""Smaller changes are not reported: they change no class, and blur may leave as much."""
SAME, UNEVEN = 0.8, 0.05
"""Largest share of the order of acquisition that the path length may explain, where it varies by
more than the other share."""


@dataclass(frozen=True)
class FrameSums:
    """Sums over the particle's shadow in every frame, (n_tilt,) float64.

    Attributes
    ----------
    tm_o, tm_o_error : total metal over total oxygen, relative to the formula
    size, size_error : standard deviation of the mass along the tilt axis, pixels
    path : mean path length for its mass and size, relative: it depends on the tilt, not on a loss
        of mass or on shrinkage
    lean : covariance of the mass along and across the tilt axis, relative to ``size²``. An axis
        that is inclined by φ in the plane of the detector changes the size by φ · lean
    """

    tm_o: Float64Array
    tm_o_error: Float64Array
    size: Float64Array
    size_error: Float64Array
    path: Float64Array
    lean: Float64Array


@dataclass(frozen=True)
class Trend:
    """Relative change from the first frame to the last, and its standard error.

    ``of_geometry``, (n_tilt,), is the relative change with path length and lean beside it.
    """

    change: float
    standard_error: float
    of_geometry: Float64Array

    @property
    def found(self) -> bool:
        """Whether the change exceeds its error by far."""
        return bool(abs(self.change) > max(SIGNIFICANT * self.standard_error, LEAST_CHANGE))


def frame_sums(data: ColumnDensities) -> FrameSums:
    """Sum metal, oxygen and moments over the shadow of every frame."""
    n_tilt = data.tilt_deg.size
    found = np.full((6, n_tilt), np.nan)
    ratio, total = None, 0.5 * (data.metal + data.oxygen)
    for tilts in data.parts:
        metal, _ = combine(data.areal, data.covariance, data.metal, tilts)
        oxygen, _ = combine(data.areal, data.covariance, data.oxygen, tilts)
        if ratio is None:
            known = np.isfinite(metal) & np.isfinite(oxygen)
            ratio = float(metal[known].sum(dtype=np.float64) / oxygen[known].sum(dtype=np.float64))
        both, noise = combine(data.areal, data.covariance, total, tilts)
        _, apart = combine(data.areal, data.covariance, data.metal - ratio * data.oxygen, tilts)
        for place, t in enumerate(range(tilts.start, tilts.stop)):
            good = _good(noise[place]) & _good(apart[place])
            whole, m, o = (_filled(one[place], good) for one in (both, metal, oxygen))
            inside = _shadow(whole)
            if (inside & good).sum() < max(16, 0.5 * inside.sum()):
                continue
            sums = [float(one[inside].sum(dtype=np.float64)) for one in (m, o)]
            spread = float(np.where(inside & good, apart[place], 0).sum(dtype=np.float64))
            found[:2, t] = sums[0] / sums[1], np.sqrt(spread) / sums[1]
            found[2:4, t] = _spread(whole, np.where(good, noise[place], 0), inside)
            found[4, t] = _compactness(whole[inside]) * found[2, t] ** 2
            found[5, t] = _covariance(np.where(inside, whole, 0)) / found[2, t] ** 2
    return FrameSums(*found)


def _compactness(path: FloatArray) -> float:
    """Return the mean path weighted by itself, over the mass: 1/pixels²."""
    length = path.astype(np.float64)
    return float((length**2).sum() / length.sum() ** 2)


def _good(variance: FloatArray) -> BoolArray:
    """Return the rays that are solved about as well as the others."""
    known = np.isfinite(variance)
    if not known.any():
        return known
    return np.asarray(known & (variance < FAR_WORSE * np.median(variance[known])))


def _filled(image: FloatArray, good: BoolArray) -> FloatArray:
    """Replace the other rays by the mean of the good ones around them: sums stay comparable."""
    weight = scipy.ndimage.gaussian_filter(good.astype(np.float32), 1.0)
    around = scipy.ndimage.gaussian_filter(np.where(good, image, 0), 1.0) / np.maximum(weight, 1e-6)
    return np.where(good, image, around).astype(np.float32)


def _shadow(path: FloatArray) -> BoolArray:
    """Return the rays through the particle, with a margin."""
    filled = scipy.ndimage.gaussian_filter(path, 1.0)
    level = SHADOW * float(np.percentile(filled, 98))
    grown = scipy.ndimage.binary_dilation(filled > level, iterations=MARGIN_PX)
    return np.asarray(grown)


def _spread(path: FloatArray, variance: FloatArray, inside: BoolArray) -> tuple[float, float]:
    """Return the standard deviation of the mass along the tilt axis, with its error, pixels."""
    mass = np.where(inside, path, 0).sum(axis=1, dtype=np.float64)
    noise = np.where(inside, variance, 0).sum(axis=1, dtype=np.float64)
    place, whole = np.arange(mass.size), mass.sum()
    away = place - float(place @ mass) / whole
    square = float(away**2 @ mass) / whole
    if not square > 0:
        return np.nan, np.nan
    error = np.sqrt(float((away**2 - square) ** 2 @ noise)) / abs(whole)
    return float(np.sqrt(square)), float(error / (2 * np.sqrt(square)))


def _covariance(path: FloatArray) -> float:
    """Return the covariance of the mass along and across the tilt axis, pixels²."""
    mass = path.astype(np.float64)
    down, across = (np.arange(n, dtype=np.float64) for n in mass.shape)
    whole = mass.sum()
    rows, columns = mass.sum(axis=1), mass.sum(axis=0)
    product = float(down @ mass @ across) / whole
    return product - float(down @ rows) * float(across @ columns) / whole**2


def separable(order: IntArray, path: Float64Array) -> bool:
    """Return whether the order of acquisition differs from the path length.

    Parameters
    ----------
    order : (n_tilt,) when each frame was recorded
    path : (n_tilt,) mean path length, relative
    """
    known = np.isfinite(path)
    if known.sum() < FEWEST_FRAMES or np.ptp(order[known]) == 0:
        return False
    if np.ptp(path[known]) <= UNEVEN * path[known].mean():
        return True
    return bool(np.corrcoef(order[known], path[known])[0, 1] ** 2 <= SAME)


def trend(
    values: Float64Array,
    noise: Float64Array,
    order: IntArray,
    path: Float64Array,
    lean: Float64Array | None = None,
) -> Trend | None:
    """Fit the relative change of a sum from the first frame to the last.

    ``value = a + b · order + c · path + d · lean`` is fitted to the means of successive frames,
    without the path or the lean where it is nearly the same in all of them. The standard
    error is the larger one of that from the scatter around the fit and that from counting noise,
    times Student's factor for the few groups.

    Parameters
    ----------
    values, noise : (n_tilt,) the sum, and its standard error from counting noise
    order, path : as in :func:`separable`
    lean : from :func:`frame_sums`, for a size along the axis
    """
    known = np.isfinite(values) & np.isfinite(noise) & np.isfinite(path)
    if known.sum() < FEWEST_FRAMES or np.ptp(order[known]) == 0:
        return None
    by_order = np.flatnonzero(known)[np.argsort(order[known], kind="stable")]
    place = (order[by_order] - order[by_order[0]]) / np.ptp(order[known])
    groups = np.array_split(np.arange(by_order.size), min(BLOCKS, by_order.size // 2))

    def means(of: Float64Array) -> Float64Array:
        return np.array([of[group].mean() for group in groups])

    geometry = [path / path[known].mean() - 1, *([] if lean is None else [lean])]
    geometry = [one - one[known].mean() for one in geometry if np.ptp(one[known]) > UNEVEN]
    columns = [np.ones(len(groups)), means(place), *(means(one[by_order]) for one in geometry)]
    design = np.column_stack(columns)
    level = values[by_order].mean()
    measured = means(values[by_order]) / level
    found, *_rest = np.linalg.lstsq(design, measured, rcond=None)
    inverse = np.linalg.pinv(design.T @ design)
    left = measured - design @ found
    scatter = float(left @ left) / (len(groups) - design.shape[1])
    counted = float(np.mean([(noise[by_order][g] ** 2).sum() / g.size**2 for g in groups])) / level**2
    few = float(stdtrit(len(groups) - design.shape[1], 0.975)) / 1.96
    error = few * np.sqrt(max(scatter, counted) * inverse[1, 1])
    beside: Float64Array = sum(
        (c * one for c, one in zip(found[2:], geometry, strict=True)), np.zeros(path.size)
    )
    return Trend(float(found[1]), float(error), beside)


def damage_record(data: ColumnDensities, frame: IntArray | None, n_series: int) -> dict[str, Any] | None:
    """Return what the scan tells about damage, as plain values; None without an order of frames.

    Parameters
    ----------
    data : element sinograms
    frame : (n_tilt,) number of each frame in its series, in the order of acquisition
    n_series : number of series at different energies
    """
    if frame is None or data.tilt_deg.size < FEWEST_FRAMES or data.atoms.size < 2:
        return None
    sums = frame_sums(data)
    found = {
        name: trend(values, noise, frame, sums.path, lean)
        for name, values, noise, lean in (
            ("tm_o", sums.tm_o, sums.tm_o_error, None),
            ("size", sums.size, sums.size_error, sums.lean),
        )
    }
    told = separable(frame, sums.path)
    by_order = np.argsort(frame, kind="stable")
    return {
        **{
            name: None
            if one is None
            else {
                "change": one.change,
                "standard_error": one.standard_error,
                "found": told and one.found,
            }
            for name, one in found.items()
        },
        "told_from_path_length": told,
        "series": n_series,
        "by_frame": {
            "frame": frame[by_order].tolist(),
            "tilt_deg": data.tilt_deg[by_order].tolist(),
            **{
                name: [float(v) if np.isfinite(v) else None for v in values[by_order]]
                for name, values in (
                    *((f"{name}_of_geometry", one.of_geometry) for name, one in found.items() if one),
                    ("tm_o", sums.tm_o),
                    ("tm_o_standard_error", sums.tm_o_error),
                    ("size_px", sums.size),
                    ("size_standard_error_px", sums.size_error),
                )
            },
        },
    }
