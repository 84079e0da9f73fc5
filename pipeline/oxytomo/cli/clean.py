"""``oxytomo clean``: list intermediate results with their sizes; delete them on request."""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oxytomo.run.cleaning import Cleanable

DESCRIPTION = """\
List the intermediate results (stages) of a results folder with their sizes, and what you lose if you delete
them. They are deleted with --yes, or after a question on a terminal. Reports, tables, images, meshes and raw
files are kept. A later run repeats a deleted stage if a changed setting needs it."""
EXAMPLES = """\
examples:
  oxytomo clean results                        list, and ask on a terminal
  oxytomo clean results/particle --stage normalize align --yes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folder", type=Path, metavar="RESULTS", help="results folder, or folder of one sample"
    )
    parser.add_argument(
        "--stage", nargs="+", default=(), metavar="NAME", help="only these stages; default: all"
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def run(arguments: argparse.Namespace) -> int:
    """List, ask and delete; return the exit code."""
    from oxytomo.run.cleaning import delete, find_cleanable

    root, found = find_cleanable(arguments.folder, arguments.stage)
    if not found:
        sys.stdout.write("no intermediate results to delete\n")
        return 0
    sys.stdout.write("\n".join(describe(found)) + "\n")
    if not arguments.yes and not _agreed(len(found)):
        sys.stdout.write("nothing was deleted; add --yes to delete everything listed\n")
        return 0
    freed = delete(root, found)
    sys.stdout.write(f"deleted {len(found)} stores, {megabytes(freed)}\n")
    return 0


def describe(found: "Sequence[Cleanable]") -> list[str]:
    """Return a line for each stage of each sample, with its size and what is lost, and a total."""
    sizes: dict[tuple[str, str], list[Cleanable]] = defaultdict(list)
    for one in found:
        sizes[one.sample, one.stage].append(one)
    lines = []
    before = ""
    for (sample, stage), members in sizes.items():
        if sample != before:
            lines.append(f"{sample}:")
            before = sample
        size = megabytes(sum(one.size_bytes for one in members))
        lines.append(f"  {stage:<22} {size:>10}  lost: {members[0].lost}")
    total = megabytes(sum(one.size_bytes for one in found))
    return [
        *lines,
        f"{total} in all; reports, tables, images and meshes stay",
        "without them, a report or comparison that you write again lacks numbers or is refused, until the next run",
    ]


def megabytes(size: int) -> str:
    """Return a size with a suitable unit."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _agreed(number: int) -> bool:
    """Ask on a terminal; without a terminal the answer is no."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    sys.stdout.write(f"delete {number} stores? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
