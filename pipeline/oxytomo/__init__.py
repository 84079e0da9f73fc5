"""oxytomo: from raw frames of a cathode particle to composition, oxidation and void maps.

The public library: the names below take NumPy or xarray arrays and use the defaults of the settings
of ``oxytomo run``. They are imported on first use, so that ``import oxytomo`` stays fast.
"""

from typing import TYPE_CHECKING, Any

from oxytomo.threads import choose_threading_layer

if TYPE_CHECKING:
    from oxytomo.arrays import TiltSeries
    from oxytomo.errors import PipelineError
    from oxytomo.library.alignment import align_series
    from oxytomo.library.composition import decompose, reconstruct_deviation
    from oxytomo.library.oxidation import fit_valence
    from oxytomo.library.projections import normalize
    from oxytomo.library.reading import read_series, read_spectrum, read_stack, read_volume
    from oxytomo.library.reconstruction import fbp, project, sirt, tv
    from oxytomo.library.simulation import (
        simulate_particle,
        simulate_stack,
        simulate_tilt_series,
        simulate_voids,
    )
    from oxytomo.library.stacks import normalize_stack, register_stack
    from oxytomo.library.structure import measure_voids, segment_voids
    from oxytomo.results import collect, open_results

    __version__: str

__all__ = [
    "PipelineError",
    "TiltSeries",
    "__version__",
    "align_series",
    "collect",
    "decompose",
    "fbp",
    "fit_valence",
    "measure_voids",
    "normalize",
    "normalize_stack",
    "open_results",
    "project",
    "read_series",
    "read_spectrum",
    "read_stack",
    "read_volume",
    "reconstruct_deviation",
    "register_stack",
    "segment_voids",
    "simulate_particle",
    "simulate_stack",
    "simulate_tilt_series",
    "simulate_voids",
    "sirt",
    "tv",
]

_HOMES = {
    "arrays": ("TiltSeries",),
    "errors": ("PipelineError",),
    "library.alignment": ("align_series",),
    "library.composition": ("decompose", "reconstruct_deviation"),
    "library.oxidation": ("fit_valence",),
    "library.projections": ("normalize",),
    "library.reading": ("read_series", "read_spectrum", "read_stack", "read_volume"),
    "library.reconstruction": ("fbp", "project", "sirt", "tv"),
    "library.simulation": ("simulate_particle", "simulate_stack", "simulate_tilt_series", "simulate_voids"),
    "library.stacks": ("normalize_stack", "register_stack"),
    "library.structure": ("measure_voids", "segment_voids"),
    "results": ("collect", "open_results"),
}
_MODULE_OF = {name: f"oxytomo.{module}" for module, names in _HOMES.items() for name in names}

choose_threading_layer()


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        value: Any = _version()
    elif name in _MODULE_OF:
        from importlib import import_module

        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        message = f"module 'oxytomo' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("oxytomo")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
