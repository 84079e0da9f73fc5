"""Terms of the instrument and the sample that the spare energies of a measurement can tell, found from averaged rays.

A measurement at more energies than elements is over-determined: what the elements cannot explain tells how the
measurement differs from the model. The model of a ray is

``−ln[(T_e − f)/(1 − f)] = Σ_k (μ_ek + w_k·δ_ek·s_ek) m_k + Σ_c μ_ec n_c``

with stray light ``f`` (a share of the incident intensity that reaches the detector past the sample), a factor ``1 + w_k``
on the step of an element at its own post-edge energy (tables hold no near-edge structure), a spread of that factor over the
sample (valence changes it), and substances beside the particle (carbon). Amounts of elements are free in every ray; spreads and
substances are random effects with a Gaussian prior, whose widths are found with the other terms by maximum marginal
likelihood (restricted maximum likelihood; Patterson & Thompson, Biometrika 58, 545, 1971). A term without use gets a width or a
value near zero and is left out.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.optimize
from numba import get_num_threads, njit
from numpy.typing import NDArray

from pipeline.arrays import Float64Array
from pipeline.preprocess.averaged_rays import AveragedRays

STRAY_LIMIT = 0.2
FACTOR_LIMITS = (-0.6, 4.0)
WIDTH_LIMITS = (1e-4, 3.0)
PRIORS = {"stray": 0.05, "near_edge": 0.7}
"""Widths of the Gaussian priors of the global terms: some percent of stray light, white lines of some ten percent."""
UNITS = {"stray": 0.01, "near_edge": 0.1, "spread": 1.0, "component": 1.0}
LEAST_GAIN = 0.2
"""A term is taken up if it lowers the mean deviance of an averaged ray by at least this share of the misfit that is left
(χ² per degree of freedom, at least 1), and is dropped again if leaving it out costs less."""
RAYS_FOR_CHOICE = 800
DOUBTFUL = 1.15
"""χ² per degree of freedom from which stray light of single edges is tried."""
FAR_MORE = 5.0
CLEAN = 1.3
"""χ² per degree of freedom below which one way to choose terms is enough."""
RAYS_FOR_FIT = 6_000
REFITTED = 2
"""Terms that help most, with the others as they are, are tried with all others fitted again."""
HEAVY_TAIL = 10.0
"""A ray whose χ² exceeds the median by more than this factor counts less (the logarithm of a Student distribution): a few
rays with something else in them, or nearly opaque ones, do not decide."""


@dataclass(frozen=True)
class Term:
    """One term that may be in the model.

    Attributes
    ----------
    name : "stray", "stray_O", "near_edge_O", "near_edge_spread_O", "carbon" …
    kind : "stray", "near_edge" (global), "spread" or "component" (random effects)
    column : (n_energy,) change of the attenuation per unit of the term, 1/µm; of stray light 1 for the energies that have it
    element : index of the element that a near-edge term belongs to
    given : a value that is not fitted; a term with one is always in the model
    """

    name: str
    kind: str
    column: Float64Array
    element: int | None = None
    given: float | None = None

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
    covariance : (n_term, n_term) float64 of the values (widths: of their logarithm), misfit included
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
        """Rough path length in the reference composition from the mean optical density of all energies."""
        typical = float(self.attenuation.sum(axis=1).mean())
        return np.maximum(mean_density / typical, 0.02)

    def corrected(
        self, density: NDArray[Any], variance: NDArray[Any], energy_axis: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Take the stray light off: optical density and variance, NaN and inf where nothing else is left."""
        shape = [1] * density.ndim
        shape[energy_axis] = -1
        return without_stray_light(density, variance, self.stray.reshape(shape))


