"""Stepwise choice of model terms: terms are added in turn, and dropped if they are not needed."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import scipy.optimize
from numba import get_num_threads

from oxytomo.arrays import Float64Array
from oxytomo.composition.instrument import (
    HEAVY_TAIL,
    Fit,
    Model,
    Term,
    bounds_of,
    first_value,
    fitted,
    judged,
    tail_of,
    to_free,
    to_values,
)
from oxytomo.preprocess.averaged_rays import AveragedRays

LEAST_GAIN = 0.2
"""A term is added if it lowers the mean deviance of an averaged ray by at least this share of the
remaining misfit (χ² per degree of freedom, at least 1). It is dropped again if leaving it out costs
less."""
RAYS_FOR_CHOICE = 800
DOUBTFUL = 1.15
"""Above this χ² per degree of freedom, stray light of single edges is tried."""
FAR_MORE = 5.0
CLEAN = 1.3
"""Below this χ² per degree of freedom, one sequence of choice is enough."""
RAYS_FOR_FIT = 6_000
REFITTED = 2
"""Number of most effective terms, at fixed values of the others, that are tried with a full fit."""


def chosen(
    attenuation: Float64Array, candidates: Sequence[Term], forced: Collection[str], rays: AveragedRays
) -> tuple[Fit, Fit, list[dict[str, float | str]]]:
    """Choose the terms that the data require, one after the other, and fit them.

    Parameters
    ----------
    attenuation : (n_energy, n_element), tabulated
    candidates : terms that may be added, including the forced ones
    forced : names of terms that are always in the model
    rays : averaged rays

    Returns
    -------
    plain, best : the fit with the forced terms alone, and the chosen fit with its covariance
    steps : per term χ² per degree of freedom without it, the most important first
    """
    few = rays.some(RAYS_FOR_CHOICE)
    plain = judged(Model(attenuation), rays)
    grown = partial(_grown, attenuation, candidates, forced, few)
    with ThreadPoolExecutor(get_num_threads()) as pool:
        found = list(pool.map(grown, _starts(candidates, forced, plain)))
    best = min(found, key=lambda one: _cost(one[0], few))
    if best[0].per_dof > DOUBTFUL:
        # Stray light of each edge separately can mimic many other terms: it must explain far more
        # than they do.
        other = grown(_edge_by_edge(candidates, forced))
        if _cost(other[0], few) < _cost(best[0], few) - FAR_MORE * LEAST_GAIN * best[0].per_dof:
            best = other
    return plain, completed(best[0].model, rays), best[1]


def completed(model: Model, rays: AveragedRays) -> Fit:
    """Fit a chosen model to many rays, with its covariance, and judge it on all rays."""
    many = rays.some(RAYS_FOR_FIT)
    return judged(_with_covariance(fitted(model, many), many), rays)


def _cost(fit: Fit, rays: AveragedRays) -> float:
    """Return the criterion for a model: its deviance, plus a penalty for every term."""
    return judged(fit.model, rays, HEAVY_TAIL * fit.dof).deviance + LEAST_GAIN * len(fit.model.terms)


def _starts(candidates: Sequence[Term], forced: Collection[str], plain: Fit) -> list[list[Term]]:
    """Return the models from which the choice starts.

    One has only the forced terms, to which terms are added in turn. If the elements alone fit
    badly, the other has all terms that are the same for all rays, from which useless ones are
    dropped. Adding terms alone can lead to a wrong explanation of a large misfit.
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
    """Return the terms that are the same for all rays, with stray light of each edge separately."""
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
    """Fit the first terms, drop unnecessary ones, add useful ones.

    The spread within the sample is tried last.
    """
    fit = fitted(Model(attenuation, tuple(first), np.array([first_value(term) for term in first])), rays)
    fit = _pruned(fitted(fit.model, rays), rays, keep=set(forced))
    edge_by_edge = any(term.kind == "stray" and term.name != "stray" for term in first)
    left = [
        term
        for term in candidates
        if term.name not in _names(fit.model)
        and (term.kind != "stray" or (term.name == "stray") != edge_by_edge)
    ]
    # Terms that vary within the sample can mimic uniform ones: they come last.
    for group in ([t for t in left if t.kind != "spread"], [t for t in left if t.kind == "spread"]):
        fit, _steps = _taken_up(fit, group, rays)
    fit = _pruned(fit, rays, keep=set(forced))
    return fit, _worth(fit, rays)


