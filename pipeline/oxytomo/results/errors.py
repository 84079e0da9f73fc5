"""One line for results that this version did not write, and for names that do not exist."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from oxytomo.errors import PipelineError, StoreError
from oxytomo.io.plain_files import printable

UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, StopIteration)
"""What code raises that meets other numbers than it was written for."""


class NoSuchResultError(PipelineError, KeyError):
    """A name that is not among the arrays, tables, numbers or definitions of a sample."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def numbers_of(paths: Mapping[str, Path], branch: str) -> Iterator[None]:
    """Turn what the numbers of a branch lack, or hold in another form, into one line.

    Raises
    ------
    StoreError
        Names the files of the branch in which it must be.
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
    """Return the error for a name that is not there."""
    return NoSuchResultError(
        printable(name)[:80],
        expected=f"one of the {what} of this sample: {printable(', '.join(known)) or 'there are none'}",
        got="another name",
        fix=f"list(results.{what}) names all",
    )