def without_stray_light(
    density: NDArray[Any], variance: NDArray[Any], stray: Float64Array | float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Take a stray fraction off optical densities: ``T → (T − f)/(1 − f)``.

    Returns
    -------
    density, variance : of the shape and type given; NaN and inf where the transmission is at most the stray fraction
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
    residual : (n_energy,) mean optical density measured minus modelled, with every random effect at its best value
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
    """Return how well a model describes rays, with its values as they are.

    ``tail`` is the χ² from which rays count less; from the median of this fit where it is not given.
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
    """Return the χ² from which rays count less."""
    return HEAVY_TAIL * max(1.0, float(np.median(chi_square)))


def fitted(model: Model, rays: AveragedRays, tail: float | None = None) -> Fit:
    """Find the values of a model's terms by maximum marginal likelihood, starting from those it has."""
    if tail is None:
        tail = tail_of(judged(model, rays).chi_square)

    def with_values(free: Float64Array) -> Model:
        return replace(model, values=_to_values(model.terms, free))

    free_terms = [term for term in model.terms if term.given is None]
    if not free_terms:
        return judged(model, rays, tail)

    def cost(free: Float64Array) -> float:
        prior = sum(
            (value / PRIORS[term.kind]) ** 2
            for term, value in zip(model.terms, free, strict=True)
            if term.kind in PRIORS
        )
        return judged(with_values(free), rays, tail).deviance + prior / len(rays)

    # In units in which a step of 1 matters alike for all of them.
    unit = np.array([UNITS[term.kind] for term in model.terms])
    best = scipy.optimize.minimize(
        lambda scaled: cost(scaled * unit),
        _to_free(model.terms, model.values) / unit,
        method="L-BFGS-B",
        bounds=[(low / u, high / u) for (low, high), u in zip(map(_bounds, model.terms), unit, strict=True)],
        options={"maxiter": 100, "ftol": 1e-8},
    )
    return judged(with_values(best.x * unit), rays, tail)


def chosen(
    attenuation: Float64Array, candidates: Sequence[Term], forced: Collection[str], rays: AveragedRays
) -> tuple[Fit, Fit, list[dict[str, float | str]]]:
    """Choose the terms that the data ask for, one after the other, and fit them.

    Parameters
    ----------
    attenuation : (n_energy, n_element), tabulated
    candidates : terms that may be taken up, with those that are forced
    forced : names of terms that are in the model whatever the data say
    rays : averaged rays

    Returns
    -------
    plain, best : the fit without any term that was not forced, and the chosen one with its covariance
    steps : per term χ² per degree of freedom without it, the one that is missed most first
    """
    few = rays.some(RAYS_FOR_CHOICE)
    plain = judged(Model(attenuation), rays)
    grown = partial(_grown, attenuation, candidates, forced, few)
    with ThreadPoolExecutor(get_num_threads()) as pool:
        found = list(pool.map(grown, _starts(candidates, forced, plain)))
    best = min(found, key=lambda one: _cost(one[0], few))
    if best[0].per_dof > DOUBTFUL:
        # Stray light of every edge by itself can mimic much else: it has to explain far more than the rest does.
        other = grown(_edge_by_edge(candidates, forced))
        if _cost(other[0], few) < _cost(best[0], few) - FAR_MORE * LEAST_GAIN * best[0].per_dof:
            best = other
    many = rays.some(RAYS_FOR_FIT)
    final = fitted(best[0].model, many)
    return plain, judged(_with_covariance(final, many), rays), best[1]


def _cost(fit: Fit, rays: AveragedRays) -> float:
    """Return what a model is judged by: its deviance, and a price for every term."""
    return judged(fit.model, rays, HEAVY_TAIL * fit.dof).deviance + LEAST_GAIN * len(fit.model.terms)


def _starts(candidates: Sequence[Term], forced: Collection[str], plain: Fit) -> list[list[Term]]:
    """Return the models that the choice begins with.

    Nothing but what is forced, to which one term after the other is added; and, where the elements alone do not nearly
    fit, everything that is the same for all rays, from which is dropped what is of no use: adding alone can lead into a
    wrong explanation of a large misfit.
    """
    always = [term for term in candidates if term.name in forced]
    if plain.per_dof < CLEAN:
        return [always]
    common = [
        term
        for term in candidates
        if term not in always and (term.name == "stray" or term.kind in ("near_edge", "component"))
    ]
    return [always, [*always, *common]]


def _edge_by_edge(candidates: Sequence[Term], forced: Collection[str]) -> list[Term]:
    """Return the terms that are the same for all rays, with stray light of every edge by itself."""
    return [
        term for term in candidates if term.name in forced or (term.kind != "spread" and term.name != "stray")
    ]


def _grown(
    attenuation: Float64Array,
    candidates: Sequence[Term],
    forced: Collection[str],
    rays: AveragedRays,
    first: Sequence[Term],
) -> tuple[Fit, list[dict[str, float | str]]]:
    """Fit the terms to begin with, drop what is not missed, take up what helps; the spread within the sample comes last."""
    fit = fitted(Model(attenuation, tuple(first), np.array([_first_value(term) for term in first])), rays)
    fit = _pruned(fitted(fit.model, rays), rays, keep=set(forced))
    edge_by_edge = any(term.kind == "stray" and term.name != "stray" for term in first)
    left = [
        term
        for term in candidates
        if term.name not in _names(fit.model)
        and (term.kind != "stray" or (term.name == "stray") != edge_by_edge)
    ]
    # What varies within the sample can mimic what does not: it comes last.
    for group in ([t for t in left if t.kind != "spread"], [t for t in left if t.kind == "spread"]):
        fit, _steps = _taken_up(fit, group, rays)
    fit = _pruned(fit, rays, keep=set(forced))
    return fit, _worth(fit, rays)


def _names(model: Model) -> set[str]:
    return {term.name for term in model.terms}


def _worth(fit: Fit, rays: AveragedRays) -> list[dict[str, float | str]]:
    """Say of every term what χ² per degree of freedom would be without it, the one that is missed most first."""
    tail = tail_of(fit.chi_square)
    without: dict[str, float] = {
        name: fitted(_without(fit.model, name), rays, tail).per_dof for name in _names(fit.model)
    }
    return [
        {"term": name, "chi_square_per_dof_without": without[name]}
        for name in sorted(without, key=lambda each: -without[each])
    ]


def _taken_up(
    fit: Fit, terms: Sequence[Term], rays: AveragedRays
) -> tuple[Fit, list[dict[str, float | str]]]:
    """Take up terms as long as one of them lowers the misfit, the one that helps most first."""
    left = list(terms)
    steps: list[dict[str, float | str]] = []
    while left:
        tail = tail_of(fit.chi_square)
        before = judged(fit.model, rays, tail)
        tried = {term.name: _with_one_more(fit.model, term, rays, tail) for term in left}
        promising = sorted(tried, key=lambda each: tried[each].deviance)[:REFITTED]
        refitted = {name: fitted(tried[name].model, rays, tail) for name in promising}
        name = min(refitted, key=lambda each: refitted[each].deviance)
        if before.deviance - refitted[name].deviance < LEAST_GAIN * max(1.0, refitted[name].per_dof):
            break
        fit = refitted[name]
        left = [term for term in left if term.name != name]
        steps.append({"term": name, "chi_square_per_dof": fit.per_dof})
    return fit, steps


def _with_one_more(model: Model, term: Term, rays: AveragedRays, tail: float) -> Fit:
    """Return the best fit with one more term, the others as they are."""
    wider = extended(model, term)
    free = _to_free(wider.terms, wider.values)

    def at(value: float) -> Fit:
        values = _to_values(wider.terms, np.append(free[:-1], value))
        return judged(replace(wider, values=values), rays, tail)

    best = scipy.optimize.minimize_scalar(
        lambda value: at(value).deviance, bounds=_bounds(term), method="bounded", options={"maxiter": 25}
    )
    return at(float(best.x))


def extended(model: Model, term: Term) -> Model:
    """Return a model with one more term, at the value that a fit begins with."""
    return replace(model, terms=(*model.terms, term), values=np.append(model.values, _first_value(term)))


def _without(model: Model, name: str) -> Model:
    keep = [k for k, term in enumerate(model.terms) if term.name != name]
    return replace(model, terms=tuple(model.terms[k] for k in keep), values=model.values[keep])


def _pruned(fit: Fit, rays: AveragedRays, *, keep: set[str]) -> Fit:
    """Drop terms that are not missed, one after the other: the one whose value is least beside its error first."""
    tried: set[str] = set()
    while True:
        model = _with_covariance(fit, rays)
        errors = np.sqrt(np.maximum(np.diag(model.covariance), 1e-30))
        # The width of a random effect is fitted as its logarithm, which has no zero to compare with: it is tried last.
        size = {
            term.name: np.inf if term.random else abs(value) / error
            for term, value, error in zip(model.terms, model.values, errors, strict=True)
            if term.name not in keep and term.name not in tried
        }
        if not size:
            return fit
        name = min(size, key=lambda each: size[each])
        limit, tail = LEAST_GAIN * max(1.0, fit.per_dof), tail_of(fit.chi_square)
        less = fitted(_without(fit.model, name), rays, tail)
        if less.deviance - judged(fit.model, rays, tail).deviance < limit:
            fit, tried = less, set()
        else:
            tried.add(name)


def _with_covariance(fit: Fit, rays: AveragedRays) -> Model:
    """Covariance of the values from the curvature of the deviance, scaled by the misfit that is left."""
    model, n = fit.model, len(fit.model.terms)
    if not n:
        return model
    free = _to_free(model.terms, model.values)
    tail = tail_of(fit.chi_square)
    step = np.array([1e-3 if not term.random else 0.05 for term in model.terms])

    def deviance(offset: Float64Array) -> float:
        moved = replace(model, values=_to_values(model.terms, free + offset))
        return judged(moved, rays, tail).deviance

    basis, center = np.diag(step), deviance(np.zeros(n))
    single = [(deviance(basis[i]), deviance(-basis[i])) for i in range(n)]
    curvature = np.zeros((n, n))
    for i in range(n):
        curvature[i, i] = (single[i][0] + single[i][1] - 2 * center) / step[i] ** 2
        for j in range(i):
            both = deviance(basis[i] + basis[j]) + deviance(-basis[i] - basis[j])
            mixed = both - sum(single[i]) - sum(single[j]) + 2 * center
            curvature[i, j] = curvature[j, i] = mixed / (2 * step[i] * step[j])
    curvature += np.diag([1e12 * (term.given is not None) for term in model.terms])
    information = len(rays) * curvature / 2 / max(1.0, fit.per_dof)
    values, vectors = np.linalg.eigh(information)
    inverse = np.where(values > 0, 1 / np.where(values > 0, values, 1), 1.0)
    return replace(model, covariance=(vectors * inverse) @ vectors.T)


def _first_value(term: Term) -> float:
    if term.given is not None:
        return term.given
    return {"stray": 2e-3, "near_edge": 1e-2, "spread": 1e-2, "component": 1e-2}[term.kind]


def _to_free(terms: Sequence[Term], values: Float64Array) -> Float64Array:
    return np.array([np.log(v) if t.random else v for t, v in zip(terms, values, strict=True)])


def _to_values(terms: Sequence[Term], free: Float64Array) -> Float64Array:
    return np.array([np.exp(v) if t.random else v for t, v in zip(terms, free, strict=True)])


def _bounds(term: Term) -> tuple[float, float]:
    if term.given is not None:
        return term.given, term.given
    if term.kind == "stray":
        return 0.0, STRAY_LIMIT
    low, high = FACTOR_LIMITS if term.kind == "near_edge" else np.log(WIDTH_LIMITS)
    return float(low), float(high)


@njit(cache=True, nogil=True)
def _deviances(density, variance, matrix, n_free, scale, found, residual):  # type: ignore[no-untyped-def]
    """Deviance of every ray: χ² and the logarithm of the determinant; columns from ``n_free`` on have a prior of width 1."""
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
