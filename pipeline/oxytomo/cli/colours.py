"""Coloured text on terminals."""

import os
from typing import TextIO

GREEN, YELLOW, RED, BOLD = "32", "33", "31", "1"


def has_colours(stream: TextIO) -> bool:
    """Return True if a stream is a terminal with colours and ``NO_COLOR`` is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def in_colour(text: str, colour: str, stream: TextIO) -> str:
    """Return a text, coloured if the stream is a terminal.

    The colour codes are written directly, because all other control characters are escaped later.
    """
    raw = getattr(stream, "write_raw", None)
    if raw is None or not has_colours(stream):
        return text
    raw(f"\x1b[{colour}m{text}\x1b[0m")
    return ""
