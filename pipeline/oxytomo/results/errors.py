"""One-line errors for results of other versions and for unknown names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from oxytomo.errors import PipelineError, StoreError
from oxytomo.io.plain_files import printable

UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, StopIteration)
"""Exceptions of code that reads data of an unexpected form."""


class NoSuchResultError(PipelineError, KeyError):
    """A name that is not among the arrays, tables, numbers or definitions of a sample."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def numbers_of(paths: Mapping[str, Path], branch: str) -> Iterator[None]:
    """Convert errors about missing or unexpected values of a branch to one line.

    Raises
    ------
    StoreError
        It names the files of the branch that may contain the problem.
    """
    try:
        yield
    except PipelineError:
        raise
    except UNFIT as error:
        own = [path for key, path in paths.items() if key.startswith(branch)]
        named = sorted(own, key=lambda path: path.suffix == ".zarr")  # tables first
        raise StoreError(
            printable(named[0] if named else branch),
            expected=f"the numbers of the branch {branch} as this version writes them",
            got=f"something else there or in its stores ({type(error).__name__}: {printable(error)[:80]})",
            fix="run the sample again, or leave it out; if this version has run it, please report this line",
        ) from error


def no_such(name: object, what: str, known: Sequence[str]) -> NoSuchResultError:
    """Return the error for an unknown name."""
    return NoSuchResultError(
        printable(name)[:80],
        expected=f"one of the {what} of this sample: {printable(', '.join(known)) or 'there are none'}",
        got="another name",
        fix=f"list(results.{what}) names all",
    )
