"""Small results of samples, as the stages write them, for tests of reports and comparisons."""

import json
from pathlib import Path
from typing import Any

from oxytomo.io.tables import write_csv, write_json

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
