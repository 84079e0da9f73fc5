"""Charge balance: known answers of the literature, propagation of errors, refusals."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xraydb

from oxytomo.cli import main
from oxytomo.cli.report import _balance, _compare
from oxytomo.config import ChargeBalanceSettings, parse_config
from oxytomo.config.plan import comparison_settings, project_products
from oxytomo.config.stage_settings import ComparisonStage
from oxytomo.electrochemistry.charge import (
    Material,
    Row,
    State,
    balance,
    capacity,
    densified,
    density_change,
    neutral_valence,
    with_vacancies,
)
from oxytomo.electrochemistry.estimates import Estimate, combined, group_estimates
from oxytomo.errors import ConfigError
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.differences import difference
from oxytomo.stages.registry import stage_spec
from oxytomo.stages.shared.comparison import more_outputs
from oxytomo.view.comparison_page import write_comparison

LRTMO = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}
CYCLED = {"Li": 1.18, "Mn": 0.53, "Ni": 0.21, "Co": 0.08, "O": 2.0}
PRISTINE = {"Mn": 4.0, "Ni": 2.0, "Co": 3.0}


def material(atoms: dict[str, float], **fixed: float) -> Material:
    return Material(atoms, {element: float(xraydb.atomic_mass(element)) for element in atoms}, fixed)


def state(name: str, *, error: float = 0.0, **rest: Any) -> State:
    known = {key: rest.pop(key) for key in ("lithium", "capacity_mah_g", "discharged") if key in rest}
    return State(name, {element: Estimate(value, error) for element, value in rest.items()}, **known)


def by_key(rows: list[Row]) -> dict[tuple[str, str, str], Row]:
    return {(row.state, row.element, row.quantity): row for row in rows}


def test_mass_and_capacity_of_the_formula() -> None:
    mass = material(LRTMO).molar_mass
    assert mass == pytest.approx(85.197, abs=5e-4)
    assert capacity(1.0, 1.0, mass) == pytest.approx(314.58, abs=5e-3)
    assert 39 / capacity(1.0, 1.0, mass) == pytest.approx(0.124, abs=5e-4)


def test_vacancies_against_a_denser_lattice() -> None:
    """6.5 % of the oxygen of Li1.18TM0.82O2 lost: mean valence 3.12; Li:TM 1.44 or about 1.13."""
    cycled = material(CYCLED)
    mean = neutral_valence(cycled, 1.18) - 2 * 0.13 / 0.82
    assert mean == pytest.approx(3.12, abs=5e-3)
    vacant, dense = with_vacancies(cycled, 0.13, 1.18), densified(cycled, mean)
    metals = sum(dense[element] for element in cycled.metals)
    # Neutral with all sites filled: Li:TM = V − 2 where there are as many cations as oxygen.
    assert dense["Li"] / metals == pytest.approx(mean - 2)
    assert dense["Li"] + metals * mean == pytest.approx(2 * 2.0)
    assert vacant["Li"] / 0.82 == pytest.approx(1.44, abs=5e-3)
    # To two digits this is Li1.06TM0.94O2, from which 1.13 and +9.5 % are printed.
    assert (round(dense["Li"], 2), round(metals, 2)) == (1.06, 0.94)
    printed = {"Li": 1.06, "O": 2.0} | {e: cycled.atoms[e] * 0.94 / 0.82 for e in cycled.metals}
    assert printed["Li"] / 0.94 == pytest.approx(1.13, abs=5e-3)
    assert density_change(printed, cycled, vacant) == pytest.approx(9.5, abs=0.05)
    assert density_change(dense, cycled, vacant) == pytest.approx(9.64, abs=0.01)


def test_no_dense_lattice_is_nan() -> None:
    assert np.isnan(densified(material(CYCLED), 1.5)["Li"])
    assert np.isnan(densified(material(CYCLED), 0.9)["Li"])


def test_balance_of_three_states() -> None:
    """By hand. Charged: Ni 2 → 4, Co 3 → 4 give 0.40 electrons of 0.95; cycled: Mn 4 → 3.5."""
    states = [
        state("pristine", **PRISTINE, error=0.03),
        state("charged", Mn=4.0, Ni=4.0, Co=4.0, error=0.03, capacity_mah_g=300.0),
        state("cycled", Mn=3.5, Ni=2.0, Co=3.0, error=0.03, lithium=1.1, discharged=True),
    ]
    found = by_key(balance(material(LRTMO), states))
    electron = 314.583
    assert found["charged", "Ni", "capacity"].value == pytest.approx(0.32 * electron, rel=1e-5)
    assert found["charged", "metals", "capacity"].value == pytest.approx(0.40 * electron, rel=1e-5)
    rest = found["charged", "", "capacity_not_of_metals"]
    assert rest.value == pytest.approx(300 - 0.40 * electron, rel=1e-4)
    # Interval: both states, 1.96 · 0.03 · √2 · n F / 3.6 M, elements in squares.
    low, high = found["charged", "metals", "capacity"].interval
    reach = 1.959964 * 0.03 * np.sqrt(2 * (0.56**2 + 0.16**2 + 0.08**2)) * electron
    assert (high - low) / 2 == pytest.approx(reach, rel=1e-4)
    assert (rest.interval[1] - rest.interval[0]) / 2 == pytest.approx(reach, rel=1e-4)
    # Lithium from the cell: 300 / 314.58 has left. Cations lost 0.9536 − 0.40 charges: oxygen, or holes.
    assert found["charged", "Li", "lithium"].value == pytest.approx(1.2 - 300 / electron, rel=1e-5)
    lost = (300 / electron - 0.40) / 2
    assert found["charged", "O", "oxygen_loss"].value == pytest.approx(lost, rel=1e-4)
    assert found["charged", "O", "holes_per_oxygen"].value == pytest.approx(lost, rel=1e-4)
    assert found["cycled", "Mn", "irreversible_capacity"].value == pytest.approx(-0.28 * electron, rel=1e-5)
    assert found["cycled", "Ni", "capacity_step"].value == pytest.approx(-0.32 * electron, rel=1e-5)
    # 0.1 lithium and 0.28 electrons of manganese: (0.1 + 0.28) / 2 oxygen of 2.
    assert found["cycled", "O", "oxygen_loss_share"].value == pytest.approx(9.5, rel=1e-6)
    assert found["cycled", "", "li_tm_vacancies"].value == pytest.approx(1.1 / 0.8)
    # (2·2 − 2) / (V − 1) metals per formula unit at V = 3.5 − 0.35.
    metals = 2 / 2.15
    assert found["cycled", "", "li_tm_densified"].value == pytest.approx((2 - metals) / metals)
    for row in found.values():
        assert row.interval[0] <= row.value <= row.interval[1]
    assert ("pristine", "", "li_tm_densified") not in found
    assert ("charged", "", "density_vacancies") not in found


def test_oxygen_that_was_measured_counts() -> None:
    """Lithium and metals lost 0.6 charges per formula unit; oxygen went from −2 to −1.8 (0.4 of them)."""
    states = [state("a", **PRISTINE, O=-2.0), state("b", **PRISTINE, O=-1.8, lithium=0.6)]
    found = by_key(balance(material(LRTMO), states))
    assert found["b", "O", "oxygen_loss"].value == pytest.approx((0.6 - 0.4) / 2)
    assert found["b", "O", "capacity"].value == pytest.approx(0.4 * 314.583, rel=1e-5)
    assert found["b", "metals", "capacity"].value == 0


def test_unknown_lithium_gives_no_oxygen() -> None:
    found = by_key(balance(material(LRTMO), [state("a", **PRISTINE), state("b", **PRISTINE)]))
    assert ("b", "O", "oxygen_loss") not in found
    assert found["b", "metals", "capacity"].value == 0


def test_fixed_cations_count_in_the_mean_alone() -> None:
    nca = material({"Li": 1.0, "Ni": 0.8, "Co": 0.15, "Al": 0.05, "O": 2.0}, Al=3.0)
    states = [state("a", Ni=3.0, Co=3.0), state("b", Ni=3.5, Co=3.0)]
    found = by_key(balance(nca, states))
    assert found["a", "metals", "valence"].value == pytest.approx(3.0)
    assert found["b", "metals", "capacity"].value == pytest.approx(capacity(0.5, 0.8, nca.molar_mass))
    assert ("a", "Al", "valence") not in found


def test_intervals_are_those_of_welch() -> None:
    """Two groups of three: the difference has the interval of the comparison of particles."""
    first, second, noise = [3.1, 3.3, 3.2], [3.9, 3.5, 3.7], [0.01] * 3
    groups = group_estimates({"a": (first, noise), "b": (second, noise)})
    found = combined([(1.0, groups["b"]), (-1.0, groups["a"])])
    wanted = difference(first, noise, second, noise)
    assert found.freedom == pytest.approx(wanted.freedom)
    assert found.interval == pytest.approx(wanted.interval)


def test_a_single_particle_scatters_as_the_others_do() -> None:
    groups = group_estimates({"a": ([3.0, 3.2, 3.4], [0.01] * 3), "b": ([3.6], [0.01])})
    assert groups["b"].error == pytest.approx(0.2)
    assert groups["b"].freedom == 2
    alone = group_estimates({"a": ([3.0], [0.01]), "b": ([3.6], [0.02])})
    assert (alone["b"].error, alone["b"].freedom) == (0.02, np.inf)
    assert np.isnan(group_estimates({"a": ([np.nan], [0.1])})["a"].value)


def oxidation(folder: Path, name: str, valences: dict[str, float], **changes: Any) -> Path:
    """Finished results of a sample with mean valences."""
    path = folder / name
    (path / "stages").mkdir(parents=True)
    facts = {
        element: {
            "mean_valence": valence,
            "standard_error": 0.001,
            "valence_per_0_1_ev": 0.03,
            "references": {f"{element}_a": 2.0, f"{element}_b": 4.0},
            "windows": {"window_ev": [638.0, 648.0]},
            "fractions_sum": "free",
            "structured_shells": [],
        }
        | changes
        for element, valence in valences.items()
    }
    write_json(path / "oxidation.json", {"elements": facts})
    shells = {"shell": [1, 2], "shell_outer": [0, 50], "shell_inner": [50, 100]}
    rows: dict[str, list[Any]] = {key: value * len(valences) for key, value in shells.items()}
    rows["element"] = [element for element in valences for _ in range(2)]
    rows["mean_valence"] = [valence for valence in valences.values() for _ in range(2)]
    rows["standard_error"] = [0.003] * len(rows["element"])
    write_csv(path / "oxidation_shells.csv", rows)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


SETTINGS = ChargeBalanceSettings.model_validate(
    {
        "formula": "Li1.2Mn0.56Ni0.16Co0.08O2",
        "states": {"pristine": {}, "cycled": {"lithium": 1.1, "discharged": True}},
    }
)


def test_a_comparison_has_the_balance(tmp_path: Path) -> None:
    groups = {
        "pristine": [oxidation(tmp_path, "p", PRISTINE)],
        "cycled": [oxidation(tmp_path, "c", {"Mn": 3.5, "Ni": 2.0, "Co": 3.0})],
    }
    written = write_comparison(groups, tmp_path / "comparison.html", SETTINGS)
    assert written[-1].name == "charge_balance.csv"
    assert more_outputs({"report": written[0]})["charge_balance"] == written[-1]
    rows = {(r["state"], r["element"], r["quantity"]): r for r in rows_of(tmp_path / "charge_balance.csv")}
    mn = rows["cycled", "Mn", "irreversible_capacity"]
    assert float(mn["value"]) == pytest.approx(-0.28 * 314.583, rel=1e-4)
    error = float(np.hypot(0.001, 0.03)) * np.sqrt(2) * 0.56 * 314.583 * 1.959964
    assert float(mn["high_95"]) - float(mn["value"]) == pytest.approx(error, rel=1e-4)
    assert {r["refused"] for r in rows.values()} == {""}
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "85.197 g/mol, 314.58 mAh/g per electron" in page
    assert "irreversible part" in page
    assert "missing oxygen (O) 9.50" in page


@pytest.mark.parametrize(
    ("cycled", "pristine", "said"),
    [
        ({"references": {"other": 2.0, "x": 4.0}}, PRISTINE, "the reference spectra differ between samples"),
        ({"structured_shells": [1, 2]}, PRISTINE, "the references do not explain the Mn spectra of c"),
        ({"standard_error": None}, PRISTINE, "the error of the valence of Mn in cycled is not known"),
        ({}, {"Mn": 4.3, "Ni": 2.4, "Co": 3.2}, "its formula is neutral at 3.50"),
    ],
)
def test_foreign_references_are_refused(
    tmp_path: Path, cycled: dict[str, Any], pristine: dict[str, float], said: str
) -> None:
    """No capacity is written, the page says why, and the valences stay."""
    groups = {
        "pristine": [oxidation(tmp_path, "p", pristine)],
        "cycled": [oxidation(tmp_path, "c", {"Mn": 3.5, "Ni": 2.0, "Co": 3.0}, **cycled)],
    }
    write_comparison(groups, tmp_path / "comparison.html", SETTINGS)
    rows = rows_of(tmp_path / "charge_balance.csv")
    assert {row["quantity"] for row in rows} == {"valence"}
    assert all(said in row["refused"] for row in rows)
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert f"Charge balance: refused, {said}" in page or said in page


def test_more_charge_than_lithium_is_refused(tmp_path: Path) -> None:
    """All 1.2 lithium of the formula are 377.5 mAh/g."""
    groups = {
        "pristine": [oxidation(tmp_path, "p", PRISTINE)],
        "charged": [oxidation(tmp_path, "c", {"Mn": 4.0, "Ni": 3.9, "Co": 3.9})],
    }
    for charge, refused in ((370.0, False), (500.0, True)):
        states = {"pristine": {}, "charged": {"capacity_mah_g": charge}}
        settings = ChargeBalanceSettings.model_validate(
            {"formula": "Li1.2Mn0.56Ni0.16Co0.08O2", "states": states}
        )
        write_comparison(groups, tmp_path / "comparison.html", settings)
        rows = rows_of(tmp_path / "charge_balance.csv")
        assert all(("500 mAh/g, is more than all lithium" in row["refused"]) == refused for row in rows)
        assert all(float(row["value"]) >= 0 for row in rows if row["quantity"] == "lithium")


def test_a_missing_element_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    groups = {name: [oxidation(tmp_path, name, {"Mn": 4.0, "Ni": 2.0})] for name in ("p", "c")}
    said = r"charge balance of p: expected valences of Mn, Ni, Co, got none of Co"
    with pytest.raises(ConfigError, match=said):
        _compare([], groups, None, _balance("Li1.2Mn0.56Ni0.16Co0.08O2"))
    assert not (tmp_path / "charge_balance.csv").exists()


def test_wrong_formula_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = oxidation(tmp_path, "p", PRISTINE)
    assert main(["report", str(folder), "--formula", "LiXy2"]) == 2
    assert "formula: expected chemical symbols" in capsys.readouterr().err
    assert main(["report", str(folder), "--formula", "LiCoO2"]) == 2
    assert "two groups or more" in capsys.readouterr().err


def configuration(**balance: Any) -> dict[str, Any]:
    reference = {"2": "a.csv", "4": "b.csv"}
    metals = ("Mn", "Ni", "Co")
    branch = {"stacks": {e: f"{e}.h5" for e in metals}, "references": dict.fromkeys(metals, reference)}
    return {
        "samples": {"p": {"oxidation": branch}, "c": {"oxidation": branch}},
        "groups": {"pristine": ["p"], "cycled": ["c"]},
        "charge_balance": {"formula": "Li1.2Mn0.56Ni0.16Co0.08O2"} | balance,
    }


def test_configuration_adds_the_table() -> None:
    project = parse_config(configuration(), folder=Path("/data"), name="x.yaml")
    assert project_products(project)[-1] == "charge_balance.csv"
    assert comparison_settings(project)["charge_balance"]["formula"]["Mn"] == 0.56


def test_states_keep_their_order_on_the_way_to_the_stage() -> None:
    """The settings of a stage are JSON with sorted keys; \"cycled\" sorts before \"pristine\"."""
    states = {"pristine": {}, "cycled": {"lithium": 1.1, "discharged": True}}
    for given in ({"states": states}, {}):
        project = parse_config(configuration(**given), folder=Path("/data"), name="x.yaml")
        sent = json.loads(stage_spec("comparison", comparison_settings(project)))["settings"]
        received = ComparisonStage.model_validate(sent).balance
        assert received is not None
        assert list(received.states) == ["pristine", "cycled"]
        assert received.states["cycled"].discharged is bool(given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"formula": "Li1.2Mn0.56Fe0.24O2"}, "no stack with references of Fe in 'p'"),
        ({"formula": "Mn2O3"}, "a formula with Li, O and a transition metal, got no Li"),
        ({"states": {"pristine": {}, "charged": {}}}, "'charged'"),
        ({"states": {"pristine": {}}}, "two or more groups of this file, got 1"),
        ({"fixed_valences": {"Al": 3}}, "cations of the formula"),
        ({"states": {"pristine": {"capacity_mah_g": 20}, "cycled": {}}}, "no charge in the first state"),
    ],
)
def test_mistakes_in_the_configuration_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match="charge_balance") as caught:
        parse_config(configuration(**changes), folder=Path("/data"), name="x.yaml")
    assert said in str(caught.value)
