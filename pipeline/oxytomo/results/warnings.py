"""Warnings of each branch, which the report shows first."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.composition.model_choice import POOR_FIT, named
from oxytomo.measure.void_warnings import structure_warnings as of_structure
from oxytomo.results import checks
from oxytomo.results.fractions import fractions_of, undecided_of
from oxytomo.results.names import percent
from oxytomo.results.places import JOINT
from oxytomo.results.readings import check_readings
from oxytomo.results.records import (
    Alignment,
    ArealDensity,
    ChemicalStates,
    Composition,
    ElementValence,
    Joint,
    Mechanics,
    Oxidation,
    Structure,
    Tomogram,
)
from oxytomo.results.scattering_warnings import scattering_warnings
from oxytomo.results.severity import severe
from oxytomo.results.whole_checks import check_damage, check_density, check_reference
from oxytomo.slabs import sampled

if TYPE_CHECKING:
    from oxytomo.results.results import Results

REMEDIES = {
    "stray": "allow decompose.instrument.stray, or subtract a measured stray light",
    "near_edge": "allow decompose.instrument.near_edge, or give the measured factor",
    "near_edge_spread": "allow decompose.instrument.near_edge_spread",
    "pvdf": "name the substance in decompose.components",
    "carbon": "name the substance in decompose.components",
}
LARGE_SYSTEMATIC = 0.3
"""A systematic error above this fraction of the threshold gives a warning."""
MANY_THICK = 0.1
LARGE_CHI_SQUARE = 2.0
LARGE_CHANGE = 0.1
POOR_STATE_FIT, ENERGY_DOUBT_EV = 2.0, 0.2
LARGE_RESIDUAL = 1e-3
"""Residual of the stress solver above which its numbers are in doubt."""
"""A valence depends on one reference if it changes by more than this without it."""
MUCH_OUTSIDE = 0.05


def composition_warnings(result: Composition) -> list[str]:
    """Return the warnings of a composition; reads its volumes."""
    fractions = fractions_of(result.phases_json)
    content = result.phases_json or {}
    inside = sampled(result.deviation, result.particle)
    median = float(np.nanmedian(inside)) if np.isfinite(inside).any() else 0.0
    found = [
        *checks.check_there(result.alignment, measured=result.phases_json is not None),
        *check_reference(content.get("whole_particle"), median, result.threshold),
        *check_density(content.get("whole_particle")),
        *check_model(content.get("model"), result.threshold),
        *check_readings(content),
        *check_damage(content.get("damage"), result.threshold),
        *checks.check_null(fractions),
        *checks.check_noise(result.sigma, result.particle, result.threshold),
        *checks.check_bias(fractions, result.phases_json),
        *checks.check_solver(result.phases_json),
        *checks.check_undecided(undecided_of(result.phases_json)),
        *checks.check_particle(result.particle, result.deviation),
        *checks.check_invalid(result.alignment, result.phases_json),
        *checks.check_stripes(result.stripe_effect),
        *checks.check_amounts(result.negative_rays),
    ]
    if result.sigma is None:
        found.append("There is no σ of the voxels: noise against the threshold was not tested.")
    if result.alignment is not None:
        found += checks.check_tilts(result.alignment.tilt_deg)
        found += checks.check_alignment(result.alignment)
    return found


def areal_density_warnings(result: ArealDensity) -> list[str]:
    """Return the warnings of maps of areal density."""
    found = []
    unknown = float(np.mean(~np.isfinite(result.maps).all(axis=0)))
    if unknown > checks.MANY_INVALID:
        found.append(
            f"{percent(unknown)} of the pixels have no areal density: they are invalid, opaque, or outside the "
            "common field of view."
        )
    found += checks.check_amounts(result.negative_rays)
    found += checks.check_near_edges(result.above_edge_ev)
    found += checks.check_there(result.alignment)
    if result.alignment is not None:
        found += checks.check_alignment(result.alignment)
        found += checks.check_invalid(result.alignment, None)
    return found


def tomogram_warnings(result: Tomogram) -> list[str]:
    """Return the warnings of a tomogram."""
    if result.alignment is None:
        return checks.check_there(None)
    return [
        *checks.check_tilts(result.alignment.tilt_deg),
        *checks.check_alignment(result.alignment),
        *checks.check_invalid(result.alignment, None),
    ]


LOST_LINES = 0.05
"""Share of voxels without a white line that is worth a warning."""


def chemical_state_warnings(result: ChemicalStates) -> list[str]:
    """Return the warnings of chemical states in three dimensions."""
    found = []
    for one in result.elements:
        if one.summary is not None:
            found += _state_warnings(one.element, one.summary)
        if one.sigma is None or (one.summary or {}).get("noise") is None:
            found.append(f"{one.element}: there is no σ of the voxels: every class is undecided.")
    for lines in result.white_lines:
        if lines.summary is not None:
            found += _line_warnings(lines.element, lines.summary)
    if result.alignment is None:
        return [*found, *checks.check_there(None)]
    # The composition warns of an alignment that is its own.
    return found if result.aligned_with_composition else [*found, *alignment_warnings(result.alignment)]


def _line_warnings(element: str, summary: Mapping[str, Any]) -> list[str]:
    model = summary["model"]
    found, fit = [str(remark) for remark in model["remarks"]], model["chi_square_per_dof"]
    if fit is not None and fit > POOR_STATE_FIT:
        found.append(
            f"{element}: two spectra do not explain those of the rays (χ² per degree of freedom {fit:.1f}): there are more "
            "than two states, or the series are not well aligned; energies of lines can be off."
        )
    lost = summary["voxels"] - (summary["white_line"] or {"voxels": 0})["voxels"]
    if lost > LOST_LINES * summary["voxels"]:
        found.append(
            f"{element}: {percent(lost / summary['voxels'])} of the voxels have no white line in the range."
        )
    return found


def _state_warnings(element: str, summary: Mapping[str, Any]) -> list[str]:
    model = summary["model"]
    found = [str(remark) for remark in model["remarks"]]
    fit = model["chi_square_per_dof"]
    if fit is None:
        found.append(
            f"{element}: the references could not be tested, because there are no more energies than unknowns."
        )
    elif fit > POOR_STATE_FIT:
        found.append(
            f"{element}: the references do not explain the spectra (χ² per degree of freedom {fit:.1f}): a component may be "
            "missing, or the references are from another instrument or energy scale."
        )
    best, used = model["best_energy_offset_ev"], model["energy_offset_ev"]
    if best is not None and abs(best - used) >= ENERGY_DOUBT_EV:
        found.append(
            f"{element}: the spectra fit best with {best:+.1f} eV added to the energies, {used:+.1f} eV was used: check the "
            "energy scale."
        )
    difference = summary["valence_of_sums"] - summary["mean_valence"]
    if abs(difference) > LARGE_CHANGE:
        found.append(
            f"{element}: the mean valence from the sums of all rays differs by {difference:+.2f} from that of the volume: "
            "look for another object in the field, or for a wrong background."
        )
    return found


def alignment_warnings(alignment: Alignment) -> list[str]:
    """Return the warnings of an alignment alone."""
    found = [*checks.check_tilts(alignment.tilt_deg)] if alignment.tilt_deg.size > 1 else []
    return [*found, *checks.check_alignment(alignment), *checks.check_invalid(alignment, None)]


def oxidation_warnings(result: Oxidation) -> list[str]:
    """Return the warnings of the oxidation states."""
    found = [warning for one in result.elements for warning in _of_element(one)]
    return found + [str(remark) for one in result.white_lines for remark in one.summary["remarks"]]


def structure_warnings(result: Structure) -> list[str]:
    """Return the warnings of pores and cracks."""
    return of_structure(result.facts)


def joint_warnings(result: Joint) -> list[str]:
    """Return the warnings of composition and structure registered to each other."""
    facts = result.facts
    if facts["verdict"] != "same_particle":
        return [f"composition and structure: {facts['meaning']}."]
    outside = facts["quality"]["outside"]
    if outside is None or outside <= MUCH_OUTSIDE:
        return []
    return [
        f"{percent(outside)} of the composition's particle lies outside that of the structure: different extent, or a poor fit."
    ]


def check_model(model: Mapping[str, Any] | None, threshold: float) -> list[str]:
    """Warn of spectra that the model does not explain, with likely cause and fix."""
    if not model or model.get("chi_square_per_dof") is None:
        return []
    found: list[str] = []
    chi, causes = float(model["chi_square_per_dof"]), list(model.get("likely_causes") or ())
    if chi > POOR_FIT:
        cause = " or ".join(named(name) for name in causes[:2]) or (
            "not among the known ones: look at the residual per energy, at moving illumination and at the flat fields"
        )
        remedies = "; ".join(dict.fromkeys(_remedy(name) for name in causes[:2]))
        found.append(
            severe(
                f"The spectra do not fit the model: χ² per degree of freedom is {chi:.1f} where 1 is noise. "
                f"Likely cause: {cause}." + (f" What would help: {remedies}." if remedies else "")
            )
        )
    if skin := model.get("skin"):
        found.append(
            f"Carbon lies around the particle like a skin, {skin['carbon_nm']:.1f} ± {skin['standard_error_nm']:.1f} nm of it. "
            f"If it is carbonate (Li2CO3), the skin is {skin['carbonate_nm']:.0f} nm thick, and its oxygen makes the rim look "
            "oxygen-rich; if it is a coat of carbon, it does not. The spectra cannot tell: the rim is undecided, and both "
            "readings are in the table. What would help: name the substance in decompose.components."
        )
    systematic = float(np.sqrt(sum(float(v) ** 2 for v in (model.get("systematic") or {}).values())))
    if systematic > LARGE_SYSTEMATIC * threshold:
        found.append(
            f"Errors that all voxels share amount to {percent(systematic)} of TM/O, beside a threshold of "
            f"{percent(threshold)}: see the error budget."
        )
    return found


def _remedy(name: str) -> str:
    for key in ("near_edge_spread", "near_edge", "stray"):
        if name.startswith(key):
            return REMEDIES[key]
    return REMEDIES.get(name, "name the substance in decompose.components")


def _of_element(one: ElementValence) -> list[str]:
    s, e = one.summary, one.element
    found = [str(remark) for remark in s["remarks"]]
    shells = s["structured_shells"]
    if shells:
        where = ", ".join(f"{one.shell_outer[i - 1]:.0f}–{one.shell_inner[i - 1]:.0f} %" for i in shells)
        found.append(
            f"{e}: the references do not explain the spectra of the shell{'s' if len(shells) > 1 else ''} {where} "
            "(residuals are structured, beyond noise): valences there can be wrong by more than their errors."
        )
    total = sum(s["pixels"].values()) - s["pixels"].get("too thin", 0)
    thick = s["pixels"].get("too thick", 0)
    if total and thick / total > MANY_THICK:
        found.append(
            f"{e}: {percent(thick / total)} of the sample's pixels are too thick and have no valence."
        )
    if s["error_scale"] ** 2 > LARGE_CHI_SQUARE:
        found.append(
            f"{e}: the fits leave {s['error_scale'] ** 2:.1f} times the variance of the noise; errors were scaled up for it."
        )
    if one.dead_ev.size:
        found.append(
            f"{e}: the frames at {', '.join(f'{ev:.1f}' for ev in one.dead_ev)} eV have no valid pixel and were left out."
        )
    if one.lost_ev.size:
        found.append(
            f"{e}: the frames at {', '.join(f'{ev:.1f}' for ev in one.lost_ev)} eV could not be registered and were left out."
        )
    if one.held_ev.size:
        found.append(
            f"{e}: {one.held_ev.size} frames, the first at {one.held_ev[0]:.1f} eV, have too little contrast to tell their "
            "shift; that of the frames taken before and after them was used."
        )
    whole = s["spectrum"]["valence"]
    for left in s["leave_one_out"]:
        change = abs(left["valence"] - whole) if left.get("valence") is not None else 0.0
        better = left.get("chi_square") is not None and left["chi_square"] < 1.5 * s["spectrum"]["chi_square"]
        if change > LARGE_CHANGE and better:
            found.append(
                f"{e}: without {left['left_out']} the fit is hardly worse, but the valence moves by {change:.2f}: "
                "it rests on the choice of references."
            )
    return found


def mechanics_warnings(result: Mechanics) -> list[str]:
    """Return the warnings of the mechanics branch, as sentences."""
    found = [f"{str(one)[:1].upper()}{str(one)[1:]}." for one in result.facts["warnings"]]
    worst = max((one["residual"] for one in result.facts["solver"]["stress"]), default=0.0)
    if worst > LARGE_RESIDUAL:
        found.append(f"The stress solver stopped at a residual of {worst:.1e}: numbers may be off.")
    return found


_WARNINGS: Mapping[str, Callable[[Any], list[str]]] = {
    "composition": composition_warnings,
    "areal_density": areal_density_warnings,
    "tomogram": tomogram_warnings,
    "chemical_state": chemical_state_warnings,
    "oxidation": oxidation_warnings,
    "structure": structure_warnings,
    "mechanics": mechanics_warnings,
    "scattering": scattering_warnings,
    JOINT: joint_warnings,
}


def warnings_of(results: "Results", branch: str) -> list[str]:
    """Return the warnings of a branch, or of its alignment if there is nothing else."""
    record = results.record(branch)
    if record is not None:
        return _WARNINGS[branch](record)
    if branch not in ("composition", "areal_density", "tomogram", "chemical_state"):
        return []
    alignment = results.alignment(branch)
    return [] if alignment is None else alignment_warnings(alignment)
