"""What a run says on a terminal: a line per stage, the answer, a plan in five lines, nothing to do; completion."""

import io
import itertools
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

from oxytomo.check.sample import BranchCheck, ProjectCheck
from oxytomo.cli import build_parser, main
from oxytomo.cli.answer import answer_lines, describe_plan
from oxytomo.cli.colours import GREEN, has_colours, in_colour
from oxytomo.cli.completion import words_of
from oxytomo.cli.run import job_seconds
from oxytomo.config import ProjectConfig, load_config
from oxytomo.config.plan import project_products, results_folder
from oxytomo.io.atomic import record_file
from oxytomo.run.boundary import PrintableStream
from oxytomo.run.forecast import forecast
from oxytomo.run.job_lines import JobLines
from oxytomo.run.needs import stage_needs
from oxytomo.run.results_folder import claim, note_finished
from oxytomo.run.unchanged import NOTE, is_unchanged, note_unchanged
from oxytomo.stages.context import SHOW, StageContext

REPOSITORY = Path(__file__).resolve().parents[2]

# --- one line per stage


def record(event: str, **values: Any) -> logging.LogRecord:
    """A report as Snakemake makes it."""
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, None, None, None)
    made.__dict__.update(values, event=SimpleNamespace(value=event))
    return made


def test_lines_count_and_say_the_time_left_over_all() -> None:
    now = [100.0]
    lines: list[str] = []
    say = JobLines(lines.append, {"normalize": 10.0, "align": 80.0}, clock=lambda: now[0])
    say(record("run_info", stats={"normalize": 2, "align": 1, "all": 1, "total": 4}))
    for number, rule, more in (
        (0, "normalize", {"series": "O_pre"}),
        (1, "normalize", {"series": "O_post"}),
        (2, "align", {}),
    ):
        wildcards = {"sample": "p", "branch": "composition", **more}
        say(
            record(
                "job_info",
                jobid=number,
                rule_name=rule,
                wildcards=wildcards,
                reason="Missing output files: x",
            )
        )
        now[0] += 5.0
        say(record("job_finished", job_id=number))
    # Expected are 11, 11 and 81 s, one second of each for its start; a fifth of the sum, 20.6 s, is
    # believed to be done at the expected pace: (5 + 20.6) / (11 + 20.6) · 92 s, (10 + 20.6) / (22 + 20.6) · 81 s.
    assert lines == [
        "[1/3] p normalize O_pre: 5 s, about 1 min 15 s left in all",
        "[2/3] p normalize O_post: 5 s, about 58 s left in all",
        "[3/3] p align: 5 s",
    ]
    assert [job["rule"] for job in say.planned] == ["normalize", "normalize", "align"]


def test_the_time_left_is_sensible_from_the_first_job_on() -> None:
    """Short first jobs, of which the first loads what the others find loaded, are no measure of the rest."""
    expected = {"normalize": 0.1, "align": 20.0, "reconstruct": 25.0, "report": 2.0}
    stats = {"normalize": 8, "align": 1, "reconstruct": 1, "report": 1}
    jobs = [rule for rule, count in stats.items() for _ in range(count)]
    took = [6.0, *[1.0] * 7, 18.0, 30.0, 4.0]
    now, lines = [100.0], []
    say = JobLines(lines.append, expected, clock=lambda: now[0])
    now[0] += 3.0  # Snakemake plans
    say(record("run_info", stats=stats | {"all": 1, "total": 12}))
    for number, (rule, seconds) in enumerate(zip(jobs, took, strict=True)):
        say(record("job_info", jobid=number, rule_name=rule, wildcards={}, reason=""))
        now[0] += seconds
        say(record("job_finished", job_id=number))
    left = [re.search(r"about (?:(\d+) min )?(\d+) s left", line) for line in lines[:-1]]
    told = [60 * int(found[1] or 0) + int(found[2]) for found in left if found]
    true = [sum(took[done:]) for done in range(2, len(took))]  # silent up to 2 % of the work
    assert len(told) == len(true)
    assert all(0.6 * real - 2 < said < 1.5 * real + 2 for said, real in zip(told, true, strict=True)), told


