"""Packages that only some results need, imported on demand."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oxytomo.errors import InputError, MissingPackageError, PipelineError


@contextmanager
def any_error_of(package: str, path: Path) -> Iterator[None]:
    """Convert any exception of a package for a damaged file to one line.

    The package's own errors have no common base class.

    Memory errors are left to the caller.
    """
    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except Exception as error:
        reason = "".join(sign if sign.isprintable() else " " for sign in str(error))
        raise InputError(
            str(path),
            expected=f"a file that {package} reads",
            got=f"{type(error).__name__}: {' '.join(reason.split())[:200]}",
            fix="copy the file again from its source; it is truncated, damaged or of a version that is not known",
        ) from error


def optional_package(package: str, *, what: str, extra: str) -> Any:
    """Return an imported package.

    Parameters
    ----------
    package : its name
    what : the feature that needs it, for the message
    extra : the extra of this distribution that installs it

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(
            what,
            expected=f"the package {package}",
            got="it is not installed",
            fix=f"pip install 'oxytomo[{extra}]'",
        ) from error
