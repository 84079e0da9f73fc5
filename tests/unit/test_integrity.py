"""``oxytomo verify`` names what was altered, cut short or is missing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from oxytomo.cli import main
from oxytomo.cli.inspect import describe_path
from oxytomo.config import parse_config
from oxytomo.errors import StoreError
from oxytomo.io.finished import MARKER, finished_products, products_of
from oxytomo.io.integrity import check_unaltered, record_output, verify
from oxytomo.io.provenance import make_provenance
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.tables import write_csv
from oxytomo.run.results_folder import claim, note_finished
from oxytomo.stages.registry import STAGES
from oxytomo.stages.shared import comparison


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A raw file, two stores, a table and a folder of meshes of one sample."""
    (tmp_path / "raw.h5").write_bytes(b"counts")
    stages = tmp_path / "results" / "s" / "stages" / "tomogram"
    first, second = stages / "normalize" / "signal.zarr", stages / "align.zarr"
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for store, inputs, scale in (
        (first, {"raw_0": tmp_path / "raw.h5"}, 1),
        (second, {"normalize": first}, 2),
    ):
        provenance = make_provenance("align", 1, {"x": 1}, inputs)
        arrays = {"value": NamedArray(values * scale, ("tilt", "y", "x"), "1")}
        write_store(store, arrays, provenance=provenance, attributes={"pixel_nm": 10.0})
        record_output(store, provenance)
    provenance = make_provenance("measure", 1, {}, {"align": second})
    sample = tmp_path / "results" / "s"
    write_csv(sample / "table.csv", {"a": [1, 2]})
    (sample / "meshes").mkdir()
    (sample / "meshes" / "pores.ply").write_bytes(b"ply")
    for product in ("table.csv", "meshes"):
        record_output(sample / product, provenance)
    return tmp_path / "results"


def test_what_the_stages_wrote_is_intact_also_after_a_move(results: Path, tmp_path: Path) -> None:
    assert {finding.state for finding in verify(results, inputs=True)} == {"intact"}
    assert len(verify(results / "s")) == 5
    # Snakemake leaves a time stamp in folders.
    (results / "s" / "meshes" / ".snakemake_timestamp").touch()
    shutil.move(results, tmp_path / "moved")
    assert {finding.state for finding in verify(tmp_path / "moved", inputs=True)} == {"intact"}
    (tmp_path / "raw.h5").unlink()
    assert {finding.state for finding in verify(tmp_path / "moved", inputs=True)} == {"intact", "absent"}
    assert main(["verify", str(tmp_path / "moved")]) == 0


def alter_values(sample: Path) -> None:
    """Change one value and keep a well-formed store, as somebody who wants another result would."""
    array = zarr.open_array(str(sample / "stages/tomogram/align.zarr/value"), mode="r+")
    array[0, 0, 0] = 99.0


def alter_metadata(sample: Path) -> None:
    path = sample / "stages/tomogram/align.zarr/zarr.json"
    path.write_text(path.read_text(encoding="utf-8").replace("10.0", "11.0"), encoding="utf-8")


def cut_chunk(sample: Path) -> None:
    chunk = next((sample / "stages/tomogram/align.zarr/value/c").rglob("0"))
    chunk = chunk if chunk.is_file() else next(path for path in chunk.rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-9])


def remove_first(sample: Path) -> None:
    shutil.rmtree(sample / "stages/tomogram/normalize/signal.zarr")


def alter_table(sample: Path) -> None:
    (sample / "table.csv").write_text("a\n1\n3\n", encoding="utf-8")


