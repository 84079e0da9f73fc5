"""``oxytomo verify``: check that results are unchanged since the stages wrote them."""

import argparse
import shlex
import sys
from collections import Counter
from pathlib import Path

DESCRIPTION = """\
Recompute the digests of all stage stores, tables, images and pages in a results folder, and list those that were
changed, truncated or are missing. The exit code is 2 if there are any. Raw files outside the folder are read only
with --inputs, because their paths come from the results; otherwise they are listed."""
EXAMPLES = """\
examples:
  oxytomo verify results
  oxytomo verify results --inputs         also check the raw files
  oxytomo verify results/particle"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folder", type=Path, metavar="RESULT_DIR", help="results folder, or folder of one sample"
    )
    parser.add_argument(
        "--inputs",
        action="store_true",
        help="also read the raw files that the results name, in any folder",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check and print what is wrong; return 0, or 2 if anything is."""
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
        n = counts["unchecked"]
        files = "1 raw file was" if n == 1 else f"{n} raw files were"
        sys.stdout.write(f"{files} not read; to check raw files too: {printable(command)}\n")
    return 2 if any(finding.bad for finding in findings) else 0
