"""Stage ``decompose``: aligned optical densities (or element signals) → areal densities with covariance."""

from pathlib import Path

import numpy as np

from pipeline.arrays import Float64Array
from pipeline.composition.cross_sections import attenuation_per_um, check_formula, table_energies_ev
from pipeline.composition.decomposition import (
    decompose_differences,
    decompose_weighted,
    negative_share,
    scale_signals,
    tie_background,
)
from pipeline.config import DecomposeStage as Settings
from pipeline.io.scratch import scratch_fields
from pipeline.io.stores import NamedArray, Store, read_store, write_store
from pipeline.slabs import Allocate, Field
from pipeline.stages.context import StageContext
from pipeline.units import NM_PER_UM

TILTS_AT_ONCE = 16


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Solve every detector pixel for the elements, write."""
    aligned = read_store(inputs["align"])
    with scratch_fields(outputs["store"]) as allocate:
        stripe_effect = 0.0
        if settings.kind == "edges":
            areal, covariance, atoms, matrix = _from_edges(aligned, settings, allocate)
            stripe_effect = _stripe_effect(aligned, matrix, atoms)
        else:
            areal, covariance, atoms = _from_signals(aligned, settings)
        n_rays = int(np.prod(areal.shape[1:]))
        unsolved = sum(
            int((~np.isfinite(areal[:, tilts]).all(axis=0)).sum()) for tilts in _parts(areal.shape[1])
        )
        negative = _negative_rays(areal, covariance, settings, context)
        context.log(f"{', '.join(settings.elements)}: {unsolved} of {n_rays} rays could not be solved")
        write_store(
            outputs["store"],
            {
                "areal": NamedArray(areal, ("element", "tilt", "y", "x"), "micrometer"),
                "covariance": NamedArray(covariance, ("pair", "tilt", "y", "x"), "micrometer^2"),
                "tilt_deg": NamedArray(aligned["tilt_deg"], ("tilt",), "degree"),
            },
            provenance=context.provenance(inputs),
            attributes={
                "elements": list(settings.elements),
                "atoms": atoms.tolist(),
                "pixel_nm": float(aligned.attributes["pixel_nm"]),
                "kind": settings.kind,
                "unsolved_rays": unsolved,
                "negative_rays": negative,
                "n_rays": n_rays,
                "invalid": aligned.attributes["invalid"],
                "n_pixels": aligned.attributes["n_pixels"],
                "stripe_effect_on_tm_o": stripe_effect,
            },
        )


def _negative_rays(
    areal: Field, covariance: Field, settings: Settings, context: StageContext
) -> dict[str, list[int]]:
    """Return, per element, how many rays have less than nothing of it, and how many have an amount beyond noise."""
    counts = np.zeros((2, len(settings.elements)), np.int64)
    for tilts in _parts(areal.shape[1]):
        counts += negative_share(np.asarray(areal[:, tilts]), np.asarray(covariance[:, tilts]))
    for element, negative, different in zip(settings.elements, *counts.tolist(), strict=True):
        context.log(f"{element}: {negative} of {different} rays with an amount beyond noise are negative")
    return {e: [int(n), int(d)] for e, n, d in zip(settings.elements, *counts.tolist(), strict=True)}


def _parts(n_tilt: int) -> list[slice]:
    """Tilts of all series that are worked on together."""
    return [slice(t, min(t + TILTS_AT_ONCE, n_tilt)) for t in range(0, n_tilt, TILTS_AT_ONCE)]


def _from_signals(aligned: Store, settings: Settings) -> tuple[Field, Field, Float64Array]:
    """Areal densities, their covariance, and atoms per formula unit, from element signals."""
    pixel_um = float(aligned.attributes["pixel_nm"]) / NM_PER_UM
    areal, covariance, totals = scale_signals(aligned["value"], aligned["variance"], pixel_um=pixel_um)
    formula = settings.formula
    # Without a formula the metals weigh what they signal.
    return areal, covariance, totals if formula is None else np.array([formula[e] for e in settings.elements])


def _from_edges(
    aligned: Store, settings: Settings, allocate: Allocate
) -> tuple[Field, Field, Float64Array, Float64Array]:
    """Areal densities, their covariance, atoms per formula unit, and the attenuation matrix (series, element)."""
    energies = np.array(aligned.attributes["energies_ev"], np.float64)
    formula = dict(settings.formula or {})
    check_formula(formula)
    elements = list(settings.elements)
    series = list(aligned.attributes["series"])
    pairs = [(series.index(f"{e}_pre"), series.index(f"{e}_post")) for e in elements]
    looked_up = energies.copy()
    for element, (pre, post) in zip(elements, pairs, strict=True):
        looked_up[[pre, post]] = table_energies_ev(element, float(energies[pre]), float(energies[post]))
    atoms = np.array([formula[e] for e in elements])

    def attenuation(of: list[str]) -> Float64Array:
        return attenuation_per_um(
            formula, density_g_cm3=settings.density_g_cm3, energies_ev=looked_up, elements=of
        )

    measured = attenuation(elements)
    if settings.method == "weighted":
        rest = attenuation([e for e in formula if e not in elements]).sum(axis=1)
        measured = tie_background(measured, rest, atoms)
    value, variance, n = aligned.field("value"), aligned.field("variance"), len(elements)
    rays = value.shape[1:]
    areal = allocate((n, *rays), np.float32)
    covariance = allocate((n * (n + 1) // 2, *rays), np.float32)
    for tilts in _parts(rays[0]):
        part = np.asarray(value[:, tilts]), np.asarray(variance[:, tilts])
        areal[:, tilts], covariance[:, tilts] = (
            decompose_differences(*part, measured, pairs=pairs)
            if settings.method == "subtraction"
            else decompose_weighted(*part, measured)
        )
    return areal, covariance, atoms, measured


def _stripe_effect(aligned: Store, matrix: Float64Array, atoms: Float64Array) -> float:
    """Relative change of the mean TM/O that the removal of stripes made, from the change of each series' total."""
    change = np.array([aligned.attributes["stripe_change"][name] for name in aligned.attributes["series"]])
    if not change.any() or atoms.size < 2:
        return 0.0
    after = np.array([np.nansum(aligned.array("value")[e], dtype=np.float64) for e in range(change.size)])
    ratios = []
    for totals in (after / (1 + change), after):
        masses, *_rest = np.linalg.lstsq(matrix, totals, rcond=None)
        ratios.append((masses[1:] @ atoms[1:]) / masses[0])
    return float(ratios[1] / ratios[0] - 1)
