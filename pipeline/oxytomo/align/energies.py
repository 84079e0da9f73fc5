"""Registration of the energies of one tilt with each other.

The result is a shift for every frame and a magnification for every energy.

A model with one gain for the whole frame is the most precise one, but it is wrong where the
chemistry varies: a particle that is poor on one side and rich on the other seems shifted by pixels.
A model with free gains in large squares (:mod:`oxytomo.align.local`) is not misled, but less
precise. The difference of the two shifts, the chemical bias, varies slowly from tilt to tilt even
where the frames jitter. It is smoothed over the tilts and subtracted where it exceeds its error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oxytomo.align.local import local_shift
from oxytomo.align.parallel import frame_groups
from oxytomo.align.register import coarse_shifts, fill_invalid, refine_shifts, similarity_steps, smooth
from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.slabs import Field, reordered

BACKGROUND_PX = 20.0
"""Structure broader than this (Gaussian standard deviation) is background."""
SQUARES = 4
"""Number of squares of free gain along the shorter side of the frame; the squares have at least
:data:`SMALLEST_PX`."""
SMALLEST_PX = 16
ITERATIONS = 12
EVERY, ASKED = 2, 8
"""Only every second frame is used for magnification and bias, if at least this many are then
used."""
TILTS_PER_TERM, MOST_TERMS = 3, 4
"""The bias is a polynomial over the tilts: one term per this many frames used, and at most this
many terms."""
SIGNIFICANT = 3.0
"""A bias is subtracted where it exceeds this many standard errors at any tilt."""
MIRROR_GAIN = 0.7
"""Angles have the wrong sign if frames fit the opposite tilt with a misfit smaller by this
factor."""


@dataclass(frozen=True)
class EnergyRegistration:
    """Position of one energy relative to the reference energy.

    Attributes
    ----------
    shifts : (n_tilt, 2) float64 (dy, dx), px: content sits at +dy, +dx from its place in the
        reference
    chemical_bias_px : (n_tilt, 2) apparent shift from contrast that varies from place to place; it
        was subtracted
    residual : (n_tilt,) rms misfit in units of the reference image's standard deviation; 1 means no
        relation
    magnification : magnification relative to the reference, median over the tilts
    """

    shifts: Float64Array
    chemical_bias_px: Float64Array
    residual: Float64Array
    magnification: float


@dataclass(frozen=True)
class _Smoothed:
    """Frames (n, n_y, n_x) as they are compared.

    ``seen`` marks valid pixels away from the margin, ``smooth`` has noise smoothed, and ``sharp``
    has the background subtracted, too.
    """

    seen: BoolArray
    smooth: FloatArray
    sharp: FloatArray

    @classmethod
    def of(cls, frames: FloatArray, sigma_px: float) -> "_Smoothed":
        seen, filled = without_margin(np.isfinite(frames)), fill_invalid(frames)
        smoothed = smooth(filled, sigma_px=sigma_px)
        # Neither a slow background that differs between energies nor the rim of the detector may
        # bias the shift.
        return cls(seen, smoothed, smoothed - smooth(filled, sigma_px=BACKGROUND_PX))


class FixedFrames:
    """Frames of the reference energy, which all other energies are registered to.

    Frames that are one group are smoothed only once.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, NaN where invalid; read in groups
    sigma_px : Gaussian smoothing before registration, of both energies
    """

    def __init__(self, frames: Field, sigma_px: float) -> None:
        self.frames, self.sigma_px = frames, sigma_px
        self._whole: _Smoothed | None = None

    def group(self, group: slice) -> _Smoothed:
        """Return a group of frames."""
        everything = group == slice(0, self.frames.shape[0])
        if everything and self._whole is not None:
            return self._whole
        found = _Smoothed.of(np.asarray(self.frames[group]), self.sigma_px)
        self._whole = found if everything else None
        return found


def register_energies(
    frames: Field,
    reference: FixedFrames,
    *,
    max_shift_px: float,
    chemistry: bool,
    on_frames: Callable[[int], None] | None = None,
) -> EnergyRegistration:
    """Shift of each frame of one energy against the reference energy's frame at the same tilt.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32 optical densities, NaN where invalid; read in groups
    reference : those of the reference energy, on the same pixel size
    max_shift_px : largest shift searched
    chemistry : the contrast may vary from place to place, smoothly over the tilts; the apparent
        shift from it is subtracted
    on_frames : told how many frames are done
    """
    n_tilt = frames.shape[0]
    found = np.full((n_tilt, len(_COLUMNS)), np.nan)
    # Magnification and bias are the same for all tilts, or vary slowly: not every frame is used.
    asked = np.arange(n_tilt) % (EVERY if n_tilt >= ASKED * EVERY else 1) == 0
    for group in frame_groups(frames.shape):
        found[group] = _registered(
            _Smoothed.of(np.asarray(frames[group]), reference.sigma_px),
            reference.group(group),
            np.flatnonzero(asked[group]),
            max_shift_px=max_shift_px,
            chemistry=chemistry,
        )
        if on_frames is not None:
            on_frames(group.stop)
    shifts, local, error = found[:, 0:2], found[:, 2:4], found[:, 4:6]
    residual, growth = found[:, 6], found[:, 7]
    bias = np.zeros_like(shifts)
    if chemistry:
        bias = np.stack([_smooth_bias(shifts[:, i] - local[:, i], error[:, i]) for i in range(2)], axis=1)
    known = growth[np.isfinite(growth)]
    if known.size == 0:
        return EnergyRegistration(shifts - bias, bias, residual, 1.0)
    return EnergyRegistration(shifts - bias, bias, residual, 1 + float(np.median(known)))


_COLUMNS = ("dy", "dx", "local_dy", "local_dx", "error_dy", "error_dx", "residual", "growth")


def _registered(
    moving: _Smoothed,
    fixed: _Smoothed,
    asked: IntArray,
    *,
    max_shift_px: float,
    chemistry: bool,
) -> Float64Array:
    """Return (n, 8): two shifts, the error of the second, residual, relative magnification less 1.

    The first shift is with one gain, the second with local gains.

    The shift with local gains and the magnification are NaN for frames that are not used for them.
    """
    start = coarse_shifts(moving.smooth, fixed.smooth, max_shift_px=max_shift_px)
    sharp, flat, weights = moving.sharp, fixed.sharp, fixed.seen
    shifts, residual = refine_shifts(sharp, flat, weights, start, iterations=30, free_gain=True)
    tile_px = max(SMALLEST_PX, min(flat.shape[1:]) // SQUARES)
    found = np.full((len(flat), len(_COLUMNS)), np.nan)
    found[:, 0:2], found[:, 6] = shifts, residual
    if asked.size == 0:
        return found
    found[asked, 7] = similarity_steps(sharp[asked], flat[asked], weights[asked], shifts[asked])[0][:, 3]
    for i in asked if chemistry else ():
        fit = local_shift(
            *(moving.smooth[i], fixed.smooth[i], moving.seen[i], shifts[i]),
            iterations=ITERATIONS,
            tile_px=tile_px,
        )
        found[i, 2:6] = (*fit.shift_px, *fit.error_px)
    return found


def _smooth_bias(away: Float64Array, error: Float64Array) -> Float64Array:
    """Smooth differences (n_tilt,) over the tilts; 0 where they are within their errors.

    The errors are enlarged where the scatter of the differences exceeds them. Outliers lose weight
    (Huber).
    """
    known = np.isfinite(away) & np.isfinite(error) & (error > 0)
    if not known.any():
        return np.zeros_like(away)
    terms = int(np.clip(known.sum() // TILTS_PER_TERM, 1, MOST_TERMS))
    place = np.linspace(-1, 1, away.size) if away.size > 1 else np.zeros(1)
    columns = np.polynomial.legendre.legvander(place, terms - 1)
    rows, target = columns[known], away[known]
    weight, robust = 1 / error[known] ** 2, np.ones(target.size)
    b, scale = np.zeros(terms), 1.0
    for _ in range(10):
        used = weight * robust
        normal = (rows * used[:, None]).T @ rows
        b = np.linalg.pinv(normal, hermitian=True) @ (rows.T @ (used * target))
        left = np.abs(target - rows @ b) * np.sqrt(weight)
        if target.size > terms:
            scale = max(1.0, 1.4826 * float(np.median(left)))
        robust = np.minimum(1, 2 * scale / np.maximum(left, 1e-12))
    bias = columns @ b
    doubt = scale * np.sqrt(
        np.einsum("ia,ab,ib->i", columns, np.linalg.pinv(normal, hermitian=True), columns)
    )
    return bias if (np.abs(bias) > SIGNIFICANT * doubt).any() else np.zeros_like(bias)


def mirrored_tilts(
    frames: Field,
    reference: FixedFrames,
    tilt_deg: Float64Array,
    residual: Float64Array,
    *,
    max_shift_px: float,
) -> bool:
    """Whether the angles have the wrong sign.

    If so, frames fit the reference at the opposite tilt much better than at their own.

    Parameters
    ----------
    frames, reference, max_shift_px : as in :func:`register_energies`
    tilt_deg : (n_tilt,) degrees
    residual : (n_tilt,) residual of the registration at their own tilts
    """
    opposite = np.abs(tilt_deg[:, None] + tilt_deg[None, :]).argmin(axis=1)
    far = (np.abs(tilt_deg) > 15) & (np.abs(tilt_deg[opposite] + tilt_deg) < 1.0)
    chosen = np.flatnonzero(far)[:: max(1, int(far.sum()) // 12)]
    if chosen.size < 3:
        return False
    there = register_energies(
        reordered(frames, chosen),
        FixedFrames(reordered(reference.frames, opposite[chosen]), reference.sigma_px),
        max_shift_px=max_shift_px,
        chemistry=False,
    ).residual
    if not (np.isfinite(there).any() and np.isfinite(residual[chosen]).any()):
        return False
    return bool(np.nanmedian(there) < MIRROR_GAIN * np.nanmedian(residual[chosen]))


def without_margin(mask: BoolArray) -> BoolArray:
    """Leave out the outermost twentieth of each frame at every side."""
    kept = mask.copy()
    n_y, n_x = mask.shape[1:]
    edge_y, edge_x = max(2, n_y // 20), max(2, n_x // 20)
    kept[:, :edge_y] = kept[:, -edge_y:] = False
    kept[:, :, :edge_x] = kept[:, :, -edge_x:] = False
    return kept
