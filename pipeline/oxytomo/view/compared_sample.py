"""Numbers of a sample for a comparison; unfinished or foreign results give a one-line error."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.config import Branch
from oxytomo.errors import InputError, PipelineError, StoreError
from oxytomo.io.plain_files import printable, read_plain
from oxytomo.results.errors import UNFIT
from oxytomo.results.numbers import Number, branch_numbers, volume_um3
from oxytomo.results.places import TABLES, find_results
from oxytomo.results.results import Results
from oxytomo.view.compared import STATE_KEY, ComparedSample, Profile, formula_per_oxygen
from oxytomo.view.compared_maps import map_numbers

NEEDED: Mapping[Branch, tuple[str, ...]] = {
    "composition": ("composition_measure", "shells"),
    "chemical_state": ("chemical_state_summary", "chemical_state_shells", "chemical_state_white_lines"),
    "oxidation": ("oxidation_summary", "oxidation_shells"),
    "structure": ("structure_measure", "pores", "cracks"),
    "mechanics": ("mechanics_measure", "stress_shells"),
    "scattering": ("scattering_summary", "scattering_yields", "scattering_valences"),
}
"""Tables of each branch for a comparison; the first exists only if the branch is finished."""
CONSTANTS = ("youngs_gpa", "poisson", "volume_strain", "diffusivity_m2_s", "toughness_mpa_sqrt_m")


@dataclass
class _Collected:
    """Data of a sample that have been read so far."""

    numbers: dict[str, Number] = field(default_factory=dict)
    settings: dict[Branch, Mapping[str, Any]] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


def can_be_compared(folder: Path) -> bool:
    """Return True if a sample has a branch for comparison, finished or not."""
    keys = find_results(folder)
    return any(key in needed or key.startswith(f"{b}_") for b, needed in NEEDED.items() for key in keys)


def compared_sample(folder: Path, *, name: str, group: str) -> ComparedSample:
    """Return the numbers of a sample.

    Raises
    ------
    InputError
        If the folder has nothing to compare, or an unfinished branch.
    StoreError
        If a table was written by another program, or is damaged.
    """
    results = Results.of_folder(folder, more=False)
    results.files.check_all()
    branches = _finished(results, folder)
    found = _Collected()
    for branch in branches:
        try:
            if branch != "scattering":
                own, prefix = branch_numbers(results.files, branch), ""
                if branch == "chemical_state":
                    prefix = STATE_KEY
                found.numbers |= {f"{prefix}{key}": number for key, number in own.items()}
            _READERS[branch](results, found)
        except PipelineError:
            raise
        except UNFIT as error:
            raise _foreign(results.files.paths[NEEDED[branch][0]], branch) from error
    paths = results.files.paths
    stores = [*results.stores().values()][-1:]
    made_by = ", ".join(f"oxytomo {s.provenance.package_version}, {s.provenance.created}" for s in stores)
    return ComparedSample(
        name=name,
        group=group,
        folder=printable(folder),
        branches=branches,
        numbers=found.numbers,
        settings=found.settings,
        profiles=found.profiles,
        remarks=found.remarks,
        unexplained=found.unexplained,
        made_by=made_by,
        digests={
            paths[key].name: hashlib.sha256(read_plain(paths[key])).hexdigest()
            for branch in branches
            for key in NEEDED[branch]
        },
        **found.rest,
    )


def _finished(results: Results, folder: Path) -> list[Branch]:
    """Return the branches with all tables; an unfinished branch is refused."""
    branches: list[Branch] = []
    for branch, keys in NEEDED.items():
        there = [key in results.files for key in keys]
        begun = any(key.startswith(f"{branch}_") for key in results.files.paths)
        if all(there):
            branches.append(branch)
        elif any(there) or begun:
            raise InputError(
                str(folder),
                expected=f"finished results of the branch {branch}",
                got=f"stores in stages/{branch}, and not all of its tables",
                fix="run its configuration to the end (oxytomo run X.yaml), or leave this sample out",
            )
    if not branches:
        raise InputError(
            str(folder),
            expected=f"a sample with results of one of {', '.join(NEEDED)}",
            got=f"none of {', '.join(TABLES[keys[0]] for keys in NEEDED.values())} in it"
            if folder.is_dir()
            else "no such folder",
            fix="give folders <results>/<sample>, or run the sample first",
        )
    return branches


def _composition(results: Results, found: _Collected) -> None:
    content, shells = results.files.json("composition_measure") or {}, results.files.table("shells")
    settings = {key: content.get(key) for key in ("threshold", "counted_voxel_nm", "voxel_nm")}
    store = results.files.store("composition_reconstruct")
    if store is not None:
        elements = [str(element) for element in store.attributes["elements"]]
        atoms = store.attributes.get("atoms") or [1.0] * len(elements)
        wanted = store.provenance.settings
        settings |= {
            "elements": ", ".join(elements),
            "formula": formula_per_oxygen(elements, atoms),
            "reference": wanted.get("reference"),
            "method": (wanted.get("solver") or {}).get("method"),
        }
    found.settings["composition"] = settings
    found.profiles["tm_o_deviation"] = _profile(shells, "mean_deviation", "standard_error", 100.0)


def _chemical_state(results: Results, found: _Collected) -> None:
    content = results.files.json("chemical_state_summary") or {}
    shells: Any = results.files.table("chemical_state_shells")
    lines: Any = results.files.table("chemical_state_white_lines")
    settings: dict[str, Any] = {}
    for element, facts in content["elements"].items():
        own = shells[shells["element"] == element]
        key = f"{STATE_KEY}valence_{element}"
        found.profiles[key] = _profile(own, "mean_valence", "standard_error", 1.0)
        model, store = facts["model"], results.files.store(f"chemical_state_reconstruct_{element}")
        settings |= {
            "threshold": facts["threshold"],
            "voxel_nm": facts["voxel_nm"],
            "method": model["method"],
        }
        settings.setdefault("background", {})[element] = model.get("background")
        named = dict(zip(model["references"], model["valences"], strict=True))
        settings.setdefault("references", {})[element] = named
        if store is not None:
            wanted = store.provenance.settings.get("reference")
            settings.setdefault("reference", {})[element] = "mode" if wanted is None else wanted
    for element, facts in content["white_lines"].items():
        own, line = lines[lines["element"] == element], facts["model"]["white_line"]
        for name in ("white_line", "edge"):
            found.profiles[f"{STATE_KEY}{name}_{element}"] = _profile(
                own, f"{name}_ev", f"{name}_error_ev", 1.0
            )
        fit = {"order": line["order"], "half_width_ev": line["half_width_ev"]}
        settings.setdefault("white_line", {})[element] = fit
    found.settings["chemical_state"] = settings


def _oxidation(results: Results, found: _Collected) -> None:
    summary = (results.files.json("oxidation_summary") or {})["elements"]
    shells: Any = results.files.table("oxidation_shells")
    settings: dict[str, Any] = {}
    for element, facts in summary.items():
        own = shells[shells["element"] == element]
        found.profiles[f"valence_{element}"] = _profile(own, "mean_valence", "standard_error", 1.0)
        settings.setdefault("references", {})[element] = dict(facts["references"])
        settings.setdefault("window_ev", {})[element] = list(facts["windows"]["window_ev"])
        settings.setdefault("fractions_sum", {})[element] = facts.get("fractions_sum")
        fit = results.files.store(f"oxidation_fit_{element}")
        settings["pixel_nm"] = None if fit is None else float(fit.attributes["pixel_nm"])
        if facts.get("structured_shells"):
            found.remarks.append(f"the references do not explain some of the {element} spectra")
        if 2 * len(facts.get("structured_shells") or ()) > len(own):
            found.unexplained.append(element)
    content, rows = (
        results.files.json("oxidation_summary") or {},
        results.files.table("oxidation_white_lines"),
    )
    for element, facts in content.get("white_lines", {}).items():
        own = _of(rows, element)
        for name in ("white_line", "edge"):
            found.profiles[f"{name}_{element}"] = _profile(own, f"{name}_ev", f"{name}_error_ev", 1.0)
        settings.setdefault("white_line", {})[element] = {"half_width_ev": facts["half_width_ev"]}
    found.settings["oxidation"] = settings


def _of(rows: Any, element: str) -> Any:
    """Return the rows of one element."""
    return rows[rows["element"] == element]


def _structure(results: Results, found: _Collected) -> None:
    facts = results.files.json("structure_measure") or {}
    pores, cracks = results.files.table("pores"), results.files.table("cracks")
    segmented = results.files.store("structure_voids")
    settings = None if segmented is None else dict(segmented.provenance.settings)
    if settings is not None:
        # The use of a mask is a difference; the file of the mask is not.
        settings["mask"] = "given" if settings.get("mask") else "none"
    found.settings["structure"] = {
        "voxel_nm": facts["voxel_nm"],
        "smallest_aperture_nm": facts["calibration"]["smallest_aperture_nm"],
        "blur_px": facts["calibration"]["blur_px"],
        "segment": settings,
    }
    rows = facts["shells"]
    if rows:
        columns = {key: [row[key] for row in rows] for key in ("shell_outer", "shell_inner", "porosity")}
        found.profiles["porosity"] = _profile(columns, "porosity", None, 100.0)
    found.rest |= {
        "pores": _column(pores, "equivalent_diameter_nm"),
        "cracks": (_column(cracks, "area_nm2"), _column(cracks, "angle_to_radius_deg")),
        "volume_um3": volume_um3(facts),
    }
    if facts["cut_by_field_of_view"]:
        found.remarks.append("a particle is cut by the field of view; structure is of the visible part")


def _mechanics(results: Results, found: _Collected) -> None:
    facts = results.files.json("mechanics_measure") or {}
    found.settings["mechanics"] = {
        "constants": {key: value for key, value in facts["material"].items() if key in CONSTANTS},
        "direction": facts["direction"],
        "kinetics": facts["kinetics"],
        "wetted": facts["wetted"],
        "c_rate": facts["shown"]["c_rate"],
        "depth": facts["shown"]["depth"],
        "lithium": facts["lithium"],
        "voxel_nm": facts["voxel_nm"],
    }
    shells: Any = results.files.table("stress_shells")
    if shells is not None and len(shells):
        n = len(shells)
        columns = {
            "shell_outer": 100 * np.arange(n) / n,
            "shell_inner": 100 * np.arange(1, n + 1) / n,
            "hoop": shells["hoop_mpa"],
        }
        found.profiles["hoop_mpa"] = _profile(columns, "hoop", None, 1.0)


def _scattering(results: Results, found: _Collected) -> None:
    content = results.files.json("scattering_summary") or {}
    yields: Any = results.files.table("scattering_yields")
    valences: Any = results.files.table("scattering_valences")
    maps = map_numbers(content, yields, valences)
    found.numbers |= maps.numbers
    found.settings["scattering"] = maps.settings
    found.rest["maps"] = maps


_READERS: Mapping[Branch, Callable[[Results, _Collected], None]] = {
    "composition": _composition,
    "chemical_state": _chemical_state,
    "oxidation": _oxidation,
    "structure": _structure,
    "mechanics": _mechanics,
    "scattering": _scattering,
}


def _profile(columns: Any, value: str, error: str | None, scale: float) -> Profile:
    """Return a quantity in shells; ``columns`` is a table, or a mapping of columns."""
    found = scale * np.array(columns[value], np.float64)
    errors = np.full(found.shape, np.nan) if error is None else scale * np.array(columns[error], np.float64)
    return Profile(_column(columns, "shell_outer"), _column(columns, "shell_inner"), found, errors)


def _column(columns: Any, name: str) -> Float64Array:
    return np.array(columns.get(name, ()), np.float64)


def _foreign(path: Path, branch: Branch) -> StoreError:
    return StoreError(
        str(path),
        expected=f"the numbers of the branch {branch} as this version writes them",
        got="a file of another program or of an older version",
        fix="delete it and run the workflow again, or leave this sample out",
    )
