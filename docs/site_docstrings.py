"""Docstrings as the site shows them: in this package a parameter is ``name : shape, unit and meaning``, not a type.

The signature has the types and defaults. Parameters, attributes and results therefore become lists of what they mean.
"""

import re
from typing import Any

import griffe

SECTIONS = ("Parameters", "Attributes", "Returns", "Yields")
_UNDERLINED = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_ENTRY = re.compile(r"^([*\w][\w*, ]*?) : (.*)$")


class ListedMeanings(griffe.Extension):
    """Rewrites the docstring of every object."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the sections of a docstring by lists."""
        if obj.docstring is not None:
            obj.docstring.value = listed(obj.docstring.value)


def listed(text: str) -> str:
    """Return a docstring with its sections of names as Markdown lists."""
    parts = _UNDERLINED.split(text)  # text, title, body, title, body …
    result = parts[0]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title in SECTIONS:
            result += f"**{title}**\n\n{_as_list(body)}\n\n"
        else:
            result += f"{title}\n{'-' * len(title)}\n{body}"
    return result


def _as_list(body: str) -> str:
    """Return the entries of a section as a list; lines that continue an entry are joined to it."""
    items: list[str] = []
    for line in body.strip().splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = ", ".join(f"`{name.strip()}`" for name in entry[1].split(","))
            items.append(f"{names}: {entry[2]}")
        elif items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line.strip())
    return "\n".join(f"* {item}" for item in items if item)
