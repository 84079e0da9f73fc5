"""One run at a time in a results folder."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StoreError

LOCK_FILE = ".oxytomo.lock"
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def run_lock(folder: Path) -> Iterator[int]:
    """Hold the lock of a results folder; the operating system releases it when the run ends, however it ends.

    Yields
    ------
    The file descriptor. A child process that inherits it keeps the lock as long as it lives.

    Raises
    ------
    StoreError
        If another run is at work in the folder.
    """
    path = folder / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_other_run(folder: Path) -> None:
    """Raise :class:`StoreError` if a run other than the parent of this process is at work in the folder."""
    path = folder / LOCK_FILE
    if not path.exists() or _owner(path) == os.getppid():
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        _lock(descriptor, path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Take the lock or say who holds it; a file system without locks does not stop the run."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            owner = _owner(path)
            raise StoreError(
                str(path.parent),
                expected="a results folder without a run in progress",
                got=f"a run at work{f' (process {owner})' if owner else ''}",
                fix="wait until it has finished, or stop it",
            ) from error


def _owner(path: Path) -> int | None:
    """Return the number of the process that took the lock last."""
    text = path.read_text(encoding="ascii", errors="replace").strip()
    return int(text) if text.isdigit() else None
