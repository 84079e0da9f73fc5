"""``oxytomo run``: check a configuration and run the workflow on it."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from oxytomo.check.sample import require_valid
from oxytomo.cli.failure import explain_failure
from oxytomo.config import ProjectConfig, load_config
from oxytomo.config.plan import project_products, results_folder
from oxytomo.errors import ConfigError
from oxytomo.run.limits import require_limits
from oxytomo.run.lock import run_lock
from oxytomo.run.results_folder import check_writable, claim, lost_stores, note_finished, to_make_again
from oxytomo.run.stage_server import stage_server
from oxytomo.run.workflow import call_snakemake, profile_folder, snakemake_arguments, write_configuration
from oxytomo.stages.progress import format_duration

DESCRIPTION = """\
Run the workflow on a configuration. What is complete and unchanged is not repeated: after a changed setting
only the stages that depend on it run, and after an interruption the same command continues."""
EXAMPLES = """\
examples:
  oxytomo run configs/demo.yaml
  oxytomo run my.yaml --cores 8
  oxytomo run my.yaml --dry-run                 only say what would run
  oxytomo run my.yaml --profile slurm           on a cluster, see docs/how-to/cluster.md"""


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
    code = run_workflow(
        arguments, project, folder, [*project_products(project), *lost_stores(folder, project)]
    )
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
    profile = None if here else profile_folder(arguments.profile)
    require_limits(cores if here else 1)
    with stage_server(cores, wanted=here and not arguments.dry_run) as server:
        for warning in require_valid(project, stages):
            sys.stderr.write(f"oxytomo: warning: {warning}\n")
        if arguments.dry_run:
            return _dry_run(arguments, project, folder)
        check_writable(folder)
        started = time.time()
        with run_lock(folder) as lock:
            claim(folder, project)
            command = snakemake_arguments(
                write_configuration(project, folder),
                folder,
                targets=targets,
                forced=to_make_again(folder, project),
                profile=profile,
                cores=cores if here else arguments.cores,
            )
            # Here the stages speak for themselves; on a cluster only Snakemake sees them all.
            quiet = ("all",) if here else ("host", "reason", "rules")
            end = call_snakemake(
                [*command, "--quiet", *quiet],
                environment=server.environment,
                inherited=(*server.descriptors, lock),
            )
            if end.code == 0:
                note_finished(folder, project)
    return 0 if end.code == 0 else explain_failure(end, project, folder, started)


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _dry_run(arguments: argparse.Namespace, project: ProjectConfig, folder: Path) -> int:
    """Let Snakemake say what would run; nothing is written into the results folder."""
    with tempfile.TemporaryDirectory() as empty:
        command = snakemake_arguments(
            write_configuration(project, Path(empty)),
            folder if folder.is_dir() else Path(empty),
            forced=to_make_again(folder, project),
            cores=arguments.cores or available_cores(),
        )
        end = call_snakemake([*command, "--dry-run", "--quiet", "host"], environment={})
    return 0 if end.code == 0 else 1


def _say_where(project: ProjectConfig, folder: Path, seconds: float) -> None:
    """Say where the results are."""
    sys.stdout.write(f"\ndone in {format_duration(seconds)}; results in {folder}\n")
    for sample in project.samples:
        sys.stdout.write(f"  {sample}: report {folder / sample / 'report.html'}\n")
    if project.groups:
        sys.stdout.write(f"  comparison: {folder / 'comparison.html'}\n")
