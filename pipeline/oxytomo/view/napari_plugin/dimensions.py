"""What changes when a viewer goes from slices to 3D and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oxytomo.results.images import OpenedImage
from oxytomo.view.napari_plugin.layers import (
    DEVIATION_COLORS,
    DEVIATION_PARTS,
    INFO,
    diverging_colors,
    see_through_colors,
)
from oxytomo.view.napari_plugin.placing import COARSEST_SIDE
from oxytomo.view.napari_plugin.results import Sample
from oxytomo.view.napari_plugin.surfaces import class_surfaces

FLAT_PARTS = ("phases", "phases_confident", "live", "tm_o_deviation")
"""Layers that are hidden in 3D: labels of the target hide all that is inside the particle, and the
deviation is drawn as surfaces of its classes. Whoever wants to see them turns them on."""
SURFACE = "surface"


class Dimensions:
    """Shows surfaces of the classes in 3D, and in slices what was visible before.

    Parameters
    ----------
    viewer : the viewer; the object listens to its number of dimensions
    samples : the samples that are opened
    """

    def __init__(self, viewer: Any, samples: Sequence[Sample]) -> None:
        self.viewer = viewer
        self.images = [i for sample in samples for i in sample.images if i.kind == "composition"]
        self.hidden: list[Any] = []
        self.made: set[Path] = set()
        # A bound method would be forgotten: napari holds it by a weak reference only.
        viewer.dims.events.ndisplay.connect(lambda _: self.changed())

    def changed(self) -> None:
        """Adapt the layers to the number of dimensions that is shown."""
        solid = self.viewer.dims.ndisplay == 3
        self._recolor(solid=solid)
        own = {str(image.path) for image in self.images}
        if solid:
            self.hidden = [
                layer
                for layer in self._ours(own)
                if layer.visible and layer.metadata[INFO].get("part") in FLAT_PARTS
            ]
            for image in self.images:
                seen = any(layer.metadata[INFO]["path"] == str(image.path) for layer in self.hidden)
                self._show_surfaces(image, visible=seen)
            for layer in self.hidden:
                layer.visible = False
            return
        for layer in self._ours(own):
            if layer.metadata[INFO].get("part") == SURFACE:
                layer.visible = False
        for layer in self.hidden:
            layer.visible = True
        self.hidden = []

    def _ours(self, paths: set[str]) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.metadata.get(INFO, {}).get("path") in paths]

    def _recolor(self, *, solid: bool) -> None:
        """Give deviations colours that are transparent at 0 in 3D, and opaque ones in slices."""
        from napari.utils.colormaps import Colormap

        for layer in self.viewer.layers:
            part = layer.metadata.get(INFO, {}).get("part")
            if part in DEVIATION_PARTS and layer.colormap.name.startswith(DEVIATION_COLORS):
                name = f"{DEVIATION_COLORS} (3D)" if solid else DEVIATION_COLORS
                layer.colormap = Colormap(see_through_colors() if solid else diverging_colors(), name=name)

    def _show_surfaces(self, image: OpenedImage, *, visible: bool) -> None:
        """Show the surfaces of a composition; they are computed the first time."""
        own = [
            layer for layer in self._ours({str(image.path)}) if layer.metadata[INFO].get("part") == SURFACE
        ]
        for layer in own:
            layer.visible = visible
        if own or not visible:
            return
        active = self.viewer.layers.selection.active
        info = {"part": SURFACE, "path": str(image.path)}
        many = len(self.images) > 1
        for arguments in class_surfaces(image, most_side=COARSEST_SIDE):
            prefix = f"{image.sample}: " if many else ""
            name = prefix + arguments.pop("name")
            self.viewer.add_surface(**arguments, name=name, metadata={INFO: info})
        self.viewer.layers.selection.active = active
