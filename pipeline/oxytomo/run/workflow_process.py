"""The process that runs Snakemake for ``oxytomo run``: it ends quietly when stopped, and says what it was told in the end.

Arguments come over standard input, as a command line holds only some megabytes of names. What Snakemake reports as
errors is collected for the caller, also where it shows nothing of it.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxytomo.run.job_lines import JobLines

_MOST_ERRORS = 20
_MOST_PLANNED = 20_000


def main() -> int:
    """Run Snakemake with the arguments from standard input; returns its exit code."""
    errors: list[str] = []
    end: dict[str, Any] = {"errors": errors, "mend": None}
    code, answer = 1, int(sys.argv[1])
    try:
        from oxytomo.run.boundary import INTERRUPTED, open_standard_files, printable_output, user_error
        from oxytomo.run.job_lines import JobLines

        open_standard_files()
        request = json.load(sys.stdin)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        with printable_output():
            try:
                lines = JobLines(_line_writer(request.get("lines", "")), request.get("weights", {}))
                code = _snakemake(request["arguments"], errors, lines)
                end["planned"] = lines.planned[:_MOST_PLANNED]
            except KeyboardInterrupt:
                return INTERRUPTED
            except Exception as reason:
                said = user_error(reason)
                if said is None:
                    raise
                code, end["mend"] = 2, str(said)
        with os.fdopen(answer, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(end, file)
    except KeyboardInterrupt:
        return 130
    return code


def _line_writer(kind: str) -> "Callable[[str], None]":
    """Return what writes a line on a job: nothing, plain text, or with its number in colour."""

    def write(line: str) -> None:
        with suppress(OSError):  # somebody who reads no longer does not stop a run
            number, _, rest = line.partition(" ")
            if kind == "colour":
                raw = getattr(sys.stderr, "write_raw", sys.stderr.write)
                raw(f"\x1b[32m{number}\x1b[0m ")
                sys.stderr.write(f"{rest}\n")
            else:
                sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return write if kind else lambda line: None


def _snakemake(arguments: list[str], errors: list[str], lines: "JobLines") -> int:
    """Call Snakemake's own command; collects its errors, and what it says of its jobs."""
    import logging

    from snakemake.cli import main as snakemake
    from snakemake.logging import logger

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR and len(errors) < _MOST_ERRORS:
            errors.append(" ".join(record.getMessage().split())[:2000])
        lines(record)
        return True

    logger.addFilter(collect)
    sys.argv = ["snakemake", *arguments]
    try:
        snakemake(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