def _names(model: Model) -> set[str]:
    return {term.name for term in model.terms}


def _worth(fit: Fit, rays: AveragedRays) -> list[dict[str, float | str]]:
    """Return χ² per degree of freedom without each term, the most important term first."""
    tail = tail_of(fit.chi_square)
    without: dict[str, float] = {
        name: fitted(without_term(fit.model, name), rays, tail).per_dof for name in _names(fit.model)
    }
    return [
        {"term": name, "chi_square_per_dof_without": without[name]}
        for name in sorted(without, key=lambda each: -without[each])
    ]


def _taken_up(
    fit: Fit, terms: Sequence[Term], rays: AveragedRays
) -> tuple[Fit, list[dict[str, float | str]]]:
    """Add terms as long as one of them lowers the misfit, the most effective first."""
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
    """Return the best fit with one more term, at fixed values of the others."""
    wider = extended(model, term)
    free = to_free(wider.terms, wider.values)

    def at(value: float) -> Fit:
        values = to_values(wider.terms, np.append(free[:-1], value))
        return judged(replace(wider, values=values), rays, tail)

    best = scipy.optimize.minimize_scalar(
        lambda value: at(value).deviance, bounds=bounds_of(term), method="bounded", options={"maxiter": 25}
    )
    return at(float(best.x))


def extended(model: Model, term: Term) -> Model:
    """Return a model with one more term, at its start value."""
    return replace(model, terms=(*model.terms, term), values=np.append(model.values, first_value(term)))


def without_term(model: Model, name: str) -> Model:
    """Return a model without one of its terms, at the values of the others."""
    keep = [k for k, term in enumerate(model.terms) if term.name != name]
    return replace(model, terms=tuple(model.terms[k] for k in keep), values=model.values[keep])


def _pruned(fit: Fit, rays: AveragedRays, *, keep: set[str]) -> Fit:
    """Drop unnecessary terms in turn, the one with the smallest value over its error first."""
    tried: set[str] = set()
    while True:
        model = _with_covariance(fit, rays)
        errors = np.sqrt(np.maximum(np.diag(model.covariance), 1e-30))
        # The width of a random effect is fitted as its logarithm, which has no zero to compare
        # with: it is tried last.
        size = {
            term.name: np.inf if term.random else abs(value) / error
            for term, value, error in zip(model.terms, model.values, errors, strict=True)
            if term.name not in keep and term.name not in tried
        }
        if not size:
            return fit
        name = min(size, key=lambda each: size[each])
        limit, tail = LEAST_GAIN * max(1.0, fit.per_dof), tail_of(fit.chi_square)
        less = fitted(without_term(fit.model, name), rays, tail)
        if less.deviance - judged(fit.model, rays, tail).deviance < limit:
            fit, tried = less, set()
        else:
            tried.add(name)


def _with_covariance(fit: Fit, rays: AveragedRays) -> Model:
    """Covariance of the values from the curvature of the deviance, scaled by the misfit."""
    model, n = fit.model, len(fit.model.terms)
    if not n:
        return model
    free = to_free(model.terms, model.values)
    tail = tail_of(fit.chi_square)
    step = np.array([1e-3 if not term.random else 0.05 for term in model.terms])

    def deviance(offset: Float64Array) -> float:
        moved = replace(model, values=to_values(model.terms, free + offset))
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
    information += np.diag([0.0 if term.prior is None else term.prior[1] ** -2 for term in model.terms])
    values, vectors = np.linalg.eigh(information)
    inverse = np.where(values > 0, 1 / np.where(values > 0, values, 1), 1.0)
    return replace(model, covariance=(vectors * inverse) @ vectors.T)
