"""Messages at the end of a failed run: errors to correct, and samples that are complete."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from oxytomo.config import ProjectConfig
from oxytomo.errors import SYSTEM_TROUBLE, StoreError
from oxytomo.run.boundary import ERROR_PREFIX
from oxytomo.run.workflow import WorkflowEnd

_NEARLY_FULL_BYTES = 2**20


def explain_failure(end: WorkflowEnd, project: ProjectConfig, folder: Path, started: float) -> int:
    """List errors to correct and complete samples; return 2, or 1 for a fault of the program.

    Parameters
    ----------
    end : result of Snakemake
    project, folder : the configuration and its results folder
    started : when the run began, in seconds since 1970
    """
    errors = list(_errors_of_stages(project, folder, started)) or list(_errors_of_system(end, folder))
    for line in dict.fromkeys(errors):
        sys.stderr.write(f"{line}\n")
    _say_what_is_done(project, folder, started)
    if errors:
        return 2
    if end.code < 0:
        name = signal.Signals(-end.code).name
        sys.stderr.write(
            f"oxytomo: the workflow was ended by {name}; run the same command again to continue\n"
        )
    for line in dict.fromkeys(end.errors):
        sys.stderr.write(f"oxytomo: the workflow says: {line}\n")
    sys.stderr.write(f"oxytomo: the run failed; the logs are in {folder / 'logs'}\n")
    return 1


def _errors_of_stages(project: ProjectConfig, folder: Path, started: float) -> Iterator[str]:
    """Yield the last errors of logs since a time, with the sample if there are several."""
    for sample in (*project.samples, ""):
        logs = sorted(folder.glob(f"logs/{sample}/**/*.log" if sample else "logs/*.log"))
        for log in logs:
            if log.is_symlink() or not log.is_file() or not is_newer(log, started):
                continue
            line = _last_line(log)
            if line.startswith(ERROR_PREFIX):
                yield f"{sample}: {line}" if sample and len(project.samples) > 1 else line


def _errors_of_system(end: WorkflowEnd, folder: Path) -> Iterator[str]:
    """Yield causes that no stage could report: a full disk, a limit of the system."""
    if end.mend is not None:
        yield f"{ERROR_PREFIX}{end.mend}"
        return
    if shutil.disk_usage(folder).free < _NEARLY_FULL_BYTES:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        yield f"{ERROR_PREFIX}{StoreError.of(full, str(folder))}"
        return
    for number in SYSTEM_TROUBLE:
        if any(os.strerror(number) in line for line in end.errors):
            yield f"{ERROR_PREFIX}{StoreError.of(OSError(number, os.strerror(number)), 'the workflow')}"
            return


def _say_what_is_done(project: ProjectConfig, folder: Path, started: float) -> None:
    """Name the samples with and without a report, if there are several."""
    if len(project.samples) < 2:
        return
    reports = {sample: folder / sample / "report.html" for sample in project.samples}
    done = [sample for sample, report in reports.items() if report.is_file()]
    failed = [sample for sample in project.samples if sample not in done]
    new = sum(is_newer(reports[sample], started) for sample in done)
    sys.stderr.write(
        f"{len(done)} of {len(project.samples)} samples have a report ({new} from this run): {', '.join(done)}\n"
        f"not finished: {', '.join(failed) or 'none; what was to be made again was not'}\n"
    )


def is_newer(path: Path, started: float) -> bool:
    """Return True if a file was written after a time in seconds."""
    return path.stat().st_mtime >= started - 1


def _last_line(log: Path) -> str:
    """Return the last line of a log that is not empty, if there is one."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
