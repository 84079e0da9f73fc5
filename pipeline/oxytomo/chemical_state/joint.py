"""Absolute spectra of an element in its chemical states, for the solution together with others."""

from collections.abc import Mapping, Sequence

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.chemical_state.spectra import (
    ABOVE_EV,
    FALL,
    SpectraOptions,
    absorption_at,
    order_remarks,
    windows_of,
)
from oxytomo.composition.cross_sections import attenuation_per_um
from oxytomo.composition.measured_edges import MeasuredEdge
from oxytomo.errors import InputError
from oxytomo.oxidation.edges import Windows, default_windows
from oxytomo.oxidation.spectra import Reference, require_levels


def measured_edges(
    series: Sequence[str],
    energy_ev: Float64Array,
    references: Mapping[str, Sequence[Reference]],
    formula: Mapping[str, float],
    *,
    density_g_cm3: float,
    normalized: bool,
) -> dict[str, MeasuredEdge]:
    """Return the absorption of every element with references, at the energies of all series.

    Parameters
    ----------
    series : names, ``<El>_pre``, ``<El>_post`` and ``<El>_3`` …
    energy_ev : (n_series,) eV
    references : by element, by increasing valence
    formula, density_g_cm3 : the reference composition, atoms per formula unit and g/cm³
    normalized : the references are normalised already
    """
    found = {}
    for element, spectra in references.items():
        _require_own_edge(element, series, energy_ev)
        own = np.array([name.startswith(f"{element}_") for name in series])
        options = SpectraOptions(
            element, "tied", formula, density_g_cm3, None, None, normalized, max_condition=np.inf
        )
        found[element] = measured_edge(energy_ev, own, spectra, options)
    return found


def measured_edge(
    energy_ev: Float64Array, own: BoolArray, references: Sequence[Reference], options: SpectraOptions
) -> MeasuredEdge:
    """Return the absorption of an element in each of its states, at the energies of all series.

    Between the pre-edge and the end of the white lines it is ``a(E) + j(E) μ_s(E)`` with the
    normalised references ``μ_s``, the tabulated absorption below the edge ``a``, continued as E⁻³,
    and the tabulated edge jump ``j``. Elsewhere it is that of the tables.

    Parameters
    ----------
    energy_ev : (n_energy,) of all series, on the scale of the references, eV
    own : (n_energy,) series at the edge of this element
    references : by increasing valence
    options : element, formula, density and windows

    Raises
    ------
    InputError
        If a reference does not cover the energies of the element, or is called normalised and
        is not: amounts are absolute.
    """
    windows = windows_of(energy_ev[own], references, options)
    if options.references_normalized:
        for one in references:
            levels = one.spectrum.energy_ev, one.spectrum.absorption, windows.pre_edge, windows.post_edge
            name = f"reference {one.name} ({one.valence:g}) of {options.element}"
            require_levels(*levels, name=name)

    def moved(offset_ev: float) -> Float64Array:
        return _absolute(np.where(own, energy_ev + offset_ev, energy_ev), own, references, windows, options)

    return MeasuredEdge(
        np.array([one.valence for one in references]),
        tuple(one.name for one in references),
        moved(0.0),
        moved,
        tuple(order_remarks(energy_ev[own], references, windows, options)) if len(references) > 1 else (),
    )


def _require_own_edge(element: str, series: Sequence[str], energy_ev: Float64Array) -> None:
    """Raise if a further energy of an element lies on the edge of another measured element.

    The tables know no white lines, so that what the other element absorbs there would be wrong.
    """
    at = dict(zip(series, map(float, energy_ev), strict=True))
    pairs = {name.removesuffix("_post"): name for name in series if name.endswith("_post")}
    for other, post in pairs.items():
        if other == element or f"{other}_pre" not in at:
            continue
        try:
            windows = default_windows(other, np.array([at[f"{other}_pre"], at[post]]))
        except InputError:  # a pair that does not span its edge is refused elsewhere
            continue
        low, high = windows.pre_edge[1], windows.post_edge[0]
        for name, energy in at.items():
            symbol, _, kind = name.partition("_")
            if symbol == element and kind not in ("pre", "post") and low < energy < high:
                raise InputError(
                    f"energies of {element}: {name}",
                    expected=f"an energy of the {element} edge",
                    got=f"{energy:g} eV, on the edge of {other} ({low:g} to {high:g} eV)",
                    fix="correct 'energy_ev', or leave this series out of 'more'",
                )


def _absolute(
    energy_ev: Float64Array,
    own: BoolArray,
    references: Sequence[Reference],
    windows: Windows,
    options: SpectraOptions,
) -> Float64Array:
    """Return (n_energy, n_state) 1/µm."""
    low, high = windows.pre_edge[1] - ABOVE_EV, windows.post_edge[0] + ABOVE_EV

    def table(at_ev: Float64Array) -> Float64Array:
        return attenuation_per_um(
            options.formula or {},
            density_g_cm3=options.density_g_cm3,
            energies_ev=at_ev,
            elements=[options.element],
        )[:, 0]

    start, beyond = table(np.array([low]))[0], np.maximum(energy_ev, high)
    below = start * (low / energy_ev) ** FALL
    jump = table(beyond) - start * (low / beyond) ** FALL
    edge = (energy_ev > windows.pre_edge[1]) & (own | (energy_ev < high))
    found = np.repeat(table(energy_ev)[:, None], len(references), axis=1)
    for number, one in enumerate(references):
        curve = absorption_at(energy_ev[edge], one, windows, options)
        found[edge, number] = below[edge] + jump[edge] * curve
    return found
