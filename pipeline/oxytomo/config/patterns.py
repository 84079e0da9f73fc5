"""Files that match a pattern, in natural order."""

import fnmatch
import glob
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from oxytomo.config.base import path_problem
from oxytomo.errors import InputError, shows
from oxytomo.file_order import natural_order

MOST_ENTRIES = 100_000
DEEPEST_FOLDER = 60
"""Limits on the number of files and folders that are searched for a pattern, and on their depth."""


class _Folders:
    """Search of folders for a pattern, with a limit on the number of files and folders."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.seen = pattern, 0

    def matches(self, folder: str, parts: tuple[str, ...], depth: int = 0) -> Iterator[str]:
        """Yield the paths below a folder that match the parts of a pattern."""
        if not parts:
            yield folder
            return
        head, rest = parts[0], parts[1:]
        if not glob.has_magic(head):
            path = os.path.join(folder, head)  # noqa: PTH118  # a folder may be empty
            if os.path.lexists(path):
                yield from self.matches(path, rest, depth)
            return
        if head == "**":
            yield from self.matches(folder, rest, depth)
        for entry in self._entries(folder, depth):
            is_folder = entry.is_dir(follow_symlinks=head != "**")
            if head == "**":
                yield from self.matches(entry.path, parts, depth + 1) if is_folder else ()
            elif fnmatch.fnmatchcase(entry.name, head) and (is_folder or not rest):
                yield from self.matches(entry.path, rest, depth + 1)

    def _entries(self, folder: str, depth: int) -> list[os.DirEntry[str]]:
        """Return the entries of a folder."""
        found: list[os.DirEntry[str]] = []
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                self.seen += 1
                if self.seen > MOST_ENTRIES or depth > DEEPEST_FOLDER:
                    raise InputError(
                        self.pattern,
                        expected=f"a pattern that at most {MOST_ENTRIES} files and folders are compared with",
                        got="more",
                        fix="write out the folders that you know",
                    )
                found.append(entry)
        return found


def _matches(pattern: str) -> list[Path]:
    """Return the paths that match an absolute or relative pattern, in natural order.

    Hidden files match only if a part of the pattern starts with a dot.
    """
    parts = Path(pattern).parts
    anchor = Path(pattern).anchor
    found = _Folders(pattern).matches(anchor, parts[1:] if anchor else parts)
    paths = natural_order(path for path in map(Path, dict.fromkeys(found)) if _shown(path, parts))
    for path in paths:
        problem = path_problem(str(path)) or (None if shows(str(path)) else "characters that do not show")
        if problem is not None:
            raise InputError(
                pattern, expected=f"file names without {problem}", got=str(path), fix="rename that file"
            )
    return paths


def _shown(path: Path, parts: tuple[str, ...]) -> bool:
    """True if a path is not hidden, or if the pattern asks for hidden files."""
    asked = {part for part in parts if part.startswith(".")}
    hidden = {part for part in path.parts if part.startswith(".") and part not in (".", "..")}
    return hidden <= asked or any(glob.has_magic(part) for part in asked)


def expand(patterns: tuple[str, ...] | None) -> list[Path]:
    """Return the matching paths in natural order; a path without a match is returned unchanged."""
    found: list[Path] = []
    for pattern in patterns or ():
        if not glob.has_magic(pattern) or Path(pattern).exists():
            found.append(Path(pattern))
        else:
            found.extend(_matches(pattern) or [Path(pattern)])
    return found
