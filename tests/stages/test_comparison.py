"""The comparison of samples: what its page and tables say, and what it refuses."""

import csv
from pathlib import Path

import pytest
from compared_samples import (
    entry,
    write_composition_tables,
    write_oxidation_tables,
    write_structure_tables,
)

from oxytomo.cli import main
from oxytomo.cli.report import _compare
from oxytomo.errors import ConfigError, InputError, StoreError
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared.comparison import Settings, run
from oxytomo.view.comparison_page import write_comparison

pytestmark = pytest.mark.slow


def composition(folder: Path, name: str, poor: float, **changes: object) -> Path:
    path = folder / name
    path.mkdir()
    (path / "stages").mkdir()
    write_composition_tables(path, poor, **changes)  # type: ignore[arg-type]
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def groups(tmp_path: Path) -> dict[str, list[Path]]:
    """Three discharged and three charged particles that differ in everything but their oxygen-rich share."""
    found: dict[str, list[Path]] = {"discharged": [], "charged": []}
    for group, base in (("discharged", 0.05), ("charged", 0.2)):
        for number in range(3):
            folder = composition(tmp_path, f"{group}_{number}", base + 0.005 * number)
            write_oxidation_tables(folder, 3.2 + base * 10 + 0.02 * number, step=0.4 - base)
            write_structure_tables(folder, base / 2 + 0.001 * number)
            found[group].append(folder)
    return found


def test_page_and_tables_state_what_differs(groups: dict[str, list[Path]], tmp_path: Path) -> None:
    written = write_comparison(groups, tmp_path / "out.html")
    assert [path.name for path in written] == [
        "out.html",
        "out_values.csv",
        "out_groups.csv",
        "out_differences.csv",
        "out_shells.csv",
    ]
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "oxygen-poor is 15.0 points higher in charged than in discharged" in page
    assert "No warnings" in page
    assert page.count("<img") == 7
    differences = {row["quantity"]: row for row in rows_of(tmp_path / "out_differences.csv")}
    poor = differences["oxygen_poor"]
    assert (poor["test"], poor["n_first"], poor["says"]) == ("Welch", "3", "differs")
    # By hand: standard deviation 0.5 in each, error sqrt(2/3)·0.5; noise (1 point, 95 %) is 0.51 and larger.
    assert float(poor["statistic"]) == pytest.approx(15 / ((2 / 3) ** 0.5 * 1 / 1.959964), rel=1e-5)
    rich = differences["oxygen_rich"]
    assert rich["says"] == "no difference found"
    assert float(rich["second_minus_first"]) == pytest.approx(0, abs=1e-9)
    shells = rows_of(tmp_path / "out_shells.csv")
    assert len(shells) == 6 * 3 * 2
    values = rows_of(tmp_path / "out_values.csv")
    assert {row["quantity"] for row in values} >= {
        "target",
        "valence_Mn",
        "valence_step_Mn",
        "porosity",
        "crack_area",
    }
    area = next(row for row in values if row["quantity"] == "crack_area")
    assert float(area["value"]) == pytest.approx(0.4 / 0.5)


