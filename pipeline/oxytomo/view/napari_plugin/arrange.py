"""How a viewer is set up when results are opened in it."""

from collections.abc import Sequence
from typing import Any

from napari.utils.notifications import show_info, show_warning

from oxytomo.view.napari_plugin.dimensions import Dimensions
from oxytomo.view.napari_plugin.layers import (
    DEVIATION_PARTS,
    INFO,
    STRESSES,
    grid_note,
    mixes_maps_and_volumes,
)
from oxytomo.view.napari_plugin.pointer import follow
from oxytomo.view.napari_plugin.results import Sample


def arrange(viewer: Any, samples: Sequence[Sample]) -> None:
    """Set up a viewer for samples that are about to be opened in it.

    Scale bar and colour bar are shown, the detector axes for maps next to volumes, surfaces in 3D,
    and what lies under the pointer. Problems are reported.
    """
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    overlays.scale_bar.colored = False
    if mixes_maps_and_volumes(samples):
        viewer.dims.ndim = 3
        viewer.dims.order = (1, 0, 2)
    overlays.text.position = "top_left"
    overlays.text.font_size = 9
    viewer.layers.events.inserted.connect(_show_color_bar)
    Dimensions(viewer, samples)
    follow(viewer, samples, grid_note(samples))
    for sample in samples:
        if sample.unfinished:
            show_warning(
                f"{sample.name}: {', '.join(sample.unfinished)} is not finished and not shown. "
                "Run the workflow again: oxytomo run CONFIG"
            )
        for path in sample.aside:
            show_info(f"{sample.name}: the axes of {path.name} are energies; open it alone.")
    if len(samples) > 1:
        show_info(f"{len(samples)} samples; only {samples[0].name} is visible at first.")


def _show_color_bar(event: Any) -> None:
    """Give a deviation or a stress its colour bar; napari draws it while the layer is visible."""
    if event.value.metadata.get(INFO, {}).get("part") in (*DEVIATION_PARTS, *STRESSES):
        event.value.colorbar.position = "bottom_left"
        event.value.colorbar.visible = True
