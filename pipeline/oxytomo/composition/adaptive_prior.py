"""Priors for amounts that vary from ray to ray, learned from the neighbourhood of each ray.

Carbon, a skin or a near-edge structure that follows the valence is present in some rays only. A
free solution in every ray adds noise everywhere; one prior width for all rays underestimates the
amounts where they are present. Therefore the first, free estimate is averaged over the
neighbourhood. Its mean becomes the mean of the prior, and its scatter beyond the noise becomes the
width. This is the adaptive filter of Lee (IEEE Trans. Pattern Anal. Mach. Intell. 2, 165, 1980),
used as an empirical Bayes prior.
"""

import numpy as np
import scipy.ndimage

from oxytomo.arrays import Float64Array, FloatArray

NEIGHBOURHOOD_PX = {"component": 2.0, "spread": 3.0}
"""Gaussian neighbourhood in which an amount counts as uniform: clumps have edges, near-edge
structure varies slowly."""
FREE = 30.0
"""Factor by which the priors of the first estimate are wider than those from averaged rays."""


def adapted(
    first: FloatArray, variance: FloatArray, scale: Float64Array, neighbourhood_px: float
) -> tuple[FloatArray, FloatArray]:
    """Return mean and precision of the prior of one amount in the rays of one tilt.

    Parameters
    ----------
    first, variance : (n_y, n_x) float32, first estimate and its variance, NaN where not solved
    scale : (n_y, n_x) standard deviation of the prior for all rays
    neighbourhood_px : standard deviation of the Gaussian neighbourhood
    """
    known = np.isfinite(first) & np.isfinite(variance) & (variance > 0)
    weight = np.where(known, 1 / np.where(known, variance, 1), 0).astype(np.float64)

    def smooth(image: Float64Array) -> Float64Array:
        result: Float64Array = scipy.ndimage.gaussian_filter(image, neighbourhood_px)
        return result

    value = np.where(known, first, 0).astype(np.float64)
    total = np.maximum(smooth(weight), 1e-30)
    mean = smooth(weight * value) / total
    # Variance of that mean: the Gaussian holds 4πσ² pixels.
    of_mean = 1 / (total * 4 * np.pi * neighbourhood_px**2)
    excess = np.maximum(smooth(weight * (value - mean) ** 2) / total - 1 / total, 0)
    # The prior for all rays draws the mean itself towards 0.
    kept = scale**2 / (scale**2 + of_mean)
    width = excess + kept * of_mean
    return (kept * mean).astype(np.float32), (1 / np.maximum(width, 1e-12)).astype(np.float32)
