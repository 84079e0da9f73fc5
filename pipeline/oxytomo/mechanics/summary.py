"""What the mechanics branch reports: tables of fronts and shells, and ``mechanics.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from oxytomo.arrays import FloatArray
from oxytomo.mechanics.crack_fronts import crack_fronts, crack_sheets
from oxytomo.mechanics.elasticity import Deformed
from oxytomo.mechanics.geometry import Parts, beside_voids
from oxytomo.mechanics.ideal import ideal_sphere
from oxytomo.mechanics.lithiation import Currents
from oxytomo.mechanics.materials import Material, literature_range, sustained
from oxytomo.mechanics.schedule import rate_per_s
from oxytomo.mechanics.solid import CRACK, FEWEST_BRIDGE_VOXELS, Solid
from oxytomo.mechanics.solving import NAMES
from oxytomo.mechanics.states import STEADY, Scalars
from oxytomo.mechanics.tables import (
    FRONT_COLUMNS,
    read_distance_nm,
    shell_means,
    shell_numbers,
    unresolved_bridges,
)
from oxytomo.mechanics.trials import NUMBER, Trials, geometry_error

LARGE_CHANGE = 0.15
"""Change at half the resolution above which pores are too small, relative."""


@dataclass(frozen=True)
class Shown:
    """The shown state of a particle.

    Attributes
    ----------
    parts, solid : the particle
    scalars, filled : shape factors (MPa in time steps) of the particle, and of the solid without
        voids, on the grid of the labels; the latter is None in time steps
    lithium : contents on the same grid
    filled_lithium : contents of the solid without voids, None in time steps
    state : current, depth, amplitude
    sign : 1 on discharge, −1 on charge
    """

    parts: Parts
    solid: Solid
    scalars: Scalars
    filled: Scalars | None
    lithium: FloatArray
    filled_lithium: FloatArray | None
    state: Mapping[str, Any]
    sign: float

    @property
    def amplitude_mpa(self) -> float:
        """Stress is this times the stored scalars, MPa."""
        return float(self.state["amplitude_mpa"])


def front_table(shown: Shown, displacement: FloatArray, material: Material, *, in_time: bool) -> pd.DataFrame:
    """Return K_I along the crack fronts with positions in the whole volume, and K_I / K_Ic."""
    parts, solid = shown.parts, shown.solid
    scale = 1.0 if in_time else material.linear_strain * float(shown.state["lithium_scale"])
    moved = displacement * np.float32(scale)
    deformed = Deformed(moved, solid.share, moved[:1], 0, 0.0)
    cracks = np.zeros(solid.share.shape, bool)
    cracks[solid.inside] = parts.labels == CRACK
    found = crack_fronts(crack_sheets(cracks, solid, deformed), solid, material.elastic)
    for axis, (start, offset) in enumerate(zip(parts.start, solid.offset, strict=True)):
        name = "zyx"[axis]
        found[f"{name}_nm"] = (found[name] + start - offset) * 1e3 * parts.voxel_um
    toughness = material.toughness_mpa_sqrt_m
    found["k_over_kc"] = found["k_mpa_sqrt_m"] / toughness if toughness else np.nan
    return found[list(FRONT_COLUMNS)]


def shell_table(shown: Shown, *, shells: int, in_time: bool) -> pd.DataFrame:
    """Return means over shells of equal volume: this particle, without voids, and an ideal sphere.

    The ideal sphere has the volume of the particle and a central void of a sixteenth of its radius.
    """
    numbers, limits = shell_numbers(shown.parts, shown.solid, shells=shells)
    inner = numbers[shown.solid.inside]
    columns: dict[str, Any] = {
        "shell": np.arange(1, shells + 1),
        "outer_nm": limits[:-1],
        "inner_nm": limits[1:],
        "n_voxels": np.bincount(inner.ravel(), minlength=shells + 1)[1:],
        "lithium": shell_means(inner, shown.lithium, shells=shells),
    }
    for name in NAMES:
        columns[f"{name}_mpa"] = shown.amplitude_mpa * shell_means(
            inner, getattr(shown.scalars, name), shells=shells
        )
    whole = shown.parts.filled()
    of_whole = shell_numbers(whole, whole.solid(), shells=shells)[0][whole.solid().inside]
    for name in NAMES:
        columns[f"without_voids_{name}_mpa"] = (
            np.full(shells, np.nan)
            if shown.filled is None
            else shown.amplitude_mpa * shell_means(of_whole, getattr(shown.filled, name), shells=shells)
        )
    columns["ideal_hoop_mpa"], columns["ideal_von_mises_mpa"] = (
        (np.full(shells, np.nan),) * 2 if in_time else _ideal_shells(shown, shells)
    )
    return pd.DataFrame(columns)


def _ideal_shells(shown: Shown, shells: int) -> tuple[np.ndarray, np.ndarray]:
    ideal = ideal_sphere(float(shown.state["tau"]))
    edges = np.cbrt(1 - np.arange(shells + 1) / shells)
    means = []
    for values in (shown.sign * ideal.hoop, ideal.von_mises):
        own = []
        for outer, inner in pairwise(edges.tolist()):
            r = np.linspace(max(inner, ideal.radius[0]), outer, 50)
            own.append(float(np.average(np.interp(r, ideal.radius, values), weights=r**2)))
        means.append(shown.amplitude_mpa * np.array(own))
    return means[0], means[1]


def time_table(
    states: Sequence[Mapping[str, Any]], numbers: Sequence[Mapping[str, float]], *, sign: float, in_time: bool
) -> pd.DataFrame:
    """Return stress and lithium of every current and depth, with the ideal sphere beside it."""
    rows, ideals = [], {}
    for one in states:
        amplitude, found = float(one["amplitude_mpa"]), numbers[int(one["profile"])]
        tau = float(one["tau"])
        if not in_time and tau not in ideals:
            ideals[tau] = ideal_sphere(tau)
        ideal = ideals.get(tau)
        rows.append(
            {
                "c_rate": one["c_rate"],
                "depth": one["depth"],
                "time_s": one["time_s"],
                "steady": bool(tau >= STEADY),
                "lithium_mean": one["lithium_mean"],
                "lithium_low": one["lithium_low"],
                "lithium_high": one["lithium_high"],
                "sustained": one["sustained"],
                "potential_v": one["potential_v"],
                **{f"{name}_mpa": amplitude * value for name, value in found.items()},
                "ideal_hoop_void_mpa": np.nan if ideal is None else sign * amplitude * ideal.hoop[0],
                "ideal_von_mises_void_mpa": np.nan if ideal is None else amplitude * ideal.von_mises[0],
            }
        )
    return pd.DataFrame(rows)


def crack_numbers(fronts: pd.DataFrame) -> dict[str, Any]:
    """Return medians and largest values of K_I; None without fronts."""
    known = fronts["k_mpa_sqrt_m"].dropna()
    shares = fronts["k_over_kc"].dropna()
    return {
        "front_voxels": len(fronts),
        "without_k": int(fronts["k_mpa_sqrt_m"].isna().sum()),
        "closed_share": float((known == 0).mean()) if len(known) else None,
        "k_median_mpa_sqrt_m": float(known.median()) if len(known) else None,
        "k_p95_mpa_sqrt_m": float(known.quantile(0.95)) if len(known) else None,
        "k_over_kc_median": float(shares.median()) if len(shares) else None,
        "k_over_kc_p95": float(shares.quantile(0.95)) if len(shares) else None,
    }


def stress_numbers(shown: Shown, numbers: Mapping[str, float], trials: Trials) -> dict[str, Any]:
    """Return the stress beside the pores with its errors, and what the voids change."""
    value = shown.amplitude_mpa * numbers[NUMBER]
    base = trials.same[NUMBER]
    relative = {name: one[NUMBER] / base - 1 if base else None for name, one in trials.wetted.items()}
    return {
        "first_principal_p95_mpa": value,
        "first_principal_mean_mpa": shown.amplitude_mpa * numbers["first_principal_voids_mean"],
        "hoop_p95_mpa": shown.amplitude_mpa * numbers["hoop_voids_p95"],
        "von_mises_p95_mpa": shown.amplitude_mpa * numbers["von_mises_voids_p95"],
        "solid_first_principal_p95_mpa": shown.amplitude_mpa * numbers["first_principal_solid_p95"],
        "raised_by_voids": _raised(shown, numbers),
        "geometry_error": geometry_error(trials) | {"replicates": len(trials.replicates)},
        "trials_averaged": trials.factor,
        "other_wetted": relative,
    }


def _raised(shown: Shown, numbers: Mapping[str, float]) -> float | None:
    """Return the 95th percentile beside the pores over that of the filled solid at these places."""
    if shown.filled is None:
        return None
    where = beside_voids(shown.parts, shown.solid)[shown.solid.inside]
    values = shown.filled.first_principal[where]
    base = float(np.percentile(values, 95)) if values.size else np.nan
    return numbers[NUMBER] / base if base > 0 else None


def material_facts(
    material: Material, stress_mpa: float, *, largest_a: float, in_time: bool
) -> dict[str, Any]:
    """Return the constants with their sources, and what their range in the literature would do.

    A diffusivity that could not sustain the current (A above 1) is left out of the range.
    """
    ranges = literature_range(material)
    low, high = ranges["diffusivity_m2_s"]
    ranges["diffusivity_m2_s"] = (low, min(high, max(1.0, 1 / largest_a)))
    spread = {
        name: {"factor": list(one), "mpa": sorted(stress_mpa * factor for factor in one)}
        for name, one in ranges.items()
    }
    return {
        "youngs_gpa": material.elastic.youngs_gpa,
        "poisson": material.elastic.poisson,
        "volume_strain": material.volume_strain,
        "diffusivity_m2_s": material.diffusivity_um2_s * 1e-12,
        "toughness_mpa_sqrt_m": material.toughness_mpa_sqrt_m,
        "sources": dict(material.sources),
        "range": {} if in_time else spread,
    }


def rates(
    material: Material, c_rates: Sequence[float], lithium: tuple[float, float], radius_um: float
) -> list[dict[str, float]]:
    """Return A of each current, and the amplitude that multiplies the shape factor."""
    width = lithium[1] - lithium[0]
    return [
        {
            "c_rate": one,
            "a": sustained(radius_um, rate_per_s(one, lithium), material.diffusivity_um2_s) / width,
        }
        for one in c_rates
    ]


def mechanics_facts(shown: Shown, currents: Currents, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return geometry, material, currents, the shown state and its stress."""
    radius_um, value = shown.parts.radius_um, found["first_principal_p95_mpa"]
    given = rates(currents.material, currents.c_rates, currents.lithium, radius_um)
    value = value if np.isfinite(value) else found["solid_first_principal_p95_mpa"]
    material = material_facts(
        currents.material, value, largest_a=max(one["a"] for one in given), in_time=currents.in_time
    )
    return {
        "voxel_nm": 1e3 * shown.parts.voxel_um,
        "radius_nm": 1e3 * radius_um,
        "direction": currents.direction,
        "in_time": currents.in_time,
        "lithium": list(currents.lithium),
        "material": material,
        "rates": given,
        "shown": dict(shown.state),
        "stress": dict(found),
    }


