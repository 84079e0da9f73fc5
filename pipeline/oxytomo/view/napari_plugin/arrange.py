"""How a viewer is set up when results are opened in it."""

from collections.abc import Sequence
from typing import Any

from napari.utils.notifications import show_info, show_warning

from oxytomo.view.napari_plugin.layers import grid_note, mixes_maps_and_volumes
from oxytomo.view.napari_plugin.results import Sample


def arrange(viewer: Any, samples: Sequence[Sample]) -> None:
    """Show the scale bar, and the detector axes for maps next to volumes; report problems."""
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    overlays.scale_bar.colored = False
    if mixes_maps_and_volumes(samples):
        viewer.dims.ndim = 3
        viewer.dims.order = (1, 0, 2)
    note = grid_note(samples)
    if note:
        overlays.text.text = note
        overlays.text.position = "top_left"
        overlays.text.font_size = 9
        overlays.text.visible = True
    for sample in samples:
        if sample.unfinished:
            show_warning(
                f"{sample.name}: {', '.join(sample.unfinished)} is not finished and not shown. "
                "Run the workflow again: oxytomo run CONFIG"
            )
    if len(samples) > 1:
        show_info(f"{len(samples)} samples; only {samples[0].name} is visible at first.")
