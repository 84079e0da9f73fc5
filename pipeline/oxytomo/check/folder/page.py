"""Commented YAML text, line by line: known values, guesses with reasons, gaps."""

import json
import os
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oxytomo.config import expand
from oxytomo.errors import PipelineError, printable

WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
_NUMBER = re.compile(r"[-+.]?[0-9][0-9_.eE+-]*|0[xo][0-9a-fA-F]+|[.](inf|nan)", re.IGNORECASE)


@dataclass(frozen=True)
class Gap:
    """A missing value: the setting, its place, the question, and its line in the text."""

    key: str
    place: str
    question: str
    line: int


@dataclass
class Page:
    """The text as it grows."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)

    def put(self, level: int, text: str) -> None:
        """Add a line of YAML."""
        self.lines.append("  " * level + text)

    def note(self, level: int, text: str) -> None:
        """Add a comment, wrapped."""
        indent = "  " * level
        self.lines += textwrap.wrap(
            printable(text), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip

    def guess(self, level: int, text: str) -> None:
        """Add a conclusion as a comment."""
        self.guesses.append(text)
        self.note(level, f"guess: {text}")

    def gap(self, level: int, key: str, example: str, question: str, place: str) -> None:
        """Add a missing setting as comments: its description, then the line to uncomment."""
        self.note(level, f"FILL IN: {question}")
        self.put(level, f"# {key}: {example}")
        self.gaps.append(Gap(key, place, question, len(self.lines)))

    def path(self, path: Path) -> str:
        """Return a path as text, relative to the folder of the file if it is below it."""
        full = Path(os.path.abspath(path))  # noqa: PTH100  - links are not followed
        here = Path(os.path.abspath(self.folder))  # noqa: PTH100
        return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)

    def paths(self, paths: Sequence[Path]) -> str:
        """Return paths as a pattern if it matches exactly these in this order, else as a list."""
        if len(paths) == 1:
            return quoted(self.path(paths[0]))
        pattern = _pattern(paths)
        if pattern is not None:
            return quoted(self.path(Path(pattern)))
        return "[" + ", ".join(quoted(self.path(path)) for path in paths) + "]"

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n".join(self.lines) + "\n"


def quoted(text: str) -> str:
    """Return a text as a YAML scalar, with quotes if needed."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not _NUMBER.fullmatch(text):
        return text
    if not text.isprintable():  # YAML takes escapes between double quotes only
        return json.dumps(text)
    return "'" + text.replace("'", "''") + "'"


def formula_text(atoms: dict[str, float]) -> str:
    """Return a formula as a YAML mapping in one line."""
    return "{" + ", ".join(f"{symbol}: {count:.10g}" for symbol, count in atoms.items()) + "}"


def _pattern(paths: Sequence[Path]) -> str | None:
    """Return a pattern with one or more ``*`` that matches exactly these files in their order."""
    folders = {path.parent for path in paths}
    if len(folders) != 1:
        return None
    names = [path.name for path in paths]
    start = os.path.commonprefix(names)  # noqa: RUF071  - by characters is what is wanted
    end = os.path.commonprefix([name[::-1] for name in names])[::-1]  # noqa: RUF071
    end = end[max(0, len(start) + len(end) - min(map(len, names))) :]
    numbers = re.sub(r"[0-9]+", "*", names[0])
    for candidate in (f"{start.rstrip('0123456789')}*{end.lstrip('0123456789')}", f"{start}*{end}", numbers):
        pattern = str(next(iter(folders)) / candidate)
        try:
            if not any(mark in start + end for mark in "*?[") and expand((pattern,)) == list(paths):
                return pattern
        except PipelineError:
            continue
    return None
