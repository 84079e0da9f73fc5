"""Measured near-edge factors: from stores of the oxidation branch, and from files of spectra."""

from pathlib import Path

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.composition.near_edge import MeasuredFactor, factor_of_maps, factor_of_spectrum
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.stores import read_store
from oxytomo.oxidation.edges import default_windows
from oxytomo.oxidation.spectra import normalized_absorption

ERROR = 0.03
"""Standard error of a factor from a spectrum: how well the step of a spectrum agrees with that of
the tables, which changes by a few per cent between the edge and where spectra are normalised."""


def factor_of_fit(path: Path, element: str, at_ev: float) -> MeasuredFactor:
    """Return the near-edge factor of an element from its store of the stage ``fit_valence``."""
    store = read_store(path)
    status = np.asarray(store["status"])
    good = status == 0
    return factor_of_maps(
        np.asarray(store.attributes["stack_energy_ev"], np.float64),
        np.asarray(store["all_references"], np.float64),
        np.asarray(store["fractions"])[:, good],
        np.asarray(store["fraction_errors"])[:, good],
        at_ev,
        error=ERROR,
        name=f"near edge of {element}",
    )


def factor_of_file(path: Path, element: str, at_ev: float, *, error: float) -> MeasuredFactor:
    """Return the near-edge factor of an element from a file with a spectrum through its edge."""
    spectrum = read_spectrum(path, group=None, energy_unit=None)
    windows = default_windows(element, spectrum.energy_ev)
    normalized: Float64Array = normalized_absorption(
        spectrum,
        edge_ev=windows.edge_ev,
        pre_edge=windows.pre_edge,
        post_edge=windows.post_edge,
        name=str(path),
    )
    return factor_of_spectrum(
        spectrum.energy_ev, normalized, at_ev, error=error, name=f"near edge of {element}"
    )


def measured_factors(
    inputs: dict[str, Path],
    given: dict[str, object],
    post_edge_ev: dict[str, float],
) -> dict[str, MeasuredFactor]:
    """Return the measured near-edge factors by element.

    Parameters
    ----------
    inputs : stores and files by key; ``near_edge_<El>`` is a store or a spectrum
    given : the setting ``near_edge`` by element: a number, or a mapping with a factor or a spectrum
    post_edge_ev : post-edge energy of every element, as recorded
    """
    found = {}
    for element, at_ev in post_edge_ev.items():
        one = given.get(element)
        path = inputs.get(f"near_edge_{element}")
        if isinstance(one, dict) and one.get("factor") is not None:
            found[element] = MeasuredFactor(float(one["factor"]), float(one["error"]))
        elif isinstance(one, dict) and path is not None:
            found[element] = factor_of_file(path, element, at_ev, error=float(one["error"]))
        elif path is not None:
            found[element] = factor_of_fit(path, element, at_ev)
    return found