def replay(weights: dict[str, float], took: list[tuple[str, float]], cores: int) -> list[tuple[float, float]]:
    """Time left as told after each job, and the true one."""
    now, lines = [100.0], []
    say = JobLines(lines.append, weights, cores=cores, clock=lambda: now[0])
    stats = {rule: sum(one == rule for one, _ in took) for rule, _ in took}
    say(record("run_info", stats=stats | {"all": 1, "total": 1 + len(took)}))
    pairs = []
    for number, (rule, seconds) in enumerate(took):
        say(record("job_info", jobid=number, rule_name=rule, wildcards={}, reason=""))
        now[0] += seconds
        say(record("job_finished", job_id=number))
        found = re.search(r"about (?:(\d+) min )?(\d+) s left", lines[-1])
        if found:
            pairs.append((60.0 * int(found[1] or 0) + int(found[2]), sum(s for _, s in took[number + 1 :])))
    return pairs


@pytest.mark.parametrize(
    ("shape", "took"),
    [  # seconds between the ends of jobs in the logs of two runs with two cores
        ((66, 96, 96), {"align": 11, "decompose": 4, "reconstruct": 12, "uncertainty": 11, "report": 5}),
        ((131, 128, 160), {"align": 25, "decompose": 5, "reconstruct": 14, "uncertainty": 16, "report": 6}),
    ],
)
def test_the_time_left_of_recorded_runs_is_right_within_a_factor_of_two(
    shape: tuple[int, int, int], took: dict[str, float]
) -> None:
    config = load_config(REPOSITORY / "configs" / "demo.yaml").samples["particle"].composition
    assert config is not None
    shapes = {f"{element}_{side}": shape for element in ("O", "Mn", "Co", "Ni") for side in ("pre", "post")}
    needs = stage_needs(config, "composition", shapes)
    branch = BranchCheck("particle", "composition", {}, needs)
    jobs = [("normalize", 0.8)] * 8 + list(took.items())
    jobs[-1:-1] = [("classify", 1.0), ("export_composition", 2.0), ("measure", 3.0)]
    pairs = replay(job_seconds(ProjectCheck((), (), (branch,))), jobs, cores=2)
    told, true = pairs[0]
    assert true / 2 < told < 2 * true
    assert all(later <= earlier for (earlier, _), (later, _) in itertools.pairwise(pairs))


def test_a_machine_that_becomes_slow_is_said() -> None:
    took = [("normalize", 1.0)] * 2 + [("align", 10.0), ("reconstruct", 100.0), ("uncertainty", 100.0)]
    told = [
        said
        for said, _ in replay({"normalize": 0, "align": 9, "reconstruct": 9, "uncertainty": 9}, took, cores=1)
    ]
    assert told[-1] > told[-2]  # ten times slower from the third job on


def test_reports_of_other_kinds_are_passed_over() -> None:
    lines: list[str] = []
    say = JobLines(lines.append, {})
    say(logging.LogRecord("snakemake", logging.INFO, "", 0, "text", None, None))
    say(record("job_finished", job_id=7))  # never began
    assert lines == []


@pytest.mark.parametrize(
    ("show", "expected"), [(None, True), ("all", True), ("lines", False), ("none", False)]
)
def test_details_of_stages_are_in_their_log_in_any_case(
    show: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SHOW, raising=False)
    if show is not None:
        monkeypatch.setenv(SHOW, show)
    log = io.StringIO()
    context = StageContext(stage="align", version=1, threads=1, settings_json={}, log_file=log)
    context.log("shifts found")
    assert ("shifts found" in capsys.readouterr().err) == expected
    assert "align: shifts found" in log.getvalue()


def test_colours_are_on_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not has_colours(io.StringIO())
    assert in_colour("x", GREEN, PrintableStream(io.StringIO())) == "x"
    terminal = Terminal()
    assert in_colour("x", GREEN, PrintableStream(terminal)) == ""
    assert terminal.getvalue() == "\x1b[32mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())


