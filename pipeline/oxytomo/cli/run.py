"""``oxytomo run``: check a configuration and run the workflow on it."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from oxytomo.check.old_results import old_results
from oxytomo.check.sample import ProjectCheck, check_project
from oxytomo.cli.answer import answer_lines, describe_plan
from oxytomo.cli.colours import YELLOW, has_colours, in_colour
from oxytomo.cli.failure import explain_failure
from oxytomo.config import ProjectConfig, load_config
from oxytomo.config.plan import project_products, results_folder
from oxytomo.errors import ConfigError
from oxytomo.run.boundary import ERROR_PREFIX
from oxytomo.run.forecast import forecast
from oxytomo.run.limits import require_limits
from oxytomo.run.lock import run_lock
from oxytomo.run.results_folder import check_writable, claim, lost_stores, note_finished, to_make_again
from oxytomo.run.stage_server import stage_server
from oxytomo.run.unchanged import is_unchanged, note_unchanged
from oxytomo.run.usual_times import PAGE_S
from oxytomo.run.workflow import (
    WorkflowEnd,
    call_snakemake,
    profile_folder,
    snakemake_arguments,
    write_configuration,
)
from oxytomo.stages.context import SHOW
from oxytomo.stages.progress import format_duration

DESCRIPTION = """\
Run the workflow on a configuration. Complete and unchanged results are not repeated: after a changed setting only
the stages that depend on it run again. After an interruption the same command continues the run."""
EXAMPLES = """\
examples:
  oxytomo run configs/demo.yaml
  oxytomo run my.yaml --cores 8
  oxytomo run my.yaml --dry-run                 list what would run
  oxytomo run my.yaml --profile slurm           on a cluster, see docs/how-to/cluster.md"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("config", type=Path, metavar="X.yaml", help="configuration file")
    parser.add_argument("--cores", type=int, default=None, help="number of cores to use; default: all")
    parser.add_argument(
        "--profile",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder with a Snakemake profile, or the name of an included one: local, slurm",
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would run, and why, and stop")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "-q",
        "--quiet",
        dest="show",
        action="store_const",
        const="none",
        help="show only errors, warnings and the main results",
    )
    how.add_argument(
        "-v",
        "--verbose",
        dest="show",
        action="store_const",
        const="all",
        help="also show the output of the stages, which is always in their logs",
    )
    parser.set_defaults(show="lines")


def run(arguments: argparse.Namespace) -> int:
    """Check the configuration and run the whole workflow; return the exit code."""
    check_cores(arguments)
    project = load_config(arguments.config)
    folder = results_folder(project)
    started = time.time()
    detailed = arguments.dry_run and arguments.show == "all"
    if not detailed and arguments.profile is None and is_unchanged(folder, project):
        sys.stdout.write(f"nothing to do: everything in {folder} is there and up to date\n")
        if not arguments.dry_run:
            _say_answer(project, folder)
        return 0
    # The files are named, because a rule that collects them would make Snakemake wait another
    # second at the end.
    code = run_workflow(
        arguments, project, folder, [*project_products(project), *lost_stores(folder, project)]
    )
    if code == 0 and not arguments.dry_run:
        note_unchanged(folder, project)
        sys.stdout.write(f"\ndone in {format_duration(time.time() - started)}; results in {folder}\n")
        _say_answer(project, folder)
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
    """Check the inputs and run Snakemake; return the exit code.

    Parameters
    ----------
    arguments : with ``config``, ``cores``, ``profile`` and ``dry_run``
    project, folder : the configuration and its results folder
    targets : files to make, relative to the folder; empty for all
    stages : stages that make the targets, for the check of the disk space; None for all
    """
    here = arguments.profile is None
    cores = arguments.cores or available_cores()
    profile = None if here else profile_folder(arguments.profile)
    require_limits(cores if here else 1)
    with stage_server(cores, wanted=here and not arguments.dry_run) as server:
        checked = check_project(project, read_flats=False, only=stages)
        for problem in checked.problems:
            raise problem
        for warning in (*checked.warnings, *old_results(project, arguments.config)):
            sys.stderr.write(f"{in_colour('oxytomo: warning:', YELLOW, sys.stderr)} {warning}\n")
        if arguments.dry_run:
            return _dry_run(arguments, project, folder, checked)
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
            # Locally the stages report their own progress; on a cluster only Snakemake knows all
            # jobs.
            quiet = ("all",) if here else ("host", "reason", "rules")
            show = getattr(arguments, "show", "all")
            lines = "" if show == "none" or not here else "colour" if has_colours(sys.stderr) else "plain"
            end = call_snakemake(
                [*command, "--quiet", *quiet],
                environment=server.environment | ({SHOW: show} if here else {}),
                lines=lines,
                weights=job_seconds(checked),
                cores=cores,
                inherited=(*server.descriptors, lock),
            )
            if end.code == 0:
                note_finished(folder, project)
    return 0 if end.code == 0 else explain_failure(end, project, folder, started)


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def job_seconds(checked: ProjectCheck) -> dict[str, float]:
    """Return the usual core seconds of a job of each stage and page, averaged over samples."""
    needs: dict[str, list[float]] = {"report": [PAGE_S], "comparison": [PAGE_S]}
    for branch in checked.branches:
        for stage, need in branch.needs.items():
            needs.setdefault(stage, []).append(need.usual_seconds / max(1, need.jobs))
    return {stage: sum(seconds) / len(seconds) for stage, seconds in needs.items()}


def _dry_run(
    arguments: argparse.Namespace, project: ProjectConfig, folder: Path, checked: ProjectCheck
) -> int:
    """Print what would run, and why, without writing to the results folder."""
    verbose = arguments.show == "all"
    known = forecast(project, folder)
    planned: Sequence[Mapping[str, str]] = known.jobs
    if verbose or known.targets:
        targets = () if verbose or not known.new else known.targets
        end = _ask_snakemake(arguments, project, folder, targets)
        if end.code != 0:
            return _say_why_no_plan(end)
        planned = known.with_planned(end.planned)
    cores = arguments.cores or available_cores()
    sys.stdout.write("\n".join(describe_plan(planned, checked, folder, cores)) + "\n")
    return 0


def _ask_snakemake(
    arguments: argparse.Namespace, project: ProjectConfig, folder: Path, targets: Sequence[str]
) -> WorkflowEnd:
    """Return the plan of Snakemake for some files, all if empty; print its output if asked to."""
    with tempfile.TemporaryDirectory() as empty:
        command = snakemake_arguments(
            write_configuration(project, Path(empty)),
            folder if folder.is_dir() else Path(empty),
            targets=targets,
            forced=to_make_again(folder, project),
            cores=arguments.cores or available_cores(),
        )
        verbose = arguments.show == "all"
        quiet = "host" if verbose else "all"
        return call_snakemake([*command, "--dry-run", "--quiet", quiet], environment={}, silent=not verbose)


def _say_why_no_plan(end: WorkflowEnd) -> int:
    """Print the errors of Snakemake and return the exit code."""
    if end.mend is not None:
        sys.stderr.write(f"{ERROR_PREFIX}{end.mend}\n")
    for line in dict.fromkeys(end.errors):
        sys.stderr.write(f"oxytomo: the workflow says: {line}\n")
    return 1 if end.mend is None else 2


def _say_answer(project: ProjectConfig, folder: Path) -> None:
    """Print the main results and the page to open."""
    for line in answer_lines(project, folder):
        sys.stdout.write(f"{line}\n")
