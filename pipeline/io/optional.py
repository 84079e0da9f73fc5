"""Packages that only some results need, imported when they are asked for."""

import importlib
from typing import Any

from pipeline.errors import MissingPackageError


def optional_package(package: str, *, what: str, extra: str) -> Any:
    """Return an imported package.

    Parameters
    ----------
    package : its name
    what : what needs it, for the message
    extra : the extra of this distribution that installs it

    Raises
    ------
    MissingPackageError
        It is not installed.
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
