"""Shifts between the energies of a tilt series that do not depend on the composition.

Two energies show different substances with different contrast, so a correlation of their frames
finds false shifts: carbon beside an oxide is most of the contrast below the oxygen edge and nearly
nothing above the nickel edge. Here the spectra of all energies together are the model. Where the
frames are aligned, the optical densities of a pixel are a spectrum of the sample. These spectra
fill only some directions of the space of energies. Their second moment ``S``, from rays without
strong gradients, says which. A frame shifted by ``δ`` adds ``−g·δ`` to its own energy alone (``g``
the gradient), which is not a spectrum of the sample. With Gaussian spectra of moment ``S`` and
noise ``D``,

``δ = (Gᵀ R G + P)⁻¹ Gᵀ R y``,  ``R = (S + D)⁻¹``,

summed over the pixels of a tilt, is the generalised least-squares estimate (Aitken, Proc. R. Soc.
Edinb. 55, 42, 1936); ``P`` is a weak prior. The amount of the commonest spectrum is free in every
pixel. Composition that varies smoothly over the particle is free in every tilt. Pixels whose
spectra are unlike the others (a clump of carbon on an oxide) are left out, because their rims would
look like shifts. A shift common to all energies is a change of the sample's position, which spectra
do not determine; it is not changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numba import njit

from oxytomo.align.parallel import map_frames
from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.preprocess.averaged_rays import AveragedRays, averaged_rays
from oxytomo.slabs import Field

LEAST_ENERGIES = 4
"""With fewer energies, spectra do not separate shifts from composition."""
LEAST_RAYS = 200
ROUNDS = 4
SETTLED_PX = 0.01
"""The iteration ends after a step shorter than this: the rest is of second order in it."""
RELINEARISED_PX = 0.1
"""After a step longer than this the gradients are computed again."""
PRIOR_PX = 0.5
"""Standard deviation of the remaining shifts that is expected, the prior."""
GRADIENT_SMOOTHING_PX = 1.0
LEAST_GRADIENT = 0.005
"""Pixels with a smaller gradient of the optical density (per pixel) do not determine a shift."""
MOST_PIXELS = 12_000
"""Largest number of pixels of a frame; more add nothing, so an even subset is taken."""
USUAL_SHARE = 0.8
"""Share of the averaged rays that enter the moment: those with the most similar spectra."""
UNUSUAL = 6.0
"""χ² per energy, averaged over 5 × 5 pixels, above which spectra are unlike the others."""
FREE = 1e4
DIRECTIONS = 2
"""Directions of the spectra beside the commonest whose amounts may vary smoothly over the particle
(from side to side, or from rim to centre). They are free in every tilt."""
ERROR_FLOOR_PX = 0.005
"""Error that blur, interpolation and the choice of the moment leave, on simulated series whose
shifts are known."""
LOOKED_AT = 9
"""Number of tilts that decide whether a correction is needed."""
SIGNIFICANT = 3.0
"""A series is moved if the root mean square of its shifts over the tilts exceeds this many times
their errors."""


@dataclass(frozen=True)
class EnergyShifts:
    """Shifts of the energies of one tilt against their mean.

    Attributes
    ----------
    shift_px, error_px : (n_energy, 2) float64, rows and columns: content sits at +shift from the
        mean position of all energies; errors include the noise and the misfit of the spectra
    """

    shift_px: Float64Array
    error_px: Float64Array


def shifts_between_energies(
    value: Field, variance: Field, on_tilt: Callable[[int, int], None] | None = None
) -> EnergyShifts | None:
    """Find the remaining shifts between the energies of an aligned series.

    None if no shift exceeds its error.

    Parameters
    ----------
    value, variance : (n_energy, n_tilt, n_y, n_x) float32, aligned optical densities, NaN and inf
        where invalid; they are read tilt by tilt
    on_tilt : told (tilts done, tilts in all)

    Returns
    -------
    Shifts of all tilts with arrays (n_energy, n_tilt, 2); zero for energies without a significant
    shift
    """
    n_energy, n_tilt = value.shape[:2]
    if n_energy < LEAST_ENERGIES:
        return None
    tilts = np.unique(np.linspace(0, n_tilt - 1, LOOKED_AT).round().astype(int))
    rays = averaged_rays(value, variance, tilts)
    if len(rays) < LEAST_RAYS:
        return None
    moment = spectral_moment(rays)

    def of_tilts(which: list[int]) -> tuple[Float64Array, Float64Array]:
        def one(tilt: int) -> EnergyShifts:
            return energy_shifts(np.asarray(value[:, tilt]), np.asarray(variance[:, tilt]), moment)

        found = []
        for start in range(0, len(which), 16):
            found += map_frames(one, which[start : start + 16])
            if on_tilt is not None:
                on_tilt(min(start + 16, len(which)), len(which))
        return np.stack([f.shift_px for f in found], 1), np.stack([f.error_px for f in found], 1)

    if not _moved(*of_tilts([int(t) for t in tilts])).any():
        return None
    shift, error = of_tilts(list(range(n_tilt)))
    moved = _moved(shift, error)
    return EnergyShifts(np.where(moved[:, None, None], shift, 0), error) if moved.any() else None


def _moved(shift: Float64Array, error: Float64Array) -> BoolArray:
    """Return which energies are shifted by more than their errors."""
    significant: BoolArray = np.sqrt(np.mean((shift / error) ** 2, axis=(1, 2))) > SIGNIFICANT
    return significant


def spectral_moment(rays: AveragedRays) -> Float64Array:
    """Second moment of the usual spectra of a sample without noise, (n_energy, n_energy).

    The amount of the commonest spectrum is free.

    Spectra are relative to their mean over the energies. Substances scale with the thickness, so
    their spectra differ little where a rim is thin, while a shift has its largest effect there.
    """
    mean = rays.density.mean(axis=1, keepdims=True)
    spectra, noise = rays.density / mean, rays.variance / mean**2
    usual = np.ones(len(rays), bool)
    for _ in range(4):
        moment = spectra[usual].T @ spectra[usual] / np.count_nonzero(usual)
        moment -= np.diag(noise[usual].mean(axis=0))
        values, vectors = np.linalg.eigh(moment)
        values = np.maximum(values, 0)
        values[-1] *= FREE
        free = np.asarray((vectors * values) @ vectors.T, np.float64)
        square = _squares(rays.density, rays.variance, free)
        usual = square <= np.quantile(square, USUAL_SHARE)
    return free


def energy_shifts(density: FloatArray, variance: FloatArray, moment: Float64Array) -> EnergyShifts:
    """Estimate the shifts between the energies of one tilt.

    Parameters
    ----------
    density, variance : (n_energy, n_y, n_x) float32, optical density on one grid, NaN and inf where
        invalid
    moment : of :func:`spectral_moment`
    """
    n = density.shape[0]
    valid = np.isfinite(density) & np.isfinite(variance) & (variance > 0)
    filled, noise = np.where(valid, density, 0).astype(np.float64), np.where(valid, variance, 1)
    usable = scipy.ndimage.binary_erosion(valid.all(axis=0), iterations=2)
    usable &= ~_unusual(filled, noise, np.asarray(valid.all(axis=0)), moment)
    shapes, vectors = _smooth_shapes(usable.shape), np.linalg.eigh(moment)[1][:, -1 - DIRECTIONS : -1].T
    n_all = 2 * n + shapes.shape[1] * DIRECTIONS
    prior = np.diag([1 / PRIOR_PX**2] * (2 * n) + [1e-12] * (n_all - 2 * n))
    shift, normal, scale = np.zeros((n, 2)), np.zeros((n_all, n_all)), 1.0
    frames, splines, step, slopes = filled, None, np.full((n, 2), np.inf), np.zeros((0, 0, 0, 0))
    for _ in range(ROUNDS):
        if np.abs(step).max() > RELINEARISED_PX:
            slopes = np.stack([_gradient(frame) for frame in frames], axis=1)
            steep = usable & (np.hypot(slopes[0], slopes[1]).max(axis=0) > LEAST_GRADIENT)
            rows = np.flatnonzero(steep)
            rows = rows[:: -(-rows.size // MOST_PIXELS) or 1]
            if rows.size < 10 * n:
                return EnergyShifts(np.zeros((n, 2)), np.full((n, 2), PRIOR_PX))
            moves = np.ascontiguousarray(slopes.reshape(2, n, -1)[:, :, rows].transpose(2, 1, 0))
            s, smooth = np.ascontiguousarray(noise.reshape(n, -1)[:, rows].T, np.float64), shapes[rows]
        y = np.ascontiguousarray(frames.reshape(n, -1)[:, rows].T)
        normal, right = np.zeros((n_all, n_all)), np.zeros(n_all)
        square = _accumulate(y, s, moves, smooth, vectors, moment, normal, right)
        scale = max(1.0, square / (rows.size * (n - 1)))
        already = np.concatenate([shift.ravel(), np.zeros(n_all - 2 * n)])
        step = np.linalg.solve(normal + prior, right - prior @ already)[: 2 * n].reshape(n, 2)
        step -= step.mean(axis=0)
        shift += step
        if np.abs(step).max() < SETTLED_PX:
            break
        if splines is None:
            splines = [scipy.ndimage.spline_filter(frame, order=3) for frame in filled]
        frames = np.stack(
            [
                scipy.ndimage.shift(spline, -move, order=3, prefilter=False)
                for spline, move in zip(splines, shift, strict=True)
            ]
        )
    # Deviations from the mean: the common shift, which is not determined, cancels.
    less_mean = np.kron(np.eye(n) - 1 / n, np.eye(2))
    covariance = less_mean @ np.linalg.inv(normal / scale + prior)[: 2 * n, : 2 * n] @ less_mean.T
    error = np.hypot(np.sqrt(np.diag(covariance)).reshape(n, 2), ERROR_FLOOR_PX)
    return EnergyShifts(shift - shift.mean(axis=0), error)


def _smooth_shapes(shape: tuple[int, ...]) -> Float64Array:
    """Return the basis of a composition that varies smoothly over the frame: (n_pixel, n_shape)."""
    y, x = np.indices(shape).reshape(2, -1) / (0.5 * max(shape)) - 1
    return np.asarray(np.stack([np.ones_like(x), x, y, x * x + y * y], axis=1), np.float64)


def _gradient(frame: Float64Array) -> Float64Array:
    """Gradient along rows and columns, (2, n_y, n_x), per pixel."""
    return np.stack(
        [
            scipy.ndimage.gaussian_filter(frame, GRADIENT_SMOOTHING_PX, order=order)
            for order in ((1, 0), (0, 1))
        ]
    )


def _unusual(
    density: Float64Array, variance: FloatArray, known: BoolArray, moment: Float64Array
) -> BoolArray:
    """Return which pixels have spectra unlike those of the moment, and two pixels around them."""
    n, n_y, n_x = density.shape
    rays, noise = (np.ascontiguousarray(a.reshape(n, -1).T, np.float64) for a in (density, variance))
    square = np.where(known, _squares(rays, noise, moment).reshape(n_y, n_x), 0)
    # A single outlier must not exclude its neighbours.
    smooth = scipy.ndimage.uniform_filter(np.minimum(square, 40 * n), 5)
    unlike: BoolArray = scipy.ndimage.binary_dilation(smooth > UNUSUAL * n, iterations=2)
    return unlike


def _squares(density: Float64Array, variance: Float64Array, moment: Float64Array) -> Float64Array:
    """Return yᵀ(S + D)⁻¹y of every ray."""
    found = np.empty(len(density))
    _mahalanobis(density, variance, moment, found)
    return found


@njit(cache=True, nogil=True)
def _factor(moment, scale, noise, lower):  # type: ignore[no-untyped-def]
    """Lower Cholesky factor of S + D of one ray.

    S is in proportion to the square of the optical density of the ray.
    """
    n = noise.size
    for i in range(n):
        for j in range(i + 1):
            total = scale * moment[i, j]
            if i == j:
                total += noise[i]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(max(total, 1e-30)) if i == j else total / lower[j, j]


@njit(cache=True, nogil=True)
def _whiten(lower, vector):  # type: ignore[no-untyped-def]
    """Solve L x = vector in place."""
    for i in range(vector.size):
        total = vector[i]
        for k in range(i):
            total -= lower[i, k] * vector[k]
        vector[i] = total / lower[i, i]


@njit(cache=True, nogil=True)
def _mahalanobis(density, variance, moment, found):  # type: ignore[no-untyped-def]
    n_ray, n = density.shape
    lower, y = np.zeros((n, n)), np.zeros(n)
    for r in range(n_ray):
        y[:] = density[r]
        _factor(moment, max(y.mean(), 0.0) ** 2, variance[r], lower)
        _whiten(lower, y)
        found[r] = np.sum(y * y)


@njit(cache=True, nogil=True)
def _invert(lower, whitened, inverse):  # type: ignore[no-untyped-def]
    """Return the inverse of L Lᵀ in ``inverse``; ``whitened`` is work space."""
    n = lower.shape[0]
    for a in range(n):
        for i in range(n):
            total = 1.0 if i == a else 0.0
            for k in range(a, i):
                total -= lower[i, k] * whitened[a, k]
            whitened[a, i] = total / lower[i, i] if i >= a else 0.0
    for a in range(n):
        for b in range(a + 1):
            total = 0.0
            for i in range(a, n):
                total += whitened[a, i] * whitened[b, i]
            inverse[a, b] = inverse[b, a] = total


@njit(cache=True, nogil=True)
def _accumulate(density, variance, slopes, shapes, vectors, moment, normal, right):  # type: ignore[no-untyped-def]
    """Add XᵀRX and XᵀRy of all rays; return the sum of yᵀRy.

    The columns X of a ray are minus the gradient of one energy, (n_ray, n_energy, 2), and the
    product of every shape (n_ray, n_shape), every vector (n_vector, n_energy) and the optical
    density of the ray.
    """
    n_ray, n = density.shape
    n_shape, n_vector = shapes.shape[1], vectors.shape[0]
    lower, work, inverse = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    weighted, turned, own = np.zeros(n), np.zeros((n_vector, n)), np.zeros((n_vector, n_vector))
    pull = np.zeros(n_vector)
    square = 0.0
    for r in range(n_ray):
        mean = density[r].mean()
        _factor(moment, max(mean, 0.0) ** 2, variance[r], lower)
        _invert(lower, work, inverse)
        for i in range(n):
            total = 0.0
            for j in range(n):
                total += inverse[i, j] * density[r, j]
            weighted[i] = total
            square += total * density[r, i]
        for k in range(n_vector):
            pull[k] = 0.0
            for i in range(n):
                total = 0.0
                for j in range(n):
                    total += inverse[i, j] * vectors[k, j]
                turned[k, i] = total
                pull[k] += vectors[k, i] * weighted[i]
            for m in range(k + 1):
                total = 0.0
                for i in range(n):
                    total += vectors[m, i] * turned[k, i]
                own[k, m] = own[m, k] = total
        for e in range(n):
            for a in range(2):
                g = -slopes[r, e, a]
                right[2 * e + a] += g * weighted[e]
                for f in range(e + 1):
                    for b in range(2):
                        normal[2 * e + a, 2 * f + b] -= g * slopes[r, f, b] * inverse[e, f]
        for q in range(n_shape):
            weight = shapes[r, q] * mean
            for k in range(n_vector):
                row = 2 * n + q * n_vector + k
                right[row] += weight * pull[k]
                for e in range(n):
                    part = weight * turned[k, e]
                    normal[row, 2 * e] -= part * slopes[r, e, 0]
                    normal[row, 2 * e + 1] -= part * slopes[r, e, 1]
                for p in range(q + 1):
                    other = weight * shapes[r, p] * mean
                    for m in range(n_vector):
                        normal[row, 2 * n + p * n_vector + m] += other * own[k, m]
    for a in range(normal.shape[0]):
        for b in range(a):
            normal[b, a] = normal[a, b]
    return square
