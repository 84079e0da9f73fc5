"""oxytomo: from raw frames of a cathode particle to composition, oxidation and void maps."""

from oxytomo.threads import choose_threading_layer

__all__ = ["__version__"]

choose_threading_layer()


def __getattr__(name: str) -> str:
    """Return the version, looked up when asked for: that takes longer than all other imports."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("oxytomo")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
