"""Noise of a deviation: replicates of the measurement, and the null run on a uniform particle.

A replicate draws new element sinograms from the reconstructed composition, with the covariance of
the measurement, and reconstructs them in the same way. The scatter of the replicates is the noise
of the deviation. Their mean difference from the composition that they were drawn from is its bias
(thin domains shrink). The null run is a replicate of the same particle with every element at the
reference composition.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, ReplicateKind
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.decomposition import pair_index
from oxytomo.composition.result import Composition
from oxytomo.reconstruct.blocks import SLICES, projections_from_blocks, to_blocks
from oxytomo.reconstruct.blur import blur, gaussian_taps
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import forward
from oxytomo.slabs import Field, fill, new_field, plane

SIGMA_SCALE = 2.3
"""Factor between the errors of the deviation and the scatter of its replicates, in and around
domains of simulated particles. It is chosen so that 68 % of those voxels lie within one standard
error (``benchmarks/uncertainty_calibration.py``)."""

STREAMS: dict[ReplicateKind, int] = {"noise": 0, "null": 1}
"""Branch of the seed sequence from which each kind of replicate takes its random numbers."""

SIGMA_FLOOR = 0.01
"""Smallest standard error of a deviation."""


def replicate_rng(seed: int, kind: ReplicateKind, number: int) -> np.random.Generator:
    """Return the random numbers of one replicate.

    They do not depend on other replicates or on their number.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS[kind], number)))


def project(volume: Field, tilt_deg: Float64Array, *, psf_px: float = 0.0) -> Field:
    """Line integrals of a volume (n_z, n, n) on n columns: (n_tilt, n_z, n) float32, in pixels.

    ``psf_px`` is the standard deviation of the instrument's point spread, 0 for none.
    """
    n_z, taps = volume.shape[0], gaussian_taps(psf_px)
    geometry = TiltGeometry.square(tilt_deg, volume.shape[-1])
    projections = new_field((geometry.n_tilt, n_z, geometry.n_columns), np.float32)
    for start in range(0, n_z, SLICES):
        stop, low = min(start + SLICES, n_z), max(0, start - taps.size)
        part = np.asarray(volume[low : min(stop + taps.size, n_z)])
        found = projections_from_blocks(blur(forward(to_blocks(part), geometry), taps), part.shape[0])
        projections[:, start:stop] = found[:, start - low : stop - low]
    return projections


