"""Lithium of a particle at all currents and depths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.errors import InputError
from oxytomo.mechanics.geometry import Parts
from oxytomo.mechanics.in_time import Kinetics, Law, lithium_in_time
from oxytomo.mechanics.lithium import Wetted, wetted_area
from oxytomo.mechanics.materials import Material
from oxytomo.mechanics.schedule import (
    HOUR_S,
    State,
    rate_per_s,
    refuse_unsustained,
    sign_of,
    states_of,
)
from oxytomo.mechanics.solid import Solid
from oxytomo.mechanics.states import Solver, profiles

LOOSE_SHARE = 0.02
"""Above this share of solid in loose pieces the cracks cut the particle apart."""


@dataclass(frozen=True)
class Currents:
    """Material, currents and depths.

    Attributes
    ----------
    material : constants; means where a table is given
    c_rates, depths, direction, lithium : as in the settings
    diffusivity_um2_s : over lithium content, None for one number
    kinetics : Butler–Volmer kinetics, None for an even flux
    in_time : True if constants depend on lithium, so that every state is solved in time steps
    """

    material: Material
    c_rates: Sequence[float]
    depths: Sequence[float]
    direction: Literal["discharge", "charge"]
    lithium: tuple[float, float]
    diffusivity_um2_s: Law | None
    kinetics: Kinetics | None
    in_time: bool


@dataclass(frozen=True)
class Lithiated:
    """Lithium of a particle.

    Attributes
    ----------
    profiles : (n, n_z, n_y, n_x) float32 on the grid of the labels: u of each τ, or contents in
        time steps
    states : one per current and depth, with ``profile``, ``lithium_low``, ``lithium_high`` and
        ``sustained``
    shown : number of the state that maps and tables show: the largest current at the last depth
    solver : iterations and residual of the last solution
    left_out_share : share of the solid in loose pieces
    wetted_um2 : wetted surface, in µm²
    warnings : sentences
    """

    profiles: FloatArray
    states: list[dict[str, Any]]
    shown: int
    solver: dict[str, float]
    left_out_share: float
    wetted_um2: float
    warnings: list[str]


def lithiate(parts: Parts, currents: Currents, *, wetted: Wetted, solver: Solver) -> Lithiated:
    """Return the lithium of a particle at all currents and depths.

    Raises
    ------
    InputError
        If the material cannot sustain a current, or no surface is wetted.
    """
    solid = parts.solid()
    if wetted == "skin":
        refuse_unsustained(
            parts.radius_um,
            currents.material.diffusivity_um2_s,
            c_rates=currents.c_rates,
            lithium=currents.lithium,
        )
    area = wetted_area(solid, parts.labels, wetted)
    if not area.any():
        raise InputError("wetted", expected="some wetted surface", got="none", fix="check the labels")
    solve = _in_time if currents.in_time else _scaled
    fields, states, facts = solve(solid, area, parts, currents, solver)
    largest = max(currents.c_rates)
    shown = max(i for i, one in enumerate(states) if one["c_rate"] == largest)
    return Lithiated(
        np.stack([field[solid.inside] for field in fields]),
        states,
        shown,
        facts,
        solid.left_out_share,
        float(area.sum(dtype=np.float64)) * solid.voxel_um**2,
        _warnings(solid, states, facts, solver),
    )


Solved = tuple[list[FloatArray], list[dict[str, Any]], dict[str, float]]


def _scaled(solid: Solid, area: FloatArray, parts: Parts, currents: Currents, solver: Solver) -> Solved:
    """Solve once for all currents, as profiles over τ."""
    states = states_of(
        currents.material,
        c_rates=currents.c_rates,
        depths=currents.depths,
        direction=currents.direction,
        lithium=currents.lithium,
        radius_um=parts.radius_um,
    )
    taus = [one.tau for one in states]
    found = list(profiles(solid, area, taus, radius_um=parts.radius_um, solver=solver))
    sign = np.float32(sign_of(currents.direction))
    fields, there = [sign * one.u for one in found], solid.share > 0
    limits = [(float(u[there].min()), float(u[there].max())) for u in fields]
    of_tau = {one.tau: number for number, one in enumerate(found)}
    rows = [_row(one, of_tau[one.tau], limits) for one in states]
    return fields, rows, {"iterations": found[-1].iterations, "residual": found[-1].residual}


def _row(state: State, profile: int, limits: Sequence[tuple[float, float]]) -> dict[str, Any]:
    ends = [state.lithium_mean + state.lithium_scale * one for one in limits[profile]]
    return state.as_dict() | _limits(min(ends), max(ends)) | {"profile": profile, "potential_v": np.nan}


def _limits(low: float, high: float) -> dict[str, Any]:
    return {"lithium_low": low, "lithium_high": high, "sustained": low >= 0 and high <= 1}


def _in_time(solid: Solid, area: FloatArray, parts: Parts, currents: Currents, solver: Solver) -> Solved:
    """Solve every current in time steps."""
    sign = sign_of(currents.direction)
    width = currents.lithium[1] - currents.lithium[0]
    start = currents.lithium[0] if sign > 0 else currents.lithium[1]
    constant = currents.material.diffusivity_um2_s
    law = currents.diffusivity_um2_s or (lambda x: np.full(np.shape(x), constant))
    fields: list[FloatArray] = []
    rows: list[dict[str, Any]] = []
    there = solid.share > 0
    for c_rate in currents.c_rates:
        rate = sign * rate_per_s(c_rate, currents.lithium)
        for one in lithium_in_time(
            solid,
            area,
            currents.depths,
            start=start,
            rate_per_s=rate,
            width=width,
            diffusivity_um2_s=law,
            kinetics=currents.kinetics,
            solver=solver,
        ):
            time_s = one.depth * HOUR_S / c_rate
            state = State(
                c_rate,
                one.depth,
                time_s,
                constant * time_s / parts.radius_um**2,
                start + sign * one.depth * width,
                abs(rate) * parts.radius_um**2 / constant,
                1.0,
            )
            values = one.x[there]
            limits = _limits(float(values.min()), float(values.max()))
            rows.append(state.as_dict() | limits | {"profile": len(fields), "potential_v": one.potential_v})
            fields.append(one.x)
    return fields, rows, {"iterations": 0, "residual": solver.tolerance}


def _warnings(
    solid: Solid, states: Sequence[dict[str, Any]], facts: dict[str, float], solver: Solver
) -> list[str]:
    found = []
    if solid.left_out_share > LOOSE_SHARE:
        found.append(
            f"cracks and voids cut {100 * solid.left_out_share:.1f} % of the solid off the largest piece; "
            "the stress is that of the largest piece alone"
        )
    full = [one for one in states if not one["sustained"]]
    if full:
        names = ", ".join(f"{one['c_rate']:g} C at {one['depth']:g}" for one in full[:6])
        found.append(
            f"the surface is full or empty at {len(full)} of {len(states)} states ({names}"
            f"{' …' if len(full) > 6 else ''}): such a current cannot be sustained, and the stress is "
            "calculated as if lithium could go beyond its limits"
        )
    if facts["residual"] > 2 * solver.tolerance:
        found.append(f"the lithium solver stopped at a residual of {facts['residual']:.1e}")
    return found
