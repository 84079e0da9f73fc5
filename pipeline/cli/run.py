"""``oxytomo run``: check a configuration and run the workflow on it."""

import argparse
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.cli.stage import ERROR_PREFIX, folder_error
from pipeline.cli.stage_server import StageServer, stage_server
from pipeline.config import ProjectConfig, load_config
from pipeline.config.plan import results_folder
from pipeline.errors import ConfigError
from pipeline.stages.check import require_valid
from pipeline.stages.progress import format_duration
from pipeline.stages.results_folder import check_writable, claim, note_finished, outdated_stores
from pipeline.stages.run_lock import run_lock

DESCRIPTION = """\
Run the workflow on a configuration. What is complete and unchanged is not repeated: after a changed setting
only the stages that depend on it run, and after an interruption the same command continues."""
EXAMPLES = """\
examples:
  oxytomo run configs/demo.yaml
  oxytomo run my.yaml --cores 8
  oxytomo run my.yaml --dry-run                 only say what would run
  oxytomo run my.yaml --profile slurm           on a cluster, see docs/cluster.md"""

_WORKFLOW = Path(__file__).resolve().parents[1] / "workflow"
_NEARLY_FULL_BYTES = 2**20
_PATIENCE_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("config", type=Path, metavar="X.yaml", help="the configuration")
    parser.add_argument("--cores", type=int, default=None, help="cores to use; default: all")
    parser.add_argument(
        "--profile",
        type=Path,
        default=None,
        metavar="DIR",
        help="a folder with a Snakemake profile, or the name of one that comes along: local, slurm",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and why, and stop")


def run(arguments: argparse.Namespace) -> int:
    """Check the configuration and run the whole workflow on it; returns the exit code."""
    check_cores(arguments)
    project = load_config(arguments.config)
    folder = results_folder(project)
    started = time.time()
    # Named files, as the rule that gathers them would keep Snakemake waiting for a second after the last of them.
    targets = [f"{sample}/report.html" for sample in project.samples]
    targets += ["comparison.html"] if project.groups else []
    code = run_workflow(arguments, project, folder, targets)
    if code == 0 and not arguments.dry_run:
        _say_where(project, folder, time.time() - started)
    return code


def check_cores(arguments: argparse.Namespace) -> None:
    """Refuse a number of cores below one."""
    if arguments.cores is not None and arguments.cores < 1:
        raise ConfigError(
            "--cores", expected="1 or more", got=str(arguments.cores), fix="leave it out: all cores"
        )


def run_workflow(
    arguments: argparse.Namespace,
    project: ProjectConfig,
    folder: Path,
    targets: Sequence[str] = (),
    stages: Collection[str] | None = None,
) -> int:
    """Check the inputs and run Snakemake; returns the exit code.

    Parameters
    ----------
    arguments : with ``config``, ``cores``, ``profile`` and ``dry_run``
    project, folder : the configuration and its results folder
    targets : what to make, relative to the folder; everything where it is empty
    stages : the stages behind the targets, for which there must be room on the disk; None for all
    """
    here = arguments.profile is None
    cores = arguments.cores or available_cores()
    with stage_server(cores, wanted=here and not arguments.dry_run) as server:
        for warning in require_valid(project, stages):
            sys.stderr.write(f"oxytomo: warning: {warning}\n")
        if arguments.dry_run:
            return _dry_run(arguments, project, folder)
        check_writable(folder)
        started = time.time()
        with run_lock(folder) as lock:
            claim(folder, project)
            command = [*snakemake_command(arguments, folder, outdated_stores(folder, project)), *targets]
            # Here the stages speak for themselves; on a cluster only Snakemake sees them all.
            quiet = ("all",) if here else ("host", "reason", "rules")
            code = _call([*command, "--quiet", *quiet], server, lock)
            if code == 0:
                note_finished(folder, project)
    return 0 if code == 0 else _explain_failure(command, project, folder, started)


def snakemake_command(arguments: argparse.Namespace, directory: Path, outdated: Sequence[str]) -> list[str]:
    """Return the Snakemake call; its records live in the results folder and travel with the results."""
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(_WORKFLOW / "Snakefile")]
    command += ["--configfile", str(arguments.config.resolve()), "--config", "results=."]
    command += ["--directory", str(directory), "--rerun-incomplete", "--nolock"]
    # The version of a stage says when its code changes numbers; a rule in new words repeats nothing.
    command += ["--rerun-triggers", "mtime", "input", "params"]
    # What is wrong with one sample does not stop the others.
    command += ["--keep-going"]
    if outdated:
        command += ["--forcerun", *outdated]
    if arguments.profile is not None:
        command += ["--profile", str(_profile(arguments.profile))]
    else:
        # The order of some tens of jobs is not worth the half second that an integer program for it takes.
        command += ["--scheduler", "greedy"]
    if arguments.cores is not None or arguments.profile is None:
        command += ["--cores", str(arguments.cores or available_cores())]
    return command


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _profile(path: Path) -> Path:
    """Return a profile folder: one that is there, or one of this name that comes with the package."""
    shipped = _WORKFLOW / "profiles"
    for folder in (path, shipped / path):
        if (folder / "config.yaml").is_file():
            return folder.resolve()
    names = ", ".join(sorted(one.name for one in shipped.iterdir()))
    raise ConfigError(
        "--profile", expected=f"a folder with config.yaml, or one of {names}", got=str(path), fix="correct it"
    )


