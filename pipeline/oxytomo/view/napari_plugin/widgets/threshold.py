"""Widget: move the threshold and see classes, fractions with intervals and the null run change."""

from typing import Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QTableWidget,
    QTableWidgetItem,
)

from oxytomo.palette import PHASE_COLORS, PHASE_NAMES
from oxytomo.results.images import OpenedImage
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.view.napari_plugin.layers import INFO, LABEL_OPACITY, label_colors
from oxytomo.view.napari_plugin.threshold_model import ThresholdModel, load_threshold_model
from oxytomo.view.napari_plugin.widgets.base import SampleWidget

LIVE_NAME = "classes at this threshold"
EXPLANATION = (
    "Share of the particle's voxels; in brackets the 95 % interval. Null: a uniform particle with the same noise and processing; "
    "what it shows is not chemistry."
)


HELD = (
    "The results were made with {:.4g} %. The intervals there hold all errors; at other thresholds "
    "they hold noise alone."
)


class ThresholdWidget(SampleWidget):
    """Slider for the threshold, table of fractions, and a layer with the classes."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.model: ThresholdModel | None = None
        self.image: OpenedImage | None = None
        self.classes: np.ndarray | None = None
        self.worker: Any = None
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.percent = QDoubleSpinBox()
        self.percent.setSuffix(" %")
        self.percent.setDecimals(2)
        self.percent.setSingleStep(0.1)
        self.percent.setKeyboardTracking(False)
        self.reset = QPushButton("As in the results")
        row = QHBoxLayout()
        for part in (QLabel("Threshold ±"), self.percent, self.reset):
            row.addWidget(part)
        self.table = QTableWidget(len(CLASS_LABELS), 3)
        self.table.setHorizontalHeaderLabels(["class", "share (%)", "null (%)"])
        self.table.verticalHeader().setVisible(False)
        self.table.setMaximumHeight(150)
        note = QLabel(EXPLANATION)
        note.setWordWrap(True)
        self.column.addLayout(row)
        for widget in (self.slider, self.table, note):
            self.column.addWidget(widget)
        # The rest of the column: a wrapped text beside a stretch would be cut to a line.
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.column.addWidget(self.message, 1)
        self.slider.valueChanged.connect(self.show_threshold)
        self.percent.valueChanged.connect(self._percent_changed)
        self.reset.clicked.connect(self._reset)
        self._enable(False)
        self._list_samples()

    def use_sample(self) -> None:
        """Start reading the composition of the chosen sample; the window stays alive meanwhile."""
        self.model, self.image = None, None
        self._enable(False)
        image = self.images().get("composition")
        if image is None:
            chosen = self.sample.currentText()
            self.say(
                f"{chosen} has no composition among the layers."
                if chosen
                else "Open results with a composition."
            )
            return
        self.say("Reading deviation, noise replicates and null runs …")
        self.worker = create_worker(load_threshold_model, image, _start_thread=False)
        self.worker.returned.connect(lambda model: self.use_model(model, image))
        self.worker.errored.connect(lambda error: self.say(str(error)))
        self.worker.start()

    def use_model(self, model: ThresholdModel, image: OpenedImage) -> None:
        """Take over what was read, unless another sample was chosen meanwhile."""
        if self.folder() != image.path.parent:
            return
        self.model, self.image = model, image
        self.classes = np.zeros(model.ranks.shape, np.uint8)
        thresholds = model.counts.thresholds
        for control in (self.slider, self.percent):
            control.blockSignals(True)
        self.slider.setRange(0, thresholds.size - 1)
        self.percent.setRange(100 * thresholds[0], 100 * thresholds[-1])
        self.slider.setValue(model.start)
        for control in (self.slider, self.percent):
            control.blockSignals(False)
        self._enable(True)
        self.say("\n".join([HELD.format(100 * thresholds[model.start]), *model.missing]))
        self.show_threshold(model.start)

    def busy(self) -> bool:
        """Return True while data are being read."""
        return self.worker is not None and self.worker.is_running

    def show_threshold(self, k: int) -> None:
        """Show classes and fractions at threshold number ``k``."""
        if self.model is None or self.classes is None:
            return
        self.percent.blockSignals(True)
        self.percent.setValue(100 * self.model.counts.thresholds[k])
        self.percent.blockSignals(False)
        for number, cells in enumerate(self.model.rows(k)):
            self._fill_row(number, cells)
        self.table.resizeColumnsToContents()
        self.model.classes(k, self.classes)
        layer = self._layer()
        layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _reset(self) -> None:
        if self.model is not None:
            self.slider.setValue(self.model.start)

    def _percent_changed(self, value: float) -> None:
        if self.model is not None:
            self.slider.setValue(int(np.argmin(np.abs(self.model.counts.thresholds - value / 100))))

    def _fill_row(self, number: int, cells: tuple[str, str, str]) -> None:
        label = CLASS_LABELS[cells[0]]
        for column, text in enumerate((PHASE_NAMES[label], *cells[1:])):
            item = QTableWidgetItem(text)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            if column == 0:
                item.setBackground(QColor(*PHASE_COLORS[label][:3]))
                item.setForeground(QColor("black" if cells[0] == "target" else "white"))
            self.table.setItem(number, column, item)

    def _layer(self) -> Any:
        """Return the layer of live classes; create it if it is missing.

        The exported classes are hidden then.
        """
        for layer in self.viewer.layers:
            if layer.data is self.classes:
                return layer
        assert self.image is not None
        place = len(self.viewer.layers)
        for layer in list(self.viewer.layers):
            info = layer.metadata.get(INFO, {})
            if info.get("part") == "live":
                self.viewer.layers.remove(layer)
            elif info.get("part") == "phases" and info.get("path") == str(self.image.path):
                layer.visible = False
                place = self.viewer.layers.index(layer) + 1
        grid, active = self.image.grid, self.viewer.layers.selection.active
        layer = self.viewer.add_labels(
            self.classes,
            name=LIVE_NAME,
            scale=grid.scale_nm,
            translate=grid.translate_nm,
            units=("nm",) * 3,
            opacity=LABEL_OPACITY,
            colormap=label_colors(PHASE_COLORS),
            metadata={INFO: {"part": "live", "path": str(self.image.path)}},
        )
        self.viewer.layers.move(len(self.viewer.layers) - 1, place)
        self.viewer.layers.selection.active = active
        return layer

    def _enable(self, enabled: bool) -> None:
        for control in (self.slider, self.percent, self.reset, self.table):
            control.setEnabled(enabled)
