"""``oxytomo verify``: whether results are still what the stages wrote."""

import argparse
import shlex
import sys
from collections import Counter
from pathlib import Path

DESCRIPTION = """\
Recompute the digests of every stage store, table, image and page in a folder of results, and name what was altered, cut
short or is missing. Exit code 2 where something is. Raw files outside of the folder are read with --inputs only, as their
paths are what the results say; without it they are listed."""
EXAMPLES = """\
examples:
  oxytomo verify results
  oxytomo verify results --inputs         the raw files, too
  oxytomo verify results/particle"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folder", type=Path, metavar="RESULT_DIR", help="a folder of results, or of one sample"
    )
    parser.add_argument(
        "--inputs",
        action="store_true",
        help="also read the raw files that the results name, wherever they are",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, say what is wrong; returns 0, or 2 where something is."""
    from oxytomo.io.integrity import verify
    from oxytomo.io.plain_files import printable

    findings = verify(arguments.folder, inputs=arguments.inputs)
    for finding in findings:
        if finding.state != "intact":
            stream = sys.stderr if finding.bad else sys.stdout
            detail = f" ({finding.detail})" if finding.detail else ""
            stream.write(printable(f"{finding.state}: {finding.path}{detail}") + "\n")
    counts = Counter(finding.state for finding in findings)
    sys.stdout.write(", ".join(f"{count} {state}" for state, count in counts.items()) + "\n")
    if counts["unchecked"]:
        command = shlex.join(["oxytomo", "verify", str(arguments.folder), "--inputs"])
        sys.stdout.write(
            f"{counts['unchecked']} raw files were not read; to check them, too: {printable(command)}\n"
        )
    return 2 if any(finding.bad for finding in findings) else 0
