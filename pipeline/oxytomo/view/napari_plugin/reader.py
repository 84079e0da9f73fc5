"""The reader that napari calls for a file or folder that is opened or dropped."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from oxytomo.view.napari_plugin.layers import LayerTuple, sample_layers
from oxytomo.view.napari_plugin.results import find_samples, is_ours

Paths = str | Sequence[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerTuple]] | None:
    """Return the reader for results of this package, None for anything else."""
    return read_results if all(is_ours(Path(one)) for one in _as_list(path)) else None


def read_results(path: Paths) -> list[LayerTuple]:
    """Return the layers at one or several paths, and set up the open viewer for them."""
    samples = [sample for one in _as_list(path) for sample in find_samples(Path(one))]
    layers = sample_layers(samples)
    viewer = _current_viewer()
    if viewer is not None:
        from oxytomo.view.napari_plugin.arrange import arrange

        arrange(viewer, samples)
    return layers


def _as_list(path: Paths) -> list[str]:
    return [str(path)] if isinstance(path, str | Path) else [str(one) for one in path]


def _current_viewer() -> Any:
    """Return the current napari viewer; None if layers are read without a window."""
    import napari

    return napari.current_viewer()
