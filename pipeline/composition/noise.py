"""How much of a deviation is noise: replicates of the measurement, and the null run on a uniform particle.

A replicate draws new element sinograms from the reconstructed composition, with the covariance of the measurement, and
reconstructs them by the same chain. Their scatter is the noise of the deviation; what they miss of the composition they were
drawn from is its bias (thin domains shrink). The null run is a replicate of the same particle with every element on target.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.ndimage

from pipeline.arrays import BoolArray, Float64Array, FloatArray
from pipeline.composition.decomposition import pair_index
from pipeline.composition.deviation import ColumnDensities, Composition
from pipeline.reconstruct.blur import blur, gaussian_taps
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.projector import forward, projections_from_blocks, to_blocks

SIGMA_SCALE = 2.3
"""By how much errors of the deviation exceed the departures of its replicates, in and around domains of simulated particles:
chosen so that 68 % of those voxels lie within one standard error (``benchmarks/uncertainty_calibration.py``)."""

SIGMA_FLOOR = 0.01
"""Least standard error of a deviation."""


def project(volume: FloatArray, tilt_deg: Float64Array, *, psf_px: float = 0.0) -> FloatArray:
    """Line integrals of a volume (n_z, n, n) on a detector of n columns: (n_tilt, n_z, n) float32, in pixels.

    ``psf_px`` is the standard deviation of the instrument's point spread, 0 for none.
    """
    geometry = TiltGeometry.square(tilt_deg, volume.shape[-1])
    sinogram = blur(forward(to_blocks(volume), geometry), gaussian_taps(psf_px))
    return projections_from_blocks(sinogram, volume.shape[0])


def noise_factor(covariance: FloatArray) -> FloatArray:
    """Lower Cholesky factor of the covariance of every pixel.

    Parameters
    ----------
    covariance : (n_pair, …) float32, upper triangle row by row; inf where not known

    Returns
    -------
    (n_pair, …) float32: entry (i, j) of the upper triangle holds L[j, i]; 0 where not known
    """
    n = int((np.sqrt(8 * covariance.shape[0] + 1) - 1) / 2)
    index = {pair: row for row, pair in enumerate(pair_index(n))}
    known = np.isfinite(covariance).all(axis=0)
    factor = np.zeros_like(covariance)
    for j in range(n):  # column j of L
        diagonal = np.where(known, covariance[index[(j, j)]], 0)
        for k in range(j):
            diagonal = diagonal - factor[index[(k, j)]] ** 2
        diagonal = np.sqrt(np.maximum(diagonal, 0))
        factor[index[(j, j)]] = diagonal
        for i in range(j + 1, n):
            total = np.where(known, covariance[index[(j, i)]], 0)
            for k in range(j):
                total = total - factor[index[(k, i)]] * factor[index[(k, j)]]
            factor[index[(j, i)]] = np.divide(total, diagonal, out=np.zeros_like(total), where=diagonal > 0)
    return factor


def draw(
    oxygen: FloatArray, metal: FloatArray, data: ColumnDensities, *, rng: np.random.Generator
) -> ColumnDensities:
    """Draw element sinograms around their expectation with the measurement's covariance, tilt by tilt.

    Parameters
    ----------
    oxygen, metal : (n_tilt, n_z, n_s) float32, µm: expectation for oxygen, and for every metal
    data : the measurement, whose gaps and covariance the draw takes over
    """
    n = len(data.atoms)
    areal = np.empty((n, *oxygen.shape), np.float32)
    for tilt in range(oxygen.shape[0]):
        factor = noise_factor(np.asarray(data.covariance[:, tilt]))
        white = rng.standard_normal((n, *oxygen.shape[1:]), dtype=np.float32)
        areal[0, tilt], areal[1:, tilt] = oxygen[tilt], metal[tilt]
        for row, (i, j) in enumerate(pair_index(n)):  # factor of pair (i, j) is L[j, i]
            areal[j, tilt] += factor[row] * white[i]
        areal[:, tilt, ~np.isfinite(np.asarray(data.areal[:, tilt])).all(axis=0)] = np.nan
    return replace(data, areal=areal)


def uniform_composition(composition: Composition) -> Composition:
    """Build the same particle with TM = reference · O and the same total everywhere: the deviation is 0; oxygen only."""
    oxygen = 2 / (1 + np.float32(composition.reference_tm_o)) * composition.total
    particle = composition.particle
    return Composition(
        oxygen[None],
        np.zeros_like(composition.difference),
        np.where(particle, np.float32(0), np.float32(np.nan)),
        particle,
        composition.total,
        composition.reference_tm_o,
        {},
    )


def expected_sinograms(
    composition: Composition, data: ColumnDensities, *, psf_px: float
) -> tuple[FloatArray, FloatArray]:
    """Project a composition: oxygen, and TM = reference · O + difference for every metal; (n_tilt, n_z, n_s) float32, µm."""
    oxygen = project(composition.elements[0], data.tilt_deg, psf_px=psf_px)
    metal = project(composition.difference, data.tilt_deg, psf_px=psf_px)
    metal += np.float32(composition.reference_tm_o) * oxygen
    return np.float32(data.pixel_um) * oxygen, np.float32(data.pixel_um) * metal


def replicate(
    composition: Composition,
    data: ColumnDensities,
    *,
    psf_px: float,
    solve: Callable[[ColumnDensities, Composition], Composition],
    rng: np.random.Generator,
) -> FloatArray:
    """Reconstruct one noisy copy of a composition by the same chain: its deviation (n_z, n_y, n_x), NaN outside.

    ``psf_px`` is the point spread that ``solve`` undoes; 0 where the composition is as blurred as the data.
    """
    noisy = draw(*expected_sinograms(composition, data, psf_px=psf_px), data, rng=rng)
    return solve(noisy, composition).deviation


def deviation_sigma(
    replicates: list[FloatArray], deviation: FloatArray, particle: BoolArray, *, smoothing_px: float
) -> FloatArray:
    """Standard error of the deviation from its replicates, bias included: (n_z, n_y, n_x) float32, NaN outside.

    The mean square departure of the replicates from the deviation they were drawn from is averaged over a Gaussian
    neighbourhood inside the particle, because a handful of replicates says little about a single voxel. Replicates of a
    regularised estimate scatter less than that estimate does around the truth: their root mean square is scaled by
    ``SIGMA_SCALE``, above a floor of ``SIGMA_FLOOR``.
    """
    square = np.zeros(deviation.shape, np.float64)
    count = np.zeros(deviation.shape, np.float64)
    for one in replicates:
        both = particle & np.isfinite(one) & np.isfinite(deviation)
        square[both] += (one[both].astype(np.float64) - deviation[both]) ** 2
        count[both] += 1
    weight = scipy.ndimage.gaussian_filter(count, smoothing_px)
    mean = scipy.ndimage.gaussian_filter(square, smoothing_px)
    sigma = np.full(deviation.shape, np.nan, np.float32)
    inside = particle & (weight > 1e-6)
    sigma[inside] = np.hypot(SIGMA_SCALE * np.sqrt(mean[inside] / weight[inside]), SIGMA_FLOOR)
    return sigma
