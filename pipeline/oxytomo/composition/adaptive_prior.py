"""Priors of what varies from ray to ray, learned from the neighbourhood of each ray.

Carbon, a skin or a near-edge structure that follows the valence is there in some rays and not in others. Solved for freely in
every ray they cost noise everywhere; held to one width for all rays they are underestimated where they are. Their first, free
estimate is therefore averaged over the neighbourhood: its mean becomes the mean of the prior, its scatter beyond the noise
the width (the adaptive filter of Lee, IEEE Trans. Pattern Anal. Mach. Intell. 2, 165, 1980, as an empirical Bayes prior).
"""

import numpy as np
import scipy.ndimage

from oxytomo.arrays import Float64Array, FloatArray

NEIGHBOURHOOD_PX = {"component": 2.0, "spread": 3.0}
"""Gaussian over whose extent an amount is taken to be alike: clumps have edges, near-edge structure changes slowly."""
FREE = 30.0
"""The first estimate has priors so many times wider than those found from averaged rays."""


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
    # The mean itself is drawn towards none by the prior for all rays.
    kept = scale**2 / (scale**2 + of_mean)
    width = excess + kept * of_mean
    return (kept * mean).astype(np.float32), (1 / np.maximum(width, 1e-12)).astype(np.float32)