def test_valence_of_single_particles_counts_the_energy_scale(tmp_path: Path) -> None:
    """0.1 valence apart: thirty errors of noise, and one of an energy scale that is good to 0.1 eV."""
    folders = [composition(tmp_path, name, 0.1) for name in "ab"]
    for folder, valence in zip(folders, (3.2, 3.3), strict=True):
        write_oxidation_tables(folder, valence)
    write_comparison({"a": folders[:1], "b": folders[1:]}, tmp_path / "c.html")
    rows = {row["quantity"]: row for row in rows_of(tmp_path / "c_differences.csv")}
    assert float(rows["valence_Mn"]["statistic"]) == pytest.approx(0.1 / (0.06 * 2**0.5), rel=1e-3)
    assert rows["valence_Mn"]["says"].startswith("these two particles do not differ beyond their noise")
    assert "There is only one particle of a and b" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_different_thresholds_are_refused_and_voxels_flagged(tmp_path: Path) -> None:
    one = composition(tmp_path, "one", 0.1)
    other = composition(tmp_path, "other", 0.3, threshold=0.1, voxel_nm=25.0)
    for folder, porosity in ((one, 0.02), (other, 0.08)):
        write_structure_tables(folder, porosity)
    write_comparison({"x": [one], "y": [other]}, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "no difference is stated, the threshold of the classes differs (0.05 in one; 0.1 in other)" in page
    assert (
        "voxel size in nm differs (10 in one; 25 in other); a difference between samples can come from that"
        in page
    )
    branches = {row["branch"] for row in rows_of(tmp_path / "c_differences.csv")}
    assert branches == {"structure"}
    assert page.index('id="warnings"') < page.index('id="summary"')


def test_a_missing_branch_is_said_and_the_rest_compared(tmp_path: Path) -> None:
    both, one = composition(tmp_path, "both", 0.1), composition(tmp_path, "one", 0.2)
    write_structure_tables(both, 0.02, cut_by_field_of_view=[1])
    write_comparison({"x": [both], "y": [one]}, tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "Pores and cracks: one has no results of this branch." in page
    assert "both: a particle is cut by the field of view" in page
    says = {row["quantity"]: row["says"] for row in rows_of(tmp_path / "c_differences.csv")}
    assert says["porosity"] == "nothing: no number in y"
    assert says["oxygen_poor"].startswith("these two particles differ beyond their noise")


def test_unfinished_foreign_and_absent_results_are_one_line(tmp_path: Path) -> None:
    good, bad = composition(tmp_path, "good", 0.1), composition(tmp_path, "bad", 0.1)
    output = tmp_path / "c.html"
    (bad / "composition_shells.csv").unlink()
    with pytest.raises(
        InputError, match=r"bad: expected finished results of the branch composition.*to the end"
    ):
        write_comparison({"x": [good], "y": [bad]}, output)
    write_composition_tables(bad, 0.1)
    (bad / "phases.json").write_text('{"phases": [1, 2]}', encoding="utf-8")
    with pytest.raises(StoreError, match=r"phases\.json: .* got a file of another program"):
        write_comparison({"x": [good], "y": [bad]}, output)
    with pytest.raises(InputError, match=r"absent: .* got no such folder"):
        write_comparison({"x": [good], "y": [tmp_path / "absent"]}, output)
    with pytest.raises(InputError, match="the same sample twice"):
        write_comparison({"x": [good], "y": [good]}, output)
    assert not list(tmp_path.glob("c*"))


def test_tables_of_others_are_not_written_over(tmp_path: Path) -> None:
    one, other = composition(tmp_path, "one", 0.1), composition(tmp_path, "other", 0.1)
    mine = tmp_path / "c_groups.csv"
    mine.write_text("dose,time\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"c_groups\.csv: expected a new file, or an earlier table"):
        write_comparison({"x": [one], "y": [other]}, tmp_path / "c.html")
    assert mine.read_text(encoding="utf-8") == "dose,time\n1,2\n"
    assert sorted(path.name for path in tmp_path.glob("c*")) == ["c_groups.csv"], "nothing else is begun"
    mine.unlink()
    for _ in range(2):  # its own tables are replaced
        write_comparison({"x": [one], "y": [other]}, tmp_path / "c.html")


def test_a_particle_without_voids_and_an_element_without_valence_have_no_number(tmp_path: Path) -> None:
    one, other = composition(tmp_path, "one", 0.1), composition(tmp_path, "other", 0.1)
    nothing = {"value": None, "ci95": None}
    cracks = {"area_nm2": {"value": 0.0, "ci95": [0.0, 0.0]}, "mean_aperture_nm": nothing}
    for folder in (one, other):
        write_oxidation_tables(folder, 3.2, mean_valence=None, standard_error=None)
        write_structure_tables(folder, 0.0, open_fraction=None, open_fraction_ci95=None, cracks=cracks)
    write_comparison({"x": [one], "y": [other]}, tmp_path / "c.html")
    says = {row["quantity"]: row["says"] for row in rows_of(tmp_path / "c_differences.csv")}
    for quantity in ("open_fraction", "mean_aperture", "valence_Mn"):
        assert says[quantity] == "nothing: no number in x and y"


def test_a_number_without_interval_is_shown_and_not_tested(tmp_path: Path) -> None:
    a, b = composition(tmp_path, "a", 0.1), composition(tmp_path, "b", 0.2)
    fractions = dict.fromkeys(("target", "oxygen_poor", "oxygen_rich"), entry(0.3, None))
    write_composition_tables(b, 0.2, fractions=fractions)
    write_comparison({"x": [a], "y": [b]}, tmp_path / "c.html")
    says = {row["says"] for row in rows_of(tmp_path / "c_differences.csv")}
    assert says == {"nothing: its noise is not known"}


def test_stage_reads_samples_below_the_results(groups: dict[str, list[Path]], tmp_path: Path) -> None:
    settings = Settings(
        groups=tuple((name, tuple(p.name for p in members)) for name, members in groups.items())
    )
    context = StageContext(stage="comparison", version=1, threads=1, settings_json={})
    run({"results": tmp_path}, {"report": tmp_path / "comparison.html"}, settings, context)
    assert len(rows_of(tmp_path / "comparison_groups.csv")) == 2 * 12


def test_a_group_cannot_have_the_name_of_a_sample(tmp_path: Path) -> None:
    one, other = composition(tmp_path, "one", 0.1), composition(tmp_path, "other", 0.1)
    with pytest.raises(ConfigError, match="--group one: expected another name"):
        _compare([one], {"one": [other]}, tmp_path / "c.html")


def test_names_are_no_formulas_of_pictures_spreadsheets_and_terminals(tmp_path: Path) -> None:
    """Broken mathematics, a formula, markup, a control character, a letter without a glyph."""
    names = ("$x_{$", "=1+1", "<b>名", "a\x1b[2J")
    folders = [composition(tmp_path, name, 0.1 + 0.02 * k) for k, name in enumerate(names)]
    written = write_comparison({f.name: [f] for f in folders}, tmp_path / "c.html")
    text = "".join(path.read_text(encoding="utf-8") for path in written)
    assert "\x1b" not in text
    assert "<b>名" not in written[0].read_text(encoding="utf-8")
    groups = {row["group"] for row in rows_of(tmp_path / "c_groups.csv")}
    assert groups == {"$x_{$", "'=1+1", "<b>名", r"a\x1b[2J"}


def test_the_page_replaces_no_other_file(tmp_path: Path) -> None:
    one, other = composition(tmp_path, "one", 0.1), composition(tmp_path, "other", 0.1)
    raw = tmp_path / "raw.h5"
    raw.write_bytes(b"mine")
    with pytest.raises(InputError, match="an earlier page, got another file"):
        _compare([one, other], {}, raw)
    assert raw.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected the folder of a sample, got none"),
        (["--group", "charged"], "got a name alone"),
        (["--group", "x", "store", "--group", "x", "store"], "got a single store"),
        (["store"], "got a single store"),
        (["nowhere"], "got no such folder"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store/zarr.json").write_text("{}", encoding="utf-8")
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
