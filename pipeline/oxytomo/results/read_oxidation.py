"""Read the results of the oxidation branch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.io.oxidation_stores import is_line_map
from oxytomo.io.stores import Store
from oxytomo.measure.line_particles import LINES
from oxytomo.results.files import Files
from oxytomo.results.records import ElementLineMaps, ElementValence, Oxidation

if TYPE_CHECKING:
    import pandas as pd

AXES = ("depth_nm", "edge_jump", "area_outside")


def read_oxidation(files: Files) -> Oxidation | None:
    """Return the results of the oxidation branch, None before they are measured."""
    needed = ("oxidation_measure", "oxidation_summary", "oxidation_shells", "oxidation_profiles")
    if any(key not in files for key in needed):
        return None
    measured, content = files.store("oxidation_measure"), files.json("oxidation_summary")
    shells, profiles = files.table("oxidation_shells"), files.table("oxidation_profiles")
    assert measured is not None
    assert content is not None
    assert shells is not None
    assert profiles is not None
    summary = content["elements"]
    found, lines = [], []
    for element in map(str, measured.attributes["elements"]):
        fit, registered = (
            files.store(f"oxidation_fit_{element}"),
            files.store(f"oxidation_register_{element}"),
        )
        if fit is not None and is_line_map(fit):
            rows = files.table("oxidation_white_lines")
            assert rows is not None  # its numbers are there
            lines.append(_line_maps(element, fit, content["white_lines"][element], rows))
        elif fit is not None and registered is not None:
            own = {
                axis: profile for axis in AXES if (profile := _profile(profiles, element, axis)) is not None
            }
            rows = shells[shells["element"] == element]
            stores = (measured, fit, registered)
            found.append(_element(element, *stores, summary[element], rows=rows, profiles=own))
    return Oxidation(found, lines)


def _line_maps(element: str, fit: Store, summary: Mapping[str, Any], rows: "pd.DataFrame") -> ElementLineMaps:
    energies, errors = (
        {line: fit[f"white_line_{names[place]}"] for line, names in LINES.items()} for place in (0, 1)
    )
    own = rows[rows["element"] == element]
    return ElementLineMaps(element, float(fit.attributes["pixel_nm"]), energies, errors, summary, own)


def _profile(table: "pd.DataFrame", element: str, axis: str) -> dict[str, Float64Array] | None:
    """Return one profile of ``oxidation_profiles.csv`` as arrays, None if it is missing."""
    own = table[(table["element"] == element) & (table["axis"] == axis)]
    names = {"low": "low", "high": "high", "mean": "mean_valence", "error": "standard_error"}
    return {key: own[name].to_numpy() for key, name in names.items()} if len(own) else None


def _element(
    element: str,
    measured: Store,
    fit: Store,
    registered: Store,
    summary: Mapping[str, Any],
    *,
    rows: "pd.DataFrame",
    profiles: Mapping[str, Mapping[str, Float64Array]],
) -> ElementValence:

    def column(name: str) -> Float64Array:
        return rows[name].to_numpy(np.float64)

    labels, jump = measured[f"{element}_shells"], fit["amount"]
    jumps = [
        float(np.nanmean(jump[(labels == i + 1) & np.isfinite(fit["valence"])]))
        if ((labels == i + 1) & np.isfinite(fit["valence"])).any()
        else float("nan")
        for i in range(len(rows))
    ]
    window = summary["windows"]["window_ev"]
    return ElementValence(
        element=element,
        pixel_nm=float(fit.attributes["pixel_nm"]),
        valence=fit["valence"],
        error=fit["valence_error"],
        residual=np.sqrt(fit["r_factor"]),
        status=fit["status"],
        status_names={int(label): str(name) for label, name in fit.attributes["status"].items()},
        energy_ev=measured[f"{element}_energy_ev"],
        shell_spectra=measured[f"{element}_shell_spectra"],
        shell_errors=measured[f"{element}_shell_errors"],
        shell_models=measured[f"{element}_shell_models"],
        shell_jumps=np.array(jumps),
        shell_outer=column("shell_outer"),
        shell_inner=column("shell_inner"),
        shell_valence=column("mean_valence"),
        shell_error=column("standard_error"),
        spectrum_valence=column("spectrum_valence"),
        shell_pixels=column("n_pixels"),
        window_ev=(float(window[0]), float(window[1])),
        profiles=profiles,
        models=summary["models"],
        clusters=measured[f"{element}_clusters"],
        cluster_spectra=measured[f"{element}_cluster_spectra"],
        held_ev=registered["energy_ev"][(registered["replaced"] & ~registered["lost"]).astype(bool)],
        lost_ev=registered["energy_ev"][(registered["lost"] & ~registered["dead"]).astype(bool)],
        dead_ev=registered["energy_ev"][registered["dead"].astype(bool)],
        summary=summary,
    )
