"""Stress that is scaled in the window, and maps whose axes are energies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_tools import settle

from oxytomo.export.ngff import Channel
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.io.provenance import make_provenance

SIDE = 20
TITLES = ("emission (eV)", "excitation (eV)")
STRESS = ("first_principal", "von_mises")


def image(path: Path, channels: dict[str, np.ndarray], axes: tuple[str, ...], **attributes: Any) -> None:
    raw = path.parent / "raw.bin"
    raw.write_bytes(b"raw")
    provenance = make_provenance("made", 1, {}, {"raw": raw})
    write_image(
        path,
        [Channel(name, data, "FFFFFF", window(data)) for name, data in channels.items()],
        name=path.parent.name,
        axes=axes,
        voxel_nm=attributes.pop("voxel_nm"),
        labels=[],
        ngff="0.5",
        chunk=16,
        shard=16,
        levels=1,
        threads=1,
        attributes=provenance_attributes(
            provenance, sample=path.parent.name, units=dict.fromkeys(channels, "1"), **attributes
        ),
    )


def window(data: np.ndarray) -> tuple[float, float]:
    limit = float(np.nanmax(np.abs(data)))
    return -limit, limit


def with_stress(folder: Path, *, in_time: bool = False) -> Path:
    """Write the stress of a ball: 10 MPa per voxel of x, from −95 to +95."""
    folder.mkdir(parents=True)
    z, y, x = np.indices((SIDE,) * 3) - (SIDE - 1) / 2
    stress = np.where(z**2 + y**2 + x**2 < 81, 10.0 * x, np.nan).astype(np.float32)
    channels = {"lithium": np.abs(stress) / 100, "first_principal": stress, "von_mises": np.abs(stress)}
    image(
        folder / "mechanics.ome.zarr", channels, ("c", "z", "y", "x"), voxel_nm=100.0, kind="mechanics",
        c_rate=10.0, depth=0.2, amplitude_mpa=1.0,
    )  # fmt: skip
    facts = {
        "in_time": in_time,
        "material": {"youngs_gpa": 140.0, "diffusivity_m2_s": 5e-13},
        "radius_nm": 900.0,
        # The profile is steady: τ is written as null. D t / R² is 0.9
        "shown": {"c_rate": 10.0, "depth": 0.2, "tau": None, "time_s": 0.9 * 0.81e-12 / 5e-13},
        "rates": [{"c_rate": 0.1, "a": 0.004}, {"c_rate": 10.0, "a": 0.4}],
        "stress": {"first_principal_p95_mpa": 80.0},
        "cracks": {"k_over_kc_p95": 0.5},
    }
    (folder / "mechanics.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def with_maps(folder: Path) -> Path:
    """Write a map of 0.5 eV pixels: one bright point at an excitation of 531 and an emission of 524 eV."""
    folder.mkdir(parents=True, exist_ok=True)
    data = np.ones((40, 60), np.float32)
    data[4, 28] = 50.0
    energies = {
        "y": {"name": "excitation", "first": 529.0},
        "x": {"name": "emission", "first": 510.0},
        "step": 0.5,
    }
    image(
        folder / "scattering.ome.zarr", {"O_after": data, "O_after − O_before": data - 20}, ("c", "y", "x"),
        voxel_nm=0.5, kind="scattering", axes_of_energy=energies,
    )  # fmt: skip
    return folder


def opened(path: Path) -> Any:
    import napari
    import npe2

    npe2.PluginManager.instance().discover()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 900)
    viewer.open(str(path), plugin="oxytomo")
    viewer.reset_view()
    settle()
    return viewer


@pytest.fixture(scope="module")
def stressed(display: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    viewer = opened(with_stress(tmp_path_factory.mktemp("stress") / "ball"))
    _, widget = viewer.window.add_plugin_dock_widget("oxytomo", "Stress")
    settle()
    yield viewer, widget
    viewer.close()


def values(viewer: Any, part: str) -> np.ndarray:
    (layer,) = [one for one in viewer.layers if one.metadata["oxytomo"]["part"] == part]
    data = layer.data[0] if layer.multiscale else layer.data
    return np.asarray(data)


def test_stress_layers_are_multiplied_live(stressed: tuple[Any, Any]) -> None:
    """σ ∝ C E / D: every stress layer, nothing else."""
    viewer, widget = stressed
    before = {part: values(viewer, part).copy() for part in (*STRESS, "lithium")}
    assert np.nanmax(before["first_principal"]) == pytest.approx(85.0)
    limits = viewer.layers["first principal stress (MPa)"].contrast_limits
    dims = viewer.screenshot(canvas_only=True, flash=False)
    widget.c_rate.setValue(1.0)
    widget.youngs.setValue(280.0)
    widget.diffusivity.setText("2.5e-13")
    widget.diffusivity.editingFinished.emit()
    settle()
    # (1 / 10) · (280 / 140) · (5 / 2.5)
    for part in STRESS:
        np.testing.assert_allclose(values(viewer, part), 0.4 * before[part], rtol=1e-6)
    np.testing.assert_array_equal(values(viewer, "lithium"), before["lithium"])
    layer = viewer.layers["first principal stress (MPa), × 0.4"]
    assert layer.contrast_limits == pytest.approx(limits)
    assert "× 0.4 that of the results" in widget.numbers.text()
    assert "32 MPa" in widget.numbers.text()
    assert "0.2" in widget.numbers.text().splitlines()[-1]
    assert not widget.message.isVisible()
    shown = viewer.screenshot(canvas_only=True, flash=False)
    assert np.abs(shown.astype(int) - dims).max() > 40, "the picture follows"
    widget.follow.setChecked(True)
    assert layer.contrast_limits == pytest.approx([0.4 * limit for limit in limits])
    widget.reset.click()
    widget.follow.setChecked(False)
    settle()
    np.testing.assert_array_equal(values(viewer, "first_principal"), before["first_principal"])
    assert "first principal stress (MPa)" in viewer.layers


def test_what_cannot_be_scaled_is_said(stressed: tuple[Any, Any]) -> None:
    _, widget = stressed
    widget.reset.click()
    widget.c_rate.setValue(100.0)
    # D t / R² of the same depth is ten times shorter, and A ten times larger
    assert "would not be steady" in widget.message.text()
    assert "A = 4" in widget.message.text()
    widget.reset.click()
    widget.diffusivity.setText("fast")
    widget.diffusivity.editingFinished.emit()
    assert "expected a number" in widget.message.text()
    assert "× 1 that" in widget.numbers.text()
    widget.reset.click()
    assert not widget.message.isVisible()


def test_results_of_time_steps_are_not_scaled(display: dict[str, str], tmp_path: Path) -> None:
    viewer = opened(with_stress(tmp_path / "ball", in_time=True))
    _, widget = viewer.window.add_plugin_dock_widget("oxytomo", "Stress")
    settle()
    assert "time steps" in widget.message.text()
    assert not widget.c_rate.isEnabled()
    viewer.close()


def test_maps_are_drawn_over_energies(display: dict[str, str], tmp_path: Path) -> None:
    """A sample of maps alone opens as maps; the bright point is where its energies are."""
    viewer = opened(with_maps(tmp_path / "electrode"))
    layer = viewer.layers["O_after"]
    assert [str(unit) for unit in layer.units] == ["electron_volt"] * 2
    assert layer.axis_labels == ("excitation", "emission")
    assert layer.get_value((531.0, 524.0), world=True) == 50.0
    assert layer.get_value((530.0, 524.0), world=True) == 1.0
    assert [one.name for one in viewer.layers if one.visible] == ["O_after", "energies (eV)"]
    ticks = viewer.layers["energies (eV)"]
    # 20 eV of excitations from 528.75 and 30 eV of emission from 509.75
    assert list(ticks.text.values) == [
        *map(str, (530, 535, 540, 545)),
        *map(str, range(510, 540, 5)),
        *TITLES,
    ]
    assert ticks.data[0][0] == 530.0
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 5
    viewer.close()


def test_maps_are_not_mixed_with_images_in_space(display: dict[str, str], tmp_path: Path) -> None:
    folder = with_maps(with_stress(tmp_path / "both"))
    viewer = opened(folder)
    assert {one.metadata["oxytomo"]["kind"] for one in viewer.layers} == {"mechanics"}
    viewer.close()
