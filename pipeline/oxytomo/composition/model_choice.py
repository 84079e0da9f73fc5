"""Choice of the model terms that a measurement determines, and the systematic error of TM/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.composition.adaptive_prior import FREE, NEIGHBOURHOOD_PX, adapted
from oxytomo.composition.components import Component
from oxytomo.composition.decomposition import Solved, decompose_with_priors
from oxytomo.composition.instrument import (
    Fit,
    Model,
    Term,
    at_limit,
    first_value,
    fitted,
    judged,
    tail_of,
    within_rays,
)
from oxytomo.composition.near_edge import MeasuredFactor, prior_of_factor
from oxytomo.composition.term_choice import RAYS_FOR_CHOICE, chosen, completed, extended, without_term
from oxytomo.preprocess.averaged_rays import AveragedRays

LEAST_ENERGY_GAP_EV = 1.0
POOR_FIT = 3.0
"""The model fails above this χ² per degree of freedom. Instruments with harmless faults (blur,
angle errors, distortion) stay below 1.8 on simulated data; instruments with relevant faults start
at 6."""
MATTERS = 0.5
"""A term counts as a cause if χ² per degree of freedom is larger by this much without it."""
RELEVANT_FIT, RELEVANT_TM_O = 0.2, 0.005
"""Stray light and near-edge factors below both are not reported: clean simulated data, with their
blur, mimic 0.2 % of stray light, which is 0.1 of χ² and 0.1 % of TM/O."""
FEW_RAYS = 200
"""With fewer averaged rays no terms are chosen."""


@dataclass(frozen=True)
class Choice:
    """Terms that may be in the model.

    Attributes
    ----------
    stray, near_edge, spread : "auto", "none" or (stray, near_edge) given values
    components : substances that are always in the model
    optional : substances that are added if the data require them
    measured : near-edge factors from other measurements, by element
    """

    stray: float | str
    near_edge: Mapping[str, float] | str
    spread: str
    components: tuple[Component, ...]
    optional: tuple[Component, ...]
    measured: Mapping[str, MeasuredFactor] = field(default_factory=dict)


@dataclass(frozen=True)
class ChosenModel:
    """The chosen model, and how well it fits the data.

    Attributes
    ----------
    fit, plain : of the chosen model, and of the elements alone
    steps : the terms in use, the most important first, with χ² per degree of freedom without each
    systematic : by source, the relative standard deviation of a shift of TM/O of the whole particle
    rays : number of averaged rays
    without : by term that the data asked for, the model without it, the others fitted again
    """

    fit: Fit
    plain: Fit
    steps: list[dict[str, float | str]]
    systematic: dict[str, float]
    rays: int
    without: dict[str, Model] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The chosen model."""
        return self.fit.model


def candidates(
    elements: Sequence[str],
    energies_ev: Float64Array,
    own: Float64Array,
    pairs: Sequence[tuple[int, int]],
    choice: Choice,
    recorded_ev: Float64Array | None = None,
) -> tuple[list[Term], set[str]]:
    """Return the terms that may be in the model, and the names of those that always are.

    The latter do not depend on the data.

    The near-edge factor of an element is determined only if the element is measured at another
    energy above its edge. That of the last edge is not.

    Parameters
    ----------
    elements : symbols
    energies_ev : (n_energy,) eV
    own : (n_energy, n_element), 1/µm, attenuation of the elements without the unmeasured ones
    pairs : indices of the pre- and the post-edge energy of every element
    recorded_ev : (n_energy,) eV, for measured spectra, where ``energies_ev`` are moved for the
        tables
    """
    recorded_ev = energies_ev if recorded_ev is None else recorded_ev
    terms: list[Term] = []
    spare = own.shape[0] - own.shape[1]
    if choice.stray != "none":
        given_stray = None if isinstance(choice.stray, str) else float(choice.stray)
        terms.append(Term("stray", "stray", np.ones(own.shape[0]), given=given_stray))
    for k, (element, (pre, post)) in enumerate(zip(elements, pairs, strict=True)):
        if choice.stray == "auto" and spare > 1 and len(elements) > 1:
            of_edge = np.zeros(own.shape[0])
            of_edge[[pre, post]] = 1
            terms.append(Term(f"stray_{element}", "stray", of_edge))
        column = np.zeros(own.shape[0])
        column[post] = own[post, k]
        tells = bool((energies_ev > energies_ev[post] + LEAST_ENERGY_GAP_EV).any())
        given = None if isinstance(choice.near_edge, str) else choice.near_edge.get(element)
        prior = prior_of_factor(choice.measured.get(element), float(own[pre, k] / own[post, k]))
        if given is not None or prior is not None or (choice.near_edge == "auto" and tells and spare > 1):
            known = None if given is None else given - 1
            terms.append(Term(f"near_edge_{element}", "near_edge", column, k, known, prior=prior))
        if choice.spread == "auto" and tells and spare > 1:
            terms.append(Term(f"near_edge_spread_{element}", "spread", column, k))
    for one in (*choice.components, *choice.optional):
        at_ev = energies_ev if one.spectrum is None else recorded_ev
        terms.append(Term(one.name, "component", one.attenuation_per_um(at_ev)))
    names = {one.name for one in choice.components}
    always = {term.name for term in terms if term.given is not None or term.prior is not None}
    return terms, names | always


