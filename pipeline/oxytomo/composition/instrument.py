"""Terms of the instrument and the sample that spare energies determine, from averaged rays.

A measurement at more energies than elements is over-determined. The part that the elements cannot
explain shows how the measurement differs from the model. The model of a ray is

``−ln[(T_e − f)/(1 − f)] = Σ_k (μ_ek + w_k·δ_ek·s_ek) m_k + Σ_c μ_ec n_c``

with stray light ``f`` (a share of the incident intensity that reaches the detector past the
sample), a factor ``1 + w_k`` on the step of an element at its own post-edge energy (tables have no
near-edge structure), a spread of that factor over the sample (it depends on the valence), and
substances beside the particle (carbon). Amounts of elements are free in every ray. Spreads and
substances are random effects with a Gaussian prior, whose widths are found with the other terms by
restricted maximum likelihood (Patterson & Thompson, Biometrika 58, 545, 1971). A term that is not
needed gets a width or a value near zero and is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.optimize
from numba import njit
from numpy.typing import NDArray

from oxytomo.arrays import Float64Array
from oxytomo.preprocess.averaged_rays import AveragedRays

STRAY_LIMIT = 0.1
"""Stray light of full-field microscopes is a few percent; no ray can transmit less than it."""
FACTOR_LIMITS = (-0.3, 4.0)
"""Limits of a near-edge factor minus 1. Tables of the step of light elements are uncertain by 10 to
30 % (Chantler, J. Phys. Chem. Ref. Data 29, 597, 2000). White lines exceed the tabulated step up to
several times; nothing absorbs much less than it."""
WIDTH_LIMITS = (1e-4, 3.0)
AT_LIMIT = 0.01
"""A value this close to a limit, as a share of its range, is not a measurement."""
PRIORS = {"stray": 0.05, "near_edge": 0.7}
"""Widths of the Gaussian priors of the global terms: a few percent of stray light, white lines of
some ten percent."""
UNITS = {"stray": 0.01, "near_edge": 0.1, "spread": 1.0, "component": 1.0}
HEAVY_TAIL = 10.0
"""A ray whose χ² exceeds the median by more than this factor counts less (the logarithm of a
Student distribution). A few rays with something else in them, or nearly opaque ones, then do not
dominate.
"""


@dataclass(frozen=True)
class Term:
    """One term that may be in the model.

    Attributes
    ----------
    name : "stray", "stray_O", "near_edge_O", "near_edge_spread_O", "carbon" …
    kind : "stray", "near_edge" (global), "spread" or "component" (random effects)
    column : (n_energy,) change of the attenuation per unit of the term, 1/µm; for stray light, 1 at
        the energies that have it
    element : index of the element that a near-edge term belongs to
    given : a value that is not fitted; a term with a given value is always in the model
    most : largest value that the rays allow; None: the usual limit
    prior : value and standard error from another measurement; such a term is always in the model
    """

    name: str
    kind: str
    column: Float64Array
    element: int | None = None
    given: float | None = None
    most: float | None = None
    prior: tuple[float, float] | None = None

    @property
    def random(self) -> bool:
        """Whether the term varies from ray to ray."""
        return self.kind in ("spread", "component")


@dataclass(frozen=True)
class Model:
    """The spectra of the elements, and the terms that are in use.

    Attributes
    ----------
    attenuation : (n_energy, n_element) float64, 1/µm, as tabulated
    terms : in the order of ``values``
    values : (n_term,) float64: stray fraction, w of a near-edge factor, width of a random effect
    covariance : (n_term, n_term) float64 of the values (widths: of their logarithm), misfit
        included
    """

    attenuation: Float64Array
    terms: tuple[Term, ...] = ()
    values: Float64Array = field(default_factory=lambda: np.zeros(0))
    covariance: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def stray(self) -> Float64Array:
        """Stray fraction of every energy, (n_energy,); 0 where the term is not in use."""
        stray = np.zeros(self.attenuation.shape[0])
        for term, value in zip(self.terms, self.values, strict=True):
            if term.kind == "stray":
                stray += value * term.column
        return stray

    @property
    def matrix(self) -> Float64Array:
        """Attenuation of the elements with their near-edge factors, (n_energy, n_element)."""
        matrix = self.attenuation.copy()
        for term, value in zip(self.terms, self.values, strict=True):
            if term.kind == "near_edge":
                matrix[:, term.element] += value * term.column
        return matrix

    @property
    def random_terms(self) -> tuple[Term, ...]:
        """Terms that vary from ray to ray."""
        return tuple(term for term in self.terms if term.random)

    @property
    def columns(self) -> Float64Array:
        """Spectra of the random effects, (n_energy, n_random)."""
        columns = [np.asarray(term.column) for term in self.random_terms]
        return np.column_stack(columns) if columns else np.zeros((self.attenuation.shape[0], 0))

    @property
    def widths(self) -> Float64Array:
        """Widths of the random effects: µm of a component, or a share of the element's step."""
        return np.array([v for t, v in zip(self.terms, self.values, strict=True) if t.random])

    def prior_scale(self, thickness_um: Float64Array) -> Float64Array:
        """Standard deviation of every random effect in a ray, (n_random, …), µm."""
        return np.array(
            [
                width * (thickness_um if term.kind == "spread" else np.ones_like(thickness_um))
                for term, width in zip(self.random_terms, self.widths, strict=True)
            ]
        ).reshape(len(self.random_terms), *thickness_um.shape)

    def thickness_um(self, mean_density: Float64Array) -> Float64Array:
        """Rough path length in the reference composition from the mean optical density."""
        typical = float(self.attenuation.sum(axis=1).mean())
        return np.maximum(mean_density / typical, 0.02)

    def corrected(
        self, density: NDArray[Any], variance: NDArray[Any], energy_axis: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Subtract the stray light: optical density and variance.

        They are NaN and inf where no transmission remains.
        """
        shape = [1] * density.ndim
        shape[energy_axis] = -1
        return without_stray_light(density, variance, self.stray.reshape(shape))


def without_stray_light(
    density: NDArray[Any], variance: NDArray[Any], stray: Float64Array | float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Subtract a stray fraction from optical densities: ``T → (T − f)/(1 − f)``.

    Returns
    -------
    density, variance : same shape and type as given; NaN and inf where the transmission is at most
        the stray fraction
    """
    if not np.any(stray):
        return density, variance
    transmission = np.exp(-density)
    rest = transmission - stray
    left = rest > 0
    safe = np.where(left, rest, 1)
    clean = np.where(left, -np.log(safe / (1 - stray)), np.nan).astype(density.dtype)
    return clean, np.where(left, variance * (transmission / safe) ** 2, np.inf).astype(variance.dtype)


@dataclass(frozen=True)
class Fit:
    """How well a model describes averaged rays.

    Attributes
    ----------
    model : with its values
    deviance : mean over the rays of −2 ln (marginal likelihood), with heavy tails, up to a constant
    chi_square : (n_ray,) float64, of every ray
    dof : degrees of freedom of a ray
    residual : (n_energy,) mean of measured minus modelled optical density, with every random effect
        at its best value
    """

    model: Model
    deviance: float
    chi_square: Float64Array
    dof: int
    residual: Float64Array

    @property
    def per_dof(self) -> float:
        """Mean χ² per degree of freedom."""
        return float(self.chi_square.mean()) / self.dof


def judged(model: Model, rays: AveragedRays, tail: float | None = None) -> Fit:
    """Return how well a model with its present values describes rays.

    ``tail`` is the χ² above which rays count less; by default it comes from the median of this fit.
    """
    n_energy, n_element = model.attenuation.shape
    density, variance = model.corrected(rays.density, rays.variance, 1)
    matrix = np.column_stack([model.matrix, model.columns])
    thickness = model.thickness_um(rays.density.mean(axis=1))
    scale = np.ones((len(rays), matrix.shape[1]))
    scale[:, n_element:] = model.prior_scale(thickness).T
    found, residual = np.empty((len(rays), 2)), np.zeros((len(rays), n_energy))
    lost = np.asarray(~np.isfinite(density).all(axis=1))
    _deviances(
        np.where(lost[:, None], 0, density),
        np.where(lost[:, None], 1, variance),
        matrix,
        n_element,
        scale,
        found,
        residual,
    )
    found[lost] = (1e6, 0)
    chi_square = found[:, 0]
    if tail is None:
        tail = tail_of(chi_square)
    deviance = float(np.mean(tail * np.log1p(chi_square / tail) + found[:, 1]))
    left = residual[~lost].mean(axis=0) if not lost.all() else np.full(n_energy, np.nan)
    return Fit(model, deviance, chi_square, n_energy - n_element, left)


def tail_of(chi_square: Float64Array) -> float:
    """Return the χ² above which rays count less."""
    return HEAVY_TAIL * max(1.0, float(np.median(chi_square)))


def fitted(model: Model, rays: AveragedRays, tail: float | None = None) -> Fit:
    """Fit the values of a model's terms by maximum marginal likelihood."""
    if tail is None:
        tail = tail_of(judged(model, rays).chi_square)

    def with_values(free: Float64Array) -> Model:
        return replace(model, values=to_values(model.terms, free))

    free_terms = [term for term in model.terms if term.given is None]
    if not free_terms:
        return judged(model, rays, tail)

    def cost(free: Float64Array) -> float:
        prior = sum(
            ((value - middle) / width) ** 2
            for (middle, width), value in zip(map(prior_of, model.terms), free, strict=True)
        )
        return judged(with_values(free), rays, tail).deviance + prior / len(rays)

    # In units in which a step of 1 has a similar effect for all of them.
    unit = np.array([UNITS[term.kind] for term in model.terms])
    best = scipy.optimize.minimize(
        lambda scaled: cost(scaled * unit),
        to_free(model.terms, model.values) / unit,
        method="L-BFGS-B",
        bounds=[
            (low / u, high / u) for (low, high), u in zip(map(bounds_of, model.terms), unit, strict=True)
        ],
        options={"maxiter": 100, "ftol": 1e-8},
    )
    return judged(with_values(best.x * unit), rays, tail)


def prior_of(term: Term) -> tuple[float, float]:
    """Return middle and width of the Gaussian prior of a term; the width is infinite without one."""
    return term.prior or (0.0, PRIORS.get(term.kind, np.inf))


def first_value(term: Term) -> float:
    """Return the start value of a term's fit."""
    if term.given is not None:
        return term.given
    if term.prior is not None:
        return term.prior[0]
    return {"stray": 2e-3, "near_edge": 1e-2, "spread": 1e-2, "component": 1e-2}[term.kind]


def to_free(terms: Sequence[Term], values: Float64Array) -> Float64Array:
    """Return the fitted parameters of values: widths as their logarithms."""
    return np.array([np.log(v) if t.random else v for t, v in zip(terms, values, strict=True)])


def to_values(terms: Sequence[Term], free: Float64Array) -> Float64Array:
    """Return the values of fitted parameters."""
    return np.array([np.exp(v) if t.random else v for t, v in zip(terms, free, strict=True)])


def bounds_of(term: Term) -> tuple[float, float]:
    """Return the limits of the fitted parameters of a term."""
    if term.given is not None:
        return term.given, term.given
    if term.kind == "stray":
        return 0.0, STRAY_LIMIT if term.most is None else min(STRAY_LIMIT, term.most)
    low, high = FACTOR_LIMITS if term.kind == "near_edge" else np.log(WIDTH_LIMITS)
    return float(low), float(high)


def at_limit(term: Term, value: float) -> bool:
    """Return whether a fitted value of a global term lies at a limit of its range, other than 0."""
    if term.random or term.given is not None:
        return False
    low, high = bounds_of(term)
    close = AT_LIMIT * (high - low)
    return value > high - close or (low < 0 and value < low + close)


def within_rays(terms: Sequence[Term], rays: AveragedRays) -> list[Term]:
    """Return the terms with stray light limited to what the darkest ray transmits.

    Three standard errors of the noise are allowed: a ray that transmits less than the stray light
    is impossible.
    """
    transmission = np.exp(-rays.density) * (1 + 3 * np.sqrt(rays.variance))
    darkest = transmission.min(axis=0) if len(rays) else np.ones(rays.density.shape[1])
    return [
        replace(term, most=float(darkest[term.column > 0].min()))
        if term.kind == "stray" and term.given is None
        else term
        for term in terms
    ]


@njit(cache=True, nogil=True)
def _deviances(density, variance, matrix, n_free, scale, found, residual):  # type: ignore[no-untyped-def]
    """Deviance of every ray: χ² and the logarithm of the determinant.

    Columns from ``n_free`` on have a prior of width 1.
    """
    n_ray, n_energy = density.shape
    n = matrix.shape[1]
    normal, right = np.zeros((n, n)), np.zeros(n)
    for r in range(n_ray):
        normal[:] = 0.0
        right[:] = 0.0
        square = 0.0
        for e in range(n_energy):
            w = 1.0 / variance[r, e]
            square += w * density[r, e] ** 2
            for i in range(n):
                x = matrix[e, i] * scale[r, i]
                right[i] += w * x * density[r, e]
                for j in range(i + 1):
                    normal[i, j] += w * x * matrix[e, j] * scale[r, j]
        for i in range(n_free, n):
            normal[i, i] += 1.0
        log_determinant = 0.0
        for i in range(n):
            for j in range(i + 1):
                total = normal[i, j]
                for k in range(j):
                    total -= normal[i, k] * normal[j, k]
                if i == j:
                    normal[i, i] = np.sqrt(max(total, 1e-300))
                    log_determinant += 2 * np.log(normal[i, i])
                else:
                    normal[i, j] = total / normal[j, j]
        for i in range(n):
            total = right[i]
            for k in range(i):
                total -= normal[i, k] * right[k]
            right[i] = total / normal[i, i]
            square -= right[i] ** 2
        for i in range(n - 1, -1, -1):
            total = right[i]
            for k in range(i + 1, n):
                total -= normal[k, i] * right[k]
            right[i] = total / normal[i, i]
        for e in range(n_energy):
            total = density[r, e]
            for i in range(n):
                total -= matrix[e, i] * scale[r, i] * right[i]
            residual[r, e] = total
        found[r, 0] = square
        found[r, 1] = log_determinant
