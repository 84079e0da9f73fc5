"""``oxytomo view``: open results in napari."""

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Open the results of a sample in napari: all branches in a common coordinate system in nanometres and in fixed
colours, with widgets for the threshold, cuts, objects, profiles and provenance. Needs napari: pip install 'oxytomo[view]'."""
EXAMPLES = """\
examples:
  oxytomo view results/particle
  oxytomo view results/particle/composition.ome.zarr
  oxytomo view results/particle --screenshot window.png
  xvfb-run -a oxytomo view results/particle --screenshot window.png       on a machine without a display"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "path",
        type=Path,
        metavar="RESULT_DIR",
        help="<results>/<sample>, <results> for all samples, or one image *.ome.zarr",
    )
    parser.add_argument(
        "--screenshot",
        type=Path,
        default=None,
        metavar="FILE.png",
        help="save a picture of the window and exit",
    )


def run(arguments: argparse.Namespace) -> int:
    """Open the window; return when it is closed."""
    from oxytomo.view.napari_plugin.launch import view

    for remark in view(arguments.path, screenshot=arguments.screenshot):
        sys.stderr.write(f"oxytomo: {remark}\n")
    if arguments.screenshot is not None:
        sys.stdout.write(f"{arguments.screenshot}\n")
    return 0
