"""Substances in the beam beside the particle: they have a spectrum, but are no part of the oxide.

A component is solved for in every ray together with the elements, so that its absorption is not
attributed to them. Its own oxygen does not count as oxygen of the particle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xraydb

from oxytomo.arrays import Float64Array
from oxytomo.errors import ConfigError

UM_PER_CM: Final = 1e4


@dataclass(frozen=True)
class Component:
    """A substance beside the particle.

    Attributes
    ----------
    name : its name in results
    formula : atoms per formula unit
    density_g_cm3 : density at which its amount is a path length in µm
    """

    name: str
    formula: Mapping[str, float]
    density_g_cm3: float

    def attenuation_per_um(self, energies_ev: Float64Array) -> Float64Array:
        """Return the linear attenuation at its density, (n_energy,) float64, 1/µm (Chantler)."""
        masses = {symbol: atoms * float(xraydb.atomic_mass(symbol)) for symbol, atoms in self.formula.items()}
        total = sum(masses.values())
        per_mass = sum(
            mass / total * np.asarray(xraydb.mu_chantler(symbol, energies_ev), np.float64)
            for symbol, mass in masses.items()
        )
        return np.asarray(self.density_g_cm3 * per_mass / UM_PER_CM, np.float64)


KNOWN: Final = {
    "carbon": Component("carbon", {"C": 1.0}, 1.8),
    "carbon_film": Component("carbon_film", {"C": 1.0}, 2.0),
    "li2co3": Component("li2co3", {"Li": 2.0, "C": 1.0, "O": 3.0}, 2.11),
    "pvdf": Component("pvdf", {"C": 2.0, "H": 2.0, "F": 2.0}, 1.78),
}
"""Components that can be named without a formula. Densities: carbon black, evaporated film,
crystals, polymer."""


def component(name: str, formula: Mapping[str, float] | None, density_g_cm3: float | None) -> Component:
    """Return a component by name, or from a formula and a density.

    Raises
    ------
    ConfigError
        For an unknown name without a formula, or an unknown element.
    """
    if formula is None:
        if name.lower() not in KNOWN:
            raise ConfigError(
                f"components.{name}",
                expected=f"one of {', '.join(KNOWN)}, or a formula and a density",
                got=name,
                fix="give {name: …, formula: {…}, density_g_cm3: …}",
            )
        known = KNOWN[name.lower()]
        return known if density_g_cm3 is None else Component(known.name, known.formula, density_g_cm3)
    for symbol in formula:
        try:
            xraydb.atomic_number(symbol)
        except (ValueError, TypeError, AttributeError, KeyError):
            raise ConfigError(
                f"components.{name}.formula",
                expected="element symbols",
                got=repr(symbol),
                fix="write C, Li, O",
            ) from None
    if density_g_cm3 is None:
        raise ConfigError(
            f"components.{name}", expected="a density", got="none", fix="add density_g_cm3: … (g/cm³)"
        )
    return Component(name, dict(formula), density_g_cm3)
