"""Paths of the results in the folder of a sample: stage stores, tables, exported images."""

import os
from collections.abc import Mapping
from pathlib import Path

from oxytomo.config import Branch
from oxytomo.config.plan import JOINT_STORE
from oxytomo.io.plain_files import check_no_links

STORES: Mapping[Branch, tuple[str, ...]] = {
    "composition": ("align", "decompose", "reconstruct", "uncertainty", "classify"),
    "areal_density": ("align", "decompose"),
    "tomogram": ("align", "reconstruct"),
    "chemical_state": ("align", "measure"),
    "oxidation": ("measure",),
    "structure": ("volume", "voids"),
    "mechanics": ("lithiate", "solve_stress"),
    "scattering": ("measure",),
}
ELEMENT_STORES = (
    "normalize",
    "register",
    "fit",
    "calibrate",
    "decompose",
    "reconstruct",
    "uncertainty",
)
"""Folders below the folder of a branch with one store per series, element or map."""
TABLES: Mapping[str, str] = {
    "composition_measure": "phases.json",
    "shells": "composition_shells.csv",
    "domains": "domains.csv",
    "chemical_state_summary": "chemical_state.json",
    "chemical_state_shells": "chemical_state_shells.csv",
    "chemical_state_domains": "chemical_state_domains.csv",
    "chemical_state_profiles": "chemical_state_profiles.csv",
    "chemical_state_white_lines": "chemical_state_white_lines.csv",
    "oxidation_summary": "oxidation.json",
    "oxidation_shells": "oxidation_shells.csv",
    "oxidation_profiles": "oxidation_profiles.csv",
    "oxidation_white_lines": "oxidation_white_lines.csv",
    "structure_measure": "structure.json",
    "scattering_summary": "scattering.json",
    "scattering_yields": "scattering_yields.csv",
    "scattering_cuts": "scattering_cuts.csv",
    "scattering_valences": "scattering_valences.csv",
    "pores": "pores.csv",
    "cracks": "cracks.csv",
    "mechanics_measure": "mechanics.json",
    "stress_voids": "stress_at_voids.csv",
    "crack_fronts": "crack_fronts.csv",
    "stress_shells": "stress_shells.csv",
    "stress_time": "stress_time.csv",
    "branches": "branches.json",
    "void_distances": "voids_and_domains.csv",
    "void_neighbourhoods": "void_neighbourhoods.csv",
    "stress_domains": "stress_and_domains.csv",
    "branches_register": f"stages/{JOINT_STORE}",
}
"""Inputs of the report of a sample, in addition to its stage stores."""
MORE_TABLES: Mapping[str, str] = {
    "alignment": "alignment.csv",
    "oxidation_particles": "oxidation_particles.csv",
}
"""Tables that the report does not read."""
TABLE_KEYS: Mapping[str, str] = {
    name: key for key, name in {**TABLES, **MORE_TABLES}.items() if name.endswith(".csv")
}
"""Key of each CSV table by the name of its file."""
JOINT = "branches"
"""Key of the comparison of composition and structure of one particle."""

JSON_TABLES: Mapping[str, str] = {
    "composition": "composition_measure",
    "chemical_state": "chemical_state_summary",
    "oxidation": "oxidation_summary",
    "structure": "structure_measure",
    "mechanics": "mechanics_measure",
    "scattering": "scattering_summary",
    JOINT: "branches",
}
"""The JSON table of each branch, which is written last."""


def find_results(folder: Path, *, more: bool = False) -> dict[str, Path]:
    """Return the results in the folder of a sample: stores as ``<branch>_<store>``, and tables.

    Parameters
    ----------
    folder : folder of the sample
    more : include the tables that the report does not read

    Raises
    ------
    StoreError
        If one of them is a link, or in a linked folder, because it may belong to other results.
    """
    found = {}
    for branch, names in STORES.items():
        stages = folder / "stages" / branch
        for kind in ELEMENT_STORES:
            for store in sorted((stages / kind).glob("*.zarr")):
                found[f"{branch}_{kind}_{store.stem}"] = store
        found.update({f"{branch}_{name}": stages / f"{name}.zarr" for name in names})
    found.update({key: folder / name for key, name in TABLES.items()})
    if more:
        found.update({key: folder / name for key, name in MORE_TABLES.items()})
    there = {key: path for key, path in found.items() if os.path.lexists(path)}
    for path in there.values():
        check_no_links(folder, path)
    return there