def choose_model(
    attenuation: Float64Array,
    terms: Sequence[Term],
    forced: Collection[str],
    rays: AveragedRays,
    metal: Float64Array,
) -> ChosenModel:
    """Choose and fit the terms that the data require, and estimate the systematic error.

    Parameters
    ----------
    attenuation : (n_energy, n_element), 1/µm
    terms, forced : from :func:`candidates`
    rays : averaged rays
    metal : (n_element,) weights of the elements in TM; oxygen is the first element
    """
    if len(rays) < FEW_RAYS or attenuation.shape[0] <= attenuation.shape[1]:
        start = tuple(term for term in terms if term.name in forced)
        values = np.array([0.05 if t.given is None and t.prior is None else first_value(t) for t in start])
        known = np.diag([0.0 if t.prior is None else t.prior[1] ** 2 for t in start]).reshape(
            2 * (len(start),)
        )
        model = Model(attenuation, start, values, known)
        empty = Fit(model, np.nan, np.full(1, np.nan), 1, np.zeros(attenuation.shape[0]))
        systematic = _of_terms(model, rays.some(2000), metal) if len(rays) else {}
        return ChosenModel(empty, empty, [], systematic, len(rays))
    plain, best, steps = chosen(attenuation, within_rays(terms, rays), forced, rays)
    best, steps = _relevant(best, steps, set(forced), rays, metal)
    asked, some = [str(step["term"]) for step in steps], rays.some(RAYS_FOR_CHOICE)
    without = {
        name: fitted(without_term(best.model, name), some).model for name in asked if name not in forced
    }
    return ChosenModel(best, plain, steps, systematic_errors(best, rays, metal), len(rays), without)


def _relevant(
    fit: Fit,
    steps: Sequence[dict[str, float | str]],
    forced: set[str],
    rays: AveragedRays,
    metal: Float64Array,
) -> tuple[Fit, list[dict[str, float | str]]]:
    """Leave out global terms that are not significant, or change neither the fit nor TM/O.

    Blur makes clean data look like a trace of stray light. A term stays if it exceeds three of its
    errors and matters: χ² per degree of freedom would be larger by :data:`RELEVANT_FIT` without it,
    or TM/O would change by :data:`RELEVANT_TM_O`.
    """
    some, kept = rays.some(2000), list(steps)
    for step in reversed(steps):
        model, name = fit.model, str(step["term"])
        place = [term.name for term in model.terms].index(name)
        # The spread of a factor would take over its mean.
        spread = name.replace("near_edge_", "near_edge_spread_")
        varies = spread != name and spread in {term.name for term in model.terms}
        if model.terms[place].random or name in forced or varies:
            continue
        less = fitted(without_term(model, name), some)
        error = np.sqrt(max(float(model.covariance[place, place]), 0.0))
        change = _tm_o(less.model, some, metal)[0] / _tm_o(model, some, metal)[0] - 1
        worse = less.per_dof - judged(model, some).per_dof
        matters = worse > RELEVANT_FIT or abs(change) > RELEVANT_TM_O
        if abs(float(model.values[place])) > 3 * error and matters:
            continue
        fit = completed(less.model, rays)
        kept.remove(step)
    return fit, kept


