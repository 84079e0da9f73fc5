"""Colours on a terminal, and only there."""

import os
from typing import TextIO

GREEN, YELLOW, RED, BOLD = "32", "33", "31", "1"


def has_colours(stream: TextIO) -> bool:
    """Say whether a stream is a terminal that shows colours, and nobody asks for none (``NO_COLOR``)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def in_colour(text: str, colour: str, stream: TextIO) -> str:
    """Return what a text looks like on a stream.

    On a terminal the marks are written at once, as everything that steers a terminal is shown as an escape later on.
    """
    raw = getattr(stream, "write_raw", None)
    if raw is None or not has_colours(stream):
        return text
    raw(f"\x1b[{colour}m{text}\x1b[0m")
    return ""
