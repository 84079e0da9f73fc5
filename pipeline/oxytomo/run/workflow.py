"""How a run calls Snakemake: its arguments, the configuration it reads, its process, and what it said of a failure."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from oxytomo.config import ProjectConfig
from oxytomo.errors import ConfigError
from oxytomo.io.atomic import complete_or_absent

WORKFLOW = Path(__file__).resolve().parents[1] / "workflow"
CONFIGURATION = ".oxytomo.config.json"
"""File in a results folder: the configuration of the last run, checked, with absolute paths."""
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class WorkflowEnd:
    """How Snakemake ended.

    Attributes
    ----------
    code : its exit code, negative where a signal ended it
    mend : one line about what the user can mend, or None
    errors : what Snakemake reported as errors, one line each
    planned : the jobs that it began, or in a dry run would begin: rule, sample, reason
    """

    code: int
    mend: str | None = None
    errors: tuple[str, ...] = ()
    planned: tuple[dict[str, str], ...] = ()


def write_configuration(project: ProjectConfig, folder: Path) -> Path:
    """Write the checked configuration for Snakemake, which would run templates in one that it is given; returns its path."""
    path = folder / CONFIGURATION
    content = project.model_dump(mode="json", exclude_unset=True) | {"results": "."}
    with complete_or_absent(path) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return path


def snakemake_arguments(
    configuration: Path,
    directory: Path,
    *,
    targets: Sequence[str] = (),
    forced: Sequence[str] = (),
    profile: Path | None = None,
    cores: int | None = None,
) -> list[str]:
    """Return the arguments of Snakemake; its records live in the results folder and travel with the results.

    Parameters
    ----------
    configuration : what :func:`write_configuration` has written
    directory : the results folder
    targets, forced : files to make, and files to make again, relative to ``directory``; without targets everything
    profile : folder of a Snakemake profile
    cores : None where the profile says it
    """
    arguments = ["--snakefile", str(WORKFLOW / "Snakefile"), "--configfile", str(configuration)]
    arguments += ["--directory", str(directory), "--rerun-incomplete", "--nolock", "--nocolor"]
    # The version of a stage says when its code changes numbers; a rule in new words repeats nothing.
    arguments += ["--rerun-triggers", "mtime", "input", "params"]
    # What is wrong with one sample does not stop the others.
    arguments += ["--keep-going"]
    # Else a profile beside the configuration would be used, whoever put it there: it may name a workflow of its own.
    arguments += ["--workflow-profile", "none"]
    if forced:
        arguments += ["--forcerun", *map(_as_path, forced)]
    if profile is not None:
        arguments += ["--profile", str(profile)]
    else:
        # The order of some tens of jobs is not worth the half second that an integer program for it takes.
        arguments += ["--scheduler", "greedy"]
    if cores is not None:
        arguments += ["--cores", str(cores)]
    return [*arguments, *map(_as_path, targets)]


def _as_path(name: str) -> str:
    """Return a relative path that is never taken for an option or a rule."""
    return f"./{name}"


def profile_folder(path: Path) -> Path:
    """Return a profile folder: one that is there, or one of this name that comes with the package."""
    shipped = WORKFLOW / "profiles"
    for folder in (path, shipped / path):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    names = ", ".join(sorted(one.name for one in shipped.iterdir()))
    raise ConfigError(
        "--profile", expected=f"a folder with config.yaml, or one of {names}", got=str(path), fix="correct it"
    )


def call_snakemake(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    inherited: Sequence[int] = (),
    silent: bool = False,
    lines: str = "",
    weights: Mapping[str, float] | None = None,
) -> WorkflowEnd:
    """Run Snakemake in a process group of its own; stopping this command stops the whole group.

    Parameters
    ----------
    arguments : what :func:`snakemake_arguments` returns, and more
    environment : variables beside those of this process
    inherited : file descriptors that it keeps open as long as it runs
    silent : show nothing of what it writes
    lines : ``plain`` or ``colour`` for a line on each job that ends; empty for none
    weights : core seconds that a job of each stage is expected to take, for the time that is left
    """
    request = {"arguments": list(arguments), "lines": lines, "weights": dict(weights or {})}
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "oxytomo.run.workflow_process", str(said.fileno())],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if silent else None,
            stderr=subprocess.DEVNULL if silent else None,
            pass_fds=(*inherited, said.fileno()),
            start_new_session=True,
        )
        try:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _interrupt)
            with suppress(BrokenPipeError):
                child.communicate(json.dumps(request).encode())
            code = child.wait()
        except BaseException:
            _stop(child)
            raise
        said.seek(0)
        try:
            end = json.load(said)
        except ValueError:
            return WorkflowEnd(code)
    return WorkflowEnd(code, end["mend"], tuple(end["errors"]), tuple(end.get("planned", ())))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a process group to end, and end it if it does not; who asks again does not wait."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(timeout=_PATIENCE_S)
            return