def systematic_errors(fit: Fit, rays: AveragedRays, metal: Float64Array) -> dict[str, float]:
    """Return the systematic error of TM/O by source, as relative standard deviation.

    Every global term is moved by its standard error. The misfit of the model is visible in as many
    directions of the energies as there are spare ones, and hidden in those of the elements. The
    hidden part is assumed to be as large, per direction, as the visible part. The mean residual of
    all rays shifts the whole particle (``misfit``). The part that differs from ray to ray
    (``misfit_of_single_rays``) may follow a rim or a side of the particle, and is assumed to shift
    a class by as much.
    """
    some = rays.some(2000)
    model = fit.model
    noise = _tm_o(model, some, metal)[1]
    found = _of_terms(model, some, metal)
    # Residuals in units of the noise of an averaged ray.
    shared = fit.residual / np.sqrt(np.median(rays.variance, axis=0))
    of_all = float(np.nansum(shared**2)) / fit.dof
    found["misfit"] = float(np.sqrt(of_all) * noise)
    found["misfit_of_single_rays"] = float(np.sqrt(max(0.0, fit.per_dof - 1 - of_all)) * noise)
    return found


def _of_terms(model: Model, rays: AveragedRays, metal: Float64Array) -> dict[str, float]:
    """Return the relative change of TM/O by the standard error of each global term."""
    errors = np.sqrt(np.maximum(np.diag(model.covariance), 0)) if model.terms else np.zeros(0)
    found: dict[str, float] = {}
    base = _tm_o(model, rays, metal)[0] if errors.any() else np.nan
    for k, term in enumerate(model.terms):
        if not term.random and errors[k] > 0:
            step = np.zeros(len(model.terms))
            step[k] = errors[k]
            moved = _tm_o(replace(model, values=model.values + step), rays, metal)[0]
            found[term.name] = abs(float(moved / base - 1))
    return found


def _tm_o(model: Model, rays: AveragedRays, metal: Float64Array) -> tuple[float, float]:
    """Return TM/O of all rays together, and the noise of TM/O in a typical ray."""
    solved = decompose_with_model(
        rays.density.T[:, None, :].astype(np.float32), rays.variance.T[:, None, :].astype(np.float32), model
    )
    areal = np.nansum(solved.areal.reshape(metal.size, -1), axis=1, dtype=np.float64).reshape(-1)
    difference = metal.copy()
    difference[0] -= 1
    pairs = [(i, j) for i in range(metal.size) for j in range(i, metal.size)]
    variance: Any = sum(
        (1 if i == j else 2) * difference[i] * difference[j] * solved.covariance[row]
        for row, (i, j) in enumerate(pairs)
    )
    relative = np.sqrt(variance) / np.maximum(np.abs(solved.areal[0]), 1e-3)
    return float(metal @ areal / areal[0]), float(np.nanmedian(relative))


