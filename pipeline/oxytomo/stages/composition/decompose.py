"""Stage ``decompose``: aligned optical densities (or element signals) → areal densities with covariance."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.composition.components import KNOWN, component
from oxytomo.composition.cross_sections import attenuation_per_um, check_formula, table_energies_ev
from oxytomo.composition.decomposition import (
    check_independent,
    decompose_differences,
    negative_share,
    scale_signals,
    tie_background,
)
from oxytomo.composition.instrument import Model
from oxytomo.composition.model_choice import (
    Choice,
    ChosenModel,
    candidates,
    choose_model,
    decompose_with_model,
    describe,
    likely_causes,
    model_record,
)
from oxytomo.config import DecomposeStage as Settings
from oxytomo.config import ModelTermSettings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.preprocess.averaged_rays import AveragedRays, averaged_rays
from oxytomo.slabs import Allocate, Field
from oxytomo.stages.context import StageContext
from oxytomo.units import NM_PER_UM

TILTS_AT_ONCE = 16
ANYTHING = Choice("auto", "auto", "auto", (), (KNOWN["carbon"], KNOWN["pvdf"]))
"""Terms among which the causes of a misfit are sought, whether they are allowed or not."""


@dataclass(frozen=True)
class Result:
    """Amounts in every ray, and what the decomposition says of itself."""

    areal: Field
    covariance: Field
    atoms: Float64Array
    matrix: Float64Array
    record: dict[str, Any]
    arrays: dict[str, NamedArray]


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Solve every detector pixel for the elements, write."""
    aligned = read_store(inputs["align"])
    with scratch_fields(outputs["store"]) as allocate:
        found = (
            _from_edges(aligned, settings, context, allocate)
            if settings.kind == "edges"
            else _from_signals(aligned, settings)
        )
        stripe_effect = _stripe_effect(aligned, found) if settings.kind == "edges" else 0.0
        n_rays = int(np.prod(found.areal.shape[1:]))
        unsolved = sum(
            int((~np.isfinite(found.areal[:, tilts]).all(axis=0)).sum())
            for tilts in _parts(found.areal.shape[1])
        )
        negative = _negative_rays(found, settings, context)
        context.log(f"{', '.join(settings.elements)}: {unsolved} of {n_rays} rays could not be solved")
        write_store(
            outputs["store"],
            {
                "areal": NamedArray(found.areal, ("element", "tilt", "y", "x"), "micrometer"),
                "covariance": NamedArray(found.covariance, ("pair", "tilt", "y", "x"), "micrometer^2"),
                "tilt_deg": NamedArray(aligned["tilt_deg"], ("tilt",), "degree"),
                **found.arrays,
            },
            provenance=context.provenance(inputs),
            attributes={
                "elements": list(settings.elements),
                "atoms": found.atoms.tolist(),
                "pixel_nm": float(aligned.attributes["pixel_nm"]),
                "kind": settings.kind,
                "unsolved_rays": unsolved,
                "negative_rays": negative,
                "n_rays": n_rays,
                "invalid": aligned.attributes["invalid"],
                "n_pixels": aligned.attributes["n_pixels"],
                "stripe_effect_on_tm_o": stripe_effect,
                "model": found.record,
            },
        )


def _negative_rays(found: Result, settings: Settings, context: StageContext) -> dict[str, list[int]]:
    """Return, per element, how many rays have less than nothing of it, and how many have an amount beyond noise."""
    counts = np.zeros((2, len(settings.elements)), np.int64)
    for tilts in _parts(found.areal.shape[1]):
        counts += negative_share(np.asarray(found.areal[:, tilts]), np.asarray(found.covariance[:, tilts]))
    for element, negative, different in zip(settings.elements, *counts.tolist(), strict=True):
        context.log(f"{element}: {negative} of {different} rays with an amount beyond noise are negative")
    return {e: [int(n), int(d)] for e, n, d in zip(settings.elements, *counts.tolist(), strict=True)}


def _parts(n_tilt: int) -> list[slice]:
    """Tilts of all series that are worked on together."""
    return [slice(t, min(t + TILTS_AT_ONCE, n_tilt)) for t in range(0, n_tilt, TILTS_AT_ONCE)]


def _from_signals(aligned: Store, settings: Settings) -> Result:
    """Amounts from element signals; without a formula the metals weigh what they signal."""
    pixel_um = float(aligned.attributes["pixel_nm"]) / NM_PER_UM
    areal, covariance, totals = scale_signals(aligned["value"], aligned["variance"], pixel_um=pixel_um)
    formula = settings.formula
    atoms = totals if formula is None else np.array([formula[e] for e in settings.elements])
    return Result(areal, covariance, atoms, np.eye(len(settings.elements)), {}, {})