def add_mesh(sample: Path) -> None:
    (sample / "meshes" / "more.ply").write_bytes(b"ply")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (alter_values, "altered: {s}/stages/tomogram/align.zarr (others in the array 'value'"),
        (alter_metadata, "altered: {s}/stages/tomogram/align.zarr (other metadata"),
        (cut_chunk, "damaged: {s}/stages/tomogram/align.zarr"),
        (remove_first, "missing: {s}/stages/tomogram/normalize/signal.zarr"),
        (alter_table, "altered: {s}/table.csv"),
        (lambda sample: (sample / "table.csv").unlink(), "missing: {s}/table.csv"),
        (add_mesh, "altered: {s}/meshes"),
        (
            lambda sample: (sample.parents[1] / "raw.h5").write_bytes(b"others"),
            "altered: {raw} (a raw file that has changed since)",
        ),
    ],
)
def test_harm_is_named(
    results: Path, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], None], expected: str
) -> None:
    harm(results / "s")
    assert main(["verify", str(results), "--inputs"]) == 2
    said = capsys.readouterr().err
    assert expected.format(s=results / "s", raw=results.parent / "raw.h5") in said
    assert len(said.splitlines()) == 1


def test_a_table_leads_back_to_the_raw_file(results: Path) -> None:
    assert any("raw.h5 (unchecked, " in line for line in describe_path(results / "s" / "table.csv"))
    lines = describe_path(results / "s" / "table.csv", outside=True)
    assert any("raw.h5 (unchanged, sha256 " in line for line in lines)
    record = json.loads((results / "s" / ".table.csv.record.json").read_text(encoding="utf-8"))
    assert record["stage"] == "measure"


def test_results_without_records_are_said_to_be_so(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "s" / ".table.csv.record.json").unlink()
    assert main(["verify", str(results)]) == 0
    assert "unrecorded: " in capsys.readouterr().out


def test_a_folder_without_results_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "expected a folder of results" in capsys.readouterr().err


# --- what was missed, and what was invented


def finish(results: Path) -> None:
    """Leave the list of finished products that a run leaves at its end."""
    finished = {"": products_of(results, ""), "s": products_of(results, "s")}
    (results / MARKER).write_text(json.dumps({"samples": {}, "finished": finished}), encoding="utf-8")


