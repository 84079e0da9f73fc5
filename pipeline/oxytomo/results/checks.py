"""Checks of results for the report; each check returns its warnings as sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.results.fractions import Fraction
from oxytomo.results.names import percent, percent_setting
from oxytomo.results.records import Alignment
from oxytomo.results.severity import remark, severe
from oxytomo.slabs import Field, count_set, mapped, sampled

FEW_TILTS, NARROW_RANGE_DEG = 60, 110.0
MANY_UNSOLVED, MANY_INVALID = 0.02, 0.05
HARMFUL_UNSOLVED = 0.1
"""A share of pixels without a composition above this is a reason for care, below it a remark. Pixels
that one energy does not see lie at the edge of the field, where there is no particle."""
LARGE_RESIDUAL, UNSETTLED_PX = 0.2, 0.1
LARGE_BIAS, LARGE_BIAS_SHARE = 0.02, 0.25
NEAR_EDGE_EV = 50.0
"""Reach of the structure of an edge above it."""
MANY_NEGATIVE, FEW_NEGATIVE = 0.1, 20
LARGE_SOLVER_RESIDUAL, LARGE_MISFIT = 0.1, 2.0


def check_null(fractions: Sequence[Fraction]) -> list[str]:
    """Compare the class fractions with those that noise alone gives in a uniform particle."""
    departures = [fraction for fraction in fractions if fraction.key in ("oxygen_poor", "oxygen_rich")]
    if departures and all(fraction.null is None for fraction in departures):
        return ["There is no null run: nobody knows how much of each class noise alone would make."]
    found = []
    for fraction in departures:
        null = fraction.null
        if null is None or not np.isfinite(null) or null <= 0.0005:
            continue
        low = fraction.interval[0] if fraction.interval else fraction.value
        if null >= low:
            found.append(
                f"The {fraction.name} fraction ({percent(fraction.value)}) is no larger than in the null run "
                f"({percent(null)}): do not interpret it."
            )
        elif null > fraction.value / 2:
            found.append(
                f"More than half of the {fraction.name} fraction ({percent(fraction.value)}) may be noise: "
                f"in the null run, a uniform particle, it is {percent(null)}."
            )
    return found


def check_bias(fractions: Sequence[Fraction], phases_json: Mapping[str, Any] | None) -> list[str]:
    """Warn if additional noise changes a fraction strongly, and if there are no replicates."""
    found = []
    if phases_json is not None and "replicates" in phases_json and phases_json["replicates"] < 2:
        found.append("With fewer than two noise replicates there are no 95 % intervals.")
    for fraction in fractions:
        entry = ((phases_json or {}).get("fractions") or {}).get(fraction.key) or {}
        bias = entry.get("replicate_bias")
        if bias is not None and abs(bias) > max(LARGE_BIAS, LARGE_BIAS_SHARE * fraction.value):
            found.append(
                f"Noise and reconstruction shift the {fraction.name} fraction by about {percent(bias)}; "
                "its interval is wide for that reason."
            )
    return found


def check_solver(phases_json: Mapping[str, Any] | None) -> list[str]:
    """Warn of a deviation that did not converge, and of data that no deviation explains."""
    solver = (phases_json or {}).get("solver") or {}
    found = []
    if solver.get("residual", 0) > LARGE_SOLVER_RESIDUAL:
        found.append(
            f"The reconstruction stopped too early: after {solver['iterations']} iterations the residual is "
            f"{solver['residual']:.2f} of the noise (wanted: 0.03). Raise reconstruct.iterations."
        )
    if solver.get("misfit", 0) > LARGE_MISFIT:
        found.append(
            f"The deviation leaves {solver['misfit']:.1f} times the variance of the noise unexplained: look at the alignment, "
            "and at rays that are nearly opaque."
        )
    return found


def check_tilts(tilt_deg: Float64Array) -> list[str]:
    """Warn of few tilts and of a wide missing wedge."""
    found = []
    span = float(tilt_deg.max() - tilt_deg.min()) if tilt_deg.size else 0.0
    if tilt_deg.size < FEW_TILTS:
        found.append(
            f"There are only {tilt_deg.size} tilts. Below about {FEW_TILTS}, streaks can look like domains."
        )
    if span < NARROW_RANGE_DEG:
        found.append(
            f"The tilts span only {span:.0f}°. In the missing wedge of {180 - span:.0f}° nothing was measured: "
            "along the beam, domains look longer or are hidden."
        )
    return found


def check_alignment(alignment: Alignment) -> list[str]:
    """Warn of shifts at the search limit, bad frames, residuals and missing convergence."""
    found = [str(warning) for warning in alignment.quality.get("warnings") or ()]
    limit = alignment.max_shift_px
    shifts = np.stack([alignment.dy_px, alignment.dx_px])
    largest = 0.0
    if shifts.size:
        # The offset of the tilt axis is common to all frames, not a shift between them.
        between_tilts = np.abs(shifts - np.median(shifts, axis=(1, 2), keepdims=True)).max()
        between_energies = np.ptp(shifts, axis=1).max()
        largest = float(max(between_tilts, between_energies))
    if limit is not None and largest > 0.95 * limit:
        found.append(
            f"Shifts reach {largest:.1f} px, the limit of the search is {limit:g} px: raise "
            "align.max_shift_px."
        )
    if alignment.residual is not None and np.isfinite(alignment.residual).any():
        residual = alignment.residual
        mean = float(np.nanmean(residual))
        if mean > LARGE_RESIDUAL:
            found.append(
                severe(
                    f"The tilts are not well aligned: frames differ from the re-projected particle by {percent(mean)} of "
                    "their contrast on average."
                )
            )
    move = alignment.quality.get("last_move_px")
    if isinstance(move, int | float) and np.isfinite(move) and move > UNSETTLED_PX:
        found.append(
            f"The alignment was still moving by {move:.2f} px in its last round: raise align.iterations."
        )
    return found


def check_there(alignment: Alignment | None, measured: bool = True) -> list[str]:
    """Warn of tests that cannot be made because what they look at is not there: cleaned, deleted or not made yet."""
    found = []
    if not measured:
        found.append(
            "phases.json is missing: fractions against the null run, the fit of the spectra and invalid rays "
            "were not tested. A run makes it again."
        )
    if alignment is None:
        found.append("The store of the alignment is missing: tilts and alignment were not tested.")
    return found


def check_invalid(alignment: Alignment | None, phases_json: Mapping[str, Any] | None) -> list[str]:
    """Warn of many rays without a composition and of series with many invalid pixels."""
    found = []
    rays = (phases_json or {}).get("invalid_rays") or {}
    unsolved, n_rays = rays.get("unsolved"), rays.get("n_rays")
    if unsolved and n_rays and unsolved / n_rays > MANY_UNSOLVED:
        text = (
            f"{percent(unsolved / n_rays)} of pixels could not be used (dead, too dark or outside the field)."
        )
        found.append(text if unsolved / n_rays > HARMFUL_UNSOLVED else remark(text))
    for series, reasons in (alignment.invalid if alignment else {}).items():
        total = alignment.n_pixels.get(series, 0) if alignment else 0
        worst = max(reasons, key=lambda reason: reasons[reason], default=None)
        share = sum(reasons.values()) / total if total else 0.0
        if worst is not None and share > MANY_INVALID:
            found.append(
                f"{percent(share)} of the pixels of {series} could not be used, most of them: {worst}."
            )
    return found


def check_stripes(effect: float) -> list[str]:
    """Report the effect of stripe removal on the composition."""
    if effect == 0:
        return []
    return [remark(f"Removing stripes from the sinograms changed the mean TM/O by {100 * effect:+.2f} %.")]


def check_amounts(negative_rays: Mapping[str, Sequence[int]]) -> list[str]:
    """Warn of elements with negative amounts, which are unphysical."""
    return [
        severe(
            f"{element} has a negative amount in {percent(negative / different)} of the pixels where noise does not explain it: "
            "the energies may be swapped, one of them measured twice, or badly registered."
        )
        for element, (negative, different) in negative_rays.items()
        if negative > MANY_NEGATIVE * different and negative >= FEW_NEGATIVE
    ]


def check_near_edges(above_edge_ev: Mapping[str, float]) -> list[str]:
    """Warn of images in the structure of an edge: tables of cross sections have no white line."""
    return [
        f"{element}: the image on the edge lies {above:.0f} eV above it, in the structure of the edge (white line), which the "
        "tables of cross sections lack: all amounts can be wrong by a common factor (about 1.5 on a white line of a K "
        "edge, more at L edges)."
        for element, above in above_edge_ev.items()
        if above < NEAR_EDGE_EV
    ]


def check_noise(deviation_sigma: Field | None, particle: Field, threshold: float) -> list[str]:
    """Warn if the noise per voxel exceeds the threshold of the classes."""
    if deviation_sigma is None:
        return []
    inside = sampled(deviation_sigma, particle)
    inside = inside[np.isfinite(inside)]
    if inside.size == 0:
        return ["The standard deviation of the TM/O deviation is unknown."]
    median = float(np.median(inside))
    if median <= threshold:
        return []
    return [
        severe(
            f"The noise of a voxel (median {percent(median)} of TM/O) exceeds the threshold of "
            f"{percent_setting(threshold)}: single voxels cannot be classified."
        )
    ]


def check_particle(particle: Field, deviation: Field) -> list[str]:
    """Warn if the edge of the volume cuts the particle, and of voxels without a deviation."""
    found = []
    cut = [
        f"{end} {name}"
        for axis, name in enumerate("zyx")
        for end, plane in (("low", 0), ("high", -1))
        if np.any(particle[(*[slice(None)] * axis, plane)])
    ]
    if cut:
        found.append(
            f"The particle reaches the edge of the volume ({', '.join(cut)}): it is cut, and its numbers are "
            "not those of the whole particle."
        )
    total = count_set(particle)
    unknown = count_set(
        mapped(particle, lambda inside, d: (inside > 0) & ~np.isfinite(d), np.bool_, deviation)
    )
    if total == 0:
        found.append(severe("No particle was found."))
    elif unknown > 0.01 * total:
        found.append(f"{percent(unknown / total)} of the particle's voxels have no TM/O deviation.")
    return found


def check_undecided(share: float | None) -> list[str]:
    """Warn if most of the particle is undecided because of noise."""
    if share is None or share <= 0.5:
        return []
    return [f"For {percent(share)} of the volume the noise is too large to decide."]