def bridge_facts(table: pd.DataFrame, parts: Parts) -> dict[str, Any]:
    """Return how many bridges between voids are too thin to be resolved."""
    known = table["bridge_nm"].dropna()
    low, high = read_distance_nm(parts)
    return {
        "least_resolved_nm": 1e3 * FEWEST_BRIDGE_VOXELS * parts.voxel_um,
        "not_resolved": unresolved_bridges(table),
        "smallest_nm": float(known.min()) if len(known) else None,
        "read_nm": [low, high],
    }


def remarks(found: Mapping[str, Any], pores: pd.DataFrame, fronts: pd.DataFrame) -> list[str]:
    """Return sentences about numbers that are not to be trusted."""
    said = []
    unread = int(pores["mean_first_principal_mpa"].isna().sum())
    if unread:
        said.append(f"{unread} of {len(pores)} pores have too few voxels beside them for a stress")
    thin = unresolved_bridges(pores)
    if thin:
        said.append(f"{thin} of {len(pores)} pores have a bridge below four voxels, which is not resolved")
    half = found["geometry_error"]["half_resolution"]
    if half is not None and abs(half) > LARGE_CHANGE:
        said.append(
            f"the stress beside the pores changes by {100 * half:+.0f} % with voxels twice as large: the pores are "
            "too small for these voxels"
        )
    unknown = int(fronts["k_mpa_sqrt_m"].isna().sum())
    if unknown:
        said.append(f"K_I is unknown at {unknown} of {len(fronts)} voxels of crack fronts")
    return said