def _from_edges(aligned: Store, settings: Settings, context: StageContext, allocate: Allocate) -> Result:
    """Amounts from two energies per edge, with the terms of the model that the data ask for."""
    formula = dict(settings.formula or {})
    check_formula(formula)
    elements, series = list(settings.elements), list(aligned.attributes["series"])
    pairs = [(series.index(f"{e}_pre"), series.index(f"{e}_post")) for e in elements]
    energies = _looked_up(np.array(aligned.attributes["energies_ev"], np.float64), elements, pairs)
    atoms = np.array([formula[e] for e in elements])

    def attenuation(of: list[str]) -> Float64Array:
        return attenuation_per_um(
            formula, density_g_cm3=settings.density_g_cm3, energies_ev=energies, elements=of
        )

    own = attenuation(elements)
    value, variance, n = aligned.field("value"), aligned.field("variance"), len(elements)
    rays = value.shape[1:]
    areal = allocate((n, *rays), np.float32)
    covariance = allocate((n * (n + 1) // 2, *rays), np.float32)
    if settings.method == "subtraction":
        for tilts in _parts(rays[0]):
            areal[:, tilts], covariance[:, tilts] = decompose_differences(
                np.asarray(value[:, tilts]), np.asarray(variance[:, tilts]), own, pairs=pairs
            )
        return Result(areal, covariance, atoms, own, {}, {})
    matrix = tie_background(own, attenuation([e for e in formula if e not in elements]).sum(axis=1), atoms)
    check_independent(matrix)
    terms, forced = candidates(elements, energies, own, pairs, _choice(settings))
    averaged = averaged_rays(value, variance)
    tested = choose_model(matrix, terms, forced, averaged, _metal(atoms))
    everything, _ = candidates(elements, energies, own, pairs, ANYTHING)
    causes = likely_causes(everything, tested, averaged)
    record = model_record(tested, series, causes)
    context.log(describe(record))
    _solve(value, variance, tested.model, areal, covariance, context)
    return Result(areal, covariance, atoms, matrix, record, _maps(tested, averaged))


def _solve(
    value: Field, variance: Field, model: Model, areal: Field, covariance: Field, context: StageContext
) -> None:
    """Fill the amounts and their covariance, tilt by tilt."""
    progress, n_tilt = context.progress("decompose"), value.shape[1]
    for tilts in _parts(n_tilt):
        together = np.asarray(value[:, tilts]), np.asarray(variance[:, tilts])
        for place, t in enumerate(range(tilts.start, tilts.stop)):
            solved = decompose_with_model(
                together[0][:, place], together[1][:, place], model, adapt=bool(model.random_terms)
            )
            areal[:, t], covariance[:, t] = solved.areal, solved.covariance
            progress(t + 1, n_tilt)


def _looked_up(energies_ev: Float64Array, elements: list[str], pairs: list[tuple[int, int]]) -> Float64Array:
    """Energies at which tables are looked up, moved off the tabulated steps."""
    looked_up = energies_ev.copy()
    for element, (pre, post) in zip(elements, pairs, strict=True):
        looked_up[[pre, post]] = table_energies_ev(element, float(energies_ev[pre]), float(energies_ev[post]))
    return looked_up


def _choice(settings: Settings) -> Choice:
    """Return what may be in the model, by the settings."""
    given = settings.instrument
    terms = ModelTermSettings() if isinstance(given, str) else given
    off = given == "none"
    named = () if settings.components == "auto" else settings.components
    return Choice(
        stray="none" if off else terms.stray,
        near_edge="none" if off else terms.near_edge,
        spread="none" if off else terms.near_edge_spread,
        components=tuple(component(one.name, one.formula, one.density_g_cm3) for one in named),
        optional=(KNOWN["carbon"], KNOWN["pvdf"]) if settings.components == "auto" and not off else (),
    )


def _metal(atoms: Float64Array) -> Float64Array:
    """Weights of the elements in TM; all of it for a single element."""
    weights = np.concatenate([[0.0], atoms[1:]]) if atoms.size > 1 else np.ones(1)
    return weights / weights.sum()


def _maps(tested: ChosenModel, averaged: AveragedRays) -> dict[str, NamedArray]:
    """Return χ² per degree of freedom of every averaged ray, where it lies."""
    if tested.fit.chi_square.size != len(averaged):
        return {}
    image = averaged.on_grid(tested.fit.chi_square / tested.fit.dof)
    return {"chi_square": NamedArray(image, ("tilt", "y", "x"), "1")}


def _stripe_effect(aligned: Store, found: Result) -> float:
    """Relative change of the mean TM/O that the removal of stripes made, from the change of each series' total."""
    change = np.array([aligned.attributes["stripe_change"][name] for name in aligned.attributes["series"]])
    if not change.any() or found.atoms.size < 2:
        return 0.0
    after = np.array([np.nansum(aligned.array("value")[e], dtype=np.float64) for e in range(change.size)])
    ratios = []
    for totals in (after / (1 + change), after):
        masses, *_rest = np.linalg.lstsq(found.matrix, totals, rcond=None)
        ratios.append((masses[1:] @ found.atoms[1:]) / masses[0])
    return float(ratios[1] / ratios[0] - 1)
