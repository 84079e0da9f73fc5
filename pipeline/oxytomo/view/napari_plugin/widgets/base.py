"""What all widgets share: the choice of a sample among the open layers, and a line for messages."""

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QDockWidget, QLabel, QMainWindow, QVBoxLayout, QWidget

from oxytomo.errors import PipelineError
from oxytomo.results.images import OpenedImage, open_image
from oxytomo.view.napari_plugin.layers import INFO

SHARED = "oxytomo_tab"
"""Property of a dock that was put among the tabs."""


class SampleWidget(QWidget):
    """A widget about one sample of those whose layers are open.

    ``use_sample`` is called when another is chosen.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.sample = QComboBox()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.column = QVBoxLayout(self)
        self.column.addWidget(self.sample)
        self.sample.currentIndexChanged.connect(lambda _: self.change_sample())
        self.viewer.layers.events.inserted.connect(self._list_samples)
        self.viewer.layers.events.removed.connect(self._list_samples)

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Share the tabs of the other widgets when docked."""
        super().showEvent(event)
        share_tabs(self)

    def folder(self) -> Path | None:
        """Return the folder of the chosen sample."""
        path = self.sample.currentData()
        return None if path is None else Path(path)

    def images(self) -> dict[str, OpenedImage]:
        """Open the images of the chosen sample that are among the layers, by branch."""
        folder, found = self.folder(), {}
        for layer in self.viewer.layers:
            info = layer.metadata.get(INFO)
            if (
                info
                and "record" in info
                and Path(info["path"]).parent == folder
                and info["kind"] not in found
            ):
                found[info["kind"]] = open_image(Path(info["path"]))
        return found

    def say(self, text: str) -> None:
        """Show a message; an empty one hides the line."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def use_sample(self) -> None:
        """Read the data of the selected sample for the widget."""
        raise NotImplementedError

    def change_sample(self) -> None:
        """Call :meth:`use_sample`; errors in the results are shown as a message."""
        try:
            self.use_sample()
        except PipelineError as error:
            self.say(str(error))

    def _list_samples(self, _event: Any = None) -> None:
        """Update the list of samples from the layers; keep the selection if possible."""
        found = {}
        for layer in self.viewer.layers:
            info = layer.metadata.get(INFO)
            if info and "record" in info:
                found[str(Path(info["path"]).parent)] = info["sample"]
        if list(found) == [self.sample.itemData(i) for i in range(self.sample.count())]:
            return
        chosen = self.sample.currentData()
        self.sample.blockSignals(True)
        self.sample.clear()
        for path, name in found.items():
            self.sample.addItem(name, path)
        self.sample.setCurrentIndex(max(0, self.sample.findData(chosen)) if found else -1)
        self.sample.blockSignals(False)
        if self.sample.currentData() != chosen:
            self.change_sample()


def share_tabs(widget: QWidget) -> None:
    """Put the dock of a widget among the tabs of this plugin's other docks, the first time it is seen.

    napari's menu stacks docks, and a stack that is higher than the screen makes the window grow.
    """
    dock = _dock_of(widget)
    window = None if dock is None else dock.parent()
    if dock is None or not isinstance(window, QMainWindow) or dock.property(SHARED):
        return
    dock.setProperty(SHARED, True)
    others = [one for one in window.findChildren(QDockWidget) if one is not dock and one.property(SHARED)]
    docked = [one for one in others if one.isVisible() and not one.isFloating()]
    if docked and not dock.isFloating() and dock not in window.tabifiedDockWidgets(docked[0]):
        window.tabifyDockWidget(docked[0], dock)
        dock.raise_()


def _dock_of(widget: QWidget) -> QDockWidget | None:
    found: Any = widget.parent()
    while found is not None and not isinstance(found, QDockWidget):
        found = found.parent()
    return found
