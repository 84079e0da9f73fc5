"""Spectra of the chemical components of an element, at the energies of a set of tilt series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xraydb

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Window, Windows, default_windows, inside
from oxytomo.oxidation.fit_setup import TRANSITION_METALS
from oxytomo.oxidation.linear_combination import condition_number
from oxytomo.oxidation.spectra import (
    SHORT_POST_EV,
    Reference,
    check_valence_order,
    is_normalized,
    normalization_span,
    normalized_absorption,
    on_grid,
)

Background = Literal["auto", "free", "tied"]

ABOVE_EV = 5.0
"""The tabulated edge step is taken this far beyond the ends of the edge's structure."""
FALL = 3.0
"""Absorption away from edges falls as E⁻³ (Victoreen's law)."""


@dataclass(frozen=True)
class SpectraOptions:
    """How references become spectra of components; see the settings of the same names.

    ``formula`` and ``density_g_cm3`` describe the material; without a formula densities are
    relative.
    """

    element: str
    background: Background
    formula: Mapping[str, float] | None
    density_g_cm3: float
    pre_edge_ev: Window | None
    post_edge_ev: Window | None
    references_normalized: bool
    max_condition: float


@dataclass(frozen=True)
class ComponentSpectra:
    """Spectra of the components of one element, each per edge jump.

    The optical density of a ray is ``OD_e = Σ_c m_c (j μ_ce + t_e) + b B_e`` with the amounts
    ``m_c`` (µm), the edge jump per µm ``j`` and normalised absorptions μ. ``t`` is the absorption
    of the rest of the material if it is tied to the element. ``b`` is free in every ray otherwise.

    Attributes
    ----------
    energy_ev : (n_energy,)
    absorption : (n_energy, n_component) normalised: 0 below the edge, 1 above
    background : (n_energy,) absorption of everything else, 1/µm; relative without a formula
    free : the background is free in every ray; otherwise it is tied to the element
    jump_per_um : edge jump of the element in the material, 1/µm; None without a formula
    valences, names : of the components, by increasing valence
    condition : condition number of the spectra with the background
    below : (n_energy,) energies below the edge
    remarks : what a reader should know
    """

    energy_ev: Float64Array
    absorption: Float64Array
    background: Float64Array
    free: bool
    jump_per_um: float | None
    valences: Float64Array
    names: tuple[str, ...]
    condition: float
    below: BoolArray
    remarks: tuple[str, ...]

    def matrix(self, jump_per_um: float) -> Float64Array:
        """Return (n_energy, n_column) 1/µm: the components, and a free background last."""
        own = jump_per_um * self.absorption
        if self.free:
            return np.column_stack([own, self.background])
        return np.asarray(own + self.background[:, None])


def component_spectra(
    energy_ev: Float64Array, references: Sequence[Reference], options: SpectraOptions
) -> ComponentSpectra:
    """Bring references to the energies of the series, and check that these tell them apart.

    Parameters
    ----------
    energy_ev : (n_energy,) on the scale of the references, eV, any order
    references : by increasing valence
    options : how

    Raises
    ------
    InputError
        If a reference does not cover the energies, or the energies do not separate the components.
    """
    windows = windows_of(energy_ev, references, options)
    absorption = np.stack([absorption_at(energy_ev, one, windows, options) for one in references], axis=1)
    below = inside(energy_ev, (-np.inf, windows.pre_edge[1]))
    free = _free(len(references), energy_ev, below, options)
    background, jump = _material(energy_ev, windows, options)
    columns = background[:, None] if free else np.zeros((energy_ev.size, 0))
    spectra = absorption if free or jump is None else jump * absorption + background[:, None]
    condition = condition_number(spectra, columns)
    if not condition <= options.max_condition:
        raise InputError(
            f"energies of {options.element}",
            expected="energies that tell the components apart: a condition number of at most "
            f"{options.max_condition:g}",
            got=f"{condition:.3g} at {_listed(energy_ev)} eV with {', '.join(r.name for r in references)}"
            + (" and a free background" if free else ""),
            fix="add an energy where the references differ and one below the edge, or leave out a reference",
        )
    return ComponentSpectra(
        energy_ev,
        absorption,
        background,
        free,
        jump,
        np.array([one.valence for one in references]),
        tuple(one.name for one in references),
        condition,
        below,
        tuple(order_remarks(energy_ev, references, windows, options)),
    )


def windows_of(energy_ev: Float64Array, references: Sequence[Reference], options: SpectraOptions) -> Windows:
    """Return the windows of the edge between all energies, those of the references included."""
    everything = np.concatenate([energy_ev, *(one.spectrum.energy_ev for one in references)])
    found = default_windows(options.element, everything)
    return Windows(
        found.edge,
        found.edge_ev,
        options.pre_edge_ev or found.pre_edge,
        found.fit,
        options.post_edge_ev or found.post_edge,
    )


