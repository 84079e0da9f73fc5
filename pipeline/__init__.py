"""oxytomo: from raw frames of a cathode particle to composition, oxidation and void maps."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("oxytomo")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
