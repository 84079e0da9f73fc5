"""Read the tables of a sample for a comparison; what is unfinished or foreign is one line."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array
from oxytomo.config import Branch
from oxytomo.errors import InputError, PipelineError, StoreError
from oxytomo.io.plain_files import read_plain
from oxytomo.io.stores import Store, read_store
from oxytomo.view.compared import (
    ENERGY_SCALE_EV,
    NORMAL_95,
    ComparedSample,
    Number,
    Profile,
    formula_per_oxygen,
)
from oxytomo.view.read_results import UNFIT, check_all_unaltered, find_results, read_columns, read_json

NEEDED: Mapping[Branch, tuple[str, ...]] = {
    "composition": ("composition_measure", "shells"),
    "oxidation": ("oxidation_summary", "oxidation_shells"),
    "structure": ("structure_measure", "pores", "cracks"),
}
"""Tables that a comparison reads of each branch; the first says that the branch is finished."""


class _Collected:
    """What has been read of a sample so far."""

    def __init__(self) -> None:
        self.numbers: dict[str, Number] = {}
        self.settings: dict[Branch, Mapping[str, Any]] = {}
        self.profiles: dict[str, Profile] = {}
        self.rest: dict[str, Any] = {}
        self.remarks: list[str] = []


def can_be_compared(folder: Path) -> bool:
    """Say whether a sample has, or has begun, a branch that a comparison reads."""
    keys = find_results(folder)
    return any(key in needed or key.startswith(f"{b}_") for b, needed in NEEDED.items() for key in keys)


def read_compared(folder: Path, *, name: str, group: str) -> ComparedSample:
    """Return the numbers of a sample.

    Raises
    ------
    InputError
        There is nothing to compare in the folder, or a branch was begun and not finished.
    StoreError
        A table was written by another program, or is damaged.
    """
    paths = find_results(folder)
    check_all_unaltered(paths)
    found = _Collected()
    readers: Mapping[Branch, Callable[[Mapping[str, Path], _Collected], None]] = {
        "composition": _composition,
        "oxidation": _oxidation,
        "structure": _structure,
    }
    branches: list[Branch] = []
    for branch, keys in NEEDED.items():
        if not any(key in paths for key in keys):
            if any(key.startswith(f"{branch}_") for key in paths):
                raise _unfinished(folder, branch)
            continue
        if any(key not in paths for key in keys):
            raise _unfinished(folder, branch)
        try:
            readers[branch](paths, found)
        except UNFIT as error:
            if isinstance(error, PipelineError):
                raise
            raise _foreign(paths[keys[0]], branch) from error
        branches.append(branch)
    if not branches:
        raise InputError(
            str(folder),
            expected="a sample with results of composition, oxidation or structure",
            got="none of phases.json, oxidation.json and structure.json in it"
            if folder.is_dir()
            else "no such folder",
            fix="give folders <results>/<sample>, or run the sample first",
        )
    stores = [read_store(path) for key, path in paths.items() if path.suffix == ".zarr"][-1:]
    made_by = ", ".join(f"oxytomo {s.provenance.package_version}, {s.provenance.created}" for s in stores)
    return ComparedSample(
        name=name,
        group=group,
        folder=str(folder),
        branches=branches,
        numbers=found.numbers,
        settings=found.settings,
        profiles=found.profiles,
        remarks=found.remarks,
        made_by=made_by,
        digests={
            paths[key].name: hashlib.sha256(read_plain(paths[key])).hexdigest()
            for branch in branches
            for key in NEEDED[branch]
        },
        **found.rest,
    )


def _composition(paths: Mapping[str, Path], found: _Collected) -> None:
    content, shells = read_json(paths["composition_measure"]), read_columns(paths["shells"])
    for key in ("target", "oxygen_poor", "oxygen_rich"):
        found.numbers[key] = _number(content["fractions"][key], 100.0)
    settings = {key: content.get(key) for key in ("threshold", "counted_voxel_nm", "voxel_nm")}
    store = _store(paths, "composition_reconstruct")
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


def _oxidation(paths: Mapping[str, Path], found: _Collected) -> None:
    summary, shells = (
        read_json(paths["oxidation_summary"])["elements"],
        read_columns(paths["oxidation_shells"]),
    )
    settings: dict[str, Any] = {}
    for element, facts in summary.items():
        of_energy = _float(facts["valence_per_0_1_ev"]) / 0.1 * ENERGY_SCALE_EV
        error = float(np.hypot(_float(facts["standard_error"]), of_energy))
        found.numbers[f"valence_{element}"] = _normal(_float(facts["mean_valence"]), error)
        rows = [i for i, name in enumerate(shells["element"]) if name == element]
        own = {name: [column[i] for i in rows] for name, column in shells.items()}
        profile = _profile(own, "mean_valence", "standard_error", 1.0)
        found.profiles[f"valence_{element}"] = profile
        error = float(np.hypot(profile.error[0], profile.error[-1]))
        found.numbers[f"valence_step_{element}"] = _normal(profile.value[-1] - profile.value[0], error)
        settings.setdefault("references", {})[element] = dict(facts["references"])
        settings.setdefault("window_ev", {})[element] = list(facts["windows"]["window_ev"])
        settings.setdefault("fractions_sum", {})[element] = facts.get("fractions_sum")
        fit = _store(paths, f"oxidation_fit_{element}")
        settings["pixel_nm"] = None if fit is None else float(fit.attributes["pixel_nm"])
        if facts.get("structured_shells"):
            found.remarks.append(f"the references do not explain some of the {element} spectra")
    found.settings["oxidation"] = settings


def _structure(paths: Mapping[str, Path], found: _Collected) -> None:
    facts = read_json(paths["structure_measure"])
    pores, cracks = read_columns(paths["pores"]), read_columns(paths["cracks"])
    volume = float(facts["particle_volume_nm3"]) / 1e9 or float("nan")
    porosity, network = facts["porosity"], facts["cracks"]
    numbers = found.numbers
    numbers["porosity"] = _number(porosity["total"], 100.0)
    numbers["porosity_pores"] = _number(porosity["pores"], 100.0)
    numbers["porosity_cracks"] = _number(porosity["cracks"], 100.0)
    open_share = {"value": facts["open_fraction"], "ci95": facts.get("open_fraction_ci95")}
    numbers["open_fraction"] = _number(open_share, 100.0)
    counted = {"value": facts["pores"]["count"], "ci95": facts["pores"].get("count_ci95")}
    numbers["pore_density"] = _number(counted, 1.0 / volume)
    numbers["crack_area"] = _number(network["area_nm2"], 1e-6 / volume)
    numbers["mean_aperture"] = _number(network.get("mean_aperture_nm") or {"value": None}, 1.0)
    segmented = _store(paths, "structure_voids")
    settings = None if segmented is None else dict(segmented.provenance.settings)
    if settings is not None:
        # Whether a mask was given is a difference; which file it is in is none.
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
    found.rest = {
        "pores": _column(pores, "equivalent_diameter_nm"),
        "cracks": (_column(cracks, "area_nm2"), _column(cracks, "angle_to_radius_deg")),
        "volume_um3": volume,
    }
    if facts["cut_by_field_of_view"]:
        found.remarks.append("a particle is cut by the field of view; structure is of the visible part")


def _number(entry: Mapping[str, Any], scale: float) -> Number:
    """Return a stored number with its interval; null is not a number."""
    value, limits = entry["value"], entry.get("ci95")
    low_high = None if not limits or None in limits else (scale * float(limits[0]), scale * float(limits[1]))
    return Number(scale * _float(value), low_high)


def _float(value: Any) -> float:
    """Return a number of a JSON file, where null stands for none."""
    return float("nan") if value is None else float(value)


def _normal(value: float, error: float) -> Number:
    reach = NORMAL_95 * error
    return Number(float(value), (value - reach, value + reach) if np.isfinite(error) else None)


def _profile(columns: Mapping[str, Any], value: str, error: str | None, scale: float) -> Profile:
    found = scale * np.array(columns[value], np.float64)
    errors = np.full(found.shape, np.nan) if error is None else scale * np.array(columns[error], np.float64)
    return Profile(_column(columns, "shell_outer"), _column(columns, "shell_inner"), found, errors)


def _column(columns: Mapping[str, Any], name: str) -> Float64Array:
    return np.array(columns.get(name, ()), np.float64)


def _store(paths: Mapping[str, Path], key: str) -> Store | None:
    return read_store(paths[key]) if key in paths else None


def _unfinished(folder: Path, branch: Branch) -> InputError:
    return InputError(
        str(folder),
        expected=f"finished results of the branch {branch}",
        got=f"stores in stages/{branch}, and not all of its tables",
        fix="run its configuration to the end (oxytomo run X.yaml), or leave this sample out",
    )


def _foreign(path: Path, branch: Branch) -> StoreError:
    return StoreError(
        str(path),
        expected=f"the numbers of the branch {branch} as this version writes them",
        got="a file of another program or of an older version",
        fix="delete it and run the workflow again, or leave this sample out",
    )
