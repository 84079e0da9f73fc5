"""Registration of the energies of one tilt with each other: shift per frame, magnification per energy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.align.parallel import frame_groups
from pipeline.align.register import coarse_shifts, fill_invalid, refine_shifts, similarity_steps, smooth
from pipeline.arrays import BoolArray, Float64Array, FloatArray
from pipeline.slabs import Field, Reordered

BACKGROUND_PX = 20.0
"""Structure broader than this (Gaussian standard deviation) is background."""
MIRROR_GAIN = 0.7
"""Frames that fit the opposite tilt with a misfit smaller by this factor have angles of the wrong sign."""


@dataclass(frozen=True)
class EnergyRegistration:
    """How one energy sits on the reference energy.

    Attributes
    ----------
    shifts : (n_tilt, 2) float64 (dy, dx), px: content sits at +dy, +dx from where the reference has it
    residual : (n_tilt,) rms misfit in units of the reference image's standard deviation; 1 is no relation
    magnification : relative magnification against the reference, median over the tilts; 1 is the same
    magnification_error : its standard error
    """

    shifts: Float64Array
    residual: Float64Array
    magnification: float
    magnification_error: float


def register_energies(
    frames: Field,
    reference: Field,
    *,
    max_shift_px: float,
    sigma_px: float,
    on_frames: Callable[[int], None] | None = None,
) -> EnergyRegistration:
    """Shift of each frame of one energy against the reference energy's frame at the same tilt.

    Parameters
    ----------
    frames, reference : (n_tilt, n_y, n_x) float32 optical densities on one pixel size, NaN where invalid; read in groups
    max_shift_px : largest shift searched
    sigma_px : Gaussian smoothing before registration
    on_frames : told how many frames are done
    """
    n_tilt = frames.shape[0]
    shifts, residual, growth = np.zeros((n_tilt, 2)), np.zeros(n_tilt), np.zeros(n_tilt)
    for group in frame_groups(frames.shape):
        shifts[group], residual[group], growth[group] = _registered(
            np.asarray(frames[group]), np.asarray(reference[group]), max_shift_px, sigma_px
        )
        if on_frames is not None:
            on_frames(group.stop)
    known = growth[np.isfinite(growth)]
    if known.size == 0:
        return EnergyRegistration(shifts, residual, 1.0, np.inf)
    centre = float(np.median(known))
    scatter = 1.4826 * float(np.median(np.abs(known - centre))) if known.size > 2 else np.inf
    # The median's standard error is 1.25 times that of the mean.
    return EnergyRegistration(shifts, residual, 1 + centre, 1.25 * scatter / np.sqrt(known.size))


def _registered(
    frames: FloatArray, reference: FloatArray, max_shift_px: float, sigma_px: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Shift, residual and relative magnification less 1 of each frame."""
    weights = without_margin(np.isfinite(reference))
    frames, reference = fill_invalid(frames), fill_invalid(reference)
    moving, fixed = smooth(frames, sigma_px=sigma_px), smooth(reference, sigma_px=sigma_px)
    start = coarse_shifts(moving, fixed, max_shift_px=max_shift_px)
    # A slow background that differs between the energies must not pull the shift, nor the rim of the detector.
    moving -= smooth(frames, sigma_px=BACKGROUND_PX)
    fixed -= smooth(reference, sigma_px=BACKGROUND_PX)
    shifts, residual = refine_shifts(moving, fixed, weights, start, iterations=30, free_gain=True)
    steps, _ = similarity_steps(moving, fixed, weights, shifts)
    return shifts, residual, steps[:, 3]


def mirrored_tilts(
    frames: Field,
    reference: Field,
    tilt_deg: Float64Array,
    residual: Float64Array,
    *,
    max_shift_px: float,
    sigma_px: float,
) -> bool:
    """Whether frames fit the reference at the opposite tilt much better than at their own: angles of the wrong sign.

    Parameters
    ----------
    frames, reference, max_shift_px, sigma_px : as in :func:`register_energies`
    tilt_deg : (n_tilt,) degrees
    residual : (n_tilt,) what the registration at their own tilts left
    """
    opposite = np.abs(tilt_deg[:, None] + tilt_deg[None, :]).argmin(axis=1)
    far = (np.abs(tilt_deg) > 15) & (np.abs(tilt_deg[opposite] + tilt_deg) < 1.0)
    chosen = np.flatnonzero(far)[:: max(1, int(far.sum()) // 12)]
    if chosen.size < 3:
        return False
    there = register_energies(
        Reordered(frames, chosen),
        Reordered(reference, opposite[chosen]),
        max_shift_px=max_shift_px,
        sigma_px=sigma_px,
    ).residual
    return bool(np.nanmedian(there) < MIRROR_GAIN * np.nanmedian(residual[chosen]))


def without_margin(mask: BoolArray) -> BoolArray:
    """Leave out the outermost twentieth of each frame at every side."""
    kept = mask.copy()
    n_y, n_x = mask.shape[1:]
    edge_y, edge_x = max(2, n_y // 20), max(2, n_x // 20)
    kept[:, :edge_y] = kept[:, -edge_y:] = False
    kept[:, :, :edge_x] = kept[:, :, -edge_x:] = False
    return kept
