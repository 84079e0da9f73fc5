"""Read the results of the oxidation branch for the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.io.stores import Store, read_store
from oxytomo.view.oxidation_figures import profile_columns
from oxytomo.view.read_results import read_columns, read_json
from oxytomo.view.results import ElementValence, Oxidation

AXES = ("depth_nm", "edge_jump", "area_outside")


def read_oxidation(paths: Mapping[str, Path]) -> Oxidation | None:
    """Return the results of the oxidation branch, None before they are measured."""
    needed = ("oxidation_measure", "oxidation_summary", "oxidation_shells", "oxidation_profiles")
    if any(key not in paths for key in needed):
        return None
    measured = read_store(paths["oxidation_measure"])
    summary = read_json(paths["oxidation_summary"])["elements"]
    shells, profiles = read_columns(paths["oxidation_shells"]), read_columns(paths["oxidation_profiles"])
    return Oxidation(
        [
            _element(
                str(element),
                measured,
                read_store(paths[f"oxidation_fit_{element}"]),
                read_store(paths[f"oxidation_register_{element}"]),
                summary[str(element)],
                shells,
                profiles,
            )
            for element in measured.attributes["elements"]
            if f"oxidation_fit_{element}" in paths and f"oxidation_register_{element}" in paths
        ]
    )


def _element(
    element: str,
    measured: Store,
    fit: Store,
    registered: Store,
    summary: Mapping[str, Any],
    shells: Mapping[str, list[Any]],
    profiles: Mapping[str, list[Any]],
) -> ElementValence:
    rows = [i for i, name in enumerate(shells["element"]) if name == element]

    def column(name: str) -> Float64Array:
        return np.array([float(shells[name][i]) for i in rows])

    labels, jump = measured[f"{element}_shells"], fit["amount"]
    jumps = [
        float(np.nanmean(jump[(labels == i + 1) & np.isfinite(fit["valence"])]))
        if ((labels == i + 1) & np.isfinite(fit["valence"])).any()
        else float("nan")
        for i in range(len(rows))
    ]
    window = summary["windows"]["window_ev"]
    found = {axis: profile_columns(profiles, element, axis) for axis in AXES}
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
        profiles={axis: one for axis, one in found.items() if one is not None},
        models=summary["models"],
        clusters=measured[f"{element}_clusters"],
        cluster_spectra=measured[f"{element}_cluster_spectra"],
        held_ev=registered["energy_ev"][(registered["replaced"] & ~registered["lost"]).astype(bool)],
        lost_ev=registered["energy_ev"][(registered["lost"] & ~registered["dead"]).astype(bool)],
        dead_ev=registered["energy_ev"][registered["dead"].astype(bool)],
        summary=summary,
    )