@pytest.mark.parametrize("name", ["comparison.html", "comparison_values.csv"])
def test_an_altered_comparison_is_named(results: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    for product in ("comparison.html", "comparison_values.csv"):
        (results / product).write_text("honest", encoding="utf-8")
        record_output(results / product, make_provenance("comparison", 1, {}, {}))
    assert main(["verify", str(results)]) == 0
    (results / name).write_text("other", encoding="utf-8")
    assert main(["verify", str(results)]) == 2
    assert f"altered: {results / name}" in capsys.readouterr().err


def test_the_tables_of_a_comparison_get_records(tmp_path: Path) -> None:
    found = comparison.more_outputs({"report": tmp_path / "comparison.html"})
    assert sorted(path.name for path in found.values()) == [
        f"comparison_{name}.csv" for name in ("differences", "groups", "shells", "values")
    ]


@pytest.mark.parametrize("name", ["table.csv", "meshes"])
def test_a_product_deleted_with_its_record_is_missed(
    results: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    finish(results)
    assert main(["verify", str(results)]) == 0
    (results / "s" / f".{name}.record.json").unlink()
    shutil.rmtree(results / "s" / name) if name == "meshes" else (results / "s" / name).unlink()
    assert main(["verify", str(results)]) == 2
    assert f"missing: {results / 's' / name} (a run has made it)" in capsys.readouterr().err


def test_a_run_that_ends_well_says_what_there_is(results: Path) -> None:
    project = parse_config({"samples": {"s": {"tomogram": {"source": "x.h5"}}}}, folder=results)
    note_finished(results, project)
    assert "s/table.csv" in finished_products(results)["s"]
    assert "s/stages/tomogram/align.zarr" in finished_products(results)["s"]
    claim(results, project)  # the next run keeps the list until it has ended well, too
    assert "s/table.csv" in finished_products(results)["s"]


@pytest.mark.parametrize("place", ["stages/results", "s/stages/results"])
def test_a_folder_called_stages_above_is_no_false_alarm(results: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    shutil.move(results, tmp_path / place)
    found = verify(tmp_path / place, inputs=True)
    assert {finding.state for finding in found} == {"intact"}


def test_raw_data_below_a_folder_called_stages_are_no_false_alarm(results: Path, tmp_path: Path) -> None:
    raw = tmp_path / "s" / "stages" / "raw.h5"
    raw.parent.mkdir(parents=True)
    raw.write_bytes(b"counts")
    values = {"value": NamedArray(np.zeros((2, 2)), ("y", "x"), "1")}
    provenance = make_provenance("align", 1, {}, {"raw": raw})
    write_store(results / "s/stages/tomogram/more.zarr", values, provenance=provenance, attributes={})
    assert {finding.state for finding in verify(results, inputs=True)} == {"intact"}
    assert raw in {finding.path for finding in verify(results, inputs=True)}
    assert {finding.path: finding.state for finding in verify(results)}[raw] == "unchecked"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".zattrs", "{}"),
        (".zgroup", '{"zarr_format": 2}'),
        ("value/.zarray", "{}"),
        ("note.txt", "x"),
        ("value/note.txt", "x"),
    ],
)
def test_metadata_and_files_beside_those_of_the_stage_are_named(
    results: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    store = results / "s/stages/tomogram/align.zarr"
    (store / name).write_text(content, encoding="utf-8")
    assert main(["verify", str(results)]) == 2
    assert f"{store} (" in capsys.readouterr().err


def test_one_store_that_cannot_be_decoded_does_not_end_the_list(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "s/stages/tomogram/normalize/signal.zarr/zarr.json").write_text("{", encoding="utf-8")
    alter_table(results / "s")
    assert main(["verify", str(results)]) == 2
    said = capsys.readouterr().err
    assert "damaged: " in said
    assert "altered: " in said


def test_raw_files_elsewhere_are_read_when_asked_for(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results.parent / "raw.h5").unlink()
    os.mkfifo(results.parent / "raw.h5")  # would wait for ever
    assert main(["verify", str(results)]) == 0
    said = capsys.readouterr().out
    assert f"unchecked: {results.parent / 'raw.h5'}" in said
    assert f"1 raw file was not read; to check raw files too: oxytomo verify {results} --inputs" in said
    assert main(["verify", str(results), "--inputs"]) == 2
    assert "a pipe" in capsys.readouterr().err


# --- nothing is made from what was altered


def alter_unsealed(sample: Path) -> None:
    """Alter a value in a store as an earlier version wrote it: without seals."""
    store = sample / "stages/tomogram/align.zarr"
    content = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    for layout in content["attributes"]["oxytomo"]["arrays"].values():
        del layout["chunks"]
    (store / "zarr.json").write_text(json.dumps(content), encoding="utf-8")
    record_output(store, make_provenance("align", 1, {}, {}))
    check_unaltered(store)
    assert not read_store(store).sealed
    alter_values(sample)


@pytest.mark.parametrize("harm", [alter_values, alter_metadata, alter_unsealed])
def test_a_stage_does_not_use_an_altered_store(
    results: Path, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], None]
) -> None:
    store = results / "s/stages/tomogram/align.zarr"
    check_unaltered(store)
    harm(results / "s")
    spec = json.dumps({"version": STAGES["reconstruct_tomogram"].version, "settings": {}})
    command = ["stage", "reconstruct_tomogram", "--in", f"align={store}", "--spec", spec]
    with pytest.raises(StoreError, match="somebody has changed"):
        check_unaltered(store)
    assert main([*command, "--out", str(results / "s/stages/tomogram/reconstruct.zarr")]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert not (results / "s/stages/tomogram/reconstruct.zarr").exists()


def test_values_are_sealed_chunk_by_chunk(results: Path) -> None:
    store = results / "s/stages/tomogram/align.zarr"
    alter_values(results / "s")
    with pytest.raises(StoreError, match="others in the array 'value'"):
        read_store(store)