def absorption_at(
    energy_ev: Float64Array, reference: Reference, windows: Windows, options: SpectraOptions
) -> Float64Array:
    """Return a normalised reference at some energies; it is 0 below its first energy there."""
    spectrum, name = reference.spectrum, _called(reference, options)
    edge, pre, post = windows.edge_ev, windows.pre_edge, windows.post_edge
    short = normalization_span(spectrum, edge_ev=edge, post_edge=post) < SHORT_POST_EV
    if options.references_normalized or (
        short and is_normalized(spectrum, edge_ev=edge, pre_edge=pre, post_edge=post)
    ):
        curve = spectrum.absorption
    else:
        curve = normalized_absorption(spectrum, edge_ev=edge, pre_edge=pre, post_edge=post, name=name)
    # Far below the edge a normalised spectrum is 0, so it need not reach these energies.
    needed = (energy_ev >= spectrum.energy_ev[0]) | (energy_ev > windows.pre_edge[1])
    found = np.zeros(energy_ev.size)
    if needed.any():
        found[needed] = on_grid(energy_ev[needed], spectrum, curve, name=name)
    return found


def _free(n: int, energy_ev: Float64Array, below: BoolArray, options: SpectraOptions) -> bool:
    """Return whether the background is free in every ray; refuse what cannot be solved."""
    enough = energy_ev.size >= n + 1 and bool(below.any())
    free = options.background == "free" or (
        options.background == "auto" and (enough or options.formula is None)
    )
    if free and not enough:
        got = f"{energy_ev.size} energies, {int(below.sum())} of them below the edge"
        raise InputError(
            f"energies of {options.element}",
            expected=f"at least {n + 1} energies for {n} references and a background, one below the edge",
            got=got,
            fix="add an energy below the edge, or give the formula of the material with 'background: tied'",
        )
    if not free and (options.formula is None or energy_ev.size < n):
        lacking = "no formula" if options.formula is None else f"{energy_ev.size} energies"
        raise InputError(
            f"background of {options.element}",
            expected=f"the formula of the material and {n} energies, for a background tied to the element",
            got=lacking,
            fix="give 'formula' and 'density_g_cm3', or 'background: free' with an energy below the edge",
        )
    return free


def _material(
    energy_ev: Float64Array, windows: Windows, options: SpectraOptions
) -> tuple[Float64Array, float | None]:
    """Return the absorption of everything but the edge, and the edge jump, both 1/µm.

    Without a formula the first is relative and the second is None.
    """
    low, high = windows.pre_edge[1] - ABOVE_EV, windows.post_edge[0] + ABOVE_EV
    if options.formula is None:
        return (windows.edge_ev / energy_ev) ** FALL, None
    elements = [symbol for symbol in options.formula if symbol != options.element]
    density = options.density_g_cm3
    own = attenuation_per_um(
        options.formula,
        density_g_cm3=density,
        energies_ev=np.array([low, high]),
        elements=[options.element],
    )[:, 0]
    rest = attenuation_per_um(
        options.formula, density_g_cm3=density, energies_ev=energy_ev, elements=elements
    ).sum(axis=1)
    continued = own[0] * (low / energy_ev) ** FALL
    return rest + continued, float(own[1] - own[0] * (low / high) ** FALL)


def order_remarks(
    energy_ev: Float64Array, references: Sequence[Reference], windows: Windows, options: SpectraOptions
) -> list[str]:
    """Report references whose order contradicts their valences."""
    if int(xraydb.atomic_number(options.element)) not in TRANSITION_METALS:
        return []
    first = max(one.spectrum.energy_ev[0] for one in references)
    last = min(one.spectrum.energy_ev[-1] for one in references)
    grid = np.linspace(max(first, windows.fit[0]), min(last, windows.fit[1]), 101)
    curves = np.stack([absorption_at(grid, one, windows, options) for one in references], axis=1)
    remark = check_valence_order(grid, curves, references, declared=options.references_normalized)
    return [f"{options.element}: {remark}"] if remark else []


def _called(reference: Reference, options: SpectraOptions) -> str:
    return f"reference {reference.name} ({reference.valence:g}) of {options.element}"


def _listed(energy_ev: Float64Array) -> str:
    shown = ", ".join(f"{energy:g}" for energy in np.sort(energy_ev)[:6])
    return shown + (f" and {energy_ev.size - 6} more" if energy_ev.size > 6 else "")