# --- nothing to do


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A configuration with everything that a run would make, as far as files go."""
    (tmp_path / "volume.tif").write_bytes(b"II*\0")
    write(tmp_path, 20.0)
    project = load_config(tmp_path / "my.yaml")
    folder = results_folder(project)
    claim(folder, project)
    for name in project_products(project):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
        record_file(path).write_text("{}", encoding="utf-8")
    (folder / "a" / "stages").mkdir()
    note_finished(folder, project)
    note_unchanged(folder, project)
    return tmp_path


def write(folder: Path, voxel_nm: float) -> None:
    """Write the configuration."""
    structure = {"volume": "volume.tif", "voxel_nm": voxel_nm}
    (folder / "my.yaml").write_text(
        yaml.safe_dump({"samples": {"a": {"structure": structure}}}), encoding="utf-8"
    )


def unchanged(folder: Path) -> bool:
    """Whether nothing is to be done."""
    project = load_config(folder / "my.yaml")
    return is_unchanged(results_folder(project), project)


def test_nothing_to_do_is_said_without_any_work(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert unchanged(finished)
    assert main(["run", str(finished / "my.yaml")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("nothing to do: ")
    assert said[-1].strip() == f"report {finished / 'results' / 'a' / 'report.html'}"


def no_snakemake(*_: object, **__: object) -> None:
    raise AssertionError("Snakemake was asked")


def test_a_dry_run_of_new_or_finished_samples_starts_no_snakemake(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake alone takes seconds to start."""
    monkeypatch.setattr("oxytomo.cli.run.call_snakemake", no_snakemake)
    assert main(["run", str(finished / "my.yaml"), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"nothing to do: everything in {finished / 'results'} is there and up to date"
    ]
    (tmp_path / "new").mkdir()
    tifffile.imwrite(tmp_path / "new" / "volume.tif", np.ones((8, 8, 8), np.float32))
    write(tmp_path / "new", 20.0)
    assert main(["run", str(tmp_path / "new" / "my.yaml"), "--dry-run", "--cores", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"would run \d jobs for 1 sample \(a\)", said[0])  # meshes need a package
    assert "read_volume" in said[1]
    assert said[2].startswith("why: not there yet")
    assert not (tmp_path / "new" / "results").exists()


def test_a_dry_run_asks_snakemake_about_begun_samples_only(finished: Path) -> None:
    content = yaml.safe_load((finished / "my.yaml").read_text(encoding="utf-8"))
    content["samples"]["b"] = content["samples"]["a"]
    content["groups"] = {"one": ["a"], "two": ["b"]}
    (finished / "my.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    project = load_config(finished / "my.yaml")
    known = forecast(project, results_folder(project))
    assert known.new == {"b"}
    assert {target.split("/")[0] for target in known.targets} == {"a"}
    assert {job["sample"] for job in known.jobs} == {"b", ""}
    assert [job["rule"] for job in known.jobs][-1] == "comparison"
    both = [{"rule": "report", "sample": name, "reason": ""} for name in ("a", "b")]
    assert known.with_planned(both) == [both[0], *known.jobs]


def test_every_change_is_noticed(finished: Path) -> None:
    results = finished / "results"
    product = results / project_products(load_config(finished / "my.yaml"))[0]
    for path in (finished / "volume.tif", product):
        before = path.stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**6))
        assert not unchanged(finished), path
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert unchanged(finished)
    for path in (product, record_file(product), results / NOTE):
        kept = path.read_bytes(), path.stat().st_mtime_ns
        path.unlink()
        assert not unchanged(finished), path
        path.write_bytes(kept[0])
        os.utime(path, ns=(kept[1], kept[1]))
        assert unchanged(finished)
    write(finished, 21.0)
    assert not unchanged(finished)


# --- the answer


def phases(poor: list[float], null: float, *, fails: bool = False) -> dict[str, Any]:
    """Numbers of a run; ``poor`` is value and interval of the oxygen-poor share."""
    rich = {"value": 0.0, "ci95": [0.0, 0.01]}
    fractions = {
        "target": {"value": 1 - poor[0], "ci95": [0.5, 1.0]},
        "oxygen_poor": {"value": poor[0], "ci95": poor[1:]},
        "oxygen_rich": rich,
    }
    return {
        "threshold": 0.05,
        "fractions": fractions,
        "null": {"fractions": {"oxygen_poor": {"value": null}, "oxygen_rich": {"value": 0.0}}},
        "confident": {"fractions": {"undecided": {"value": 0.142}}},
        "model": {"fails": fails},
    }


def said(tmp_path: Path, content: str, *, report: str = "") -> list[str]:
    """The answer for one sample with this table."""
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a" / "phases.json").write_text(content, encoding="utf-8")
    (tmp_path / "a" / "report.html").write_text(report, encoding="utf-8")
    tomogram = {"samples": {"a": {"tomogram": {"source": "x.h5"}}}}
    return answer_lines(ProjectConfig.model_validate(tomogram), tmp_path)


def test_answer_gives_shares_intervals_verdict_and_where_to_look(tmp_path: Path) -> None:
    lines = said(
        tmp_path, json.dumps(phases([0.2, 0.15, 0.26], 0.01)), report="<h2>Read this first: 3 warnings</h2>"
    )
    assert lines[0] == (
        "a: on target 80.0 % (50.0 to 100.0), oxygen-poor 20.0 % (15.0 to 26.0), oxygen-rich 0.0 % (0.0 to 1.0) "
        "(95 % intervals; TM/O within ± 5 % is on target)"
    )
    assert "  oxygen-poor regions take up more of the volume than noise can make" in lines
    assert "  for 14.2 % of the volume the noise is too large to decide" in lines
    assert "  3 warnings: read them first in the report" in lines
    assert lines[-1] == f"  report {tmp_path / 'a' / 'report.html'}"


@pytest.mark.parametrize(("poor", "null"), [([0.05, 0.0, 0.1], 0.0), ([0.2, 0.15, 0.26], 0.18)])
def test_what_noise_can_make_is_no_finding(tmp_path: Path, poor: list[float], null: float) -> None:
    lines = said(tmp_path, json.dumps(phases(poor, null)))
    assert (
        "  oxygen-poor and oxygen-rich: no more than in the null run (noise alone); do not interpret" in lines
    )


def test_a_model_that_fails_is_said(tmp_path: Path) -> None:
    lines = said(tmp_path, json.dumps(phases([0.2, 0.15, 0.26], 0.01, fails=True)))
    assert any("does not describe the measurement" in line for line in lines)


@pytest.mark.parametrize("content", ["", "[]", '{"fractions": 3}', '{"fractions": {}, "threshold": "x"}'])
def test_damaged_tables_are_no_answer_and_no_error(tmp_path: Path, content: str) -> None:
    assert said(tmp_path, content)[0] == "a: done"


def test_valences_and_porosity_are_answers_too(tmp_path: Path) -> None:
    mn = {"mean_valence": 3.2825, "standard_error": 0.0011, "valence_per_0_1_ev": -0.0584}
    total = {"value": 0.05225, "ci95": [0.0452, 0.0587]}
    (tmp_path / "a").mkdir()
    for name, content in (
        ("oxidation.json", {"elements": {"Mn": mn, "Ni": {"mean_valence": None}}}),
        ("structure.json", {"porosity": {"total": total}, "pores": {"count": 33}, "cracks": {"count": 1}}),
    ):
        (tmp_path / "a" / name).write_text(json.dumps(content), encoding="utf-8")
    assert said(tmp_path, "{}")[:2] == [
        "a: mean valence of Mn 3.28 ± 0.0011 (standard error of the noise); an energy scale off by 0.1 eV moves it by 0.058",
        "  porosity 5.2 % (4.5 to 5.9) (95 % interval), 33 pores, 1 crack",
    ]


# --- the plan


def test_plan_is_five_lines_with_reasons(tmp_path: Path) -> None:
    def job(rule: str, reason: str) -> dict[str, str]:
        return {"rule": rule, "sample": "p", "reason": reason}

    jobs = [
        job("normalize", "Missing output files: p/stages/x.zarr"),
        job("normalize", "Missing output files: p/stages/y.zarr"),
        job("classify", "Params have changed since last execution: …"),
        job("report", "Input files updated by another job: p/phases.json"),
        job("all", "Rules with neither input nor output files are always executed."),
    ]
    nothing_known = ProjectCheck((), (), ())
    assert describe_plan(jobs, nothing_known, tmp_path, 2) == [
        "would run 4 jobs for 1 sample (p)",
        "stages: normalize (2), classify, report",
        "why: not there yet (normalize); settings or version have changed (classify)",
        f"results: {tmp_path}",
    ]
    assert describe_plan(jobs[-1:], nothing_known, tmp_path, 2)[0].startswith("nothing to do")


# --- completion and pipes


def bash_completes(script: Path, *words: str) -> list[str]:
    """What bash offers for a line that ends with the last word."""
    typed = " ".join(f"'{word}'" for word in words)
    code = f"source '{script}'; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _oxytomo; echo \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_and_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "oxytomo.bash"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    assert bash_completes(script, "oxytomo", "in") == ["init", "inspect"]
    assert bash_completes(script, "oxytomo", "run", "--dr") == ["--dry-run"]
    assert bash_completes(script, "oxytomo", "simulate", "--kind", "x") == ["xanes"]
    assert bash_completes(script, "oxytomo", "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    commands = list(words_of(build_parser()))
    assert {"run", "check", "init", "clean"} <= {command.name for command in commands}
    for command in commands:
        assert command.name in script
        for option, _ in command.options:
            name = option.lstrip("-") if shell == "fish" else option
            assert name in script, (command.name, option)


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:0100d}.bin").write_bytes(b"x" * 10)
    command = f"'{sys.executable}' -P -m oxytomo inspect '{tmp_path}' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("file")
    assert done.stderr == ""
