"""How much the stress beside voids depends on the geometry, and on which surface is wetted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.mechanics.geometry import Parts, averaged, averaging, beside_voids, centre_of, interior
from oxytomo.mechanics.lithium import Wetted, wetted_area
from oxytomo.mechanics.states import STEADY, Solver, headline, profiles, scalars, shape_stress

MOST_VOXELS = 2e6
"""Trials of larger particles are made on averaged voxels."""
NUMBER = "first_principal_voids_p95"
"""The number whose errors are given: the 95th percentile of the first principal stress beside the
pores."""


def trial(parts: Parts, *, wetted: Wetted, sign: float, poisson: float, solver: Solver) -> dict[str, float]:
    """Return the numbers of the steady stress of a particle, as shape factors."""
    solid = parts.solid()
    area = wetted_area(solid, parts.labels, wetted)
    steady = list(profiles(solid, area, (STEADY,), radius_um=parts.radius_um, solver=solver))[-1]
    deformed = shape_stress(solid, np.float32(sign) * steady.u, poisson=poisson, solver=solver)
    found = scalars(deformed.stress_mpa, solid, centre_of(parts, solid))
    return headline(found, beside_voids(parts, solid), interior(parts, solid))


@dataclass(frozen=True)
class Trials:
    """Numbers of the trials, each as in :func:`oxytomo.mechanics.states.headline`.

    Attributes
    ----------
    factor : voxels of the trials over those of the result
    same : the particle itself, on the voxels of the trials
    half : with voxels twice as large as those of ``same``
    wetted : with another wetted surface
    replicates : with as much noise added to the volume as it has
    """

    factor: int
    same: dict[str, float]
    half: dict[str, float]
    wetted: dict[str, dict[str, float]]
    replicates: list[dict[str, float]]


def run_trials(
    parts: Parts,
    replicates: Sequence[Parts],
    *,
    wetted: Wetted,
    sign: float,
    poisson: float,
    solver: Solver,
) -> Trials:
    """Solve the steady stress of variants of a particle.

    Parameters
    ----------
    parts : the particle
    replicates : the same particle with voids found in noisier volumes, on the voxels of the trials
    wetted : wetted surface of the result
    sign : 1 on discharge, −1 on charge
    poisson : Poisson's ratio
    solver : limits of the solver
    """
    factor = averaging(parts.labels.shape, max_voxels=MOST_VOXELS)

    def of(one: Parts, more: int = 1, surface: Wetted = wetted) -> dict[str, float]:
        return trial(averaged(one, factor * more), wetted=surface, sign=sign, poisson=poisson, solver=solver)

    others: tuple[Wetted, ...] = ("skin", "open", "all")
    return Trials(
        factor,
        of(parts),
        of(parts, 2),
        {other: of(parts, surface=other) for other in others if other != wetted},
        [trial(one, wetted=wetted, sign=sign, poisson=poisson, solver=solver) for one in replicates],
    )


def geometry_error(found: Trials, number: str = NUMBER) -> dict[str, float | None]:
    """Return the relative errors of a number: change at half the resolution, spread by noise.

    ``noise`` is the standard deviation over the replicates, ``noise_bias`` their mean over the
    value, less one; None with fewer than two.
    """
    value = found.same[number]
    noisy = np.array([one[number] for one in found.replicates], np.float64)
    many = len(noisy) >= 2 and np.isfinite(value) and value != 0
    return {
        "half_resolution": found.half[number] / value - 1 if value else None,
        "noise": float(np.std(noisy, ddof=1) / abs(value)) if many else None,
        "noise_bias": float(noisy.mean() / value - 1) if many else None,
    }