def noise_factor(covariance: FloatArray) -> FloatArray:
    """Lower Cholesky factor of the covariance of every pixel.

    Parameters
    ----------
    covariance : (n_pair, …) float32, upper triangle row by row; inf where unknown

    Returns
    -------
    (n_pair, …) float32: entry (i, j) of the upper triangle holds L[j, i]; 0 where unknown
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


def draw(oxygen: Field, metal: Field, data: ColumnDensities, *, rng: np.random.Generator) -> ColumnDensities:
    """Draw element sinograms around their expectation with the measurement's covariance.

    The draw proceeds tilt by tilt.

    Parameters
    ----------
    oxygen, metal : (n_tilt, n_z, n_s) float32, µm: expectation for oxygen, and for every metal
    data : the measurement; the draw has the same gaps and covariance
    """
    n = len(data.atoms)
    areal = new_field((n, *oxygen.shape), np.float32)
    for tilts in data.parts:
        covariance, measured = np.asarray(data.covariance[:, tilts]), np.asarray(data.areal[:, tilts])
        expected = data.expected(np.asarray(oxygen[tilts]), np.asarray(metal[tilts]))
        for t in range(expected.shape[1]):
            factor = noise_factor(covariance[:, t])
            white = rng.standard_normal((n, *oxygen.shape[1:]), dtype=np.float32)
            for row, (i, j) in enumerate(pair_index(n)):  # factor of pair (i, j) is L[j, i]
                expected[j, t] += factor[row] * white[i]
        expected[:, ~np.isfinite(measured).all(axis=0)] = np.nan
        areal[:, tilts] = expected
    return replace(data, areal=areal)


def uniform_composition(composition: Composition) -> Composition:
    """Build the same particle with deviation 0: TM = reference · O, with the same total.

    Returns the oxygen only.
    """
    share = np.float32(2 / (1 + composition.reference_tm_o))
    oxygen = new_field((1, *composition.total.shape), np.float32)
    fill(plane(oxygen, 0), lambda total: share * total, composition.total)
    target = new_field(composition.total.shape, np.float32)
    fill(target, lambda inside: np.where(inside, np.float32(0), np.float32(np.nan)), composition.particle)
    return Composition(
        oxygen,
        new_field(composition.total.shape, np.float32),
        target,
        composition.particle,
        composition.total,
        composition.reference_tm_o,
        {},
    )


def expected_sinograms(
    composition: Composition, data: ColumnDensities, *, psf_px: float
) -> tuple[Field, Field]:
    """Project a composition: oxygen, and TM = reference · O + difference for every metal.

    (n_tilt, n_z, n_s) float32, µm.
    """
    oxygen = project(plane(composition.elements, 0), data.tilt_deg, psf_px=psf_px)
    metal = project(composition.difference, data.tilt_deg, psf_px=psf_px)
    pixel, ratio = np.float32(data.pixel_um), np.float32(composition.reference_tm_o)
    for tilts in data.parts:
        o, difference = np.asarray(oxygen[tilts]), np.asarray(metal[tilts])
        oxygen[tilts], metal[tilts] = pixel * o, pixel * (difference + ratio * o)
    return oxygen, metal


def replicate(
    composition: Composition,
    data: ColumnDensities,
    *,
    psf_px: float,
    solve: Callable[[ColumnDensities, Composition], Composition],
    rng: np.random.Generator,
) -> Field:
    """Reconstruct one noisy copy of a composition: its deviation (n_z, n_y, n_x), NaN outside.

    ``psf_px`` is the point spread that ``solve`` deconvolves; 0 where the composition is as blurred
    as the data.
    """
    expected = expected_sinograms(composition, data, psf_px=psf_px)
    return solve(draw(*expected, data, rng=rng), composition).deviation


def deviation_sigma(
    replicates: Sequence[Field],
    deviation: Field,
    particle: Field,
    *,
    smoothing_px: float,
    scale: float = SIGMA_SCALE,
    floor: float = SIGMA_FLOOR,
) -> Field:
    """Standard error of the deviation from its replicates, bias included.

    (n_z, n_y, n_x) float32, NaN outside.

    The mean square difference between the replicates and the deviation that they were drawn from is
    averaged over a Gaussian neighbourhood inside the particle, because a few replicates say little
    about a single voxel. Replicates of a regularised estimate scatter less than that estimate does
    around the truth. Their root mean square is therefore multiplied by ``scale``, with ``floor`` as
    the lower limit.
    """

    def scatter(inside: BoolArray, center: FloatArray, *each: FloatArray) -> FloatArray:
        square, count = np.zeros(center.shape), np.zeros(center.shape)
        for one in each:
            both = inside & np.isfinite(one) & np.isfinite(center)
            square[both] += (one[both].astype(np.float64) - center[both]) ** 2
            count[both] += 1
        weight = scipy.ndimage.gaussian_filter(count, smoothing_px)
        mean = scipy.ndimage.gaussian_filter(square, smoothing_px)
        found = np.full(center.shape, np.nan, np.float32)
        known = inside & (weight > 1e-6)
        found[known] = np.hypot(scale * np.sqrt(mean[known] / weight[known]), floor)
        return found

    sigma = new_field(deviation.shape, np.float32)
    # SciPy truncates Gaussians at four standard deviations; sums are in double precision.
    halo = int(4 * smoothing_px + 0.5)
    fill(sigma, scatter, particle, deviation, *replicates, halo=halo, times_thinner=3)
    return sigma
