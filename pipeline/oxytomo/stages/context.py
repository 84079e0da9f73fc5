"""Context of a run of a stage: threads, provenance, log and progress."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from oxytomo.stages.progress import progress_reporter

SHOW = "OXYTOMO_SHOW"
"""Environment variable for the output of stages: ``all``, ``lines`` (only progress), ``none``."""

if TYPE_CHECKING:
    from oxytomo.io.stores import Provenance


@dataclass(frozen=True)
class StageContext:
    """Context of one run of a stage.

    Attributes
    ----------
    stage, version : name and version of the stage
    threads : number of threads of the stage
    settings_json : its settings as plain JSON types
    log_file : open log of this run, or None
    label : name of this run in messages
    """

    stage: str
    version: int
    threads: int
    settings_json: Mapping[str, Any]
    log_file: TextIO | None = None
    label: str = ""

    def provenance(self, inputs: Mapping[str, Path]) -> "Provenance":
        """Return the provenance of the result: stage, settings and digests of the inputs."""
        from oxytomo.io.provenance import make_provenance

        return make_provenance(
            stage=self.stage, version=self.version, settings=self.settings_json, inputs=inputs
        )

    def log(self, message: str) -> None:
        """Write one line with the time to the log, and to standard error if output is ``all``."""
        if os.environ.get(SHOW, "all") == "all":
            sys.stderr.write(f"{self.label or self.stage}: {message}\n")
            sys.stderr.flush()
        self.note(message)

    def note(self, message: str) -> None:
        """Write one line with the time only to the log."""
        if self.log_file is not None:
            self.log_file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {self.label or self.stage}: {message}\n")
            self.log_file.flush()

    def progress(self, label: str) -> Callable[[int, int], None]:
        """Return a function of ``(done, total)`` that shows progress on standard error."""
        name = self.label or self.stage
        shown = os.environ.get(SHOW, "all")
        if shown == "none" or (shown == "lines" and not sys.stderr.isatty()):
            return lambda done, total: None
        return progress_reporter(name if label == name else f"{name}: {label}", sys.stderr)
