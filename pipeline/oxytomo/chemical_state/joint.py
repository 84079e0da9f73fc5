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
from oxytomo.oxidation.edges import Windows
from oxytomo.oxidation.spectra import Reference


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
        If a reference does not cover the energies of the element.
    """
    windows = windows_of(energy_ev[own], references, options)

    def moved(offset_ev: float) -> Float64Array:
        return _absolute(np.where(own, energy_ev + offset_ev, energy_ev), own, references, windows, options)

    return MeasuredEdge(
        np.array([one.valence for one in references]),
        tuple(one.name for one in references),
        moved(0.0),
        moved,
        tuple(order_remarks(energy_ev[own], references, windows, options)) if len(references) > 1 else (),
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
