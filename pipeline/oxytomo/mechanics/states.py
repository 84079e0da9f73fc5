"""Lithium profiles over time at constant current, as shapes that every rate and diffusivity share.

With one diffusivity D the profile is x − x̄ = (ẋ R² / D) u(τ), τ = D t / R². After the first
transient u does not change any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.mechanics.elasticity import Deformed, Elastic, deform
from oxytomo.mechanics.invariants import first_principal, hoop, hydrostatic, von_mises
from oxytomo.mechanics.lithium import conductance, steady_shape, step
from oxytomo.mechanics.solid import Solid

STEADY = 0.3
"""From this τ on the profile is steady: in a sphere what is missing has fallen to 0.3 %."""
SLAB = 8
"""Slices of which the scalars of the stress are calculated at once."""
FIRST_STEPS, LATER_STEPS = 24, 8
"""Implicit time steps to the first profile, and between two profiles."""


@dataclass(frozen=True)
class Solver:
    """Limits of the solvers: relative residual, largest number of iterations, threads."""

    tolerance: float
    most_iterations: int
    threads: int


@dataclass(frozen=True)
class Profile:
    """A lithium profile: τ (infinite for the steady one), and u on the padded grid."""

    tau: float
    u: FloatArray
    iterations: int
    residual: float


def profiles(
    solid: Solid, area: FloatArray, taus: Sequence[float], *, radius_um: float, solver: Solver
) -> Iterator[Profile]:
    """Yield the profile at each τ below :data:`STEADY`, by growing τ, and at last the steady one.

    Parameters
    ----------
    solid : the particle
    area : its wetted surface
    taus : D t / R² of the wanted profiles; larger ones are the steady one
    radius_um : R, µm
    solver : limits of the solver
    """
    flow, x = conductance(solid, 1.0), np.zeros_like(solid.share)
    solid_voxels, total = solid.share > 0, float(solid.share.sum(dtype=np.float64))
    now = 0.0
    for tau in sorted({tau for tau in taus if tau < STEADY}):
        count = LATER_STEPS if now else FIRST_STEPS
        for _ in range(count):
            found = step(
                flow,
                x,
                area,
                rate_per_s=1.0,
                time_s=(tau - now) * radius_um**2 / count,
                voxel_um=solid.voxel_um,
                tolerance=solver.tolerance,
                threads=solver.threads,
            )
            x = found.solution
        now = tau
        u = (x - np.float32((x * solid.share).sum(dtype=np.float64) / total)) * solid_voxels
        yield Profile(
            tau, (u / np.float32(radius_um**2)).astype(np.float32), found.iterations, found.residual
        )
    shape = steady_shape(
        solid,
        area,
        tolerance=solver.tolerance,
        most_iterations=solver.most_iterations,
        threads=solver.threads,
    )
    u = shape.excess / np.float32(radius_um**2)
    yield Profile(np.inf, u.astype(np.float32), shape.iterations, shape.residual)


@dataclass(frozen=True)
class Scalars:
    """Scalars of a stress field on the padded grid; 0 where there is no solid."""

    first_principal: FloatArray
    von_mises: FloatArray
    hydrostatic: FloatArray
    hoop: FloatArray


def unit_elastic(poisson: float) -> Elastic:
    """Return constants with E / (1 − ν) = 1 MPa, for shape factors."""
    return Elastic(1e-3 * (1 - poisson), poisson)


def shape_stress(solid: Solid, u: FloatArray, *, poisson: float, solver: Solver) -> Deformed:
    """Return the shape factor s of the stress, σ = [E ε / (1 − ν)] (ẋ R² / D) s.

    Displacement and strain are those of ε ẋ R² / D = 1.
    """
    return deform(
        solid,
        u,
        unit_elastic(poisson),
        tolerance=solver.tolerance,
        most_iterations=solver.most_iterations,
        threads=solver.threads,
    )


def scalars(stress: FloatArray, solid: Solid, centre: Float64Array) -> Scalars:
    """Return the scalars of a stress tensor, (6, n_z, n_y, n_x), slab by slab to save memory."""
    found = Scalars(*(np.zeros_like(solid.share) for _ in range(4)))
    for low in range(0, solid.share.shape[0], SLAB):
        rows = slice(low, low + SLAB)
        part, there = stress[:, rows], solid.share[rows] > 0
        found.first_principal[rows] = first_principal(part, there)
        found.von_mises[rows] = von_mises(part)
        found.hydrostatic[rows] = hydrostatic(part)
        found.hoop[rows] = hoop(part, centre - (low, 0, 0)) * there
    return found


def headline(found: Scalars, beside: BoolArray, inside: BoolArray) -> dict[str, float]:
    """Return mean and 95th percentile beside the pores and in the solid; NaN without voxels."""
    numbers = {}
    for name in ("first_principal", "von_mises", "hoop"):
        field = getattr(found, name)
        for place, where in (("voids", beside), ("solid", inside)):
            values = field[where]
            known = values.size > 0
            numbers[f"{name}_{place}_mean"] = float(values.mean(dtype=np.float64)) if known else np.nan
            numbers[f"{name}_{place}_p95"] = float(np.percentile(values, 95)) if known else np.nan
    return numbers
