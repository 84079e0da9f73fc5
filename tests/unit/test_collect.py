"""One table of many samples."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

import oxytomo
from oxytomo.cli import main
from oxytomo.errors import InputError
from oxytomo.io.records import Provenance
from oxytomo.results.collecting import FIRST, settings_digest
from tests.stages.compared_samples import (
    write_composition_tables,
    write_oxidation_tables,
    write_structure_tables,
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three samples of different branches."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    null = {"fractions": {key: {"value": 0.001} for key in ("target", "oxygen_poor", "oxygen_rich")}}
    confident = {"fractions": {"undecided": {"value": 0.2}}}
    write_composition_tables(tmp_path / "a", 0.05, null=null, confident=confident)
    write_oxidation_tables(tmp_path / "a", 3.4)
    write_composition_tables(tmp_path / "b", 0.2, reach=None)
    write_structure_tables(tmp_path / "c", 0.04)
    return tmp_path


def test_one_row_per_sample_with_every_number_of_its_results(results: Path) -> None:
    table = oxytomo.collect(results).set_index("sample")
    assert list(table.index) == ["a", "b", "c"]
    assert set(table["problem"]) == {""}
    for name in table.index:
        for key, number in oxytomo.open_results(results / name).numbers.items():
            [column] = [
                one
                for one in table.columns
                if one.startswith(key.replace("/", "_") + "_") or one == key.replace("/", "_")
                if not one.endswith(("_low", "_high"))
                and table.attrs["definitions"][one] == number.definition
            ]
            assert table.loc[name, column] == pytest.approx(number.value)
            if number.interval is not None:
                ends = table.loc[name, f"{column}_low"], table.loc[name, f"{column}_high"]
                assert ends == pytest.approx(number.interval)
    assert table.loc["a", "composition_undecided_percent"] == pytest.approx(20)
    assert table.loc["a", "composition_oxygen_poor_null_percent"] == pytest.approx(0.1)
    assert table.loc["a", "composition_threshold_percent"] == pytest.approx(5)
    assert table.loc["c", "structure_pore_density_per_um3"] == pytest.approx(2 / 0.5)
    missing = table.loc[["b", "c"], ["oxidation_valence_Mn", "structure_porosity_percent"]].isna()
    assert missing.to_numpy().tolist() == [[True, True], [True, False]]
    assert pd.isna(table.loc["b", "composition_oxygen_poor_percent_low"])


def test_a_damaged_sample_is_one_line_and_keeps_what_can_be_read(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "a" / "oxidation.json").write_text('{"elements": [1, 2]}')
    (results / "b" / "phases.json").write_text("{")
    (results / "foreign").mkdir()
    (results / "foreign" / "notes.txt").write_text("mine")
    assert main(["collect", str(results), str(results / "foreign"), "--output", str(results / "t.csv")]) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("oxytomo: warning: ") and "expected" in line for line in lines)
    table = pd.read_csv(results / "t.csv").set_index("sample")
    assert list(table.index) == ["a", "b", "c"]
    assert table.loc["c", "structure_porosity_percent"] == pytest.approx(4)
    assert list(table["problem"].notna()) == [True, True, False]


@pytest.mark.parametrize(
    "content", ["", "[1]", "null", '{"fractions": 3}', "\0\0", '{"fractions": {"target": []}}']
)
def test_hostile_tables_are_no_traceback(tmp_path: Path, content: str) -> None:
    for name in ("phases.json", "oxidation.json", "structure.json", "domains.csv"):
        (tmp_path / "s" / "stages").mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / name).write_text(content)
    [problem] = oxytomo.collect(tmp_path)["problem"]
    assert "expected" in problem


def test_nothing_to_collect_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="at least one sample"):
        oxytomo.collect(tmp_path)
    assert main(["collect", str(tmp_path / "no"), "--output", str(tmp_path / "t.csv")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "t.csv").exists()


def test_other_files_are_not_overwritten_and_earlier_tables_are(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = results / "mine.csv"
    mine.write_text("energy,counts\n")
    assert main(["collect", str(results), "--output", str(mine)]) == 2
    assert "got another file" in capsys.readouterr().err
    assert mine.read_text() == "energy,counts\n"
    (results / "folder.csv").mkdir()
    assert main(["collect", str(results), "--output", str(results / "folder.csv")]) == 2
    assert "an earlier table, got a folder. Likely fix: give another --output" in capsys.readouterr().err
    (results / "link.csv").symlink_to(mine)
    assert main(["collect", str(results), "--output", str(results / "link.csv")]) == 2
    assert "an earlier table, got a link" in capsys.readouterr().err
    for _ in range(2):
        assert main(["collect", str(results), "--output", str(results / "t.csv")]) == 0
    assert main(["collect", str(results), "--output", str(results / "t.xlsx")]) == 2


def test_without_pyarrow_parquet_is_one_line_that_says_what_to_install(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def without(name: str, *more: object) -> object:
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", without)
    assert main(["collect", str(results), "--output", str(results / "t.parquet")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "pip install 'oxytomo[tables]'" in line
    assert ".csv" in line


def test_parquet_holds_the_same_table(results: Path) -> None:
    pytest.importorskip("pyarrow")
    assert main(["collect", str(results), "--output", str(results / "t.parquet")]) == 0
    read, made = pd.read_parquet(results / "t.parquet"), oxytomo.collect(results)
    pd.testing.assert_frame_equal(read, made)
    assert read.attrs == made.attrs


def test_the_digest_of_settings_tells_settings_apart_and_not_samples() -> None:
    def digest(source: str, **settings: object) -> str:
        stage = {"source": {"images": [source]}, "table": f"/data/{source}/shifts.csv"} | settings
        return settings_digest({"normalize": Provenance("normalize", 1, stage, {}, "0", "")})

    assert digest("a.h5", sigma=8.0) == digest("b.h5", sigma=8.0)
    assert digest("a.h5", sigma=8.0) != digest("a.h5", sigma=7.0)
    assert settings_digest({}) == ""


def test_text_from_files_is_no_formula_and_no_control_character(tmp_path: Path) -> None:
    sample = tmp_path / "=HYPERLINK(1)\x1b[2J"
    sample.mkdir()
    write_composition_tables(sample, 0.1)
    assert main(["collect", str(tmp_path), "--output", str(tmp_path / "t.csv")]) == 0
    text = (tmp_path / "t.csv").read_text()
    assert "\n'=HYPERLINK(1)\\x1b[2J," in text
    assert text.startswith(",".join(FIRST[:2]))
