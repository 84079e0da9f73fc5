"""Stress of all lithium profiles of a particle, and of the same solid without voids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.mechanics.elasticity import Deformed, Elastic, deform
from oxytomo.mechanics.geometry import Parts, beside_voids, centre_of, interior
from oxytomo.mechanics.lithium import wetted_area
from oxytomo.mechanics.solid import Solid
from oxytomo.mechanics.states import Scalars, Solver, headline, profiles, scalars, unit_elastic
from oxytomo.slabs import Field

NAMES = ("first_principal", "von_mises", "hydrostatic", "hoop")


@dataclass(frozen=True)
class Stressed:
    """Stress of a particle.

    Attributes
    ----------
    shown : scalars of the shown profile on the grid of the labels; shape factors, or MPa in time
        steps
    filled : the same for the solid without voids and cracks, in its steady state; None in time
        steps
    filled_u : its lithium profile
    displacement : (3, n_z, n_y, n_x) of the shown profile on the padded grid, voxels
    numbers : of each profile, see :func:`oxytomo.mechanics.states.headline`
    solver : iterations and residual of each profile
    """

    shown: Scalars
    filled: Scalars | None
    filled_u: FloatArray | None
    displacement: FloatArray
    numbers: list[dict[str, float]]
    solver: list[dict[str, float]]


def solve_profiles(
    parts: Parts,
    fields: Field,
    *,
    shown: int,
    elastic: Elastic,
    strain: Callable[[FloatArray], FloatArray] | None,
    sign: float,
    solver: Solver,
    progress: Callable[[int, int], None],
) -> Stressed:
    """Solve the stress of each lithium profile.

    Parameters
    ----------
    parts : the particle
    fields : (n, n_z, n_y, n_x) profiles u, or contents in time steps
    shown : number of the profile to keep
    elastic : elastic constants
    strain : stress-free linear strain over content, in time steps; None for shape factors of u
    sign : 1 on discharge, −1 on charge
    solver : limits of the solver
    progress : is called with the number of solved profiles and their total
    """
    solid = parts.solid()
    centre, beside, inside = centre_of(parts, solid), beside_voids(parts, solid), interior(parts, solid)
    numbers: list[dict[str, float]] = []
    solved: list[dict[str, float]] = []
    kept: tuple[Scalars, FloatArray] | None = None
    total = fields.shape[0] + (strain is None)
    for number in range(fields.shape[0]):
        padded = padded_field(solid, np.asarray(fields[number], np.float32))
        deformed = _deform(solid, padded, elastic, strain, solver)
        found = scalars(deformed.stress_mpa, solid, centre)
        numbers.append(headline(found, beside, inside))
        solved.append({"iterations": deformed.iterations, "residual": deformed.residual})
        if number == shown:
            kept = _cropped(found, solid), deformed.displacement
        del deformed, found  # before the next solution needs the memory
        progress(number + 1, total)
    assert kept is not None
    filled, filled_u = _filled(parts, elastic, sign, solver) if strain is None else (None, None)
    progress(total, total)
    return Stressed(kept[0], filled, filled_u, kept[1], numbers, solved)


def _deform(
    solid: Solid,
    field: FloatArray,
    elastic: Elastic,
    strain: Callable[[FloatArray], FloatArray] | None,
    solver: Solver,
) -> Deformed:
    free = field if strain is None else (strain(field) * (solid.share > 0)).astype(np.float32)
    return deform(
        solid,
        free,
        unit_elastic(elastic.poisson) if strain is None else elastic,
        tolerance=solver.tolerance,
        most_iterations=solver.most_iterations,
        threads=solver.threads,
    )


def _filled(parts: Parts, elastic: Elastic, sign: float, solver: Solver) -> tuple[Scalars, FloatArray]:
    """Return the steady stress of the solid without voids, wetted at its skin."""
    whole = parts.filled()
    solid = whole.solid()
    area = wetted_area(solid, whole.labels, "skin")
    (steady,) = profiles(solid, area, (), radius_um=whole.radius_um, solver=solver)
    u = np.float32(sign) * steady.u
    deformed = _deform(solid, u, elastic, None, solver)
    found = scalars(deformed.stress_mpa, solid, centre_of(whole, solid))
    return _cropped(found, solid), u[solid.inside]


def padded_field(solid: Solid, field: FloatArray) -> FloatArray:
    """Put a field of the original volume into the padded grid."""
    padded = np.zeros(solid.share.shape, np.float32)
    padded[solid.inside] = field
    return padded


def _cropped(found: Scalars, solid: Solid) -> Scalars:
    return Scalars(*(np.ascontiguousarray(getattr(found, name)[solid.inside]) for name in NAMES))


def linear_strain(volume_strain: FloatArray) -> FloatArray:
    """Return (1 + ΔV/V)^(1/3) − 1."""
    strain: FloatArray = (np.cbrt(1 + volume_strain) - 1).astype(np.float32)
    return strain


def facts_of_states(
    states: Sequence[dict[str, Any]], numbers: Sequence[dict[str, float]]
) -> list[dict[str, Any]]:
    """Return the states with their stress in MPa, as rows of ``stress_time.csv``."""
    rows = []
    for one in states:
        found = numbers[one["profile"]]
        stress = {f"{name}_mpa": one["amplitude_mpa"] * value for name, value in found.items()}
        rows.append(dict(one) | stress)
    return rows
