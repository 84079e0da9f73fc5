"""Self-absorption of fluorescence in a flat, uniform sample, and its correction.

Photons at depth z are absorbed by the edge with ``μ_e(E)`` and by everything else with
``μ_o(E)``; the emitted ones leave through the same surface with the attenuation ``μ_f``. With the
angles φ of incidence and θ of exit, both to the surface, and the thickness t::

    F(E) = C μ_e / (μ_e + β) · (1 − exp(−(μ_e + β) t / sin φ)),   β = μ_o + μ_f sin φ / sin θ

(Tröger et al., Phys. Rev. B 46, 3283, 1992; Booth and Bridges, Phys. Scr. T115, 202, 2005). C
follows from the energies above the edge, where the tabulated absorption of the formula holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.errors import InputError

LARGEST_GROWTH = 10.0
"""Where a relative error would grow by more than this factor, the correction is not made."""
BELOW_EDGE_EV = (60.0, 20.0)
"""The absorption below the edge is continued from this far below it."""


@dataclass(frozen=True)
class Slab:
    """Attenuation of a flat sample.

    Attributes
    ----------
    edge : (n,) absorption by the edge at the excitation energies, from tables, 1/µm
    other : (n,) attenuation by everything else, 1/µm
    emitted : attenuation at the emission energy, 1/µm
    thickness_um : infinite for a thick sample
    incidence_deg, exit_deg : angles to the surface
    """

    edge: Float64Array
    other: Float64Array
    emitted: float
    thickness_um: float
    incidence_deg: float
    exit_deg: float

    @property
    def beta(self) -> Float64Array:
        """Attenuation that does not depend on the edge, along both ways, (n,) 1/µm."""
        ways = np.sin(np.radians(self.incidence_deg)) / np.sin(np.radians(self.exit_deg))
        return np.asarray(self.other + self.emitted * ways)

    @property
    def path_um(self) -> float:
        """Longest way of the incident beam in the sample, µm."""
        return float(self.thickness_um / np.sin(np.radians(self.incidence_deg)))

    def emission(self, edge: Float64Array) -> Float64Array:
        """Return F / C for absorptions of the edge, from 0 to 1."""
        total = edge + self.beta
        return np.asarray(edge / total * -np.expm1(-total * self.path_um))

    def slope(self, edge: Float64Array) -> Float64Array:
        """Return the derivative of :meth:`emission`, µm."""
        total, beta = edge + self.beta, self.beta
        if np.isinf(self.path_um):
            return np.asarray(beta / total**2)
        left = np.exp(-total * self.path_um)
        return np.asarray(beta / total**2 * (1 - left) + edge / total * self.path_um * left)


@dataclass(frozen=True)
class Corrected:
    """A yield without self-absorption.

    Attributes
    ----------
    value, error : (n,) absorption of the edge over its tabulated mean above the edge; NaN where the
        correction is not possible
    growth : (n,) factor by which the relative error grows
    saturated : (n,) energies without a value for that reason
    largest : largest ratio of the corrected and the measured yield, both 1 above the edge
    """

    value: Float64Array
    error: Float64Array
    growth: Float64Array
    saturated: BoolArray
    largest: float


def slab_of(
    formula: Mapping[str, float],
    *,
    density_g_cm3: float,
    element: str,
    edge_ev: float,
    excitation_ev: Float64Array,
    emission_ev: float,
    thickness_um: float,
    incidence_deg: float,
    exit_deg: float,
) -> Slab:
    """Return the attenuation of a sample from tables.

    The tables of the element contain the edge and the shells above it. What lies below the edge is
    continued by a power law and counts as other attenuation. Tables step at the free-atom edge,
    which is a few eV higher; below ``edge_ev`` the edge absorbs nothing, and between the two it has
    the value from above the step.
    """
    names = list(formula)
    at = names.index(element)
    high = max(edge_ev + 60.0, float(excitation_ev.max()))
    energies = np.concatenate(
        [excitation_ev, np.linspace(edge_ev - BELOW_EDGE_EV[0], edge_ev - BELOW_EDGE_EV[1], 9), [emission_ev]]
    )
    every = attenuation_per_um(formula, density_g_cm3=density_g_cm3, energies_ev=energies, elements=names)
    n = excitation_ev.size
    law = np.polyfit(np.log(energies[n:-1]), np.log(every[n:-1, at]), 1)
    below = np.exp(np.polyval(law, np.log(excitation_ev)))
    above_ev = np.linspace(edge_ev + 20.0, high, 9)
    above = attenuation_per_um(formula, density_g_cm3=density_g_cm3, energies_ev=above_ev, elements=names)
    curve = np.polyfit(np.log(above_ev), np.log(above[:, at]), 1)
    edge = np.exp(np.polyval(curve, np.log(excitation_ev))) - below
    others = np.delete(every[:n], at, axis=1).sum(axis=1)
    return Slab(
        edge=np.where(excitation_ev >= edge_ev, edge, 0.0),
        other=others + below,
        emitted=float(every[-1].sum()),
        thickness_um=thickness_um,
        incidence_deg=incidence_deg,
        exit_deg=exit_deg,
    )


def without_self_absorption(
    value: Float64Array, error: Float64Array, slab: Slab, *, below: BoolArray, above: BoolArray
) -> Corrected:
    """Return the absorption of the edge that gives a measured fluorescence yield.

    The mean below the edge is subtracted. C makes the mean above the edge the tabulated one. Errors
    are those of the yield times ``dμ/dF``, and that of C.

    Parameters
    ----------
    value, error : (n,) the partial yield of the edge and its standard error
    slab : attenuation of the sample
    below, above : (n,) energies below the edge, and above its fine structure

    Raises
    ------
    InputError
        Without energies below or above the edge.
    """
    known = np.isfinite(value)
    for chosen, role in ((below & known, "below the edge"), (above & known, "above the edge")):
        if not chosen.any():
            raise InputError(
                "self_absorption",
                expected=f"excitation energies {role}",
                got="none",
                fix="give 'pre_edge_ev' and 'post_edge_ev' within the map, or remove self_absorption",
            )
    base = float(value[below & known].mean())
    net = value - base
    ratio = net[above & known] / slab.emission(slab.edge)[above & known]
    scale = float(ratio.mean())
    errors = error[above & known] / slab.emission(slab.edge)[above & known]
    scale_error = float(np.sqrt((errors**2).sum())) / ratio.size
    if not scale > 0:
        raise InputError(
            "self_absorption",
            expected="more emission above the edge than below it",
            got=f"a difference of {scale:.3g}",
            fix="check the emission window of PFY, pre_edge_ev and post_edge_ev",
        )
    exact = _inverted(net / scale, slab)
    reached = np.isfinite(exact)
    found = np.where(reached, exact, 0.0)
    slope = slab.slope(found)
    growth = np.where(found > 0, slab.emission(found) / np.where(found > 0, found * slope, 1.0), 1.0)
    growth = np.where(known & ~reached, np.inf, growth)
    saturated = known & ~(growth <= LARGEST_GROWTH)
    unit = float(slab.edge[above & known].mean())
    base_error = np.sqrt((error[below & known] ** 2).sum()) / max(int((below & known).sum()), 1)
    spread = np.sqrt(error**2 + base_error**2 + (net / scale * scale_error) ** 2) / (scale * slope)
    corrected = np.where(saturated, np.nan, found / unit)
    plain = net / float(net[above & known].mean())
    strong = known & ~saturated & (plain > 0.2)
    return Corrected(
        value=corrected,
        error=np.where(saturated, np.nan, spread / unit),
        growth=growth,
        saturated=saturated,
        largest=float((corrected[strong] / plain[strong]).max()) if strong.any() else float("nan"),
    )


def _inverted(emission: Float64Array, slab: Slab) -> Float64Array:
    """Return the absorption of the edge by emission / C; infinite where there is none.

    Negative emission (noise) is continued by the straight line through 0.
    """
    none = slab.slope(np.zeros_like(emission))
    linear = emission / none
    if np.isinf(slab.path_um):
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(emission < 1, slab.beta * emission / (1 - emission), np.inf)
        return np.where(emission > 0, found, linear)
    low, high = (
        np.zeros_like(emission),
        np.full_like(emission, 1e6 * float(slab.beta.max() + slab.edge.max())),
    )
    reachable = emission < slab.emission(high) * (1 - 1e-9)
    for _ in range(80):
        middle = (low + high) / 2
        more = slab.emission(middle) < emission
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(emission > 0, np.where(reachable, (low + high) / 2, np.inf), linear)
