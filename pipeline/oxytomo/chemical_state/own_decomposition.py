"""Components of an element without references, with the white line and the edge of each place."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.chemical_state.decomposition import StateAmounts, StateSeries, decompose_own
from oxytomo.chemical_state.own_spectra import OwnOptions, own_spectra


def decompose_without_references(
    series: StateSeries,
    options: OwnOptions,
    *,
    energy_offset_ev: float,
    progress: Callable[[int, int], None],
) -> StateAmounts:
    """Find two spectra in the rays and solve every ray for them.

    Parameters
    ----------
    series : the optical densities
    options : how the spectra are found
    energy_offset_ev : number to add to the recorded energies
    progress : called with (tilts done, tilts in all)

    Returns
    -------
    StateAmounts
        With the energies of both lines at each place in the record (``white_line``).

    Raises
    ------
    InputError
        If the rays are too few, or the white line is not within the energies.
    """
    moved = replace(series, energy_ev=series.energy_ev + energy_offset_ev)
    own = own_spectra(moved, options)
    found = decompose_own(moved, own.spectra, progress=progress)
    lines = {
        **own.facts,
        "place": own.place.tolist(),
        "white_line_ev": _plain(own.white_line_ev),
        "edge_ev": _plain(own.edge_ev),
    }
    record = {
        **found.record,
        "energy_offset_ev": energy_offset_ev,
        "method": "rays",
        "white_line": lines,
        "remarks": list(own.remarks),
    }
    return replace(found, record=record)


def _plain(values: Float64Array) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in values]
