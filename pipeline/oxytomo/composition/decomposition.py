"""Areal densities of the elements from optical densities at several energies, with covariance.

Per detector pixel, ``OD_e = Σ_k μ_ek m_k`` is solved by weighted least squares over all energies
together. The attenuation of every element changes between the two energies of every edge. Plain
differences are therefore biased; the joint solution is not.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numba import prange

from oxytomo.arrays import Field, Float64Array, FloatArray, IntArray
from oxytomo.errors import ConfigError, InputError
from oxytomo.threads import parallel_kernel

BEYOND_NOISE = 4.0
"""An amount differs from zero, or is negative, beyond this many standard errors."""


def pair_index(n_elements: int) -> list[tuple[int, int]]:
    """Order in which the covariance of a pixel is stored: the upper triangle, row by row."""
    return list(itertools.combinations_with_replacement(range(n_elements), 2))


def tie_background(attenuation: Float64Array, background: Float64Array, atoms: Float64Array) -> Float64Array:
    """Add the attenuation of unmeasured elements (Li) to that of the measured ones.

    Half of the unmeasured attenuation is assigned to oxygen (the first element), half to the metals
    in proportion to their atoms. A particle of the reference composition is then exact, and a
    deviation of oxygen or metal changes the unmeasured part by half.

    Parameters
    ----------
    attenuation : (n_energy, n_element), 1/µm, oxygen first when there are several
    background : (n_energy,), 1/µm, sum over the unmeasured elements of the formula
    atoms : (n_element,) atoms per formula unit
    """
    share = np.asarray(atoms, np.float64).copy()
    if share.size > 1:
        share[1:] *= 0.5 / share[1:].sum()
        share[0] = 0.5
    else:
        share[:] = 1.0
    return attenuation + background[:, None] * share


def decompose_weighted(
    density: FloatArray, variance: FloatArray, attenuation: Float64Array
) -> tuple[FloatArray, FloatArray]:
    """Solve for the areal densities by weighted least squares.

    Parameters
    ----------
    density : (n_energy, …) float32, optical density, NaN where invalid
    variance : (n_energy, …) float32, of the optical density, inf where invalid
    attenuation : (n_energy, n_element) float64, 1/µm at the reference composition

    Returns
    -------
    areal : (n_element, …) float32, µm of reference density; NaN where too few energies are valid
    covariance : (n_pair, …) float32, µm²; upper triangle in the order of :func:`pair_index`, inf
        where not solved
    """
    check_independent(attenuation)
    nothing = np.zeros((attenuation.shape[0], 0))
    none = np.zeros((0, *density.shape[1:]), np.float32)
    solved = decompose_with_priors(density, variance, attenuation, nothing, none, none)
    return solved.areal, solved.covariance


def check_independent(attenuation: Float64Array) -> None:
    """Raise if the energies cannot separate the elements.

    The attenuation is (n_energy, n_element), 1/µm.
    """
    n_energy, n_element = attenuation.shape
    if np.linalg.matrix_rank(attenuation) < n_element:
        raise ConfigError(
            "edges",
            expected=f"energies that tell {n_element} elements apart",
            got=f"{n_energy} energies whose cross-sections are not independent",
            fix="give a pre- and a post-edge series for each element",
        )


@dataclass(frozen=True)
class Solved:
    """Amounts in every ray.

    Attributes
    ----------
    areal : (n_element, …) float32, µm of reference density; NaN where too few energies are valid
    extra, extra_variance : (n_extra, …) float32, amounts that have a prior, and their variance
    covariance : (n_pair, …) float32, µm², of the elements; it includes the uncertainty of the extra
        amounts
    chi_square : (…) float32, prior included; the degrees of freedom are energies minus elements
    """

    areal: FloatArray
    extra: FloatArray
    extra_variance: FloatArray
    covariance: FloatArray
    chi_square: FloatArray


def decompose_with_priors(
    density: FloatArray,
    variance: FloatArray,
    attenuation: Float64Array,
    extra: Float64Array,
    prior_mean: FloatArray,
    prior_precision: FloatArray,
) -> Solved:
    """Solve for free element amounts together with amounts that have a Gaussian prior.

    Both are solved for in every ray.

    Parameters
    ----------
    density, variance, attenuation : as in :func:`decompose_weighted`
    extra : (n_energy, n_extra) float64, 1/µm, spectra of the amounts that have a prior
    prior_mean, prior_precision : (n_extra, …) float32, µm and µm⁻²
    """
    n_energy, n = attenuation.shape[0], attenuation.shape[1] + extra.shape[1]
    n_element, shape = attenuation.shape[1], density.shape[1:]
    areal = np.empty((n, int(np.prod(shape))), np.float32)
    covariance = np.empty((n * (n + 1) // 2, areal.shape[1]), np.float32)
    chi_square = np.empty(areal.shape[1], np.float32)
    _solve(
        density.reshape(n_energy, -1),
        variance.reshape(n_energy, -1),
        np.ascontiguousarray(np.column_stack([attenuation, extra])),
        prior_mean.reshape(extra.shape[1], areal.shape[1]),
        prior_precision.reshape(extra.shape[1], areal.shape[1]),
        areal,
        covariance,
        chi_square,
    )
    pairs = pair_index(n)
    elements = [row for row, (i, j) in enumerate(pairs) if max(i, j) < n_element]
    diagonal = [pairs.index((k, k)) for k in range(n_element, n)]
    areal, covariance = areal.reshape(n, *shape), covariance.reshape(-1, *shape)
    return Solved(
        areal[:n_element],
        areal[n_element:],
        covariance[diagonal],
        covariance[elements],
        chi_square.reshape(shape),
    )


def decompose_differences(
    density: FloatArray, variance: FloatArray, attenuation: Float64Array, *, pairs: list[tuple[int, int]]
) -> tuple[FloatArray, FloatArray]:
    """Subtract pre-edge from post-edge images and divide by each element's own step.

    This is the common two-energy method, kept for comparison.

    It neglects that the attenuation of the other elements changes between the two energies, which
    biases the result. ``pairs`` holds the (pre, post) energy index of each element.
    """
    n_element = len(pairs)
    areal = np.empty((n_element, *density.shape[1:]), np.float32)
    covariance = np.zeros((n_element * (n_element + 1) // 2, *density.shape[1:]), np.float32)
    index = pair_index(n_element)
    for k, (pre, post) in enumerate(pairs):
        step = attenuation[post, k] - attenuation[pre, k]
        areal[k] = (density[post] - density[pre]) / np.float32(step)
        covariance[index.index((k, k))] = (variance[post] + variance[pre]) / np.float32(step**2)
    return areal, covariance


def scale_signals(
    value: FloatArray, variance: FloatArray, *, pixel_um: float
) -> tuple[FloatArray, FloatArray, Float64Array]:
    """Scale element signals (EDS or fluorescence counts) to relative densities of about 1.

    They are about 1 inside the particle.

    Every element is divided by its own mean over the particle and multiplied by the mean thickness
    of a ball with the particle's shadow. The scale of an element cancels in a deviation that refers
    to the particle's own mode.

    Parameters
    ----------
    value, variance : (n_element, n_tilt, n_y, n_x) float32
    pixel_um : detector pixel, µm

    Returns
    -------
    areal, covariance : as :func:`decompose_weighted`; the elements are independent
    totals : (n_element,) float64, mean signal of each element, relative to the sum of all
    """
    n_element = value.shape[0]
    filled = np.where(np.isfinite(value), value, 0)
    everything = filled.sum(axis=0)
    limit = 0.2 * float(np.percentile(everything, 99))
    shadow = everything > limit
    thickness_um = 4 / 3 * np.sqrt(shadow.sum() / shadow.shape[0] / np.pi) * pixel_um
    means = np.array([float(v[shadow].mean()) if shadow.any() else 0.0 for v in filled])
    if not (means > 0).all():
        raise InputError(
            "elements",
            expected="a positive signal of every element in the particle",
            got=f"mean signals {', '.join(f'{m:.3g}' for m in means)}",
            fix="leave out the elements that were not detected",
        )
    factors = (thickness_um / means).astype(np.float32)
    covariance = np.zeros((n_element * (n_element + 1) // 2, *value.shape[1:]), np.float32)
    for row, (i, j) in enumerate(pair_index(n_element)):
        if i == j:
            covariance[row] = variance[i] * factors[i] ** 2
    return value * factors[:, None, None, None], covariance, means / means.sum()


def combine(
    areal: Field, covariance: Field, coefficients: Float64Array, tilts: slice
) -> tuple[FloatArray, FloatArray]:
    """Linear combination of the elements and its variance, for some tilts.

    Only the data needed are read.

    Parameters
    ----------
    areal : (n_element, n_tilt, …); covariance : (n_pair, n_tilt, …), see :func:`decompose_weighted`
    coefficients : (n_element,)

    Returns
    -------
    value, variance : (tilts, …) float32, µm and µm²; NaN and inf where not solved
    """
    shape = (len(range(*tilts.indices(areal.shape[1]))), *areal.shape[2:])
    value, variance = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for element in np.flatnonzero(coefficients):
        value += np.float32(coefficients[element]) * np.asarray(areal[int(element), tilts])
    for row, (i, j) in enumerate(pair_index(areal.shape[0])):
        factor = coefficients[i] * coefficients[j] * (1 if i == j else 2)
        if factor != 0:
            pair = np.asarray(covariance[row, tilts])
            # inf where not solved, in all pairs: an inf of the other sign would make NaN
            variance += np.where(np.isfinite(pair), np.float32(factor) * pair, np.float32(np.inf))
    variance[~(np.isfinite(value) & (variance > 0))] = np.inf
    return value, variance


@parallel_kernel(element_ns=30, nogil=True)
def _solve(density, variance, attenuation, prior_mean, prior_precision, areal, covariance, chi_square):  # type: ignore[no-untyped-def]
    n_energy, n_pixel = density.shape
    n = attenuation.shape[1]
    n_prior = prior_mean.shape[0]
    n_free = n - n_prior
    for p in prange(n_pixel):
        normal = np.zeros((n, n))
        right = np.zeros(n)
        valid = 0
        square = 0.0
        for e in range(n_energy):
            v, d = variance[e, p], density[e, p]
            if np.isfinite(d) and np.isfinite(v) and v > 0:
                valid += 1
                w = 1.0 / v
                square += w * d * d
                for i in range(n):
                    right[i] += w * attenuation[e, i] * d
                    for j in range(i + 1):
                        normal[i, j] += w * attenuation[e, i] * attenuation[e, j]
        solved = valid >= n_free
        trace = 0.0
        for i in range(n_free):
            trace += normal[i, i]
        for i in range(n_prior):
            precision, mean = prior_precision[i, p], prior_mean[i, p]
            normal[n_free + i, n_free + i] += precision
            right[n_free + i] += precision * mean
            square += precision * mean * mean
        # Cholesky factor in place, then its inverse.
        if solved:
            for i in range(n):
                for j in range(i + 1):
                    total = normal[i, j]
                    for k in range(j):
                        total -= normal[i, k] * normal[j, k]
                    if i == j:
                        if total <= 1e-9 * trace:
                            solved = False
                            break
                        normal[i, i] = np.sqrt(total)
                    else:
                        normal[i, j] = total / normal[j, j]
                if not solved:
                    break
        if not solved:
            for i in range(n):
                areal[i, p] = np.nan
            for i in range(covariance.shape[0]):
                covariance[i, p] = np.inf
            chi_square[p] = np.nan
            continue
        inverse = np.zeros((n, n))
        for i in range(n):
            inverse[i, i] = 1.0 / normal[i, i]
            for j in range(i):
                total = 0.0
                for k in range(j, i):
                    total -= normal[i, k] * inverse[k, j]
                inverse[i, j] = total / normal[i, i]
        row = 0
        for i in range(n):
            for j in range(i, n):
                total = 0.0
                for k in range(j, n):
                    total += inverse[k, i] * inverse[k, j]
                covariance[row, p] = total
                row += 1
        for i in range(n):
            total = 0.0
            for j in range(n):
                c = 0.0
                for k in range(max(i, j), n):
                    c += inverse[k, i] * inverse[k, j]
                total += c * right[j]
            areal[i, p] = total
            square -= total * right[i]
        chi_square[p] = square


def negative_share(areal: FloatArray, covariance: FloatArray) -> tuple[IntArray, IntArray]:
    """Count, per element, the rays with a negative amount, and with an amount other than zero.

    Both are counted where they exceed the noise.

    No amount of matter is negative. Where many amounts are negative, the energies are not the
    stated ones: one was measured twice, two were swapped, or two are not registered.

    Parameters
    ----------
    areal : (n_element, ...) float32, µm, NaN where unsolved
    covariance : (n_pair, ...) float32, µm², upper triangle row by row

    Returns
    -------
    negative, different : (n_element,) int64, below −4 standard errors, and beyond 4 on either side
    """
    n = areal.shape[0]
    rows, columns = np.triu_indices(n)
    variance = covariance[rows == columns]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (areal / np.sqrt(variance)).reshape(n, -1)
    negative = (ratio < -BEYOND_NOISE).sum(axis=1, dtype=np.int64)
    return negative, negative + (ratio > BEYOND_NOISE).sum(axis=1, dtype=np.int64)
