"""Errors: those that a user can fix are a :class:`PipelineError`, one line, exit code 2."""

import errno
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_PART = 1000
"""Largest number of characters of one part of a message; longer parts are cut in the middle."""
SYSTEM_TROUBLE: dict[int, tuple[str, str]] = {
    errno.ENOSPC: (
        "a folder with free space that may be written",
        "free disk space, or choose another 'results' folder",
    ),
    errno.EDQUOT: ("room in your quota", "free disk space, or choose another 'results' folder"),
    errno.EROFS: ("a folder that may be written", "choose another 'results' folder"),
    errno.EACCES: (
        "a file or folder that you may read and write",
        "correct its permissions, or choose another 'results' folder",
    ),
    errno.EPERM: (
        "a file or folder that you may read and write",
        "correct its permissions, or choose another 'results' folder",
    ),
    errno.EFBIG: ("files as large as the results are", "raise the limit of file sizes (ulimit -f)"),
    errno.EMFILE: ("to open one more file", "raise the limit of open files (ulimit -n)"),
    errno.ENFILE: ("to open one more file", "close other programs: the system has too many open files"),
    errno.EAGAIN: (
        "to start one more process",
        "raise the limit of processes (ulimit -u), or use fewer --cores",
    ),
    errno.ENOMEM: (
        "enough memory",
        "use a machine with more, raise the limit (ulimit -v), or close other programs",
    ),
}
"""Refusals of the operating system that are not the program's fault: what was expected, and the
likeliest fix."""


LIMITS = tuple(number for number in SYSTEM_TROUBLE if number not in (errno.EROFS, errno.EACCES, errno.EPERM))
"""Those of them that are never the fault of the current file."""
_NO_THREAD = "can't start new thread"


def printable(text: str) -> str:
    r"""Return ``text`` on one line, in visible characters.

    All others are written as escapes: ``\n``, ``\u202e``.

    Names in files and configurations from elsewhere may contain characters that control a terminal
    or change the reading direction.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _shown(one) for one in text)


def shows(text: str) -> bool:
    """Return whether every character of a text is visible and none controls a terminal."""
    return text.isprintable() or all(one.isprintable() or _is_space(one) for one in text)


def _shown(character: str) -> str:
    """Return a space for a space of another width, and an escape for an invisible character."""
    return " " if _is_space(character) else character.encode("unicode_escape").decode("ascii")


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


def _part(text: str) -> str:
    """Return one part of a message: printable, and of readable length."""
    if len(text) > LONGEST_PART:
        text = f"{text[: LONGEST_PART // 2]} … {text[-LONGEST_PART // 4 :]}"
    return printable(text)


class PipelineError(Exception):
    """An error that the user can fix; printed as one line, never as a traceback.

    Parameters
    ----------
    name : str
        The thing that is wrong: a file, a setting, an array.
    expected, got : str
        What the program needed, and what it found.
    fix : str
        The likeliest fix, as an instruction.
    """

    def __init__(self, name: str, *, expected: str, got: str, fix: str) -> None:
        self.subject, self.expected, self.got, self.fix = map(_part, (name, expected, got, fix))
        super().__init__(f"{self.subject}: expected {self.expected}, got {self.got}. Likely fix: {self.fix}")


class ConfigError(PipelineError, ValueError):
    """A setting is missing, unknown or contradicts another."""


class InputError(PipelineError, ValueError):
    """A raw file is missing or damaged, or does not contain what it should."""


class ShapeError(PipelineError, ValueError):
    """Arrays that belong together do not match."""


class StoreError(PipelineError, OSError):
    """A result store or folder cannot be read or written, or was written by another program."""

    @classmethod
    def of(cls, error: OSError, name: str) -> "StoreError":
        """Return the line for a refusal of the operating system, with its cause.

        Parameters
        ----------
        error : the exception
        name : subject of the line if the error names no file
        """
        expected, fix = SYSTEM_TROUBLE.get(error.errno or 0, SYSTEM_TROUBLE[errno.ENOSPC])
        return cls(str(error.filename or name), expected=expected, got=error.strerror or str(error), fix=fix)


def limit_reached(error: BaseException, name: str) -> StoreError | None:
    """Return the line for an error caused by a limit of the system, None for any other.

    Parameters
    ----------
    error : the exception
    name : subject of the line, a file or a program
    """
    number = error.errno if isinstance(error, OSError) and not isinstance(error, PipelineError) else None
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        number = errno.EAGAIN
    return StoreError.of(OSError(number, os.strerror(number)), name) if number in LIMITS else None


class MissingPackageError(PipelineError, ImportError):
    """An optional package is needed for the requested result."""


class OutOfMemoryError(PipelineError, MemoryError):
    """The work needs more memory than is available."""

    @classmethod
    def of(cls, error: Exception) -> "OutOfMemoryError":
        """Return the line for a message from Python or NumPy."""
        return cls(
            "memory",
            expected="enough of it for this work",
            got=" ".join(str(error).split()) or "none left",
            fix="use a machine (or ask for a job) with more, give the work less (see `oxytomo check`), or close other programs",
        )


@contextmanager
def errors_about(name: str) -> Iterator[None]:
    """Put a name before the errors raised in a block, as array functions do not know it."""
    try:
        yield
    except PipelineError as error:
        subject = f"{name}: {error.subject}"
        raise InputError(subject, expected=error.expected, got=error.got, fix=error.fix) from error
