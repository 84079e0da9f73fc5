"""Check system limits that are too small for a run.

Libraries would crash without a clear message.
"""

import os
import resource
from collections.abc import Callable

from oxytomo.errors import StoreError

LEAST_OPEN_FILES = 64
LEAST_TO_START = 10**9
LEAST_ADDRESS_SPACE = 2 * 10**9
"""Smallest limit of address space in bytes; the libraries alone map more than half of it."""
LEAST_FILE_SIZE = 10**7
ENOUGH = 100
"""If the limit exceeds the need by this factor, the current use is not counted."""
PROCESSES = 12
PROCESSES_A_CORE = 6
"""Threads of Snakemake and the server of stages, including those of libraries."""


def require_to_start() -> None:
    """Refuse a memory limit that is too small to load the libraries."""
    _require(resource.RLIMIT_AS, LEAST_TO_START, "bytes of memory", "ulimit -v")


def require_limits(cores: int) -> None:
    """Refuse limits (``ulimit``) that are too small for any run.

    Parameters
    ----------
    cores : number of cores of the run
    """
    _require(resource.RLIMIT_NOFILE, LEAST_OPEN_FILES, "open files", "ulimit -n")
    _require(resource.RLIMIT_AS, LEAST_ADDRESS_SPACE, "bytes of memory", "ulimit -v")
    _require(resource.RLIMIT_FSIZE, LEAST_FILE_SIZE, "bytes in a file", "ulimit -f")
    if os.getuid() != 0:  # the limit does not hold for root
        wanted = PROCESSES + PROCESSES_A_CORE * cores
        _require(resource.RLIMIT_NPROC, wanted, "more processes", "ulimit -u", used=_threads_of_user)


def _require(which: int, least: int, what: str, command: str, used: Callable[[], int] = lambda: 0) -> None:
    limit = resource.getrlimit(which)[0]
    if limit == resource.RLIM_INFINITY or limit > ENOUGH * least:
        return
    left = limit - used()
    if left < least:
        raise StoreError(
            "limits of this shell",
            expected=f"at least {least} {what}",
            got=str(max(left, 0)),
            fix=f"raise the limit: {command}",
        )


def _threads_of_user() -> int:
    """Return the number of threads of this user, which the limit of the system counts."""
    import psutil

    own = os.getuid()
    found = (process.info for process in psutil.process_iter(["uids", "num_threads"]))
    return sum(one["num_threads"] or 1 for one in found if one["uids"] and one["uids"].real == own)
