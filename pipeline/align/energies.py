"""Registration of the energies of one tilt with each other."""

import numpy as np

from pipeline.align.register import coarse_shifts, refine_shifts, smooth
from pipeline.arrays import Float64Array, FloatArray

BACKGROUND_PX = 20.0
"""Structure broader than this (Gaussian standard deviation) is background."""


def register_energies(
    frames: FloatArray, reference: FloatArray, *, max_shift_px: float, sigma_px: float
) -> tuple[Float64Array, Float64Array]:
    """Shift of each frame of one energy against the reference energy's frame at the same tilt.

    Parameters
    ----------
    frames, reference : (n_tilt, n_y, n_x) float32 optical densities on one pixel size, NaN where invalid
    max_shift_px : largest shift searched
    sigma_px : Gaussian smoothing before registration

    Returns
    -------
    shifts : (n_tilt, 2) float64 (dy, dx), px: content sits at +dy, +dx from where the reference has it
    residual : (n_tilt,) rms misfit in units of the image's standard deviation
    """
    moving, fixed = smooth(frames, sigma_px=sigma_px), smooth(reference, sigma_px=sigma_px)
    start = coarse_shifts(moving, fixed, max_shift_px=max_shift_px)
    # A slow background that differs between the energies must not pull the shift, nor the rim of the detector.
    moving -= smooth(frames, sigma_px=BACKGROUND_PX)
    fixed -= smooth(reference, sigma_px=BACKGROUND_PX)
    weights = np.isfinite(reference)
    n_y, n_x = reference.shape[1:]
    edge_y, edge_x = max(2, n_y // 20), max(2, n_x // 20)
    weights[:, :edge_y] = weights[:, -edge_y:] = False
    weights[:, :, :edge_x] = weights[:, :, -edge_x:] = False
    return refine_shifts(moving, fixed, weights, start, iterations=30, free_gain=True)
