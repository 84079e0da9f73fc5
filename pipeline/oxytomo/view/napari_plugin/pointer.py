"""Says, in the corner of the canvas, what lies under the pointer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oxytomo.errors import PipelineError
from oxytomo.view.napari_plugin.layers import INFO
from oxytomo.view.napari_plugin.reading import PlaceReader
from oxytomo.view.napari_plugin.results import Sample


class Pointer:
    """Follows the pointer over a viewer and writes below the notes.

    Parameters
    ----------
    viewer : the viewer
    samples : the samples that are opened
    note : lines that stay in the corner
    """

    def __init__(self, viewer: Any, samples: Sequence[Sample], note: str) -> None:
        self.viewer, self.note = viewer, ""
        self.marks: dict[str, str] = {}
        self.readers: dict[Path, PlaceReader] = {}
        viewer.mouse_move_callbacks.append(self.moved)
        viewer.dims.events.ndisplay.connect(lambda _: self.say(""))
        self.add(samples, note)

    def add(self, samples: Sequence[Sample], note: str) -> None:
        """Follow more samples, which were opened in the same viewer."""
        self.note = "\n".join(part for part in (self.note, note) if part)
        for sample in samples:
            for image in sample.images:
                if image.kind == "composition":
                    self.readers[image.path.parent] = PlaceReader(image)
        self.say("")

    def moved(self, _viewer: Any, event: Any) -> None:
        """Read the place under the pointer; in 3D the first region on the line of sight."""
        reader = self._reader()
        if reader is None or len(event.position) != 3:
            self.say("")
            return
        try:
            place: Any = event.position
            if len(self.viewer.dims.displayed) == 3:
                place = reader.first(event.position, event.view_direction)
            self.say("" if place is None else reader.at(place))
        except PipelineError as error:
            self.say(str(error))

    def say(self, text: str) -> None:
        """Write the notes, and text below them."""
        overlay = self.viewer.canvas.overlays.text
        lines = "\n".join(part for part in (self.note, *self.marks.values(), text) if part)
        if overlay.text != lines:
            overlay.text = lines
        overlay.visible = bool(lines)

    def _reader(self) -> PlaceReader | None:
        """Return the reader of the sample that is seen: the one of the active layer, else the first."""
        active = self.viewer.layers.selection.active
        layers = [active] if active is not None else []
        layers += [layer for layer in self.viewer.layers if layer.visible]
        for layer in layers:
            path = layer.metadata.get(INFO, {}).get("path")
            if path is not None and (found := self.readers.get(Path(path).parent)) is not None:
                return found
        return None


def follow(viewer: Any, samples: Sequence[Sample], note: str) -> None:
    """Let the pointer of a viewer read samples; a viewer has one pointer, whatever is opened in it."""
    pointer = _pointer(viewer)
    if pointer is None:
        Pointer(viewer, samples, note)
    else:
        pointer.add(samples, note)


def mark(viewer: Any, key: str, line: str) -> None:
    """Write a line into the corner of the canvas that stays; an empty one takes it away."""
    pointer = _pointer(viewer)
    if pointer is not None:
        pointer.marks[key] = line
        pointer.say("")


def _pointer(viewer: Any) -> Pointer | None:
    owners = (getattr(callback, "__self__", None) for callback in viewer.mouse_move_callbacks)
    return next((owner for owner in owners if isinstance(owner, Pointer)), None)
