"""One run at a time in a results folder.

The lock is an operating-system lock (``flock``). It ends with its process, also on another node of
a network file system. On a file system without locks the file identifies the owner by host, process
number and start time, so that a reused process number is not mistaken for the run.
"""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from oxytomo.errors import StoreError
from oxytomo.io.atomic import unwritable

LOCK_FILE = ".oxytomo.lock"
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)
_SAME_START_S = 2.0


@dataclass(frozen=True)
class Owner:
    """Owner of a lock; ``started`` is the start time of its process, in seconds since 1970."""

    host: str
    process: int
    started: float

    @classmethod
    def of(cls, process: int) -> "Owner":
        """Describe a process of this machine."""
        return cls(socket.gethostname(), process, psutil.Process(process).create_time())

    def is_gone(self) -> bool:
        """Return True if this process has certainly ended: no such process on this machine."""
        if self.host != socket.gethostname():
            return False
        try:
            return abs(psutil.Process(self.process).create_time() - self.started) > _SAME_START_S
        except psutil.NoSuchProcess:
            return True

    def is_process(self, process: int) -> bool:
        """Return True if this is a process of this machine."""
        return self.process == process and self.host == socket.gethostname()


@contextmanager
def run_lock(folder: Path) -> Iterator[int]:
    """Hold the lock of a results folder until the block ends.

    Yields
    ------
    The file descriptor. A child process that inherits it keeps the lock as long as it lives.

    Raises
    ------
    StoreError
        If another run is active in the folder.
    """
    descriptor = take_lock(folder)
    try:
        yield descriptor
        # Only a killed run leaves an owner in the file.
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def take_lock(folder: Path) -> int:
    """Take the lock of a results folder.

    It is held until the descriptor is closed or the process ends.
    """
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        _lock(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(asdict(Owner.of(os.getpid()))) + "\n").encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def join_run(folder: Path) -> int | None:
    """Take the lock for this process; return None if the parent process already holds it.

    Raises
    ------
    StoreError
        If a run other than the parent of this process is active in the folder.
    """
    owner = _owner(folder / LOCK_FILE)
    if owner is not None and owner.is_process(os.getppid()):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return take_lock(folder)


def _lock(descriptor: int, path: Path) -> None:
    """Take the lock, or raise an error that names its owner."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = _owner(path)
        if error.errno in _BUSY:
            raise _at_work(path, owner, "wait until it has finished, or stop it") from error
        # The file system has no locks: use the owner in the file.
        if owner is not None and not owner.is_gone():
            raise _at_work(
                path, owner, f"wait until it has finished; if it was killed, delete {path}"
            ) from error


def _at_work(path: Path, owner: Owner | None, fix: str) -> StoreError:
    """Return the error for a folder with a run in progress."""
    who = ""
    if owner is not None:
        who = f" (process {owner.process}" + (
            ")" if owner.host == socket.gethostname() else f" on {owner.host})"
        )
    return StoreError(
        str(path.parent),
        expected="a results folder without a run in progress",
        got=f"a run at work{who}",
        fix=fix,
    )


def _owner(path: Path) -> Owner | None:
    """Return the owner in the file, if a run was killed."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Owner(str(said["host"]), int(said["process"]), float(said["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
