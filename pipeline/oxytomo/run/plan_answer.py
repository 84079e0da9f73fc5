"""The answers of ``oxytomo plan`` as plain values: noise limits, domains, faults, assumptions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from oxytomo.composition.detection import domain_sigma, surface_dose_mgy
from oxytomo.config.load_plan import Plan
from oxytomo.run.planning import (
    DEVIATIONS,
    DOSES,
    FAULT_DEVIATION,
    Found,
    Task,
    exposure_of,
    shares_found,
    simulated_scale,
    smallest_found,
    tasks_of,
)
from oxytomo.units import NM_PER_UM

SIGMAS: Final = 3.0
"""A deviation of this many standard deviations counts as detected."""
LIMIT_PX: Final = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
"""Diameters of the domains in the table of noise limits, in pixels."""
FEWEST_COUNTS: Final = 100.0
"""With fewer photons the noise model fails: only a few percent of them pass the particle."""
OPAQUE_TRANSMISSION: Final = 0.005
THICK: Final = 4.0
"""From this optical density, 1 % of stray light is half of the detected light."""
HARMLESS, SEVERE = 0.01, 0.10
"""Misclassified fractions of the target material: below, a fault is harmless; above, severe."""
LOST: Final = 0.75
"""A fault hides domains if fewer than this fraction of the domains is still found."""

ASSUMPTIONS: Final = (
    "The particle is a round ball of one composition and density, with round domains; without pores, cracks and rim.",
    "Counting noise is all of the noise: counts are photons, and flats and darks add almost nothing.",
    "Frames are aligned perfectly. Errors of alignment come on top.",
    "Cross-sections are those of the tables for free atoms; a white line makes the signal of its element larger.",
    "The noise limit takes everything but one domain at the centre of the particle as known. No reconstruction reaches it.",
    "A domain counts as found where half of its voxels or more are in the right class.",
    "Each fault is tried alone, in one particle. Several together can do more than their sum.",
    "The dose is that of the side that faces the beam, with every photon counted unless efficiency says otherwise.",
)


def plan_facts(plan: Plan, found: Sequence[Found], left: Sequence[Task]) -> dict[str, Any]:
    """Return all answers of a plan as JSON types.

    Parameters
    ----------
    plan : the planned measurement
    found, left : simulations that were made, and those that did not fit into the time limit
    """
    scale = simulated_scale(plan)
    energies = _energies(plan)
    ok = [one for one in found if not one.error]
    clean = [
        one for one in ok if one.task.question == "domains" and _is(one, FAULT_DEVIATION * plan.threshold)
    ]
    return {
        "plan": plan.settings.model_dump(mode="json", exclude={"faults"}),
        "elements": list(plan.elements),
        "formula": dict(plan.formula),
        "density_g_cm3": plan.density_g_cm3,
        "threshold": plan.threshold,
        "energies": energies,
        "noise_limit": _limits(plan),
        "domains": _domains(plan, ok),
        "photons": _photons(plan, ok),
        "faults": _faults(ok, clean),
        "simulated": {
            "pixel_nm": plan.settings.pixel_nm * scale.pixel,
            "tilts": scale.tilts,
            "runs": len(ok),
            "of": len(tasks_of(plan)),
            "not_simulated": [f"{one.question} {one.name} (particle {one.seed + 1})" for one in left],
            "failed": [f"{one.task.question} {one.task.name}: {one.error}" for one in found if one.error],
        },
        "warnings": _warnings(energies),
        "assumptions": list(ASSUMPTIONS),
    }


def _is(one: Found, deviation: float) -> bool:
    return bool(np.isclose(one.task.deviation, deviation))


def _energies(plan: Plan) -> list[dict[str, Any]]:
    """Optical density and transmission through the middle of the particle at each energy."""
    per_um = exposure_of(plan, plan.settings.photons_per_pixel).attenuation.sum(axis=1)
    names = [f"{name}_{side}" for name in plan.elements for side in ("pre", "post")]
    energies = [energy for pair in plan.energies_ev.values() for energy in pair]
    density = per_um * plan.settings.particle_nm / NM_PER_UM
    return [
        {
            "series": name,
            "energy_ev": energy,
            "optical_density": float(od),
            "transmission": float(np.exp(-od)),
        }
        for name, energy, od in zip(names, energies, density, strict=True)
    ]


def _limits(plan: Plan) -> list[dict[str, float]]:
    """Per diameter: smallest detectable deviation; photons and dose that detect the threshold."""
    settings = plan.settings
    exposure = exposure_of(plan, settings.photons_per_pixel)
    rows = []
    for size_px in LIMIT_PX:
        diameter_nm = size_px * settings.pixel_nm
        if diameter_nm > settings.particle_nm / 2:
            break
        least = SIGMAS * domain_sigma(exposure, diameter_nm)
        photons = max(FEWEST_COUNTS, settings.photons_per_pixel * (least / plan.threshold) ** 2)
        rows.append(
            {
                "diameter_nm": diameter_nm,
                "deviation": least,
                "photons_for_threshold": photons,
                "dose_for_threshold_mgy": dose_mgy(plan, photons),
            }
        )
    return rows


def dose_mgy(plan: Plan, photons: float) -> float:
    """Return the dose of the whole scan in MGy, for a number of counts per pixel and frame."""
    exposure = replace(exposure_of(plan, photons), photons=photons)
    energies = np.array([energy for pair in plan.energies_ev.values() for energy in pair])
    return surface_dose_mgy(
        exposure,
        energies_ev=energies,
        density_g_cm3=plan.density_g_cm3,
        efficiency=plan.settings.efficiency,
    )


def _domains(plan: Plan, found: Sequence[Found]) -> list[dict[str, Any]]:
    """Per deviation: the number of simulated domains of each size that were found."""
    rows = []
    for share in DEVIATIONS:
        those = [one for one in found if one.task.question == "domains" and _is(one, share * plan.threshold)]
        if those:
            rows.append(
                {"deviation": share * plan.threshold, **_sizes(those)}
                | {"false": float(np.mean([one.false for one in those]))}
            )
    return rows


def _photons(plan: Plan, found: Sequence[Found]) -> list[dict[str, Any]]:
    """The same for domains of one deviation, with fewer and with more photons."""
    deviation = FAULT_DEVIATION * plan.threshold
    rows = []
    for share in sorted((1.0, *DOSES)):
        photons = share * plan.settings.photons_per_pixel
        questions = ("domains",) if share == 1 else ("dose",)
        those = [
            one
            for one in found
            if one.task.question in questions
            and _is(one, deviation)
            and np.isclose(one.task.photons, photons)
        ]
        if those:
            rows.append(
                {"photons_per_pixel": photons, "dose_mgy": dose_mgy(plan, photons), "deviation": deviation}
                | _sizes(those)
                | {"false": float(np.mean([one.false for one in those]))}
            )
    return rows


def _sizes(found: Sequence[Found]) -> dict[str, Any]:
    shares = shares_found(found)
    return {
        "diameter_nm": list(shares),
        "found": [seen for seen, _ in shares.values()],
        "of": [tried for _, tried in shares.values()],
        "smallest_nm": smallest_found(found),
    }


def _faults(found: Sequence[Found], clean: Sequence[Found]) -> list[dict[str, Any]]:
    """Effect of each fault on a particle with domains; the particle without a fault comes first."""
    same = [one for one in clean if one.task.seed == 0]
    rows = [_fault("none", one, None) for one in same[:1]]
    without = same[0] if same else None
    return rows + [
        _fault(one.task.name, one, without)
        | {"switches": one.task.fault.model_dump(mode="json", exclude_defaults=True)}
        for one in found
        if one.task.question == "fault"
    ]


def _fault(name: str, one: Found, without: Found | None) -> dict[str, Any]:
    seen = sum(share >= 0.5 for _, _, share in one.balls)
    row = {
        "name": name,
        "false": one.false,
        "false_certain": one.false_certain,
        "found": seen,
        "of": len(one.balls),
    }
    if without is None:
        return row
    before = sum(share >= 0.5 for _, _, share in without.balls)
    extra = one.false - without.false
    verdict = "harmless" if extra < HARMLESS else "severe" if extra >= SEVERE else "harmful"
    if seen < LOST * before:
        verdict = "hides domains" if verdict == "harmless" else f"{verdict}, hides domains"
    return row | {"verdict": verdict}


def _warnings(energies: Sequence[dict[str, Any]]) -> list[str]:
    """Problems of a plan that do not depend on the simulations."""
    opaque = [one["series"] for one in energies if one["transmission"] < OPAQUE_TRANSMISSION]
    thick = [
        one["series"] for one in energies if one["optical_density"] >= THICK and one["series"] not in opaque
    ]
    found = []
    if opaque:
        found.append(
            f"The particle is opaque at its middle ({', '.join(opaque)}): transmission below "
            f"{OPAQUE_TRANSMISSION:g}. Those rays carry no information; choose a smaller particle."
        )
    if thick:
        found.append(
            f"Optical density above {THICK:g} at the middle ({', '.join(thick)}): stray light of 1 % is then half of "
            "what arrives. Measure the stray light, or choose a smaller particle."
        )
    return found
