"""Progress of a long computation: percent and time left, at most every two seconds."""

import math
import time
from collections.abc import Callable
from typing import TextIO

FIRST_AFTER_S = 5.0
TERMINAL_EVERY_S = 2.0
FILE_EVERY_S = 30.0


def format_duration(seconds: float) -> str:
    """Return a duration as text: ``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: ``1 pore``, ``4 pores``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def progress_reporter(
    label: str, stream: TextIO, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int], None]:
    """Return a function of ``(done, total)`` that writes percent and time left.

    Nothing is shown in the first seconds. On a terminal one line is updated; a file gets few lines.

    Parameters
    ----------
    label : name of the computation
    stream : output, usually standard error
    clock : monotonic clock in seconds
    """
    started = clock()
    on_terminal = stream.isatty()
    every = TERMINAL_EVERY_S if on_terminal else FILE_EVERY_S
    shown = [-every]

    def report(done: int, total: int) -> None:
        elapsed = clock() - started
        if total <= 0 or elapsed < FIRST_AFTER_S:
            return
        finished = done >= total
        if elapsed - shown[0] < every and not (finished and shown[0] >= 0):
            return
        shown[0] = math.inf if finished else elapsed
        # The first steps include the compilation of kernels, so the time is shown only after 2 %.
        left = (
            ""
            if finished or 50 * done < total
            else f", {format_duration(elapsed * (total - done) / done)} left"
        )
        text = f"{label}: {100 * min(done, total) // total} %{left}"
        if on_terminal:
            stream.write(f"\r\x1b[K{text}" + ("\n" if finished else ""))
        else:
            stream.write(text + "\n")
        stream.flush()

    return report
