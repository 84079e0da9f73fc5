"""Closed solutions of elasticity, diffusion and fracture that the solvers are tested against."""

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from oxytomo.arrays import Float64Array
from oxytomo.mechanics.elasticity import Elastic


def hollow_sphere_hoop_mpa(
    radius_um: Float64Array, *, inner_um: float, outer_um: float, eigenstrain_at_rim: float, elastic: Elastic
) -> Float64Array:
    """Return the hoop stress of a hollow sphere whose stress-free strain grows as r², MPa.

    Timoshenko and Goodier, Theory of Elasticity, § 152, with the stress-free strain in place of the
    thermal strain: ε₀(r) = ``eigenstrain_at_rim`` · (r / R)².
    """

    def integral(low: float, high: float) -> float:
        return quad(lambda r: eigenstrain_at_rim * (r / outer_um) ** 2 * r * r, low, high)[0]

    whole = integral(inner_um, outer_um)
    cube = outer_um**3 - inner_um**3
    hoop = []
    for r in np.asarray(radius_um, np.float64):
        part = integral(inner_um, r)
        hoop.append(
            (2 * r**3 + inner_um**3) / (2 * cube * r**3) * whole
            + part / (2 * r**3)
            - eigenstrain_at_rim * (r / outer_um) ** 2 / 2
        )
    return np.array(hoop) * 2e3 * elastic.youngs_gpa / (1 - elastic.poisson)


def sphere_filling(radius: Float64Array, time: float, *, terms: int = 200) -> Float64Array:
    """Return how x of a sphere grows under a constant flux from x = 0 (Crank 1975, eq. 6.45).

    Parameters
    ----------
    radius : r / R
    time : D t / R²
    terms : number of terms of the series

    Returns
    -------
    x D / (j R), with the flux j through the surface
    """
    roots = np.array([_root(n) for n in range(1, terms + 1)])
    r = np.maximum(np.asarray(radius, np.float64), 1e-9)
    decay = np.exp(-(roots**2) * time) / (roots**2 * np.sin(roots))
    series = (np.sin(roots[None] * r[:, None]) * decay[None]).sum(1) / r
    return 3 * time + 0.5 * r**2 - 0.3 - 2 * series


def _root(n: int) -> float:
    """Return the n-th positive root of tan a = a."""
    return float(brentq(lambda a: np.sin(a) - a * np.cos(a), n * np.pi, (n + 0.5) * np.pi))
