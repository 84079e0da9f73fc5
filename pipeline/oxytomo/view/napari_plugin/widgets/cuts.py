"""Widget: three orthogonal cuts through a layer; a click in one moves the others and the viewer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from oxytomo.arrays import Float64Array
from oxytomo.results.images import Levels
from oxytomo.view.napari_plugin.cuts import AXES, Volume, cut, shown_axes
from oxytomo.view.napari_plugin.layers import DEVIATION_PARTS, INFO, diverging_colors
from oxytomo.view.napari_plugin.overlays import raw_arrays
from oxytomo.view.napari_plugin.placing import COARSEST_SIDE
from oxytomo.view.napari_plugin.surfaces import chosen_level
from oxytomo.view.napari_plugin.widgets.base import share_tabs

LINE_COLOR = "#ff00cc"
ORDER = (1, 0, 2)
"""Cuts from top to bottom: across y (the beam at tilt 0), across z (the tilt axis), across x."""


class CutView(QWidget):
    """One cut with cross-hairs."""

    def __init__(self, owner: "CutsWidget", across: int) -> None:
        super().__init__()
        self.owner, self.across = owner, across
        self.picture: QImage | None = None
        self.pixels: np.ndarray | None = None
        self.setMinimumSize(80, 60)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def show_picture(self, pixels: np.ndarray) -> None:
        """Show a picture (rows, columns, 3)."""
        rows, columns = pixels.shape[:2]
        self.pixels = pixels  # Qt does not copy it
        self.picture = QImage(pixels.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self.update()

    def frame(self) -> QRectF:
        """Return where the picture is drawn: as large as it fits, with voxels of their true shape."""
        volume = self.owner.volume
        if volume is None:
            return QRectF()
        down, right = shown_axes(self.across)
        high = volume.values.shape[down] * volume.scale_nm[down]
        wide = volume.values.shape[right] * volume.scale_nm[right]
        zoom = min(self.width() / wide, self.height() / high)
        left, top = (self.width() - wide * zoom) / 2, (self.height() - high * zoom) / 2
        return QRectF(left, top, wide * zoom, high * zoom)

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the picture, the cross-hairs and the name of the cut."""
        volume = self.owner.volume
        if volume is None or self.picture is None:
            return
        painter, box = QPainter(self), self.frame()
        painter.drawImage(box, self.picture)
        painter.setPen(QPen(QColor(LINE_COLOR), 1))
        down, right = shown_axes(self.across)
        index = volume.index(self.owner.place)
        x = box.left() + (index[right] + 0.5) / volume.values.shape[right] * box.width()
        y = box.top() + (index[down] + 0.5) / volume.values.shape[down] * box.height()
        painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
        painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
        painter.setPen(QColor("white"))
        name = f"{AXES[self.across]} = {volume.place(index)[self.across]:.0f} nm   ↓ {AXES[down]}  → {AXES[right]}"
        painter.drawText(box.adjusted(4, 2, 0, 0), Qt.AlignmentFlag.AlignLeft, name)
        painter.end()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Go to the place under the pointer."""
        self.go(event.position())

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the pointer while it is dragged."""
        self.go(event.position())

    def go(self, at: QPointF) -> None:
        """Move all cuts and the viewer to a point of this widget."""
        volume, box = self.owner.volume, self.frame()
        if volume is None or box.isEmpty():
            return
        down, right = shown_axes(self.across)
        index: list[float] = list(volume.index(self.owner.place))
        index[right] = np.floor((at.x() - box.left()) / box.width() * volume.values.shape[right])
        index[down] = np.floor((at.y() - box.top()) / box.height() * volume.values.shape[down])
        inside = np.clip(index, 0, np.asarray(volume.values.shape) - 1)
        self.owner.go(volume.place(tuple(inside)))


class CutsWidget(QWidget):
    """Choice of a layer, and its three cuts through the point of the viewer's sliders."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.volume: Volume | None = None
        self.place = np.zeros(3)
        self.layer = QComboBox()
        self.note = QLabel("Click or drag in a cut: the other two and the sliders of the window follow.")
        self.note.setWordWrap(True)
        self.views = [CutView(self, across) for across in ORDER]
        column = QVBoxLayout(self)
        for widget in (self.layer, *self.views, self.note):
            column.addWidget(widget, 1 if isinstance(widget, CutView) else 0)
        self.layer.currentIndexChanged.connect(lambda _: self.use_layer())
        self.viewer.dims.events.point.connect(lambda _: self.follow())
        self.viewer.layers.events.inserted.connect(lambda _: self.list_layers())
        self.viewer.layers.events.removed.connect(lambda _: self.list_layers())
        self.list_layers()

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Share the tabs of the other widgets when docked."""
        super().showEvent(event)
        share_tabs(self)

    def list_layers(self) -> None:
        """List the volumes among the layers; keep the choice, at first that of a visible layer."""
        volumes = [layer for layer in self.viewer.layers if _is_volume(layer)]
        names = [layer.name for layer in volumes]
        chosen = self.layer.currentText()
        if chosen not in names:
            seen = [layer.name for layer in volumes if layer.visible]
            chosen = (seen or names or [""])[0]
        self.layer.blockSignals(True)
        self.layer.clear()
        self.layer.addItems(names)
        self.layer.setCurrentText(chosen)
        self.layer.blockSignals(False)
        self.use_layer()

    def use_layer(self) -> None:
        """Read the chosen layer, on a level that is small enough to keep."""
        name = self.layer.currentText()
        if name not in self.viewer.layers:
            self.volume = None
            self.setEnabled(False)
            return
        self.setEnabled(True)
        layer = self.viewer.layers[name]
        self.volume = _volume(layer)
        # In 3D the layer's own colours are see-through.
        flat = Colormap(diverging_colors()) if layer.metadata[INFO]["part"] in DEVIATION_PARTS else None
        self.colors = lambda values: (flat or layer.colormap).map(_stretched(values, layer.contrast_limits))
        self.follow()

    def follow(self) -> None:
        """Show the cuts through the point of the viewer."""
        if self.volume is None or len(self.viewer.dims.point) < 3:
            return
        self.place = np.asarray(self.viewer.dims.point[-3:], float)
        for view in self.views:
            view.show_picture(cut(self.volume, view.across, self.place, self.colors))

    def go(self, place_nm: Float64Array) -> None:
        """Move the viewer to a place; the cuts follow its sliders."""
        first = self.viewer.dims.ndim - 3
        self.viewer.dims.set_point(range(first, first + 3), tuple(map(float, place_nm)))
        self.follow()


def _is_volume(layer: Any) -> bool:
    if type(layer).__name__ != "Image" or layer.ndim != 3 or not layer.metadata.get(INFO):
        return False
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    return min(shape) > 1


def _volume(layer: Any) -> Volume:
    levels = Levels(raw_arrays(layer), tuple(layer.scale), tuple(layer.translate))
    return Volume(*chosen_level(levels, most_side=COARSEST_SIDE))


def _stretched(values: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """Return values in 0 to 1 between the limits of the colours."""
    low, high = limits
    return np.clip((values - low) / (high - low), 0.0, 1.0)