def _dry_run(arguments: argparse.Namespace, project: ProjectConfig, folder: Path) -> int:
    """Let Snakemake say what would run; nothing is written into a folder that does not exist."""
    with tempfile.TemporaryDirectory() as empty:
        directory = folder if folder.is_dir() else Path(empty)
        command = snakemake_command(arguments, directory, outdated_stores(folder, project))
        return 1 if subprocess.run([*command, "--dry-run", "--quiet", "host"], check=False).returncode else 0


def _call(command: list[str], server: StageServer, lock: int) -> int:
    """Run Snakemake in a process group of its own; stopping this command stops the whole group."""
    environment = os.environ | server.environment
    inherited = (*server.descriptors, lock)
    child = subprocess.Popen(command, env=environment, pass_fds=inherited, start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return child.wait()
    except KeyboardInterrupt:
        _stop(child)
        raise


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask a process group to end, and end it if it does not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_PATIENCE_S)
            return


def _say_where(project: ProjectConfig, folder: Path, seconds: float) -> None:
    """Say where the results are."""
    sys.stdout.write(f"\ndone in {format_duration(seconds)}; results in {folder}\n")
    for sample in project.samples:
        sys.stdout.write(f"  {sample}: report {folder / sample / 'report.html'}\n")
    if project.groups:
        sys.stdout.write(f"  comparison: {folder / 'comparison.html'}\n")


def _explain_failure(command: list[str], project: ProjectConfig, folder: Path, started: float) -> int:
    """Repeat at the end what a user can correct, and which samples are done; returns 2 for that, 1 for a fault."""
    logs = {
        sample: [log for log in sorted(folder.glob(f"logs/{sample}/**/*.log")) if _is_newer(log, started)]
        for sample in project.samples
    }
    errors = [
        f"{sample}: {line}" if len(project.samples) > 1 else line
        for sample, of_sample in logs.items()
        for log in of_sample
        for line in _last_line(log)
        if line.startswith(ERROR_PREFIX)
    ]
    if not errors and shutil.disk_usage(folder).free < _NEARLY_FULL_BYTES:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        errors = [f"{ERROR_PREFIX}{folder_error(full, str(folder))}"]
    if errors:
        sys.stderr.write("\n" + "\n".join(dict.fromkeys(errors)) + "\n")
    elif not any(logs.values()):
        # No stage was called: ask the workflow itself what is wrong.
        said = subprocess.run(
            [*command, "--dry-run", "--quiet", "host"], check=False, capture_output=True, text=True
        )
        sys.stderr.write(said.stdout + said.stderr)
    _say_what_is_done(project, folder, started)
    if errors:
        return 2
    sys.stderr.write(f"\noxytomo: the run failed; the logs are in {folder / 'logs'}\n")
    return 1


def _say_what_is_done(project: ProjectConfig, folder: Path, started: float) -> None:
    """Name the samples with and without a report, where there are several."""
    if len(project.samples) < 2:
        return
    reports = {sample: folder / sample / "report.html" for sample in project.samples}
    done = [sample for sample, report in reports.items() if report.is_file()]
    failed = [sample for sample in project.samples if sample not in done]
    new = sum(_is_newer(reports[sample], started) for sample in done)
    sys.stderr.write(
        f"\n{len(done)} of {len(project.samples)} samples have a report ({new} from this run): {', '.join(done)}\n"
        f"not finished: {', '.join(failed) or 'none; what was to be made again was not'}\n"
    )


def _is_newer(path: Path, started: float) -> bool:
    """Say whether a file was written since a time in seconds."""
    return path.stat().st_mtime >= started - 1


def _last_line(log: Path) -> list[str]:
    """Return the last line of a log that is not empty, if there is one."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1:]
