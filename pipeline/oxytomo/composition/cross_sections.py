"""Attenuation of the elements of the reference composition, and edges between two energies.

The cross-sections are the total attenuation (photoelectric absorption and scattering) of Chantler's
tables, as xraydb provides them. This is the loss in a transmission image. The tables are those of
free atoms: they have a step at each edge but no white line, so a measured attenuation on the edge
can be larger.

The position of an edge is the energy at which the tabulated attenuation steps up. It is a few eV
from the tabulated binding energies (in parentheses): O K 531.9 (543.1), Mn L3 640.0 (638.7), Fe L3
707.8 (706.8), Co L3 778.4 (778.1), Ni L3 854.3 (852.7), Ni K 8332.8 eV (8333.0).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import xraydb

from oxytomo.arrays import Float64Array
from oxytomo.errors import ConfigError, InputError

UM_PER_CM: Final = 1e4
ENERGY_RANGE_EV: Final = (100.0, 400_000.0)
"""Energy range in which Chantler's tables are used."""
STEP_SEARCH_EV: Final = 15.0
"""The step is searched this far from the tabulated binding energy, at most half way to the next
edge."""
EDGE_TOLERANCE_EV: Final = 5.0
"""An image at most this far below the tabulated step still counts as on the edge: white lines (O K
near 530 eV, Ni L3 near 853 eV) and the energy scale of a beamline differ by that much."""
STEP_CLEARANCE_EV: Final = 3.0
"""The tabulated steps extend this far to either side."""


def check_formula(formula: Mapping[str, float]) -> None:
    """Check a chemical formula, given as atoms per formula unit.

    Raises
    ------
    ConfigError
        For an unknown element symbol, an amount that is not a finite number above zero, or no
        oxygen.
    """
    if not formula:
        raise ConfigError(
            "formula",
            expected="atoms per formula unit",
            got="nothing",
            fix="give, for example, {Ni: 1, O: 2}",
        )
    for symbol, atoms in formula.items():
        if not _is_element(symbol):
            raise ConfigError(
                "formula", expected="element symbols", got=repr(symbol), fix="write symbols as Li, Mn, O"
            )
        if not (np.isfinite(atoms) and atoms > 0):
            raise ConfigError(
                f"formula.{symbol}",
                expected="a number of atoms above 0",
                got=str(atoms),
                fix="correct the amount, or leave the element out",
            )
    if "O" not in formula:
        raise ConfigError(
            "formula",
            expected="an oxide",
            got=f"{', '.join(formula)} without O",
            fix="add the number of oxygen atoms",
        )


def mass_fractions(formula: Mapping[str, float]) -> dict[str, float]:
    """Mass fraction of every element of a formula, unitless; they add up to 1."""
    check_formula(formula)
    masses = {symbol: atoms * float(xraydb.atomic_mass(symbol)) for symbol, atoms in formula.items()}
    total = sum(masses.values())
    return {symbol: mass / total for symbol, mass in masses.items()}


def attenuation_per_um(
    formula: Mapping[str, float], *, density_g_cm3: float, energies_ev: Float64Array, elements: Sequence[str]
) -> Float64Array:
    """Linear attenuation of each element at its density in the reference composition.

    ``mu_k(E) = density · w_k · (mu/rho)_k(E)`` with the mass fraction ``w_k``. The attenuation of
    the reference composition itself is the sum over all its elements.

    Parameters
    ----------
    formula : atoms per formula unit of the reference composition, for example ``{"Ni": 1, "O": 1}``
    density_g_cm3 : density of the reference composition, g/cm³
    energies_ev : (n_energy,) float64, eV, between 100 eV and 400 keV
    elements : elements of the formula, in the order of the result

    Returns
    -------
    (n_energy, n_element) float64, 1/µm
    """
    fractions = mass_fractions(formula)
    energies = np.atleast_1d(np.asarray(energies_ev, np.float64))
    low, high = ENERGY_RANGE_EV
    if not (np.isfinite(density_g_cm3) and density_g_cm3 > 0):
        raise ConfigError(
            "density_g_cm3",
            expected="a density above 0",
            got=str(density_g_cm3),
            fix="give the density of the solid in g/cm³",
        )
    outside = ~((energies >= low) & (energies <= high))
    if outside.any():
        raise ConfigError(
            "energies",
            expected=f"{low:g} to {high:g} eV",
            got=", ".join(f"{energy:g}" for energy in energies[outside]),
            fix="give the photon energies in eV (check keV against eV)",
        )
    missing = [element for element in elements if element not in fractions]
    if missing:
        raise ConfigError(
            "elements",
            expected=f"elements of the formula ({', '.join(fractions)})",
            got=", ".join(missing),
            fix="add them to the formula, or leave them out",
        )
    result = np.empty((energies.size, len(elements)))
    for column, element in enumerate(elements):
        per_mass = np.asarray(xraydb.mu_chantler(element, energies), np.float64)  # cm²/g
        result[:, column] = density_g_cm3 * fractions[element] * per_mass / UM_PER_CM
    return result


