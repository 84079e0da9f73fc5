"""Warnings of the scattering branch."""

from collections.abc import Mapping
from typing import Any

from oxytomo.results.records import Scattering

LARGE_ELSEWHERE = 1.5
LARGE_CHI_SQUARE = 2.0
LARGE_CORRECTION = 3.0
LARGE_SCALE_ERROR_EV = 0.1
FEW_PHOTONS = 1000.0


def scattering_warnings(result: Scattering) -> list[str]:
    """Return the warnings of maps, compared pairs and valences."""
    found = [line for one in result.maps for line in _of_map(one.name, one.facts)]
    for pair in result.pairs:
        found += _of_pair(pair.facts, {one.name: one.facts for one in result.maps})
    poor = result.valences[result.valences["chi_square"] > LARGE_CHI_SQUARE]
    for _, row in poor.iterrows():
        found.append(
            f"{row['map']}: the references do not explain the {row['yield']} within its errors "
            f"(χ² {row['chi_square']:.1f}); "
            "the valence can be wrong by more than its error."
        )
    return found


def _of_map(name: str, facts: Mapping[str, Any]) -> list[str]:
    found = [str(remark).rstrip(".") + "." for fit in facts["fits"].values() for remark in fit["remarks"]]
    if not facts["elastic"]:
        found.append(
            f"{name}: the emission scale is as given; its error and the resolution are not known, and the elastic "
            "line was not subtracted."
        )
    elif facts["scale_error_ev"] > LARGE_SCALE_ERROR_EV:
        found.append(
            f"{name}: the elastic line is weak: its energy is known to {facts['scale_error_ev']:.2f} eV only."
        )
    if not facts["has_flux"]:
        found.append(f"{name}: there is no incident flux; yields follow the flux as well as the sample.")
    if facts["invalid"]:
        found.append(
            f"{name}: {facts['invalid']} points of the map are invalid; sums that need them are left out."
        )
    absorbed = facts["self_absorption"]
    if absorbed is not None and absorbed["saturated"]:
        found.append(
            f"{name}: at {absorbed['saturated']} excitations the emission is saturated, and the self-absorption cannot "
            "be corrected."
        )
    if absorbed is not None and (absorbed["largest_growth"] or 0.0) > LARGE_CORRECTION:
        found.append(
            f"{name}: the correction of self-absorption multiplies relative errors by up to {absorbed['largest_growth']:.1f}; "
            "errors of formula, density and angles grow like that, too."
        )
    return found


def _of_pair(facts: Mapping[str, Any], maps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    first, second, feature = facts["first"], facts["second"], facts["feature"]
    name, found = f"{first} and {second}", []
    widths = [maps[one]["fwhm_ev"] for one in (first, second) if one in maps]
    if len(widths) == 2 and None not in widths and abs(widths[0] - widths[1]) > 0.1 * max(widths):
        found.append(
            f"{name}: the resolutions differ ({widths[0]:.2f} and {widths[1]:.2f} eV): narrow features change with them."
        )
    if feature is None:
        return found
    if feature["elsewhere"] is not None and feature["elsewhere"] > LARGE_ELSEWHERE:
        found.append(
            f"{name}: windows elsewhere in the maps differ by {feature['elsewhere']:.1f} times their counting errors. The "
            "maps differ in more than the feature, and its p-value says little about oxidised oxygen alone."
        )
    if feature["p_value"] is None:
        found.append(f"{name}: the excitation energies differ, so that there is no permutation test.")
    if feature["test"] == "photons" and max(feature["scans"]) > 1:
        found.append(
            f"{name}: one of them has one scan only, or scans with too few photons, so that the scatter of scans is not in "
            "the p-value."
        )
    if min(feature["photons"]) < FEW_PHOTONS:
        found.append(
            f"{name}: the feature has only {min(feature['photons']):.0f} photons in one of the maps."
        )
    return found
