"""Output and errors of the program: printable text, one line for each user error.

A user error gives exit code 2. Names in files and configurations are not trusted: here, and in
:class:`oxytomo.errors.PipelineError`, every control character is written as an escape.
"""

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from oxytomo.errors import (
    SYSTEM_TROUBLE,
    InputError,
    OutOfMemoryError,
    PipelineError,
    StoreError,
    limit_reached,
    printable,
)

ERROR_PREFIX = "oxytomo: error: "
"""Start of the line of a user error, on standard error and at the end of a log."""
INTERRUPTED = 130
_LINE_ENDS = ("\n", "\t")
_NO_MEMORY = ("cannot allocate memory", "failed to map segment", "out of memory")


class PrintableStream:
    """A text stream that writes unprintable characters as escapes.

    Otherwise the original stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text; of the unprintable characters only line ends and tabs are kept."""
        if not text.isprintable():
            text = "".join(one if one in _LINE_ENDS else printable(one) for one in text)
        return self.write_raw(text)

    def write_raw(self, text: str) -> int:
        """Write text unchanged, for control characters of the program itself."""
        with self._noted():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        with self._noted():
            self._stream.flush()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Remember that the stream failed, so that the error is not attributed to another file."""
        try:
            yield
        except OSError as error:
            self.failed = error
            raise


@contextmanager
def printable_output() -> Iterator[tuple[PrintableStream, PrintableStream]]:
    """Make standard output and standard error printable within the block."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out, error = PrintableStream(sys.stdout), PrintableStream(sys.stderr)
    sys.stdout, sys.stderr = out, error
    try:
        yield out, error
    finally:
        sys.stdout, sys.stderr = before


def open_standard_files() -> bool:
    """Open closed standard streams to the null device, so that no other file gets their number.

    Returns
    -------
    Whether standard output was open.
    """
    was_open = True
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            was_open &= name != "stdout"
            os.open(os.devnull, os.O_RDWR)  # uses the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    return was_open


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; print one line for a user error.

    Any other error keeps its traceback.
    """
    was_open = open_standard_files()
    with printable_output() as (out, error), _stoppable() as stopped:
        try:
            if not was_open:
                raise _no_output("a closed one")
            code = command()
            out.flush()
        except BaseException as reason:
            if isinstance(reason, KeyboardInterrupt) or stopped():
                return _said("oxytomo: stopped; run the same command again to continue", INTERRUPTED)
            if isinstance(reason, BrokenPipeError) and reason in (out.failed, error.failed):
                _to_nowhere()  # the reader of the pipe (head, less) has closed it
                return 0
            about_output = isinstance(reason, SystemExit) or reason is out.failed
            said = _not_written(out) if about_output else user_error(reason)
            if said is None:
                raise
            return _said(f"{ERROR_PREFIX}{said}", 2)
        return code


def _not_written(out: PrintableStream) -> PipelineError | None:
    """Return the error line for text that standard output did not accept, or None."""
    with suppress(OSError):
        out.flush()
    return None if out.failed is None else _no_output(out.failed.strerror or str(out.failed))


def user_error(reason: BaseException, name: str = "oxytomo") -> PipelineError | None:
    """Return the line for a user error, None for a fault of the program.

    Parameters
    ----------
    reason : the exception
    name : subject of the line, if the exception has none
    """
    if isinstance(reason, PipelineError):
        return reason
    if isinstance(reason, MemoryError):
        return OutOfMemoryError.of(reason)
    if isinstance(reason, OSError) and reason.errno in SYSTEM_TROUBLE:
        return StoreError.of(reason, name)
    limit = limit_reached(reason, name)
    if limit is not None:
        return limit
    text = str(reason).lower()
    if isinstance(reason, ImportError | OSError) and any(part in text for part in _NO_MEMORY):
        return OutOfMemoryError.of(reason)
    return None


def require_folder() -> None:
    """Refuse a working directory that no longer exists."""
    try:
        Path.cwd()
    except OSError as error:
        raise InputError(
            "the working directory",
            expected="a folder that is there",
            got="one that was deleted",
            fix="change to another folder: cd",
        ) from error


def _no_output(got: str) -> StoreError:
    return StoreError(
        "standard output",
        expected="to write to it",
        got=got,
        fix="send it to a file with room for it, or to /dev/null",
    )


def _said(line: str, code: int) -> int:
    """Write a line to standard error, if possible, and ignore errors of standard output."""
    with suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    _to_nowhere()
    return code


def _to_nowhere() -> None:
    """Flush standard output; drop text it does not accept, otherwise Python reports it at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Remember that Ctrl-C was pressed, because imports of libraries may hide it in own errors."""
    pressed: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def again(unraisable: Any) -> None:
        """Raise the interrupt again if it was lost, for example during garbage collection."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        else:
            before_hook(unraisable)

    before_hook = sys.unraisablehook
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with suppress(ValueError):  # not in the main thread
        if ours:
            signal.signal(signal.SIGINT, stop)
            sys.unraisablehook = again
    try:
        yield lambda: bool(pressed)
    finally:
        sys.unraisablehook = before_hook
        with suppress(ValueError):
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def show_traceback(kind: type[BaseException], error: BaseException, where: Any) -> None:
    """Write the traceback of a fault of the program in printable characters."""
    with printable_output() as (_, stream), suppress(OSError):
        stream.writelines(traceback.format_exception(kind, error, where))
