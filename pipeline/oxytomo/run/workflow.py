"""Call of Snakemake: arguments, configuration, process, reported errors."""

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
"""File in a results folder: the checked configuration of the last run, with absolute paths."""
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class WorkflowEnd:
    """Result of Snakemake.

    Attributes
    ----------
    code : its exit code, negative if a signal ended it
    mend : one line about an error that the user can correct, or None
    errors : errors reported by Snakemake, one line each
    planned : the jobs that it started, or would start in a dry run: rule, sample, reason
    """

    code: int
    mend: str | None = None
    errors: tuple[str, ...] = ()
    planned: tuple[dict[str, str], ...] = ()


def write_configuration(project: ProjectConfig, folder: Path) -> Path:
    """Write the checked configuration without templates for Snakemake; return its path."""
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
    """Return the arguments of Snakemake.

    Its records are in the results folder and are copied with the results.

    Parameters
    ----------
    configuration : path returned by :func:`write_configuration`
    directory : the results folder
    targets, forced : files to make, and files to repeat, relative to ``directory``; no targets: all
    profile : folder of a Snakemake profile
    cores : number of cores; None if the profile sets it
    """
    arguments = ["--snakefile", str(WORKFLOW / "Snakefile"), "--configfile", str(configuration)]
    arguments += ["--directory", str(directory), "--rerun-incomplete", "--nolock", "--nocolor"]
    # The version of a stage marks changed numbers; a changed rule alone repeats nothing.
    arguments += ["--rerun-triggers", "mtime", "input", "params"]
    # An error in one sample does not stop the others.
    arguments += ["--keep-going"]
    # Otherwise Snakemake would use a profile next to the configuration, which may run any workflow.
    arguments += ["--workflow-profile", "none"]
    if forced:
        arguments += ["--forcerun", *map(_as_path, forced)]
    if profile is not None:
        arguments += ["--profile", str(profile)]
    else:
        # For tens of jobs the integer-program scheduler costs half a second and gains nothing.
        arguments += ["--scheduler", "greedy"]
    if cores is not None:
        arguments += ["--cores", str(cores)]
    return [*arguments, *map(_as_path, targets)]


def _as_path(name: str) -> str:
    """Return a relative path that Snakemake cannot read as an option or a rule."""
    return f"./{name}"


def profile_folder(path: Path) -> Path:
    """Return a profile folder: an existing one, or the included one of this name."""
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
    cores: int = 1,
) -> WorkflowEnd:
    """Run Snakemake in its own process group; stopping this command stops the whole group.

    Parameters
    ----------
    arguments : result of :func:`snakemake_arguments`, and further arguments
    environment : variables in addition to those of this process
    inherited : file descriptors that Snakemake keeps open
    silent : hide the output of Snakemake
    lines : ``plain`` or ``colour`` for a line per finished job; empty for none
    weights, cores : expected core seconds of a job of each stage, and cores, for the time left
    """
    request = {
        "arguments": list(arguments),
        "lines": lines,
        "weights": dict(weights or {}),
        "cores": cores,
    }
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
    """Ask a process group to end, and kill it if it does not; a second request kills it at once."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(timeout=_PATIENCE_S)
            return
