"""Absorption edges and the default energy windows of an element."""

from dataclasses import dataclass

import numpy as np
import xraydb

from oxytomo.arrays import Float64Array
from oxytomo.errors import InputError

Window = tuple[float, float]

_PAPER_WINDOWS: dict[str, Window] = {
    "O": (526.0, 536.0),
    "Mn": (638.0, 648.0),
    "Co": (775.0, 782.0),
    "Ni": (850.0, 860.0),
}
"""Energy windows of Liu et al., Nat. Nanotechnol. (2024), in eV."""

_ONSET_EV = {"O": 528.0}
"""Start of the absorption, for edges that start far below the tabulated free-atom energy."""


BEYOND_L2_EV = 8.5
"""The white lines end this far above the L2 edge, also those of high valences."""


@dataclass(frozen=True)
class Windows:
    """Energy windows in eV: below the edge, the fit, and above all white lines.

    ``edge`` is the name of the edge.
    """

    edge: str
    edge_ev: float
    pre_edge: Window
    fit: Window
    post_edge: Window


def default_windows(element: str, energy_ev: Float64Array) -> Windows:
    """Return the windows for a stack of an element.

    They are those of the literature for O, Mn, Co and Ni, otherwise from tabulated edges.

    Parameters
    ----------
    element : symbol
    energy_ev : (n_energy,) energies of the stack, eV; the edge is the K or L3 edge between them

    Raises
    ------
    InputError
        When the energies do not span an edge of the element; the usual reason is a wrong unit.
    """
    edges = xraydb.xray_edges(element)
    low, high = float(np.min(energy_ev)), float(np.max(energy_ev))
    for name in ("K", "L3"):
        if name not in edges:
            continue
        tabulated = float(edges[name].energy)
        onset = _ONSET_EV.get(element, tabulated)
        if not low < onset < high:
            continue
        if name == "L3":
            last = float(edges["L2"].energy)
            fit = _PAPER_WINDOWS.get(element, (onset - 2.0, onset + 10.0))
            return Windows(name, onset, (onset - 20.0, onset - 1.2), fit, (last + BEYOND_L2_EV, last + 40.0))
        if tabulated < 1000.0:
            fit = _PAPER_WINDOWS.get(element, (onset - 2.0, onset + 10.0))
            return Windows(name, onset, (onset - 20.0, onset - 0.5), fit, (onset + 20.0, onset + 60.0))
        return Windows(
            name,
            onset,
            (onset - 150.0, onset - 15.0),
            (onset - 20.0, onset + 30.0),
            (onset + 40.0, onset + 400.0),
        )
    shown = ", ".join(f"{n} at {edges[n].energy:g} eV" for n in ("K", "L3") if n in edges)
    raise InputError(
        f"energies of {element}",
        expected=f"energies on both sides of an edge of {element} ({shown})",
        got=f"{low:g} to {high:g} eV",
        fix="check the unit of the energies (eV or keV) and the element",
    )


def inside(energy_ev: Float64Array, *windows: Window) -> np.ndarray:
    """Return for each energy whether it lies in one of the windows (limits included)."""
    chosen = np.zeros(np.shape(energy_ev), bool)
    for low, high in windows:
        chosen |= (energy_ev >= low - 1e-6) & (energy_ev <= high + 1e-6)
    return chosen
