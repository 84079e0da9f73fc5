"""The process that runs Snakemake for ``oxytomo run`` and reports its errors.

Arguments come through standard input, because the length of a command line is limited. Errors of
Snakemake are collected for the caller, even if its output is hidden.
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
    """Run Snakemake with the arguments from standard input and return its exit code."""
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
                lines = JobLines(
                    _line_writer(request.get("lines", "")),
                    request.get("weights", {}),
                    cores=request.get("cores", 1),
                )
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
    """Return the function that writes a line per job: none, plain text, or coloured."""

    def write(line: str) -> None:
        with suppress(OSError):  # a closed output does not stop a run
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
    """Call the command of Snakemake; collect its errors and job reports."""
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
