"""Small results of samples, as the stages write them, for tests of reports and comparisons."""

import json
from pathlib import Path
from typing import Any

from oxytomo.io.tables import write_csv, write_json

SOLID = {"shell": [1, 2], "outer_nm": [0.0, 80.0], "inner_nm": [80.0, 400.0], "lithium": [0.5, 0.4]}
SHELLS = {"shell": [1, 2], "shell_outer": [0, 50], "shell_inner": [50, 100]}


def entry(value: float, reach: float | None) -> dict[str, Any]:
    return {"value": value, "ci95": None if reach is None else [value - reach, value + reach]}


def write_composition_tables(folder: Path, poor: float, *, reach: float = 0.01, **changes: Any) -> None:
    fractions = {
        "target": entry(0.9 - poor, reach),
        "oxygen_poor": entry(poor, reach),
        "oxygen_rich": entry(0.1, reach),
    }
    content = {"threshold": 0.05, "voxel_nm": 10.0, "counted_voxel_nm": 10.0, "fractions": fractions}
    write_json(folder / "phases.json", content | changes)
    means = {"mean_deviation": [0.02, poor], "standard_error": [0.001, 0.002]}
    write_csv(folder / "composition_shells.csv", SHELLS | means)


def write_oxidation_tables(folder: Path, valence: float, *, step: float = 0.4, **changes: Any) -> None:
    facts = {
        "mean_valence": valence,
        "standard_error": 0.001,
        "valence_per_0_1_ev": 0.06,
        "references": {"Mn_3": 3.0, "Mn_4": 4.0},
        "windows": {"window_ev": [638.0, 648.0]},
        "fractions_sum": "free",
        "structured_shells": [],
    }
    write_json(folder / "oxidation.json", {"elements": {"Mn": facts | changes}})
    rows = {"mean_valence": [valence - step / 2, valence + step / 2], "standard_error": [0.003, 0.004]}
    write_csv(folder / "oxidation_shells.csv", {"element": ["Mn", "Mn"]} | SHELLS | rows)


def write_structure_tables(folder: Path, porosity: float, **changes: Any) -> None:
    parts = {
        "total": entry(porosity, 0.002),
        "pores": entry(porosity / 4, 0.002),
        "cracks": entry(porosity * 0.75, 0.002),
    }
    content: dict[str, Any] = {
        "voxel_nm": 10.0,
        "particle_volume_nm3": 5e8,
        "cut_by_field_of_view": [],
        "porosity": parts,
        "open_fraction": 0.8,
        "open_fraction_ci95": [0.7, 0.9],
        "pores": {"count": 2, "count_ci95": [2, 4]},
        "cracks": {"area_nm2": entry(4e5, 1e4), "mean_aperture_nm": entry(20.0, 1.0)},
        "calibration": {"smallest_aperture_nm": 4.0, "blur_px": 1.0},
        "shells": [
            {"shell_outer": 0.0, "shell_inner": 50.0, "porosity": porosity / 2},
            {"shell_outer": 50.0, "shell_inner": 100.0, "porosity": porosity * 1.5},
        ],
    }
    write_json(folder / "structure.json", json.loads(json.dumps(content | changes)))
    write_csv(folder / "pores.csv", {"pore": [1, 2], "equivalent_diameter_nm": [60.0, 90.0]})
    write_csv(folder / "cracks.csv", {"crack": [1], "area_nm2": [4e5], "angle_to_radius_deg": [12.0]})


def write_scattering_tables(folder: Path, valences: dict[tuple[str, str], float], **changes: Any) -> None:
    """Write maps whose valences are given by map and yield; TEY is at the surface."""
    maps = list(dict.fromkeys(name for name, _ in valences))
    references = {name.partition("_")[0]: {"a": 2.0, "b": 4.0} for name in maps}
    kinds = [("surface" if kind == "TEY" else "bulk", name, kind) for name, kind in valences]
    rows: dict[str, list[Any]] = {
        "map": [name for _, name, _ in kinds],
        "element": [name.partition("_")[0] for _, name, _ in kinds],
        "state": [name.partition("_")[2] for _, name, _ in kinds],
        "yield": [kind for *_, kind in kinds],
        "depth": [depth for depth, *_ in kinds],
        "mean_valence": list(valences.values()),
    }
    numbers = {"standard_error": 0.004, "valence_per_0_1_ev": 0.003, "chi_square": 1.0, "r_factor": 0.001}
    rows |= {key: [changes.pop(key, value)] * len(kinds) for key, value in numbers.items()}
    write_csv(folder / "scattering_valences.csv", rows)
    yields: dict[str, list[Any]] = {
        key: [value for value in rows[key] for _ in range(3)] for key in ("map", "element", "yield", "depth")
    }
    yields |= {
        "excitation_ev": [530.0, 531.0, 532.0] * len(kinds),
        "value": [1.0, 3.0, 2.0] * len(kinds),
        "standard_error": [0.1] * (3 * len(kinds)),
    }
    write_csv(folder / "scattering_yields.csv", yields)
    facts = {
        "feature_share": 0.02,
        "feature_share_error": 0.0005,
        "windows_ev": {"PFY": [520.0, 530.0]},
        "excitation_ev": [522.0, 562.0],
        "emission_ev": [508.0, 568.0],
    }
    content = {"maps": dict.fromkeys(maps, facts), "pairs": [], "references": references}
    write_json(folder / "scattering.json", json.loads(json.dumps(content | changes)))


def feature_pair(first: str, second: str, change: float, error: float) -> dict[str, Any]:
    facts = {
        "change": change,
        "standard_error": error,
        "sigma": change / error,
        "p_value": 0.001,
        "test": "scans",
        "scans": [4, 5],
    }
    return {"first": first, "second": second, "feature": facts}


def write_mechanics_tables(folder: Path, stress: float, **changes: Any) -> None:
    content: dict[str, Any] = {
        "voxel_nm": 100.0,
        "direction": "discharge",
        "kinetics": "constant",
        "wetted": "skin",
        "lithium": [0.3, 0.9],
        "shown": {"c_rate": 10.0, "depth": 0.2},
        "material": {"youngs_gpa": 140.0, "poisson": 0.3, "volume_strain": 0.05, "diffusivity_m2_s": 5e-13},
        "stress": {
            "first_principal_p95_mpa": stress,
            "raised_by_voids": 1.5,
            "geometry_error": {"half_resolution": 0.1, "noise": 0.02, "noise_bias": 0.01},
        },
        "cracks": {"k_over_kc_p95": None},
    }
    write_json(folder / "mechanics.json", json.loads(json.dumps(content | changes)))
    write_csv(folder / "stress_shells.csv", SOLID | {"hoop_mpa": [-stress, stress / 2]})
