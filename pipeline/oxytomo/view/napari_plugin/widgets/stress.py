"""Widget: stress at another current, Young's modulus and diffusivity, without a new solution."""

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QLabel, QLineEdit, QPushButton

from oxytomo.view.napari_plugin.layers import INFO, STRESSES, channel_name
from oxytomo.view.napari_plugin.overlays import Scale
from oxytomo.view.napari_plugin.stress_model import StressModel, load_stress_model
from oxytomo.view.napari_plugin.widgets.base import SampleWidget

EXPLANATION = (
    "All stress layers of this sample are multiplied by one factor, (C / C₀) · (E / E₀) · (D₀ / D). This is exact for a constant "
    "diffusivity, small strains and a steady profile. Not changed: lithium content, shape factor, Poisson's ratio, volume "
    "strain, voids, and the files."
)
LEAST_D, MOST_D = 1e-25, 1e-6


class StressWidget(SampleWidget):
    """Current, modulus and diffusivity; the stress layers follow."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.model: StressModel | None = None
        self.c_rate, self.youngs = QDoubleSpinBox(), QDoubleSpinBox()
        self.c_rate.setRange(1e-4, 1e4)
        self.c_rate.setDecimals(4)
        self.c_rate.setSuffix(" C")
        self.youngs.setRange(0.01, 2000.0)
        self.youngs.setDecimals(2)
        self.youngs.setSuffix(" GPa")
        self.diffusivity = QLineEdit()
        self.reset = QPushButton("As in the results")
        self.follow = QCheckBox("Colours follow the stress")
        self.numbers = QLabel()
        form = QFormLayout()
        form.addRow("Current", self.c_rate)
        form.addRow("Young's modulus E", self.youngs)
        form.addRow("Diffusivity D (m²/s)", self.diffusivity)
        note = QLabel(EXPLANATION)
        self.column.addLayout(form)
        for widget in (self.reset, self.follow, self.numbers, note, self.message):
            self.column.addWidget(widget)
        for label in (self.numbers, note):
            label.setWordWrap(True)
        self.column.addStretch()
        for control in (self.c_rate, self.youngs):
            control.setKeyboardTracking(False)
            control.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            control.valueChanged.connect(lambda _: self.rescale())
        self.diffusivity.editingFinished.connect(self.rescale)
        self.follow.toggled.connect(lambda _: self.rescale())
        self.reset.clicked.connect(self.as_in_results)
        self._enable(False)
        self._list_samples()

    def use_sample(self) -> None:
        """Read the constants of the chosen sample."""
        self.model = None
        self._enable(False)
        self.numbers.clear()
        image, folder = self.images().get("mechanics"), self.folder()
        if image is None or folder is None:
            self.say("Open results of the mechanics branch.")
            return
        model = load_stress_model(folder)
        if model.in_time:
            self.say(
                "These results are of time steps, with constants that depend on lithium or with kinetics: they do not scale."
            )
            return
        self.model = model
        self._enable(True)
        self.as_in_results()

    def as_in_results(self) -> None:
        """Go back to the constants of the results."""
        if self.model is None:
            return
        for control, value in ((self.c_rate, self.model.c_rate), (self.youngs, self.model.youngs_gpa)):
            control.blockSignals(True)
            control.setValue(value)
            control.blockSignals(False)
        self.diffusivity.setText(f"{self.model.diffusivity_m2_s:g}")
        self.rescale()

    def rescale(self) -> None:
        """Multiply the stress layers, and say what that means."""
        if self.model is None:
            return
        diffusivity = self._diffusivity()
        if diffusivity is None:
            self.say(f"Diffusivity: expected a number from {LEAST_D:g} to {MOST_D:g} m²/s, such as 5e-13.")
            return
        c_rate, youngs = self.c_rate.value(), self.youngs.value()
        factor = self.model.factor(c_rate, youngs, diffusivity)
        for layer in self.layers():
            self._scale(layer, factor)
        beside, fronts = factor * self.model.beside_mpa, factor * self.model.k_over_kc
        lines = [f"Stress is × {factor:.4g} that of the results, at a depth of {self.model.depth:g}."]
        if np.isfinite(beside):
            lines.append(f"First principal stress beside the pores, 95th percentile: {beside:.4g} MPa.")
        if np.isfinite(fronts):
            lines.append(f"K_I / K_Ic along the cracks, 95th percentile: {fronts:.3g}.")
        self.numbers.setText("\n".join(lines))
        self.say("\n".join(self.model.doubts(c_rate, diffusivity)))

    def layers(self) -> list[Any]:
        """Return the stress layers of the chosen sample."""
        folder, found = self.folder(), []
        for layer in self.viewer.layers:
            info = layer.metadata.get(INFO) or {}
            own = info.get("kind") == "mechanics" and Path(info["path"]).parent == folder
            if own and info["part"] in STRESSES:
                found.append(layer)
        return found

    def _scale(self, layer: Any, factor: float) -> None:
        """Multiply one layer; its name tells the factor."""
        arrays = list(layer.data) if layer.multiscale else [layer.data]
        scale: Scale = arrays[0].scale
        info = layer.metadata[INFO]
        limits = info.setdefault("limits", tuple(layer.contrast_limits))
        base = channel_name("mechanics", info["part"])
        prefix = info.setdefault("prefix", layer.name.removesuffix(base))
        changed = abs(factor - 1) > 1e-12
        if scale.factor != factor:
            scale.factor = factor
            layer.name = f"{prefix}{base}, × {factor:.4g}" if changed else f"{prefix}{base}"
            layer.refresh(extent=False)
        wanted = tuple(limit * factor for limit in limits) if self.follow.isChecked() else limits
        layer.contrast_limits_range = tuple(3 * limit for limit in wanted)
        layer.contrast_limits = wanted

    def _diffusivity(self) -> float | None:
        try:
            value = float(self.diffusivity.text())
        except ValueError:
            return None
        return value if LEAST_D <= value <= MOST_D else None

    def _enable(self, enabled: bool) -> None:
        for control in (self.c_rate, self.youngs, self.diffusivity, self.reset, self.follow):
            control.setEnabled(enabled)
