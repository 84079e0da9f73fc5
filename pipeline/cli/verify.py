"""``oxytomo verify``: whether results are still what the stages wrote."""

import argparse
import sys
from collections import Counter
from pathlib import Path

DESCRIPTION = """\
Recompute the digests of every stage store, table, image and page in a folder of results, and of the raw files where they
are at hand, and name what was altered, cut short or is missing. Exit code 2 where something is."""
EXAMPLES = """\
examples:
  oxytomo verify results
  oxytomo verify results/particle"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folder", type=Path, metavar="RESULT_DIR", help="a folder of results, or of one sample"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, say what is wrong; returns 0, or 2 where something is."""
    from pipeline.io.integrity import verify

    findings = verify(arguments.folder)
    for finding in findings:
        if finding.state != "intact":
            stream = sys.stderr if finding.bad else sys.stdout
            stream.write(
                f"{finding.state}: {finding.path}{f' ({finding.detail})' if finding.detail else ''}\n"
            )
    counts = Counter(finding.state for finding in findings)
    sys.stdout.write(", ".join(f"{count} {state}" for state, count in counts.items()) + "\n")
    return 2 if any(finding.bad for finding in findings) else 0
