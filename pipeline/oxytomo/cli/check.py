"""``oxytomo check``: validate a configuration and its raw files, and list the stages."""

import argparse
import sys
from pathlib import Path

from oxytomo.check.old_results import old_results
from oxytomo.check.sample import check_project
from oxytomo.check.series import describe, describe_frames
from oxytomo.cli.run import available_cores
from oxytomo.config import load_config
from oxytomo.config.plan import branch_config, branch_stages, results_folder
from oxytomo.run.needs import total_needs
from oxytomo.run.results_folder import check_writable

DESCRIPTION = """\
Validate a configuration and its raw files: tilt angles, energies, flat frames, formula, results folder.
The command lists the stages that would run, with their memory, disk space and time. It computes nothing."""
EXAMPLES = """\
examples:
  oxytomo check my.yaml && oxytomo run my.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("config", type=Path, metavar="X.yaml", help="configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Check and report; return 0, or 2 with one line for each problem."""
    project = load_config(arguments.config)
    checked = check_project(project, read_flats=True)
    for branch in checked.branches:
        sys.stdout.write(f"{branch.sample}: {branch.branch}\n")
        for name, facts in branch.series.items():
            sys.stdout.write(f"  {name:<8} {describe(facts)}\n  {'':<8} {describe_frames(facts)}\n")
        config = branch_config(project, branch.sample, branch.branch)
        sys.stdout.write(f"  runs: {', '.join((*branch_stages(config, branch.branch), 'report'))}\n")
        if branch.needs:
            cores = available_cores()
            sys.stdout.write(f"  needs: {total_needs(branch.needs).describe(cores)}\n")
            for stage, need in branch.needs.items():
                jobs = f" ({need.jobs} jobs)" if need.jobs > 1 else ""
                sys.stdout.write(f"    {stage + jobs:<26} {need.describe(cores)}\n")
    sys.stdout.flush()
    for warning in (*checked.warnings, *old_results(project, arguments.config)):
        sys.stderr.write(f"oxytomo: warning: {warning}\n")
    for problem in checked.problems:
        sys.stderr.write(f"oxytomo: error: {problem}\n")
    if checked.problems:
        return 2
    folder = results_folder(project)
    if folder.exists():
        check_writable(folder)
    sys.stdout.write(f"ready to run; results go to {folder}\n")
    return 0
