"""Measured near-edge factors: from stores of the oxidation branch, and from files of spectra."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.composition.amounts import AlignedSeries
from oxytomo.composition.near_edge import MeasuredFactor, factor_of_maps, factor_of_spectrum
from oxytomo.io.spectra import read_spectrum
from oxytomo.io.stores import read_store
from oxytomo.oxidation.edges import default_windows
from oxytomo.oxidation.spectra import normalized_absorption, require_levels

ERROR = 0.03
"""Standard error of a factor from a spectrum: how well the step of a spectrum agrees with that of
the tables, which changes by a few per cent between the edge and where spectra are normalised."""


def factor_of_fit(path: Path, element: str, at_ev: float) -> MeasuredFactor:
    """Return the near-edge factor of an element from its store of the stage ``fit_valence``."""
    store = read_store(path)
    status = np.asarray(store["status"])
    good = status == 0
    energy_ev = np.asarray(store.attributes["stack_energy_ev"], np.float64)
    references = np.asarray(store["all_references"], np.float64)
    windows = default_windows(element, energy_ev)
    for one in references.T:
        known = np.isfinite(one)
        require_levels(
            *(energy_ev[known], one[known], windows.pre_edge, windows.post_edge),
            name=f"near edge of {element}: references of the oxidation branch",
        )
    return factor_of_maps(
        energy_ev,
        references,
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


def factors_of_series(
    inputs: Mapping[str, Path], instrument: str | Mapping[str, Any], series: AlignedSeries
) -> dict[str, MeasuredFactor]:
    """Return the measured near-edge factors of the elements of aligned series.

    Parameters
    ----------
    inputs : as in :func:`measured_factors`
    instrument : a word, or a mapping whose ``near_edge`` is a word or as in
        :func:`measured_factors`
    series : the aligned series, with their energies as recorded
    """
    given = "auto" if isinstance(instrument, str) else instrument["near_edge"]
    energies = dict(zip(series.names, map(float, series.energies_ev), strict=True))
    post_edge_ev = {name.removesuffix("_post"): e for name, e in energies.items() if name.endswith("_post")}
    return measured_factors(inputs, {} if isinstance(given, str) else given, post_edge_ev)


def measured_factors(
    inputs: Mapping[str, Path],
    given: Mapping[str, object],
    post_edge_ev: Mapping[str, float],
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
