"""Warnings that a reader of the numbers of pores and cracks needs, as sentences."""

from collections.abc import Mapping
from typing import Any

LOW_CONTRAST = 3.0
LARGE_BIAS = 0.1
MOVED, MOVED_PARTICLE = 0.05, 0.002
"""Above these shares, of the porosity and of the particle's volume, the second bridging length
matters."""


def structure_warnings(facts: Mapping[str, Any]) -> list[str]:
    """Return the doubts about ``structure.json``, one sentence each, without initial capital."""
    found = [*_skin_warnings(facts), *_cut_warnings(facts)]
    calibration = facts["calibration"]
    contrast = calibration["contrast_to_noise"]
    if contrast is not None and contrast < LOW_CONTRAST:
        found.append(
            f"the contrast is only {contrast:.1f} times the noise; small pores and thin cracks are missing."
        )
    if calibration["void_level_from"] == "air":
        found.append(
            "no void is wide enough to show its grey value; that of the air around the particle was used, which "
            "phase-contrast fringes can falsify."
        )
    elif calibration["void_level_from"] == "darkest voxels":
        found.append(
            "no void is wide enough to show its grey value, and there is no air around the particle: the darkest voxels were "
            "taken for void; void fractions are too large where these are partly solid. Give a volume or a mask with air."
        )
    total = facts["porosity"]["total"]
    bias = total.get("noise_bias")
    if bias is not None and abs(bias) > LARGE_BIAS * total["value"]:
        found.append(
            f"as much noise again would change the porosity by {_percent(bias)}; part of what is there may be missing."
        )
    return found


def _skin_warnings(facts: Mapping[str, Any]) -> list[str]:
    skin = facts.get("skin") or {}
    if skin.get("from") == "no skin in the volume":
        return [
            "the mask fills the volume: it holds no skin, so depth and the open share of the voids are unknown; voids that no "
            "face of the volume cuts are closed."
        ]
    second = skin.get("second_bridging")
    value = facts["porosity"]["total"]["value"]
    if second is None:
        return []
    moved = second["porosity"] - value
    grown = second["particle_volume_nm3"] / facts["particle_volume_nm3"] - 1
    if moved <= MOVED * value or grown <= MOVED_PARTICLE:
        return []
    return [
        f"openings wider than {2 * skin['bridge_nm']:.3g} nm count as outside of the particle; bridged up to twice as wide, the "
        f"porosity would be {_percent(second['porosity'])} instead of {_percent(value)}. Its interval reaches beyond that; raise "
        "'bridge_px' or give a mask that says what belongs to the particle."
    ]


def _cut_warnings(facts: Mapping[str, Any]) -> list[str]:
    cut = facts["cut_by_field_of_view"]
    if not cut:
        return []
    which = "the particle is" if len(facts["particles"]) == 1 else f"particles {cut} are"
    found = [
        f"{which} cut by the field of view; the numbers are of the visible part, depths are those below the visible skin."
    ]
    pores, cracks = (facts[kind].get("cut", 0) for kind in ("pores", "cracks"))
    if pores or cracks:
        unknown = facts["porosity"].get("unknown", {}).get("value") or 0.0
        found.append(
            f"{pores} of {facts['pores']['count']} pores and {cracks} of {facts['cracks']['count']} cracks are cut by the faces "
            f"of the volume: sizes leave them out; whether voids of {_percent(unknown)} of the particle are open is unknown."
        )
    return found


def _percent(fraction: float) -> str:
    value = 100 * fraction
    return f"{value:.{2 if abs(value) < 1 else 1}f}".replace("-", "−") + " %"
