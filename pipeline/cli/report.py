"""``oxytomo report``: write the report of results again, or compare samples."""

import argparse
import sys
from pathlib import Path

from pipeline.errors import InputError

DESCRIPTION = """\
Write the report of a sample again from its results. Several samples, or a results folder that holds several,
also give a page that compares them: class fractions with intervals beside their null runs."""
EXAMPLES = """\
examples:
  oxytomo report results/particle
  oxytomo report results/particle --figures pictures        every picture as a PNG file, too
  oxytomo report results/pristine results/cycled --output comparison.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="RESULT_DIR",
        help="<results>/<sample>, or <results> for all samples",
    )
    parser.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help="the comparison; default: comparison.html"
    )
    parser.add_argument(
        "--figures",
        type=Path,
        default=None,
        metavar="DIR",
        help="also write the pictures as PNG below DIR/<sample>",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write one report per sample and, for several, a comparison."""
    samples = [sample for folder in arguments.folders for sample in sample_folders(folder)]
    from pipeline.stages.report import write_comparison, write_report

    for sample in samples:
        figures = None if arguments.figures is None else arguments.figures / sample.resolve().name
        write_report(sample, sample / "report.html", figures=figures)
        sys.stdout.write(f"{sample / 'report.html'}\n")
    if len(samples) > 1 and (arguments.output or any((s / "phases.json").is_file() for s in samples)):
        output = arguments.output or Path("comparison.html")
        write_comparison(samples, output)
        sys.stdout.write(f"{output}\n")
    return 0


def sample_folders(folder: Path) -> list[Path]:
    """Return the folder itself if it is a sample's, or those of all samples below it."""
    if (folder / "stages").is_dir():
        return [folder]
    below = sorted(path.parent for path in folder.glob("*/stages"))
    if not below:
        raise InputError(
            str(folder),
            expected="the results of a sample",
            got="a folder without results" if folder.is_dir() else "no such folder",
            fix="give <results>/<sample>",
        )
    return below
