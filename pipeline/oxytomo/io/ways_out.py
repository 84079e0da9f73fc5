"""Protection against links in a results folder: nothing is written through one."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from oxytomo.errors import InputError, StoreError
from oxytomo.io.plain_files import foreign_kind, open_plain, printable, walk, what_it_is

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def refuse_links_below(folder: Path) -> None:
    """Refuse a folder that is a link, or contains a link, a pipe or a device.

    Stores are replaced, not written into.

    Raises
    ------
    StoreError
        For the first one found.
    """
    if folder.is_symlink():
        raise a_way_out(folder)
    if not folder.is_dir():
        return
    for entry in walk(folder, into=".zarr"):
        kind = foreign_kind(entry)
        if kind:
            raise a_way_out(Path(entry.path), kind)


def require_own(path: Path, starts: tuple[bytes, ...], *, what: str, option: str) -> None:
    """Refuse to write over a file that this command has not written.

    Parameters
    ----------
    path : the file to write
    starts : first bytes of files that may be replaced; empty files may be, too
    what : what these files are, for the error
    option : option that names another file

    Raises
    ------
    InputError
        If something else is there: another file, a folder, a link.
    """
    if not path.exists() and not path.is_symlink():
        return
    got = what_it_is(path.lstat().st_mode)
    if got == "a file":
        with open_plain(path) as file:
            start = file.read(max(map(len, starts)))
        if not start or start.startswith(starts):
            return
        got = "another file"
    raise InputError(
        printable(path),
        expected=f"a new file, or an earlier {what}",
        got=got,
        fix=f"give another {option}, or move it",
    )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    In a relative path, each part is opened without following links.

    Raises
    ------
    StoreError
        If a part is a link or not a folder.
    """
    with _opened(folder):
        pass


def open_log(path: Path) -> TextIO:
    """Open a new text file for writing.

    Neither the file nor, in a relative path, its folders may be links.

    Raises
    ------
    StoreError
        If one of them is a link, or not a folder or plain file.
    """
    with _opened(path.parent) as folder:
        try:
            descriptor = os.open(path.name, _NEW_FILE, 0o666, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise a_way_out(path, "no plain file") from error
            raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise a_way_out(path, "no plain file")
    os.ftruncate(descriptor, 0)
    return os.fdopen(descriptor, "w", encoding="utf-8")


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Give a descriptor of a folder, which is created if it is missing.

    Absolute paths are chosen by the user. In relative paths, which are within the results, every
    part is opened separately.
    """
    parts: tuple[str, ...] = ()
    if folder.is_absolute() or ".." in folder.parts:
        folder.mkdir(parents=True, exist_ok=True)
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        here, parts = os.open(".", _FOLDER), folder.parts
    try:
        for number, part in enumerate(parts):
            below = _open_part(here, part, Path(*parts[: number + 1]))
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _open_part(here: int, part: str, path: Path) -> int:
    with suppress(FileExistsError):
        os.mkdir(part, dir_fd=here)
    try:
        return os.open(part, _FOLDER, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise a_way_out(path) from error
        raise


def a_way_out(path: Path, kind: str = "a link") -> StoreError:
    """Return the error for a link that a run would write through."""
    return StoreError(
        printable(path),
        expected="a folder or file within the results folder",
        got=kind if kind != "a link" or not path.is_symlink() else f"a link to {printable(path.readlink())}",
        fix="delete it; to write elsewhere give another 'results' folder",
    )
