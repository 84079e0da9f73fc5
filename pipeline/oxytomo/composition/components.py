"""Substances in the beam beside the particle: they have a spectrum, but are no part of the oxide.

A component is solved for in every ray together with the elements, so that its absorption is not
attributed to them. Its own oxygen does not count as oxygen of the particle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xraydb

from oxytomo.arrays import Float64Array, Spectrum
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
    spectrum : measured absorption; its amount is the path length of carbon that absorbs as much,
        on average over the energies
    """

    name: str
    formula: Mapping[str, float]
    density_g_cm3: float
    spectrum: Spectrum | None = None

    def attenuation_per_um(self, energies_ev: Float64Array) -> Float64Array:
        """Return the linear attenuation at its density, (n_energy,) float64, 1/µm.

        It is that of the tables (Chantler), or that of the measured spectrum.
        """
        if self.spectrum is not None:
            measured = _measured(self.name, self.spectrum, energies_ev)
            return measured * float(KNOWN["carbon"].attenuation_per_um(energies_ev).mean() / measured.mean())
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


def _measured(name: str, spectrum: Spectrum, energies_ev: Float64Array) -> Float64Array:
    """Return a measured absorption at some energies; raises where it was not measured there."""
    outside = (energies_ev < spectrum.energy_ev.min()) | (energies_ev > spectrum.energy_ev.max())
    if outside.any():
        raise ConfigError(
            f"components.{name}.spectrum",
            expected=f"a spectrum that reaches from {energies_ev.min():g} to {energies_ev.max():g} eV",
            got=f"one from {spectrum.energy_ev.min():g} to {spectrum.energy_ev.max():g} eV",
            fix="give a spectrum over all energies of the series, joined from several if need be",
        )
    found = np.interp(energies_ev, spectrum.energy_ev, spectrum.absorption)
    if not (found.mean() > 0 and (found >= 0).all()):
        raise ConfigError(
            f"components.{name}.spectrum",
            expected="an absorption above 0 at the energies of the series",
            got=f"{found.min():.3g} to {found.max():.3g}",
            fix="give the absorption itself, not a normalised or a background-free one",
        )
    return np.asarray(found, np.float64)


def component(
    name: str,
    formula: Mapping[str, float] | None,
    density_g_cm3: float | None,
    spectrum: Spectrum | None = None,
) -> Component:
    """Return a component by name, from a formula and a density, or from a measured spectrum.

    Raises
    ------
    ConfigError
        For an unknown name without a formula, or an unknown element.
    """
    if spectrum is not None:
        return Component(name, {}, 1.0, spectrum)
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
