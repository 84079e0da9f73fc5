"""``oxytomo render``: 3D pictures, models and movies of a sample."""

import argparse
import sys
from pathlib import Path

from oxytomo.cli.report import sample_folders
from oxytomo.errors import ConfigError

DESCRIPTION = """\
Draw a sample in 3D, without a display: the particle with a translucent surface and its classes, pores and cracks;
the same with one octant cut away; a model (glTF, 1 unit = 1 µm); an interactive page (one HTML file, works offline)."""
EXAMPLES = """\
examples:
  oxytomo render results/particle
  oxytomo render results/particle --movie --out pictures"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folder", type=Path, metavar="RESULT_DIR", help="<results>/<sample>, or <results> for all samples"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="output folder; default: RESULT_DIR/renders",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=1500,
        metavar="PIXELS",
        help="width of the pictures in pixels, 200 to 8000; default: 1500",
    )
    parser.add_argument(
        "--movie",
        action="store_true",
        help="also write a movie of a full turn (GIF), which takes about half a minute",
    )


def run(arguments: argparse.Namespace) -> int:
    """Render every sample and print the paths of the files."""
    if not 200 <= arguments.size <= 8000:
        raise ConfigError("--size", expected="200 to 8000", got=str(arguments.size), fix="leave it out: 1500")
    from oxytomo.view.render_sample import write_renders

    samples = sample_folders(arguments.folder)
    for sample in samples:
        out = arguments.out or sample / "renders"
        if arguments.out is not None and len(samples) > 1:
            out = arguments.out / sample.resolve().name
        for path in write_renders(sample, out, movie=arguments.movie, size_px=arguments.size):
            sys.stdout.write(f"{path}\n")
    return 0
