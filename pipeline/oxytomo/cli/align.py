"""``oxytomo align``: align the series of a configuration and stop."""

import argparse
import sys
from pathlib import Path

from oxytomo.cli.run import check_cores, run_workflow
from oxytomo.config import load_config
from oxytomo.config.plan import results_folder, sample_branches

DESCRIPTION = """\
Normalise and align the series of a configuration, report the quality of the alignment, and stop before
the reconstruction.
A later `oxytomo run` of the same configuration continues from there."""
EXAMPLES = """\
examples:
  oxytomo align my.yaml
  oxytomo report results/particle     a page with curves, sinograms and frames of the alignment

to correct the alignment by hand: copy results/particle/alignment.csv, edit dy_px, dx_px or used, and give it as
  align: {shifts: my_alignment.csv}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument("config", type=Path, metavar="X.yaml", help="configuration file")
    parser.add_argument("--cores", type=int, default=None, help="number of cores to use; default: all")
    parser.set_defaults(profile=None, dry_run=False)


def run(arguments: argparse.Namespace) -> int:
    """Run the workflow up to the alignment and return the exit code."""
    check_cores(arguments)
    project = load_config(arguments.config)
    folder = results_folder(project)
    targets = [
        f"{name}/stages/{branch}/align.zarr"
        for name, sample in project.samples.items()
        for branch in sample_branches(sample)
    ]
    code = run_workflow(arguments, project, folder, targets, ("normalize", "align"))
    if code:
        return code
    from oxytomo.view.sample_page import write_report

    for name in project.samples:
        page = folder / name / "alignment.html"
        write_report(folder / name, page)
        sys.stdout.write(f"  {name}: {page}\n")
    return 0
