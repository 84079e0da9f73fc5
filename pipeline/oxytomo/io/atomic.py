"""Files and folders that appear complete or not at all: written hidden, then renamed."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oxytomo.errors import SYSTEM_TROUBLE, StoreError


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Give a hidden path beside ``path`` to write to.

    It is renamed to ``path`` if the block ends without an error.

    An older file or folder is replaced. After a failure nothing is left behind, and the older one
    is kept.

    Raises
    ------
    StoreError
        For every ``OSError``, such as a full disk or a folder without permission.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path)
        try:
            yield partial
            if partial.is_dir():
                replace_folder(partial, path)
            else:
                partial.replace(path)
        finally:
            remove(partial)
    except StoreError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error


def record_file(path: Path) -> Path:
    """Return the path of the record of an output: a hidden file beside it."""
    return path.with_name(f".{path.name}.record.json")


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content; a missing one is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> StoreError:
    """Return the one-line error for a file or folder that could not be written."""
    got, fix = error.strerror or str(error), "free disk space, or choose a results folder where you may write"
    if error.errno in SYSTEM_TROUBLE:
        got, fix = os.strerror(error.errno), SYSTEM_TROUBLE[error.errno][1]
    return StoreError(str(path), expected="to write it", got=got, fix=fix)


def remove_stale(path: Path) -> None:
    """Remove the partial and replaced copies of ``path`` left behind by killed processes."""
    for left_over in path.parent.glob(f".{glob_escape(path.name)}.*-*"):
        match = re.fullmatch(re.escape(f".{path.name}.") + r"(partial|replaced)-(\d+)", left_over.name)
        if match is None or _is_alive(int(match.group(2))):
            continue
        if match.group(1) == "replaced" and not path.exists():
            left_over.rename(path)
        else:
            remove(left_over)


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder ``new`` to ``path``; an older one is removed, or restored on failure."""
    if not path.exists():
        new.rename(path)
        return
    old = path.with_name(f".{path.name}.replaced-{os.getpid()}")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    remove(old)


def glob_escape(name: str) -> str:
    """Return ``name`` with the special characters of glob patterns in brackets."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _is_alive(pid: int) -> bool:
    """Return whether a process of this number runs on this machine.

    The present process counts as ended.
    """
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
