"""The idealised particle: a sphere with a central void, by closed solutions."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.mechanics.known import sphere_filling

VOID_SHARE = 1 / 16
"""Radius of the central void over that of the sphere: 0.5 µm in 8 µm (Liu et al.)."""
POINTS = 400


@dataclass(frozen=True)
class IdealStress:
    """Shape factors of a hollow sphere over the radius.

    Attributes
    ----------
    radius : (n,) r / R, from the void to the surface
    u : (n,) lithium profile
    hoop, von_mises : (n,) shape factors, see :func:`oxytomo.mechanics.states.shape_stress`
    """

    radius: Float64Array
    u: Float64Array
    hoop: Float64Array
    von_mises: Float64Array


def ideal_sphere(tau: float, *, void_share: float = VOID_SHARE) -> IdealStress:
    """Return the stress of a sphere with a central void that fills at constant current.

    The void is dry. The steady profile has no flux at it; before, lithium is that of a full sphere
    (Crank 1975, eq. 6.45), so the void must be small. Stress: Timoshenko and Goodier, Theory of
    Elasticity, § 152, with the stress-free strain in place of the thermal strain.

    Parameters
    ----------
    tau : D t / R²; infinite for the steady profile
    void_share : radius of the void over that of the sphere; 0 for none
    """
    r = np.linspace(max(void_share, 1e-3), 1.0, POINTS)
    if np.isinf(tau):
        u = (r**2 / 2 + void_share**3 / r) / 3  # ∇²u = 1, no flux at the void
        u -= (np.diff(r**3) * (u[1:] + u[:-1]) / 2).sum() / (r[-1] ** 3 - r[0] ** 3)
    else:
        u = sphere_filling(r, tau) / 3 - tau
    a = void_share
    steps = np.diff(r**3) * (u[1:] + u[:-1]) / 6  # ∫ u r² dr
    part = np.concatenate([[u[0] * (r[0] ** 3 - a**3) / 3], u[0] * (r[0] ** 3 - a**3) / 3 + np.cumsum(steps)])
    whole = part[-1]
    hoop = (2 * r**3 + a**3) / ((1 - a**3) * r**3) * whole + part / r**3 - u
    radial = 2 * ((r**3 - a**3) / ((1 - a**3) * r**3) * whole - part / r**3)
    return IdealStress(r, u, hoop, np.abs(hoop - radial))
