"""Widget: table of domains, pores and cracks.

A selected row is centred and outlined, a click selects its row.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QTableView,
)

from oxytomo.view.napari_plugin.layers import INFO
from oxytomo.view.napari_plugin.object_table import (
    COLUMNS,
    Filter,
    Objects,
    centre_of,
    load_objects,
    source_of,
)
from oxytomo.view.napari_plugin.widgets.base import SampleWidget

HIGHLIGHT_NAME = "selected object"
HIGHLIGHT_COLOR = (1.0, 0.0, 0.8, 1.0)
ALL = "all"
HEADERS = {
    "size_nm": "size (nm)",
    "volume_nm3": "volume (nm³)",
    "depth_nm": "depth (nm)",
    "touches_surface": "at surface",
}


class ObjectsModel(QAbstractTableModel):
    """The rows of :class:`Objects` as Qt wants them."""

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self.objects = objects

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of objects."""
        return len(self.objects.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of columns."""
        return len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell as text, or as its value for sorting."""
        value = self.objects.rows[index.row()].cells()[index.column()]
        if role == Qt.ItemDataRole.UserRole:
            return value
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.4g}" if isinstance(value, float) else str(value).replace("_", "-")

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the heading of a column."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return HEADERS.get(COLUMNS[section], COLUMNS[section])


