"""Safe reading of result files, perhaps from elsewhere: plain files of limited size, plain JSON."""

import json
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from oxytomo.errors import StoreError

MOST_TABLE_BYTES = 256 * 2**20
"""Largest table or page that is read into memory."""
MOST_METADATA_BYTES = 16 * 2**20
"""Largest file of metadata."""
DEEPEST_JSON, DEEPEST_FOLDERS = 64, 32
_REMEDY = "delete it and run the workflow again, or ask for the results once more"


def what_it_is(mode: int) -> str:
    """Return a word for the type of a file by its mode."""
    kinds = (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((word for test, word in kinds if test(mode)), "a device")


def printable(text: object) -> str:
    """Return text on one line without characters that control a terminal or its direction."""
    return "".join(
        c
        if c.isprintable() and unicodedata.category(c) != "Cf"
        else c.encode("unicode_escape", "backslashreplace").decode()
        for c in str(text)
    )


def open_plain(path: Path, *, follow: bool = False) -> BinaryIO:
    """Open a plain file for reading, and nothing else; pipes and devices are not waited for.

    Parameters
    ----------
    path : the file
    follow : follow links, for paths that the user gave directly

    Raises
    ------
    StoreError
        For a link, a pipe, a device, a folder, or a path that cannot be opened.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        if not follow and path.is_symlink():
            raise not_plain(path, "a link")
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise not_plain(path, getattr(error, "strerror", None) or str(error)) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise not_plain(path, what_it_is(mode))
    return cast(BinaryIO, os.fdopen(descriptor, "rb"))


def not_plain(path: Path, got: str) -> StoreError:
    """Return the error for an entry of a results folder that is not a plain file."""
    return StoreError(printable(path), expected="a plain file", got=got, fix=_REMEDY)


def read_plain(path: Path, most_bytes: int = MOST_TABLE_BYTES) -> bytes:
    """Return the bytes of a plain file that is not too large."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most_bytes + 1) if size <= most_bytes else b""
    if size > most_bytes or len(content) > most_bytes:
        got = f"one of {max(size, len(content)) / 1e6:.0f} MB"
        raise StoreError(
            printable(path), expected=f"a file of at most {most_bytes / 1e6:.0f} MB", got=got, fix=_REMEDY
        )
    return content


def parse_json(content: bytes | str, *, strict: bool = True) -> Any:
    """Parse JSON.

    Parameters
    ----------
    content : text, or bytes in UTF-8
    strict : refuse numbers that are not finite, which this package never writes

    Raises
    ------
    ValueError
        If it is not JSON, has a key twice, or is nested deeper than ``DEEPEST_JSON``.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key given twice")
        return found

    def finite(text: str) -> float:
        number = float(text)
        if number - number != 0:
            raise ValueError(f"the number {text[:20]}")
        return number

    text = content if isinstance(content, str) else content.decode("utf-8")
    hooks: dict[str, Any] = {"parse_float": finite, "parse_constant": finite} if strict else {}
    try:
        found = json.loads(text, object_pairs_hook=once, **hooks)
    except RecursionError:
        raise ValueError("brackets nested without end") from None
    _check_depth(found)
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON):
        inner = [
            item.values() if isinstance(item, dict) else item
            for item in level
            if isinstance(item, dict | list)
        ]
        if not inner:
            return
        level = [item for items in inner for item in items]
    raise ValueError(f"brackets nested deeper than {DEEPEST_JSON}")


def read_json_object(
    path: Path, most_bytes: int = MOST_METADATA_BYTES, *, strict: bool = True
) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Raises
    ------
    StoreError
        If it is not a plain file, too large, or not a JSON object.
    """
    try:
        found = parse_json(read_plain(path, most_bytes), strict=strict)
    except ValueError as error:
        raise StoreError(
            printable(path), expected="a JSON file", got=printable(error)[:200], fix=_REMEDY
        ) from error
    if not isinstance(found, dict):
        raise StoreError(printable(path), expected="a JSON object", got="something else", fix=_REMEDY)
    return found


def walk(folder: Path, *, into: str = "") -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder, each folder before its content; links are not followed.

    Parameters
    ----------
    folder : folder to start from
    into : name endings of folders that are yielded but not entered; empty to enter all

    Raises
    ------
    StoreError
        If folders are nested deeper than ``DEEPEST_FOLDERS``.
    """
    todo = [(str(folder), 0)]
    while todo:
        here, depth = todo.pop()
        if depth > DEEPEST_FOLDERS:
            raise StoreError(
                printable(folder),
                expected=f"folders nested {DEEPEST_FOLDERS} deep at most",
                got="deeper ones",
                fix=_REMEDY,
            )
        with os.scandir(here) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            yield entry
            if entry.is_dir(follow_symlinks=False) and not (into and entry.name.endswith(into)):
                todo.append((entry.path, depth + 1))


def foreign_kind(entry: os.DirEntry[str]) -> str:
    """Return the type of an entry that no stage writes (link, pipe, device), or nothing."""
    if entry.is_symlink():
        return "a link"
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
        return ""
    return what_it_is(entry.stat(follow_symlinks=False).st_mode)


def check_no_links(folder: Path, path: Path) -> None:
    """Refuse a path below a folder that passes through a link.

    Raises
    ------
    StoreError
        If a part of ``path`` below ``folder`` is a link.
    """
    place = folder
    for part in path.relative_to(folder).parts:
        place = place / part
        if place.is_symlink():
            raise StoreError(
                printable(place), expected="a file or folder of the results", got="a link", fix=_REMEDY
            )
