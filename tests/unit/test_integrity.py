"""``oxytomo verify`` names what was altered, cut short or is missing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from pipeline.cli import main
from pipeline.cli.inspect import describe_path
from pipeline.io.integrity import record_output, verify
from pipeline.io.provenance import make_provenance
from pipeline.io.stores import NamedArray, write_store
from pipeline.io.tables import write_csv


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
