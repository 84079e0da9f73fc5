"""The plugin in a real napari: what is seen where, and what the widgets do to it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_tools import canvas_pixel, color_at, settle
from PIL import Image
from plugin_results import CRACK_Z, FINE_NM, POOR, PORE, RICH, VOXEL_NM, WEAK

from oxytomo.io.tables import read_csv
from oxytomo.palette import OXYGEN_POOR, PHASE_COLORS, VOID_COLORS

MAGENTA = np.array([255, 0, 204])


def nm(index: tuple[int, int, int], voxel_nm: float = VOXEL_NM) -> tuple[float, ...]:
    return tuple(i * voxel_nm for i in index)


def look_at(viewer: Any, place_nm: tuple[float, ...]) -> None:
    viewer.dims.set_point(range(3), place_nm)


def only(viewer: Any, *names: str) -> None:
    for layer in viewer.layers:
        layer.visible = layer.name in names


def test_the_sample_is_seen_at_once(viewer):
    assert viewer.canvas.overlays.scale_bar.visible
    assert viewer.dims.order == (1, 0, 2), "maps lie beside volumes: z and x are shown"
    assert "not registered" in viewer.canvas.overlays.text.text
    assert [str(unit) for unit in viewer.layers["TM/O deviation"].units] == ["nanometer"] * 3
    look_at(viewer, nm(POOR))
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 10, "the canvas is blank"
    for centre, (high, low) in {POOR: (0, 2), WEAK: (0, 2)}.items():
        red = color_at(viewer, nm(centre))
        assert red[high] > red[low] + 60, f"oxygen-poor is red, not {red}"
    look_at(viewer, nm(RICH))
    rich = color_at(viewer, nm(RICH))
    assert np.all(np.abs(rich - rich.mean()) < 40), f"oxygen-rich is grey, not {rich}"
    assert rich.max() < 180
    target = color_at(viewer, nm((26, 28, 22)))
    assert target.min() > 180, f"target is pale, not {target}"
    outside = color_at(viewer, (5.0, 280.0, 5.0))
    assert outside.max() < 10


def test_voids_lie_where_they_are_in_nanometres_and_are_cyan(viewer):
    only(viewer, "pores and cracks")
    viewer.layers["pores and cracks"].opacity = 1.0
    look_at(viewer, nm(PORE, FINE_NM))
    assert color_at(viewer, nm(PORE, FINE_NM)) == pytest.approx(VOID_COLORS[1][:3], abs=2)
    assert color_at(viewer, nm((CRACK_Z, 25, 25), FINE_NM)) == pytest.approx(VOID_COLORS[2][:3], abs=2)
    # Were the finer grid drawn with the voxels of the composition, the pore would be here.
    assert color_at(viewer, nm(PORE, VOXEL_NM)).max() < 10


def test_classes_have_their_colours_and_maps_fill_the_beam(viewer):
    only(viewer, "classes")
    viewer.layers["classes"].opacity = 1.0
    look_at(viewer, nm(POOR))
    assert color_at(viewer, nm(POOR)) == pytest.approx(PHASE_COLORS[OXYGEN_POOR][:3], abs=2)
    only(viewer, "Mn valence")
    for y_nm in (20.0, 200.0, 380.0):
        look_at(viewer, (200.0, y_nm, 200.0))
        assert color_at(viewer, (200.0, y_nm, 200.0)).max() > 60, "a projection is seen at every y"


def in_3d(viewer: Any) -> np.ndarray:
    """Return the canvas in 3D, as whole numbers."""
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    settle()
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def in_slices(viewer: Any) -> None:
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)
    viewer.reset_view()
    settle()


def test_in_three_dimensions_both_classes_are_seen_inside_the_particle(viewer):
    only(viewer, "TM/O deviation", "classes")
    picture = in_3d(viewer)
    seen = {layer.name for layer in viewer.layers if layer.visible}
    assert seen == {"oxygen-poor (surface)", "oxygen-rich (surface)", "particle (surface)"}
    red, _, blue = np.moveaxis(picture, -1, 0)
    lit = picture.max(axis=-1) > 25
    assert lit.mean() > 0.05, "the skin"
    # Both cubes are 5 of the 40 voxels wide, deep in the ball: target would hide them.
    assert (red - blue > 60).sum() > 200
    assert ((blue - red > 15) & (picture.max(axis=-1) > 60)).sum() > 200
    in_slices(viewer)
    assert {layer.name for layer in viewer.layers if layer.visible} == {"TM/O deviation", "classes"}


def test_in_three_dimensions_the_deviation_shows_both_signs_and_nothing_outside(viewer):
    only(viewer)
    in_3d(viewer)
    deviation = viewer.layers["TM/O deviation"]
    deviation.visible = True
    deviation.colorbar.visible = False
    viewer.canvas.overlays.scale_bar.visible = False
    settle()
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    red, _, blue = np.moveaxis(picture, -1, 0)
    assert (red - blue > 40).sum() > 100, "too much metal is red"
    assert (blue - red > 40).sum() > 100, "too little is blue: a maximum would hide it"
    # Three cubes of 5 voxels in a ball of 32: what has no value, and what is on target, is not drawn.
    assert (np.abs(red - blue) > 40).mean() < 0.2
    viewer.canvas.overlays.scale_bar.visible = True
    deviation.colorbar.visible = True
    in_slices(viewer)
    assert deviation.colormap.colors[128, 3] == 1.0, "white again, not transparent"


def test_the_pointer_reads_deviation_class_and_depth(viewer):
    from types import SimpleNamespace

    def read(place: tuple[float, ...], direction: Any = None) -> str:
        event = SimpleNamespace(position=place, view_direction=direction)
        for callback in viewer.mouse_move_callbacks:
            if type(getattr(callback, "__self__", None)).__name__ == "Pointer":
                callback(viewer, event)
        return viewer.canvas.overlays.text.text

    viewer.layers.selection.active = viewer.layers["TM/O deviation"]
    said = read(nm(POOR))
    assert "+20.0 % ± " in said
    assert "oxygen-poor (certain)" in said
    assert "not registered" in said, "the note stays"
    assert "depth" not in read((0.0, 0.0, 0.0)), "outside the particle"
    only(viewer, "TM/O deviation")
    in_3d(viewer)
    ray = read((nm(POOR)[0], 0.0, nm(POOR)[2]), np.array([0.0, 1.0, 0.0]))
    assert "oxygen-poor" in ray, "seen through the target before it"
    in_slices(viewer)
    assert "depth" not in viewer.canvas.overlays.text.text


def test_cuts_are_linked_with_each_other_and_the_sliders(viewer):
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    dock, widget = viewer.window.add_plugin_dock_widget("oxytomo", "Cuts")
    dock.raise_()
    only(viewer, "TM/O deviation")
    widget.layer.setCurrentText("TM/O deviation")
    look_at(viewer, nm(POOR))
    settle()
    across_y = widget.views[0]
    assert across_y.pixels.shape == (40, 40, 3)
    red, _, blue = across_y.pixels[POOR[0], POOR[2]].astype(int)
    assert red > blue + 60, "the cut goes through the red cube"
    box = across_y.frame()
    x = box.left() + (RICH[2] + 0.5) / 40 * box.width()
    y = box.top() + (RICH[0] + 0.5) / 40 * box.height()
    QTest.mouseClick(across_y, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
    settle()
    assert viewer.dims.point == pytest.approx((nm(RICH)[0], nm(POOR)[1], nm(RICH)[2]), abs=FINE_NM)
    across_z = widget.views[1].pixels[RICH[1], RICH[2]].astype(int)
    assert across_z[2] > across_z[0] + 60, "the other cut shows the blue cube now"


def test_docks_share_tabs_and_the_window_keeps_its_size(viewer):
    window = viewer.window._qt_window
    before = window.width(), window.height()
    names = ("Threshold", "Cuts", "Objects", "Profile", "Provenance")
    docks = [viewer.window.add_plugin_dock_widget("oxytomo", name)[0] for name in names]
    settle()
    assert set(docks[1:]) <= set(window.tabifiedDockWidgets(docks[0]))
    assert (window.width(), window.height()) == before


def test_threshold_widget_changes_classes_and_numbers(viewer):
    widget = viewer.window.add_plugin_dock_widget("oxytomo", "Threshold")[1]
    settle(lambda: widget.model is not None)
    only(viewer, "classes at this threshold")
    viewer.layers["classes at this threshold"].opacity = 1.0
    look_at(viewer, nm(WEAK))
    assert color_at(viewer, nm(WEAK)) == pytest.approx(PHASE_COLORS[OXYGEN_POOR][:3], abs=2)
    before = [widget.table.item(1, column).text() for column in range(3)]
    widget.percent.setValue(10.0)
    assert widget.slider.value() == 99
    pale = color_at(viewer, nm(WEAK))
    assert pale[2] > pale[0] * 0.8, f"0.07 is on target at 10 %, and pale: {pale}"
    after = [widget.table.item(1, column).text() for column in range(3)]
    assert before[0] == after[0] == "oxygen-poor"
    assert float(after[1].split()[0]) < float(before[1].split()[0])
    assert "to" in after[1], "the interval is shown"
    assert float(after[2].split()[0]) < float(before[2].split()[0]), "of the null run, too"
    assert tuple(widget.model.rows(99)[1][1:]) == tuple(after[1:])
    widget.reset.click()
    assert widget.percent.value() == pytest.approx(5.0)
    assert [widget.table.item(1, column).text() for column in range(3)] == before
    viewer.layers.remove("classes at this threshold")
    widget.slider.setValue(60)
    assert "classes at this threshold" in viewer.layers, "a removed layer comes back"


def test_objects_widget_finds_and_is_found(viewer):
    widget = viewer.window.add_plugin_dock_widget("oxytomo", "Objects")[1]
    settle(lambda: widget.objects is not None)
    rows = widget.objects.rows
    poor = next(i for i, row in enumerate(rows) if row.centroid_nm == nm(POOR))
    widget.select_row(poor)
    assert np.asarray(viewer.scene.camera.center)[-2:] == pytest.approx([nm(POOR)[0], nm(POOR)[2]])
    assert viewer.dims.point[1] == pytest.approx(nm(POOR)[1], abs=VOXEL_NM)
    only(viewer, "selected object (domains)")
    edge = nm((POOR[0] - 2, POOR[1], POOR[2]))
    assert color_at(viewer, edge) == pytest.approx(MAGENTA, abs=3), "its outline"
    assert color_at(viewer, nm(POOR)).max() < 10, "and only that"

    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    pore = next(i for i, row in enumerate(rows) if row.kind == "pore")
    viewer.layers.selection.active = viewer.layers["TM/O deviation"]
    only(viewer, "pores and cracks")
    look_at(viewer, nm(PORE, FINE_NM))
    viewer.reset_view()
    settle()
    row, column = canvas_pixel(viewer, nm(PORE, FINE_NM))
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(column, row))
    settle()
    chosen = widget.proxy.mapToSource(widget.table.currentIndex()).row()
    assert chosen == pore
    only(viewer, "selected object (voids)")
    place = nm((PORE[0] - 2, PORE[1], PORE[2]), FINE_NM)
    assert color_at(viewer, place) == pytest.approx(MAGENTA, abs=3)
    assert not viewer.layers["selected object (domains)"].data.any(), "the last outline is gone"

    widget.kind.setCurrentText("crack")
    assert widget.proxy.rowCount() == 1
    widget.kind.setCurrentText("all")
    widget.size.low.setValue(100.0)
    assert all(row.size_nm >= 100 for row, shown in zip(rows, widget.shown(), strict=True) if shown)
    assert widget.proxy.rowCount() == widget.shown().sum() < len(rows)
    widget.size.low.setValue(0.0)


def test_profile_widget_plots_and_exports(viewer, tmp_path: Path):
    widget = viewer.window.add_plugin_dock_widget("oxytomo", "Profile")[1]
    settle()
    widget.use_sample()
    assert "Draw a line" in widget.message.text()
    widget.start_line()
    z, y, x = nm(POOR)
    line = viewer.layers["profile line"]
    steps = [axis.step for axis in viewer.dims.range]
    assert steps[1] == FINE_NM, "the slider still moves by voxels"
    line.add_lines(np.array([[z, y, x - 20], [z, y, x + 120]]) / line.scale)
    settle()
    widget.layer.setCurrentText("TM/O deviation")
    axes = widget.figure.axes[0]
    assert axes.get_xlabel() == "distance along the line (nm)"
    drawn = axes.lines[0].get_xydata()
    assert drawn[0, 1] == pytest.approx(0.2, abs=1e-6)
    assert drawn[-1, 1] == pytest.approx(0.0, abs=1e-6)
    assert len(axes.collections) == 1, "the band of σ"
    widget.save(tmp_path / "line.csv")
    widget.save(tmp_path / "line.png")
    assert np.array(read_csv(tmp_path / "line.csv")["distance along the line (nm)"], float)[
        -1
    ] == pytest.approx(140)
    assert np.asarray(Image.open(tmp_path / "line.png").convert("L")).std() > 5
    widget.what.setCurrentText("valence over shells")
    assert [line.get_ydata().tolist() for line in widget.figure.axes[0].lines] == [[3.2, 3.6]]
    viewer.layers.remove("profile line")


def test_provenance_widget_goes_back_to_the_raw_file(viewer):
    widget = viewer.window.add_plugin_dock_widget("oxytomo", "Provenance")[1]
    viewer.layers.selection.active = viewer.layers["TM/O deviation"]
    settle()
    top = [widget.tree.topLevelItem(i) for i in range(widget.tree.topLevelItemCount())]
    assert [item.text(0) for item in top] == ["reconstruct", "uncertainty", "classify"]
    raw = top[0].child(0)
    assert raw.text(1) == "raw.h5"
    assert raw.text(2) == "not checked"
    assert len(raw.toolTip(3)) == 64
    widget.check_files()
    settle(lambda: widget.tree.topLevelItem(0).child(0).text(2) == "unchanged")


def test_sample_data_open_from_the_menu(viewer):
    count = len(viewer.layers)
    added = viewer.open_sample("oxytomo", "particle")
    assert len(viewer.layers) == count + len(added)
    assert {"TM/O deviation (truth)", "classes (truth)"} <= {layer.name for layer in added}
    only(viewer, "classes (truth)")
    labels = np.asarray(viewer.layers["classes (truth)"].data)
    assert {1, 2, 3} <= set(np.unique(labels))
    poor = np.argwhere(labels == OXYGEN_POOR)
    place = nm(tuple(poor[np.argmin(((poor - poor.mean(0)) ** 2).sum(1))]), 12.0)
    look_at(viewer, place)
    viewer.layers["classes (truth)"].opacity = 1.0
    viewer.reset_view()
    assert color_at(viewer, place) == pytest.approx(PHASE_COLORS[OXYGEN_POOR][:3], abs=2)
    for layer in added:
        viewer.layers.remove(layer)


def test_oxytomo_view_writes_a_picture_of_the_window(display, plugin_results: Path, tmp_path: Path):
    picture = tmp_path / "window.png"
    command = [sys.executable, "-m", "oxytomo", "view", str(plugin_results), "--screenshot", str(picture)]
    done = subprocess.run(
        command, env=os.environ | display, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert picture.stat().st_size < 200_000
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape[1] >= 1400
    cyan = (np.abs(pixels[..., :3].astype(int) - VOID_COLORS[1][:3]).max(axis=-1) < 70).sum()
    assert cyan > 50, "the pore is in the picture"


def test_oxytomo_view_without_a_display_is_one_line(plugin_results: Path):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    command = [sys.executable, "-m", "oxytomo", "view", str(plugin_results)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "xvfb-run" in done.stderr
