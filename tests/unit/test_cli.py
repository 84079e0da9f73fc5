"""The command line: help, errors as one line, exit codes, one run at a time."""

import dataclasses
import errno
import io
import json
import os
import re
import subprocess
import sys
import types
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
import yaml

from oxytomo.cli import main
from oxytomo.cli.simulate import configuration, raw_name
from oxytomo.config import InstrumentSettings, load_config, parse_config
from oxytomo.config.plan import stage_settings
from oxytomo.config.stage_settings import ClassifyStage
from oxytomo.errors import ConfigError, InputError, StoreError
from oxytomo.run.results_folder import MARKER, check_writable, claim, outdated_stores
from oxytomo.run.stage_command import parse_keyed
from oxytomo.simulate.demonstration import tilt_order_deg
from oxytomo.simulate.instrument import IDEAL, RealInstrument
from oxytomo.stages.context import StageContext
from oxytomo.stages.progress import format_duration, progress_reporter
from oxytomo.stages.registry import STAGES, stage_spec

SPEC = stage_spec("classify", {"threshold": 0.05, "confidence": 0.95})


def one_line_error(captured: str) -> str:
    """Return the only line on standard error."""
    lines = captured.splitlines()
    assert len(lines) == 1, captured
    assert lines[0].startswith("oxytomo: error: ")
    return lines[0]