def decompose_with_model(
    density: FloatArray, variance: FloatArray, model: Model, *, adapt: bool = False
) -> Solved:
    """Solve the rays of one tilt with a model.

    Parameters
    ----------
    density, variance : (n_energy, n_y, n_x) float32, as recorded; NaN and inf where invalid
    model : with its values
    adapt : learn the priors of amounts that vary from ray to ray from the neighbourhood of each ray
    """
    value, error = model.corrected(density, variance, 0)
    extra = model.columns
    valid = np.isfinite(value)
    mean = np.where(valid, value, 0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    scale = model.prior_scale(model.thickness_um(mean))
    none = np.zeros(scale.shape, np.float32)
    width = FREE * scale if adapt else scale
    precision = (1 / np.maximum(width, 1e-6) ** 2).astype(np.float32)
    solved = decompose_with_priors(value, error, model.matrix, extra, none, precision)
    if not (adapt and extra.size):
        return solved
    priors = [
        adapted(solved.extra[k], solved.extra_variance[k], scale[k], NEIGHBOURHOOD_PX[term.kind])
        for k, term in enumerate(model.random_terms)
    ]
    means, precisions = (np.stack([prior[part] for prior in priors]) for part in range(2))
    return decompose_with_priors(value, error, model.matrix, extra, means, precisions)


def likely_causes(terms: Sequence[Term], tested: ChosenModel, rays: AveragedRays) -> list[str]:
    """Name the terms that would explain most of the misfit, the most effective first.

    Only where the model fails; terms that are in the model already are not named.
    """
    if not tested.fit.per_dof > POOR_FIT:
        return []
    few = rays.some(1500)
    before = judged(tested.model, few)
    used = {term.name for term in tested.model.terms}
    gains: dict[str, float] = {}
    for term in terms:
        if term.name not in used:
            wider = fitted(extended(tested.model, term), few, tail_of(before.chi_square))
            gains[term.name] = before.deviance - wider.deviance
    best = max(gains.values(), default=0.0)
    return [name for name in sorted(gains, key=lambda n: -gains[n]) if gains[name] > max(0.3 * best, 0.5)]


def model_record(tested: ChosenModel, series: Sequence[str], causes: Sequence[str]) -> dict[str, Any]:
    """Return the record of a model: how well it fits, which terms it has and why."""
    model, fit = tested.model, tested.fit
    errors = np.sqrt(np.maximum(np.diag(model.covariance), 0)) if model.terms else np.zeros(0)
    terms = {}
    for term, value, error in zip(model.terms, model.values, errors, strict=True):
        shown = 1 + value if term.kind == "near_edge" else value
        scaled = value * error if term.random else error  # widths are fitted as logarithms
        terms[term.name] = {
            "kind": term.kind,
            "value": float(shown),
            "standard_error": float(scaled),
            "at_limit": at_limit(term, float(value)),
        }
        if term.prior is not None:
            terms[term.name]["measured"] = [1 + term.prior[0], term.prior[1]]
    return {
        "chi_square_per_dof": _number(fit.per_dof),
        "chi_square_per_dof_of_elements_alone": _number(tested.plain.per_dof),
        "degrees_of_freedom": fit.dof,
        "averaged_rays": tested.rays,
        "residual_by_series": dict(zip(series, map(float, fit.residual), strict=True)),
        "residual_of_elements_alone_by_series": dict(
            zip(series, map(float, tested.plain.residual), strict=True)
        ),
        "terms": terms,
        "steps": tested.steps,
        "systematic": tested.systematic,
        "likely_causes": list(causes),
        "fails": bool(fit.per_dof > POOR_FIT),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


CAUSES = {
    "stray": "stray light",
    "near_edge": "the near-edge absorption of {element}",
    "near_edge_spread": "a near-edge absorption of {element} that differs within the sample (valence)",
    "carbon": "carbon, a film or binder beside the particle",
}


def named(term: str) -> str:
    """Describe a term in words."""
    if term.startswith("near_edge_spread_"):
        return CAUSES["near_edge_spread"].format(element=term.removeprefix("near_edge_spread_"))
    if term.startswith("stray_"):
        return f"stray light at the {term.removeprefix('stray_')} edge"
    if term.startswith("near_edge_"):
        return CAUSES["near_edge"].format(element=term.removeprefix("near_edge_"))
    return CAUSES.get(term, term)


def describe(record: Mapping[str, Any]) -> str:
    """Say in one line how well the model fits and which terms it has."""
    if record["chi_square_per_dof"] is None:
        return "the model could not be tested: no spare energies, or too few rays without a rim"
    before, after = record["chi_square_per_dof_of_elements_alone"], record["chi_square_per_dof"]
    found = [
        f"{named(name)} {in_units(term)} ± {in_units(term, 'standard_error')}"
        for name, term in record["terms"].items()
    ]
    lines = [f"χ² per degree of freedom is {after:.2f} ({before:.2f} with the elements alone)"]
    lines.append(f"found: {', '.join(found)}" if found else "no term is needed beside the elements")
    if record["likely_causes"]:
        lines.append(f"likely causes of the rest: {', '.join(map(named, record['likely_causes']))}")
    return "; ".join(lines)


def in_units(term: Mapping[str, Any], key: str = "value") -> str:
    """Return the value of a term, or its error, with a unit.

    A share of the light or of a near-edge factor in %, a thickness in nm, a factor as it is.
    """
    value = float(term[key])
    if term["kind"] == "component":
        return f"{1000 * value:.2g} nm"
    return f"{value:.4f}" if term["kind"] == "near_edge" else f"{100 * value:.2g} %"