class ObjectsProxy(QSortFilterProxyModel):
    """Sorting by value, and the rows that a :class:`Filter` accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = Filter()
        self.setSortRole(Qt.ItemDataRole.UserRole)

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:  # noqa: N802 - Qt's name
        """Return True if a row is shown."""
        source = self.sourceModel()
        return isinstance(source, ObjectsModel) and self.wanted.accepts(source.objects.rows[row])


class ObjectsWidget(SampleWidget):
    """Table with filters; follows and leads the canvas."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.objects: Objects | None = None
        self.centres = True
        self.drawn: tuple[Any, tuple[slice, ...]] | None = None
        self.proxy = ObjectsProxy()
        self.table = QTableView()
        self.table.setModel(self.proxy)
        self.table.setSortingEnabled(True)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().setVisible(False)
        self.kind, self.class_name = QComboBox(), QComboBox()
        self.size, self.depth = (_Range(self._filter) for _ in range(2))
        form = QFormLayout()
        rows = (
            ("kind", self.kind),
            ("class", self.class_name),
            ("size (nm)", self.size),
            ("depth (nm)", self.depth),
        )
        for name, field in rows:
            form.addRow(name, field)
        self.column.addLayout(form)
        self.column.addWidget(self.table)
        self.column.addWidget(self.message)
        for choice in (self.kind, self.class_name):
            choice.currentIndexChanged.connect(lambda _: self._filter())
        self.table.selectionModel().currentRowChanged.connect(lambda now, _: self._select(now))
        self.viewer.mouse_drag_callbacks.append(self._clicked)
        self._list_samples()

    def use_sample(self) -> None:
        """Read the tables of the chosen sample."""
        self._erase()
        self.objects = None
        self.proxy.setSourceModel(None)
        folder = self.folder()
        if folder is None:
            self.say("Open the results of a sample.")
            return
        self.objects = load_objects(folder, self.images())
        for key in self.objects.sources:
            self._drawing(key)
        self.proxy.setSourceModel(ObjectsModel(self.objects))
        for choice, values in (
            (self.kind, {row.kind for row in self.objects.rows}),
            (self.class_name, {row.class_name for row in self.objects.rows}),
        ):
            choice.blockSignals(True)
            choice.clear()
            choice.addItems([ALL, *sorted(values)])
            choice.blockSignals(False)
        self.size.span(max(row.size_nm for row in self.objects.rows))
        self.depth.span(max(row.depth_nm for row in self.objects.rows))
        self._filter()
        self.table.resizeColumnsToContents()
        self.say("\n".join(self.objects.missing))

    def select_row(self, row: int, *, centre: bool = True) -> None:
        """Select object ``row`` of :attr:`objects` in the table, which outlines and centres it."""
        self.centres = centre
        index = self.proxy.mapFromSource(self.proxy.sourceModel().index(row, 0))
        self.table.setCurrentIndex(index)
        self.table.scrollTo(index)
        self.centres = True

    def shown(self) -> np.ndarray:
        """Return which objects the filters let through."""
        assert self.objects is not None
        return np.array([self.proxy.wanted.accepts(row) for row in self.objects.rows], bool)

    def _filter(self) -> None:
        def chosen(choice: QComboBox) -> frozenset[str]:
            return frozenset() if choice.currentText() in ("", ALL) else frozenset([choice.currentText()])

        self.proxy.wanted = Filter(
            chosen(self.kind), chosen(self.class_name), self.size.limits(), self.depth.limits()
        )
        self.proxy.invalidate()

    def _select(self, index: QModelIndex) -> None:
        """Centre the view on an object and outline its voxels."""
        if self.objects is None or not index.isValid():
            return
        row = self.objects.rows[self.proxy.mapToSource(index).row()]
        key = source_of(row)
        source = self.objects.sources.get(key)
        box = None if source is None else source.box(row.label)
        changed = self._erase()
        if source is not None and box is not None:
            drawn = self._drawing(key)
            drawn.data[box] = source.outline(row.label, box)
            self.drawn = drawn, box
            changed.append(drawn)
        if self.centres:
            centre = centre_of(row, source)
            self.viewer.dims.point = tuple(centre)
            self.viewer.scene.camera.center = tuple(centre[list(self.viewer.dims.displayed)])
        for layer in changed:
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _erase(self) -> list[Any]:
        """Take the last outline away; returns the layer it was in."""
        if self.drawn is None:
            return []
        layer, box = self.drawn
        layer.data[box] = 0
        self.drawn = None
        return [layer]

    def _drawing(self, key: str) -> Any:
        """Return the layer for outlines on the grid of a source, empty when it is made.

        It is as large as the grid: changing voxels is several times faster than changing the size
        and place of a layer.
        """
        assert self.objects is not None
        source = self.objects.sources[key]
        info = {"part": "highlight", "source": key, "path": str(self.folder())}
        for layer in self.viewer.layers:
            if layer.metadata.get(INFO) == info:
                return layer
        active = self.viewer.layers.selection.active
        layer = self.viewer.add_labels(
            np.zeros(source.labels.shape, np.uint8),
            name=f"{HIGHLIGHT_NAME} ({key})",
            scale=source.scale_nm,
            translate=source.translate_nm,
            units=("nm",) * 3,
            colormap={None: (0.0, 0.0, 0.0, 0.0), 1: HIGHLIGHT_COLOR},
            opacity=1.0,
            metadata={INFO: info},
        )
        self.viewer.layers.selection.active = active
        return layer

    def _clicked(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Select the row of the object under a click while the table is seen.

        A drag is left to the camera.
        """
        yield
        moved = False
        while event.type == "mouse_move":
            moved = True
            yield
        if (
            moved
            or not self.isVisible()
            or self.objects is None
            or len(event.position) != 3
            or not self.objects.rows
        ):
            return
        if len(self.viewer.dims.displayed) == 3:
            row = self.objects.along(event.position, event.view_direction, self.shown())
        else:
            row = self.objects.at(event.position, self.shown())
        if row is not None:
            self.select_row(row, centre=False)


class _Range(QHBoxLayout):
    """Two numbers, from and to."""

    def __init__(self, changed: Any) -> None:
        super().__init__()
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for part in (self.low, QLabel("to"), self.high):
            self.addWidget(part)
        for box in (self.low, self.high):
            box.setDecimals(0)
            box.valueChanged.connect(lambda _: changed())

    def span(self, largest: float) -> None:
        """Set the range to everything."""
        for box, value in ((self.low, 0.0), (self.high, float(np.ceil(largest)))):
            box.blockSignals(True)
            box.setRange(0.0, float(np.ceil(largest)))
            box.setValue(value)
            box.blockSignals(False)

    def limits(self) -> tuple[float, float]:
        """Return both numbers."""
        return self.low.value(), self.high.value()
