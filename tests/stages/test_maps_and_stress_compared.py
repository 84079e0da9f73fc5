"""Scattering maps and stress in the comparison of samples; bulk and surface of the charge balance."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_samples import (
    feature_pair,
    write_mechanics_tables,
    write_scattering_tables,
)

from oxytomo.config import ChargeBalanceSettings
from oxytomo.errors import ConfigError
from oxytomo.io.tables import write_csv, write_json
from oxytomo.view.comparison_page import write_comparison

FORMULA = "LiMnO2"
PER_ELECTRON = 96485.33212 / (3.6 * (6.94 + 54.938044 + 2 * 15.999))
"""mAh/g, with the standard atomic weights."""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def with_stack(folder: Path, name: str, valence: float) -> Path:
    """Return the folder of a sample with a valence of Mn through its particle."""
    path = folder / name
    (path / "stages").mkdir(parents=True)
    facts = {
        "mean_valence": valence,
        "standard_error": 0.001,
        "valence_per_0_1_ev": 0.03,
        "references": {"a": 2.0, "b": 4.0},
        "windows": {"window_ev": [638.0, 648.0]},
        "fractions_sum": "free",
        "structured_shells": [],
    }
    write_json(path / "oxidation.json", {"elements": {"Mn": facts}})
    shells = {"element": ["Mn"] * 2, "shell": [1, 2], "shell_outer": [0, 50], "shell_inner": [50, 100]}
    rows = {"mean_valence": [valence] * 2, "standard_error": [0.003] * 2}
    write_csv(path / "oxidation_shells.csv", shells | rows)
    return path


def balance(**states: dict[str, Any]) -> ChargeBalanceSettings:
    return ChargeBalanceSettings.model_validate({"formula": FORMULA, "states": states})


def balanced(
    tmp_path: Path, settings: ChargeBalanceSettings, groups: dict[str, list[Path]]
) -> tuple[dict[tuple[str, str, str], dict[str, str]], str]:
    write_comparison(groups, tmp_path / "comparison.html", settings)
    rows = {(r["state"], r["element"], r["quantity"]): r for r in rows_of(tmp_path / "charge_balance.csv")}
    return rows, (tmp_path / "comparison.html").read_text(encoding="utf-8")


@pytest.fixture
def groups(tmp_path: Path) -> dict[str, list[Path]]:
    """Mn rises by 0.5 through the particle, by 0.6 in the bulk and by 0.1 at the surface."""
    fresh, charged = with_stack(tmp_path, "p", 3.0), with_stack(tmp_path, "c", 3.5)
    write_scattering_tables(fresh, {("Mn_fresh", "PFY"): 3.0, ("Mn_fresh", "TEY"): 2.8})
    write_scattering_tables(charged, {("Mn_charged", "PFY"): 3.6, ("Mn_charged", "TEY"): 2.9})
    return {"fresh": [fresh], "charged": [charged]}


def test_bulk_and_surface_join_by_element_and_state(tmp_path: Path, groups: dict[str, list[Path]]) -> None:
    rows, page = balanced(tmp_path, balance(fresh={}, charged={}), groups)
    found = rows["charged", "Mn", "capacity"]
    assert float(found["value"]) == pytest.approx(0.5 * PER_ELECTRON, rel=1e-4)
    assert float(found["bulk"]) == pytest.approx(0.6 * PER_ELECTRON, rel=1e-4)
    assert float(found["surface"]) == pytest.approx(0.1 * PER_ELECTRON, rel=1e-4)
    # Error of each map: 0.004 of noise and 0.003 of energy scale, so 0.005; of both: 0.005 √2
    reach = 1.959964 * 0.005 * np.sqrt(2) * PER_ELECTRON
    assert float(found["bulk_high_95"]) - float(found["bulk"]) == pytest.approx(reach, rel=1e-4)
    assert (found["bulk_yield"], found["surface_yield"]) == ("PFY", "TEY")
    assert (found["bulk_n_maps"], found["bulk_refused"]) == ("1", "")
    metals = rows["fresh", "metals", "valence"]
    assert (float(metals["surface"]), metals["surface_yield"], metals["surface_n_maps"]) == (2.8, "TEY", "1")
    assert "Bulk and surface" in page


def test_a_map_of_another_sample_is_joined_by_its_name(tmp_path: Path, groups: dict[str, list[Path]]) -> None:
    """The better yield that all states have is used; oxygen has a row of its own."""
    more = tmp_path / "maps"
    (more / "stages").mkdir(parents=True)
    write_scattering_tables(
        more,
        {
            ("Mn_a", "TFY"): 3.3,
            ("Mn_a", "PFY"): 3.1,
            ("Mn_b", "PFY"): 3.4,
            ("O_a", "PFY"): -2.0,
            ("O_b", "PFY"): -1.9,
        },
    )
    for path in (*groups["fresh"], *groups["charged"]):
        for name in ("scattering.json", "scattering_yields.csv", "scattering_valences.csv"):
            (path / name).unlink()
    settings = balance(fresh={"maps": "a"}, charged={"maps": "b"})
    rows, _ = balanced(tmp_path, settings, groups | {"others": [more]})
    found = rows["charged", "Mn", "capacity"]
    assert float(found["bulk"]) == pytest.approx(0.3 * PER_ELECTRON, rel=1e-4)
    assert found["bulk_yield"] == "PFY"
    oxygen = rows["charged", "O", "capacity"]
    assert (oxygen["value"], float(oxygen["bulk"])) == ("nan", pytest.approx(0.2 * PER_ELECTRON, rel=1e-4))
    assert "surface" not in found


def test_missing_and_foreign_yields_are_refused(tmp_path: Path, groups: dict[str, list[Path]]) -> None:
    """The valence stays, a capacity is not given, and the page says why."""
    (charged,) = groups["charged"]
    settings = balance(fresh={}, charged={})
    cases: list[tuple[dict[tuple[str, str], float], dict[str, Any], str, str]] = [
        ({("Mn_charged", "PFY"): 3.6}, {}, "surface", "Mn has no valence of the surface in charged"),
        ({("Mn_charged", "iPFY"): 3.6}, {}, "bulk", "no yield of the bulk that all maps of Mn have"),
        (
            {("Mn_charged", "PFY"): 3.6},
            {"references": {"Mn": {"other": 2.0, "b": 4.0}}},
            "bulk",
            "the references of the Mn yields differ between maps",
        ),
        (
            {("Mn_charged", "PFY"): 3.6},
            {"chi_square": 9.0, "r_factor": 0.05},
            "bulk",
            "the references do not explain the PFY of Mn_charged",
        ),
        (
            {("Mn_charged", "PFY"): 3.6},
            {"standard_error": np.nan},
            "bulk",
            "error of the valence of Mn (bulk)",
        ),
    ]
    for valences, changes, depth, said in cases:
        write_scattering_tables(charged, valences, **changes)
        rows, page = balanced(tmp_path, settings, groups)
        found = rows["charged", "Mn", "capacity"]
        assert said in found[f"{depth}_refused"]
        assert found[depth] == "nan"
        assert float(found["value"]) == pytest.approx(0.5 * PER_ELECTRON, rel=1e-4)
        assert said in page
    with pytest.raises(ConfigError, match=r"charge_balance\.states\.charged\.maps: expected the state"):
        balanced(tmp_path, balance(fresh={}, charged={"maps": "gone"}), groups)


def test_lithium_and_charge_that_disagree_are_named(tmp_path: Path, groups: dict[str, list[Path]]) -> None:
    """A charge of half an electron leaves 0.5 lithium."""
    charge = 0.5 * PER_ELECTRON
    for lithium, warned in ((0.52, False), (0.7, True)):
        settings = balance(fresh={}, charged={"lithium": lithium, "capacity_mah_g": charge})
        rows, page = balanced(tmp_path, settings, groups)
        assert float(rows["charged", "Li", "lithium"]["value"]) == lithium
        assert ("0.70 lithium per formula unit as given, and 0.50 after" in page) == warned


def test_maps_are_compared_between_groups(tmp_path: Path) -> None:
    """One map in each sample: its state is not in the name of the number, so that groups have it alike."""
    groups: dict[str, list[Path]] = {"fresh": [], "charged": []}
    for group, valence in (("fresh", 3.0), ("charged", 3.4)):
        for number in range(3):
            path = tmp_path / f"{group}_{number}"
            (path / "stages").mkdir(parents=True)
            write_scattering_tables(
                path,
                {(f"Mn_{group}", "PFY"): valence + 0.01 * number, (f"Mn_{group}", "TEY"): 2.8},
                pairs=[feature_pair("O_before", "O_after", 0.1 + 0.01 * number, 0.01)],
            )
            groups[group].append(path)
    write_comparison(groups, tmp_path / "out.html")
    found = {row["quantity"]: row for row in rows_of(tmp_path / "out_differences.csv")}
    assert float(found["map_valence_Mn_PFY"]["second_minus_first"]) == pytest.approx(0.4)
    assert found["map_valence_Mn_PFY"]["says"] == "differs"
    assert found["map_valence_Mn_TEY"]["says"] == "no difference found"
    assert float(found["feature_ratio_O_before_O_after"]["second_minus_first"]) == pytest.approx(0, abs=1e-9)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    for said in ("Scattering maps", "Yields of bulk and surface", "Changes of the feature", "4 and 5 scans"):
        assert said in page
    # Another set of references makes other valences: no difference is stated
    write_scattering_tables(
        groups["charged"][0], {("Mn_charged", "PFY"): 3.4}, references={"Mn": {"x": 3.0, "y": 4.0}}
    )
    write_comparison(groups, tmp_path / "out.html")
    assert rows_of(tmp_path / "out_differences.csv") == []
    assert "reference spectra of the yields differs" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_stress_is_compared_between_states(tmp_path: Path) -> None:
    groups: dict[str, list[Path]] = {"fresh": [], "aged": []}
    for group, stress in (("fresh", 50.0), ("aged", 90.0)):
        for number in range(3):
            path = tmp_path / f"{group}_{number}"
            (path / "stages").mkdir(parents=True)
            write_mechanics_tables(path, stress + number)
            groups[group].append(path)
    write_comparison(groups, tmp_path / "out.html")
    found = {row["quantity"]: row for row in rows_of(tmp_path / "out_differences.csv")}
    assert float(found["stress_beside_voids"]["second_minus_first"]) == pytest.approx(40.0)
    assert found["stress_beside_voids"]["says"] == "differs"
    assert "k_over_kc" not in found or found["k_over_kc"]["says"].startswith("nothing")
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "Stress from rim to centre" in page
    shells = rows_of(tmp_path / "out_shells.csv")
    assert {row["quantity"] for row in shells} == {"hoop_mpa"}
    # Stress is proportional to the modulus: other constants, no difference
    write_mechanics_tables(groups["aged"][0], 90.0, material={"youngs_gpa": 375.0, "poisson": 0.2})
    write_comparison(groups, tmp_path / "out.html")
    assert rows_of(tmp_path / "out_differences.csv") == []
    assert "constants of the material differs" in (tmp_path / "out.html").read_text(encoding="utf-8")