@pytest.fixture
def fake_stage(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module in place of the stage ``classify``; a test gives it its ``run``."""
    module = types.ModuleType("oxytomo.stages.composition.classify")
    module.Settings = ClassifyStage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "oxytomo.stages.composition.classify", module)
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    return module


# --- help and parsing


@pytest.mark.parametrize(
    "command", ["run", "check", "inspect", "plan", "simulate", "report", "schema", "stage", "verify"]
)
def test_every_command_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"oxytomo {command}" in capsys.readouterr().out.partition("example")[2]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert "exit codes" in text
    for command in ("run", "check", "inspect", "plan", "simulate", "report", "schema"):
        assert re.search(rf"^    {command} ", text, re.MULTILINE), command


def test_command_line_is_light() -> None:
    code = (
        "import sys; from oxytomo.cli import build_parser; build_parser()\n"
        "print(sorted({'numba', 'zarr', 'matplotlib', 'scipy', 'h5py', 'snakemake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_list_of_commands_loads_none_of_them() -> None:
    """Half a second of imports before the first line of help, or of a typing mistake, is felt."""
    code = (
        "import sys; from oxytomo.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pydantic', 'yaml', 'oxytomo.config', 'oxytomo.cli.run'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_module_is_the_same_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oxytomo", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("oxytomo ")


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org")
    assert main(["schema", "--defaults"]) == 0
    assert "samples" in yaml.safe_load(capsys.readouterr().out)


def test_inputs_are_named() -> None:
    assert parse_keyed(["a=x/y", "b=c=d"], default_key=None) == {"a": Path("x/y"), "b": Path("c=d")}
    assert parse_keyed(["x/y"], default_key="store") == {"store": Path("x/y")}
    with pytest.raises(ConfigError, match="key=path"):
        parse_keyed(["x/y"], default_key=None)
    with pytest.raises(ConfigError, match="'a' twice"):
        parse_keyed(["a=x", "a=y"], default_key=None)


# --- oxytomo stage


def test_a_stage_gets_inputs_outputs_settings_and_context(
    fake_stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "numba", raising=False)  # a process of its own has not loaded it yet
    seen: dict[str, Any] = {}

    def run(inputs: Any, outputs: Any, settings: Any, context: StageContext) -> None:
        seen.update(inputs=inputs, outputs=outputs, settings=settings, context=context)
        context.log("half way")
        warnings.warn("1.3 % of voxels invalid", stacklevel=1)

    fake_stage.run = run
    out, log = tmp_path / "deep" / "c.zarr", tmp_path / "logs" / "c.log"
    inputs = ["--in", "reconstruct=r.zarr", "uncertainty=u.zarr"]
    options = ["--spec", SPEC, "--threads", "3", "--log", str(log)]
    code = main(["stage", "classify", *inputs, "--out", f"store={out}", *options])
    assert code == 0
    assert seen["inputs"] == {
        "reconstruct": Path("r.zarr").absolute(),
        "uncertainty": Path("u.zarr").absolute(),
    }
    assert seen["outputs"] == {"store": out}
    assert seen["settings"] == ClassifyStage(threshold=0.05, confidence=0.95)
    assert (seen["context"].stage, seen["context"].version) == ("classify", STAGES["classify"].version)
    assert seen["context"].settings_json == {"threshold": 0.05, "confidence": 0.95}
    assert seen["context"].threads == 3
    assert os.environ["NUMBA_NUM_THREADS"] == "3"
    assert out.parent.is_dir()
    stamped = (line.split(" ", 2) for line in log.read_text(encoding="utf-8").splitlines())
    days, times, lines = zip(*stamped, strict=True)
    assert all(datetime.fromisoformat(f"{day} {at}") for day, at in zip(days, times, strict=True))
    assert re.fullmatch(
        r"classify: stage version \d+, oxytomo \S+; 3 threads on \S+, \d+ MB at the start", lines[0]
    )
    assert lines[1] == "classify: half way"
    assert lines[2] == "classify: warning: 1.3 % of voxels invalid"
    assert re.fullmatch(r"classify: done in \d+ s, \d+ s of computing, peak memory \d+ MB", lines[3])


def test_a_users_mistake_in_a_stage_is_one_line_and_exit_2(
    fake_stage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: Any) -> None:
        raise InputError("a.h5", expected="flats", got="none", fix="add them")

    fake_stage.run = run
    log = tmp_path / "c.log"
    assert main(["stage", "classify", "--out", str(tmp_path / "c"), "--spec", SPEC, "--log", str(log)]) == 2
    line = one_line_error(capsys.readouterr().err)
    assert "a.h5: expected flats, got none" in line
    assert log.read_text(encoding="utf-8").splitlines()[-1] == line


def test_a_full_disk_in_a_stage_is_one_line_and_exit_2(
    fake_stage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/a.zarr")

    fake_stage.run = run
    assert main(["stage", "classify", "--out", str(tmp_path / "c"), "--spec", SPEC]) == 2
    assert "out/a.zarr" in one_line_error(capsys.readouterr().err)


def test_memory_that_runs_out_is_one_line_and_exit_2(
    fake_stage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: Any) -> None:
        np.empty(2**56, np.float64)  # 0.6 EB: refused by every machine

    fake_stage.run = run
    assert main(["stage", "classify", "--out", str(tmp_path / "c"), "--spec", SPEC]) == 2
    assert "Unable to allocate" in one_line_error(capsys.readouterr().err)


def test_a_fault_of_the_program_keeps_its_traceback(fake_stage: Any, tmp_path: Path) -> None:
    def run(*_: Any) -> None:
        raise ZeroDivisionError("our fault")

    fake_stage.run = run
    log = tmp_path / "c.log"
    with pytest.raises(ZeroDivisionError, match="our fault"):
        main(["stage", "classify", "--out", str(tmp_path / "c"), "--spec", SPEC, "--log", str(log)])
    assert "Traceback" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "spec", "part"),
    [
        ("clasify", SPEC, "one of normalize"),
        ("classify", "{", "expected JSON"),
        ("classify", '{"version": 999, "settings": {}}', "got version 999"),
        ("classify", stage_spec("classify", {"threshold": 7}), "0.07 for 7 %?"),
        ("classify", stage_spec("classify", {"treshold": 0.1}), "did you mean 'threshold'"),
    ],
)
def test_a_wrong_call_of_a_stage_is_one_line(
    fake_stage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, spec: str, part: str
) -> None:
    fake_stage.run = lambda *_: None
    assert main(["stage", name, "--out", str(tmp_path / "c"), "--spec", spec]) == 2
    assert part in one_line_error(capsys.readouterr().err)


# --- progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_silent_at_first_then_says_percent_and_time_left() -> None:
    now = [0.0]
    stream = Terminal()
    report = progress_reporter("reconstruct", stream, clock=lambda: now[0])
    for done, seconds in [(1, 1.0), (5, 6.0), (6, 7.0), (8, 8.5), (10, 12.0)]:
        now[0] = seconds
        report(done, 10)
    texts = [text.replace("\x1b[K", "") for text in stream.getvalue().split("\r") if text]
    assert texts == ["reconstruct: 50 %, 6 s left", "reconstruct: 80 %, 2 s left", "reconstruct: 100 %\n"]


def test_progress_in_a_file_is_sparse() -> None:
    now = [0.0]
    stream = io.StringIO()
    report = progress_reporter("align", stream, clock=lambda: now[0])
    for step in range(1, 101):
        now[0] = float(step)
        report(step, 100)
    assert stream.getvalue().splitlines() == [
        "align: 5 %, 1 min 35 s left",
        "align: 35 %, 1 min 05 s left",
        "align: 65 %, 35 s left",
        "align: 95 %, 5 s left",
        "align: 100 %",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3725, "1 h 02 min")]
)
def test_durations_are_read_by_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


# --- the results folder


def tomogram(raw: str) -> dict[str, Any]:
    return {"samples": {"a": {"tomogram": {"source": raw}}}}


def test_a_results_folder_of_another_configuration_is_refused(tmp_path: Path) -> None:
    first, other = (parse_config(tomogram(raw), folder=tmp_path) for raw in ("x.h5", "y.h5"))
    results = tmp_path / "results"
    claim(results, first)
    claim(results, other)  # nothing was made yet
    (results / "a").mkdir()
    claim(results, other)
    before = (results / MARKER).read_bytes()
    with pytest.raises(StoreError, match="results folder of another configuration"):
        claim(results, first)
    assert (results / MARKER).read_bytes() == before


def test_a_second_branch_and_a_second_sample_may_join(tmp_path: Path) -> None:
    results = tmp_path / "results"
    claim(results, parse_config(tomogram("x.h5"), folder=tmp_path))
    (results / "a").mkdir()
    more = tomogram("x.h5")
    pair = {"pre": "1.h5", "post": "2.h5"}
    more["samples"]["a"]["areal_density"] = {"edges": {"Ni": pair}, "formula": {"Ni": 1, "O": 1}}
    more["samples"]["b"] = {"tomogram": {"source": "z.h5"}}
    claim(results, parse_config(more, folder=tmp_path))
    recorded = json.loads((results / MARKER).read_text(encoding="utf-8"))["samples"]
    assert set(recorded["a"]) == {"tomogram/signal", "areal_density/Ni_pre", "areal_density/Ni_post"}
    assert recorded["b"] == {"tomogram/signal": [str(tmp_path / "z.h5")]}


def test_a_damaged_marker_is_named(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"oxytomo\.json.*damaged"):
        claim(tmp_path, parse_config(tomogram("x.h5"), folder=tmp_path))


def test_a_file_in_place_of_the_results_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("not a folder", encoding="utf-8")
    for folder in (tmp_path / "results", tmp_path / "results" / "below"):
        with pytest.raises(StoreError, match="a results folder that may be written"):
            check_writable(folder)


def test_a_full_results_folder_is_refused() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(StoreError, match="a results folder that may be written"):
        check_writable(Path("/dev/full"))


# --- oxytomo run and simulate, as far as no stage is needed


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "none.yaml"], "no such file"),
        (["check", "none.yaml"], "no such file"),
        (["run", "none.yaml", "--cores", "0"], "--cores"),
        (["simulate", "x", "--tilts", "1"], "--tilts: expected 3 to 2000"),
        (["simulate", "x", "--elements", "Mn", "Ni"], "--elements: expected O and"),
        (["simulate", "x", "--elements", "O", "Fe"], "--elements"),
        (["simulate", "x", "--effect", "stray=2"], "stray: expected a fraction between 0 and 1, got 2"),
        (["simulate", "x", "--effect", "strey=0.1"], "did you mean 'stray'?"),
        (["simulate", "x", "--effect", "stray.O=0.1"], "--effect: expected a name as in stray=0.015"),
        (["simulate", "x", "--effect", "post_edge=1.1"], "--effect: expected a name as in post_edge.O=1.1"),
        (["simulate", "x", "--effect", "post_edge.O=-1"], "post_edge.O: expected 0.01 to 100, got -1"),
        (["simulate", "x", "--effect", "stray"], "--effect: expected NAME=VALUE"),
        (["simulate", "x", "--effect", "stray=["], "stray: expected"),
        (["simulate", "x", "--effect", "post_edge.Fe=2", "--size", "16", "--tilts", "3"], "got Fe"),
        (["simulate", "x", "--instrument", "none.yaml"], "no such file"),
        (["simulate", "x", "--kind", "volume", "--effect", "stray=0.1"], "expected --kind tilts"),
    ],
)
def test_wrong_calls_are_one_line(
    arguments: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert part in one_line_error(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_simulated_tilts_walk_out_from_the_middle() -> None:
    np.testing.assert_allclose(tilt_order_deg(5), [0, 32.5, 65, -32.5, -65])
    np.testing.assert_allclose(tilt_order_deg(4), [65 / 3, 65, -65 / 3, -65])


def test_simulated_instruments_come_from_a_file_and_from_switches(tmp_path: Path) -> None:
    path = tmp_path / "instrument.yaml"
    path.write_text("{stray: 0.01, skin_nm: 5, post_edge: {Mn: 1.4}}", encoding="utf-8")
    calls = ["simulate", str(tmp_path / "sim"), "--size", "16", "--tilts", "3", "--elements", "O", "Mn"]
    switches = ["--instrument", str(path), "--effect", "stray=0.02", "--effect", "post_edge.O=1.1"]
    assert main([*calls, *switches]) == 0
    used = yaml.safe_load((tmp_path / "sim" / "instrument.yaml").read_text(encoding="utf-8"))
    assert used == {"stray": 0.02, "skin_nm": 5.0, "post_edge": {"Mn": 1.4, "O": 1.1}}
    # What was used can be used again.
    again = tmp_path / "again"
    repeated = ["--instrument", str(tmp_path / "sim" / "instrument.yaml")]
    assert main(["simulate", str(again), *calls[2:], *repeated]) == 0
    first, second = (np.load(folder / "truth.npz") for folder in (tmp_path / "sim", again))
    np.testing.assert_array_equal(first["shift_px"], second["shift_px"])
    raw = [(folder / "raw" / "O_K_post.h5") for folder in (tmp_path / "sim", again)]
    with h5py.File(raw[0]) as one, h5py.File(raw[1]) as other:
        np.testing.assert_array_equal(one["exchange/data"][:], other["exchange/data"][:])


@pytest.mark.parametrize("kind", ["tilts", "xanes", "volume"])
@pytest.mark.parametrize("name", ["raw/O_K_pre.h5", "config.yaml", "instrument.yaml", "truth.npz"])
def test_simulate_writes_over_nothing_but_a_simulation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str
) -> None:
    """The raw file of a beam time can have the name that a simulated one gets."""
    precious = tmp_path / name
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("samples: {}", encoding="utf-8")
    calls = ["simulate", str(tmp_path), "--kind", kind, "--size", "32"]
    assert main(calls) == 2
    assert f"got {name}, which simulate did not write" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [precious]
    assert precious.read_text(encoding="utf-8") == "samples: {}"


def test_an_interrupted_simulation_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = ["simulate", str(tmp_path), "--size", "16", "--tilts", "3", "--elements", "O", "Mn"]
    with monkeypatch.context() as patched:
        patched.setattr(np, "savez_compressed", Mock(side_effect=KeyboardInterrupt))
        main(calls)
    assert (tmp_path / "raw" / "O_K_pre.h5").is_file()
    assert not (tmp_path / "truth.npz").exists()
    assert main(calls) == 0
    assert main(calls) == 0
    assert (tmp_path / "truth.npz").is_file()


def test_the_settings_of_an_instrument_are_those_of_the_simulation() -> None:
    fields = {field.name for field in dataclasses.fields(RealInstrument)}
    assert set(InstrumentSettings.model_fields) == fields
    off = RealInstrument(**dict(InstrumentSettings()))
    sizes = {"rim_nm", "clump_nm", "beam_contrast", "beam_length_px"}  # of effects that are off
    differing = {name for name in fields if getattr(off, name) != getattr(IDEAL, name)}
    assert differing == sizes


def test_simulated_configuration_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(configuration(["O", "Ni"]), encoding="utf-8")
    branch = load_config(path).samples["particle"].composition
    assert branch is not None
    assert branch.measured == ("O", "Ni")
    assert raw_name("Ni_post") == "Ni_L_post.h5"


def _store(path: Path, stage: str, settings: dict[str, Any], version: int) -> None:
    """Write the record of a stage store, as the stage itself does."""
    path.mkdir(parents=True)
    record = {"stage": stage, "version": version, "settings": settings}
    (path / "zarr.json").write_text(json.dumps({"attributes": {"oxytomo": record}}), encoding="utf-8")


def test_stores_of_other_settings_are_found_without_the_records_of_the_workflow(tmp_path: Path) -> None:
    project = parse_config(tomogram("x.h5"), folder=tmp_path)
    stages = tmp_path / "a" / "stages" / "tomogram"
    normalize = stage_settings(project, "a", "tomogram", "normalize", "signal")
    align = stage_settings(project, "a", "tomogram", "align")
    _store(stages / "normalize" / "signal.zarr", "normalize", normalize, STAGES["normalize"].version)
    _store(stages / "align.zarr", "align", align | {"iterations": 1}, STAGES["align"].version)
    assert outdated_stores(tmp_path, project) == ["a/stages/tomogram/align.zarr"]
    reconstruct = stage_settings(project, "a", "tomogram", "reconstruct_tomogram")
    _store(stages / "reconstruct.zarr", "reconstruct_tomogram", reconstruct, 0)
    assert outdated_stores(tmp_path, project)[1:] == ["a/stages/tomogram/reconstruct.zarr"]
