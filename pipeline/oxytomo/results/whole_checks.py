"""Checks of the particle as a whole: against the formula, its density, and its damage."""

from collections.abc import Mapping
from typing import Any

from oxytomo.results.names import percent
from oxytomo.results.severity import severe

LEAST_DENSE, MOST_DENSE = 0.5, 1.2
"""Range of the density over the stated one: secondary particles are porous by up to a third."""
MUCH_DAMAGE = 0.5
"""Damage is not bounded where the error of the change exceeds this share of the threshold."""


def check_reference(whole: Mapping[str, Any] | None, median_deviation: float, threshold: float) -> list[str]:
    """Warn first of a particle that deviates from the reference as a whole.

    Parameters
    ----------
    whole : record of the whole particle in ``phases.json``, None where there is none
    median_deviation : of all voxels, used without a record
    threshold : threshold of the classes
    """
    whole = whole or {
        "off_target": abs(median_deviation) > threshold,
        "median_deviation": median_deviation,
    }
    if not whole["off_target"]:
        return []
    median = float(whole["median_deviation"])
    side = "more" if median > 0 else "less"
    cause, own = whole.get("likely_cause"), whole.get("fractions_against_own_mode")
    text = (
        f"Half of the particle has at least {percent(abs(median))} {side} metal per oxygen than the formula. "
        "A wrong formula, density or cross-section is more likely than such a particle. "
    )
    if whole.get("tm_per_o"):
        text += (
            f"The formula has {whole['tm_per_o_of_formula']:.3f} metal atoms per oxygen, the particle most often "
            f"{whole['tm_per_o']:.3f}. "
        )
    if cause:
        text += f"Likely cause: {_cause_of_whole(str(cause))}. "
    if each := whole.get("metal_per_oxygen"):
        shown = ", ".join(f"{metal} {value:.2f}" for metal, value in each.items())
        text += f"Per oxygen, relative to the formula: {shown}. "
    text += "Check the formula, and compare with reference: mode, which shows only how uneven the particle is"
    if own:
        shares = ", ".join(
            f"{percent(own[key])} {name}"
            for key, name in (("oxygen_poor", "oxygen-poor"), ("oxygen_rich", "oxygen-rich"))
        )
        text += f": {shares}"
    return [severe(text + ".")]


def check_density(whole: Mapping[str, Any] | None) -> list[str]:
    """Warn of a particle that is denser than stated, or much less dense."""
    dense = (whole or {}).get("relative_density")
    if dense is None or LEAST_DENSE < dense < MOST_DENSE:
        return []
    why = "more than pores below the resolution explain" if dense < 1 else "which pores cannot explain"
    return [
        f"The particle is {dense:.2f} times as dense as stated, {why}: check density_g_cm3, the pixel size and the formula. "
        "TM/O does not depend on the density, amounts do."
    ]


def _cause_of_whole(cause: str) -> str:
    if cause == "spectra":
        return "the spectra do not fit the model (see the next warning)"
    if cause.startswith("metal:"):
        metal = cause.removeprefix("metal:")
        return f"the share of {metal} in the formula, or the near-edge absorption of {metal}; the other metals agree with it"
    if cause == "metals":
        return "the shares of the metals in the formula"
    return "the oxygen or the lithium of the formula, or the absorption of oxygen; all metals depart alike"


def check_damage(damage: Mapping[str, Any] | None, threshold: float) -> list[str]:
    """Warn of a composition or a size that changes with dose, and where a scan cannot tell.

    Parameters
    ----------
    damage : record in ``phases.json``; None where the order of the frames is not known
    threshold : threshold of the classes
    """
    if not damage:
        return []
    if not damage["told_from_path_length"]:
        return [
            "The frames were taken in such an order that damage cannot be told from the longer path at high tilts: "
            "a composition that changed during the scan would not be noticed. Repeat a few angles at the end of a scan."
        ]
    found = []
    change, size = damage.get("tm_o"), damage.get("size")
    if change and change["found"]:
        side = "rises" if change["change"] > 0 else "falls"
        found.append(
            f"Metal per oxygen {side} by {_change(change)} from the first frame of a series to the last: radiation damage? "
            "The composition is a mean over the dose. If the series were recorded one after the other, "
            f"{damage['series']} of them received that many times the dose, and damage cannot be told from composition."
        )
    elif change and change["standard_error"] > MUCH_DAMAGE * threshold:
        found.append(
            f"The scan cannot tell damage from composition: a change of metal per oxygen from the first frame to the last is "
            f"known to ± {percent(change['standard_error'])} only, beside a threshold of {percent(threshold)}."
        )
    if size and size["found"]:
        side = "grows" if size["change"] > 0 else "shrinks"
        found.append(
            f"The particle {side} by {_change(size)} along the tilt axis from the first frame to the last: radiation damage, "
            "or a moving focus?"
        )
    return found


def _change(one: Mapping[str, float]) -> str:
    return f"{percent(abs(one['change']))} ± {percent(one['standard_error'])}"