@lru_cache(maxsize=256)
def edge_energy_ev(element: str, edge: str) -> float:
    """Energy of an edge in eV: the tabulated attenuation of the element steps up there.

    Parameters
    ----------
    element : symbol, for example ``"Ni"``
    edge : name of the edge, for example ``"K"`` or ``"L3"``
    """
    binding = _binding_energies_ev(element)
    if edge not in binding:
        raise ConfigError(
            f"{element} {edge}",
            expected=f"an edge of {element} above {ENERGY_RANGE_EV[0]:g} eV",
            got=repr(edge),
            fix=f"use one of {', '.join(binding)}",
        )
    energy = binding[edge]
    gaps = [abs(other - energy) / 2 for other in binding.values() if other != energy]
    reach = min([STEP_SEARCH_EV, *gaps])
    grid = np.arange(energy - reach, energy + reach, 0.1)
    rise = np.diff(np.log(np.asarray(xraydb.mu_chantler(element, grid), np.float64)))
    # The middle of the steep range, not of one interval: the tables are smooth there over about 1
    # eV.
    first = last = int(rise.argmax())
    while first > 0 and rise[first - 1] >= rise.max() / 2:
        first -= 1
    while last < rise.size - 1 and rise[last + 1] >= rise.max() / 2:
        last += 1
    return round(float((grid[first] + grid[last + 1]) / 2), 1)


def energies_above_edges_ev(
    elements: Sequence[str], series: Sequence[str], energies_ev: Sequence[float] | Float64Array
) -> dict[str, float]:
    """Return by how many eV the image on the edge of each element lies above that edge.

    Parameters
    ----------
    elements, series : names; the images of an element are ``<element>_pre`` and ``<element>_post``
    energies_ev : (n_series,) energy of each series
    """
    known = {name: float(energy) for name, energy in zip(series, energies_ev, strict=True)}
    found = {}
    for element in elements:
        below, above = known[f"{element}_pre"], known[f"{element}_post"]
        found[element] = above - edge_energy_ev(element, edge_between(element, below, above))
    return found


def edge_between(element: str, pre_ev: float, post_ev: float) -> str:
    """Name the edge between two energies.

    It is ``"K"`` for O at 525/540 eV, ``"L3"`` for Ni at 846/866 eV.

    If several edges lie between them (L3 and L2), it is the lowest one, where the step begins. The
    energy on the edge may be up to ``EDGE_TOLERANCE_EV`` below the tabulated step; the other energy
    must be below the step.

    Raises
    ------
    InputError
        If the energies are swapped, or on the same side of every edge; names the energy of the
        nearest edge.
    """
    pair = f"{element} pre / post {pre_ev:g} / {post_ev:g} eV"
    energies = {name: edge_energy_ev(element, name) for name in _binding_energies_ev(element)}
    if not energies:
        raise InputError(
            pair,
            expected=f"an element with an edge above {ENERGY_RANGE_EV[0]:g} eV",
            got=element,
            fix="take it out of the edges; the formula is where light elements belong",
        )
    low, high = min(pre_ev, post_ev), max(pre_ev, post_ev)
    inside = [name for name, energy in energies.items() if low < energy <= high + EDGE_TOLERANCE_EV]
    nearest = min(energies, key=lambda name: min(abs(energies[name] - pre_ev), abs(energies[name] - post_ev)))
    name = min(inside, key=lambda key: energies[key]) if inside else nearest
    expected = f"pre below and post on the {element} {name} edge at {energies[name]:.1f} eV"
    if not np.isfinite([pre_ev, post_ev]).all() or pre_ev == post_ev:
        raise InputError(pair, expected=expected, got="no energy pair", fix="give both energies in eV")
    if not inside:
        side = "above" if low >= energies[name] else "below"
        raise InputError(
            pair, expected=expected, got=f"both {side} it", fix="check the energies and their units (eV)"
        )
    if pre_ev > post_ev:
        raise InputError(pair, expected=expected, got="the two swapped", fix="swap the pre and post files")
    return name


def table_energies_ev(element: str, pre_ev: float, post_ev: float) -> tuple[float, float]:
    """Energies at which an edge's two images are looked up in the tables, in eV.

    They are the energies themselves, unless one lies so close to the tabulated step (on a white
    line) that the tables would show no step, or half of it, between the two. That energy is moved
    to ``STEP_CLEARANCE_EV`` from the step, on its own side.
    """
    step = edge_energy_ev(element, edge_between(element, pre_ev, post_ev))
    return min(pre_ev, step - STEP_CLEARANCE_EV), max(post_ev, step + STEP_CLEARANCE_EV)


def _is_element(symbol: str) -> bool:
    try:
        return str(xraydb.atomic_symbol(xraydb.atomic_number(symbol))) == symbol
    except (ValueError, TypeError, AttributeError, KeyError):
        return False


@lru_cache(maxsize=128)
def _binding_energies_ev(element: str) -> Mapping[str, float]:
    """Tabulated edges of an element inside the energy range, by name; looked up once."""
    if not _is_element(element):
        raise ConfigError("element", expected="a symbol", got=repr(element), fix="write symbols as Li, Mn, O")
    edges = {name: float(edge.energy) for name, edge in xraydb.xray_edges(element).items()}
    return {name: energy for name, energy in edges.items() if energy > ENERGY_RANGE_EV[0]}
