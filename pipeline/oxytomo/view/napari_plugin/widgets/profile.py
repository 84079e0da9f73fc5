"""Widget: the profile of a layer along a drawn line or of a table over shells, with export."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QHBoxLayout, QPushButton

from oxytomo.errors import InputError, PipelineError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.view.napari_plugin.layers import INFO
from oxytomo.view.napari_plugin.overlays import raw_arrays, watch_scale
from oxytomo.view.napari_plugin.profiles import (
    Place,
    Profile,
    draw_profile,
    line_profile,
    shell_choices,
    write_profile,
)
from oxytomo.view.napari_plugin.widgets.base import SampleWidget
from oxytomo.view.style import PNG_DPI

LINE_NAME = "profile line"
LINE = "along the drawn line"
LINE_COLOR = "#ff00cc"


class ProfileWidget(SampleWidget):
    """Choice of line or shells, choice of layer, plot, export."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.profile: Profile | None = None
        self.what, self.layer = QComboBox(), QComboBox()
        self.draw, self.save_csv, self.save_png = (
            QPushButton(text) for text in ("Draw a line", "Save CSV", "Save PNG")
        )
        self.figure = Figure(figsize=(4.2, 3.2), layout="constrained", facecolor="white")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumHeight(260)
        form = QFormLayout()
        form.addRow("show", self.what)
        form.addRow("layer", self.layer)
        buttons = QHBoxLayout()
        for button in (self.draw, self.save_csv, self.save_png):
            buttons.addWidget(button)
        self.column.addLayout(form)
        self.column.addWidget(self.canvas)
        self.column.addLayout(buttons)
        self.column.addWidget(self.message)
        for choice in (self.what, self.layer):
            choice.currentIndexChanged.connect(lambda _: self.plot())
        self.draw.clicked.connect(self.start_line)
        self.save_csv.clicked.connect(lambda: self._ask_and_save("CSV (*.csv)"))
        self.save_png.clicked.connect(lambda: self._ask_and_save("PNG (*.png)"))
        self._list_samples()

    def use_sample(self) -> None:
        """List what can be plotted of the chosen sample."""
        folder = self.folder()
        names = [
            layer.name
            for layer in self.viewer.layers
            if layer.metadata.get(INFO, {}).get("unit")
            and type(layer).__name__ == "Image"
            and self._own(layer)
        ]
        shells = [] if folder is None else [f"{name} over shells" for name in shell_choices(folder)]
        for choice, entries in ((self.what, [LINE, *shells]), (self.layer, names)):
            choice.blockSignals(True)
            choice.clear()
            choice.addItems(entries)
            choice.blockSignals(False)
        visible = [name for name in names if self.viewer.layers[name].visible]
        if visible:
            self.layer.setCurrentText(visible[0])
        self.plot()

    def start_line(self) -> None:
        """Let the user draw a line in the plane that is shown; the plot follows it."""
        shapes = self._lines()
        if shapes is None:
            dims = self.viewer.dims
            # With the finest step of the layers the slider keeps its steps.
            shapes = self.viewer.add_shapes(
                ndim=dims.ndim,
                name=LINE_NAME,
                scale=(min(axis.step for axis in dims.range),) * dims.ndim,
                units=("nm",) * dims.ndim,
                edge_color=LINE_COLOR,
                edge_width=1.0,
            )
            shapes.events.data.connect(lambda _: self.plot())
        self.viewer.layers.selection.active = shapes
        if len(self.viewer.dims.displayed) == 2:
            shapes.mode = "add_line"
        self.what.setCurrentText(LINE)

    def plot(self) -> None:
        """Plot the selection; missing data are shown as a message."""
        self.figure.clear()
        self.profile = None
        self.layer.setEnabled(self.what.currentText() == LINE)
        try:
            self.profile = self._profile()
        except PipelineError as error:
            self.say(str(error))
        if self.profile is not None:
            draw_profile(self.figure, self.profile)
            self.say("")
        self.canvas.draw_idle()
        for button in (self.save_csv, self.save_png):
            button.setEnabled(self.profile is not None)

    def save(self, path: Path) -> None:
        """Write the profile as a table, or for ``.png`` its plot."""
        if self.profile is None:
            return
        if path.suffix.lower() == ".png":
            with complete_or_absent(path) as partial:
                self.figure.savefig(partial, format="png", dpi=PNG_DPI)
        else:
            write_profile(path, self.profile)
        self.say(f"Written: {path}")

    def _profile(self) -> Profile | None:
        folder, what = self.folder(), self.what.currentText()
        if folder is None:
            self.say("Open the results of a sample.")
            return None
        if what != LINE:
            return shell_choices(folder)[what.removesuffix(" over shells")]()
        shapes = self._lines()
        if shapes is None or len(shapes.data) == 0:
            self.say("Press “Draw a line”, then drag across the particle.")
            return None
        points = np.asarray(shapes.data[-1], float) * shapes.scale + shapes.translate
        layer = self.viewer.layers[self.layer.currentText()]
        if points.shape[1] != layer.ndim:
            raise InputError(
                layer.name,
                expected=f"a line with {layer.ndim} axes",
                got=f"{points.shape[1]}",
                fix="draw it again",
            )
        info = layer.metadata[INFO]
        watch_scale(layer, self.plot)
        sigma = self._sigma(info) if info["part"] == "tm_o_deviation" else None
        quantity = f"{layer.name} ({info['unit']})"
        return line_profile(points, {layer.name: _place(layer)}, quantity=quantity, sigma=sigma)

    def _sigma(self, info: dict[str, Any]) -> Place | None:
        for layer in self.viewer.layers:
            other = layer.metadata.get(INFO, {})
            if other.get("part") == "tm_o_deviation_sigma" and other.get("path") == info["path"]:
                return _place(layer)
        return None

    def _lines(self) -> Any:
        return next((layer for layer in self.viewer.layers if layer.name == LINE_NAME), None)

    def _own(self, layer: Any) -> bool:
        return Path(layer.metadata[INFO]["path"]).parent == self.folder()

    def _ask_and_save(self, kind: str) -> None:
        suffix = ".png" if "png" in kind else ".csv"
        name, _ = QFileDialog.getSaveFileName(self, "Save the profile", f"profile{suffix}", kind)
        if not name:
            return
        try:
            self.save(Path(name).with_suffix(suffix))
        except PipelineError as error:
            self.say(str(error))


def _place(layer: Any) -> Place:
    return Place(raw_arrays(layer), tuple(layer.scale), tuple(layer.translate))
