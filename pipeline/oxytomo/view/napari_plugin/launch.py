"""Opening a window with results, from the command line."""

import importlib.util
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oxytomo.errors import InputError, MissingPackageError, StoreError
from oxytomo.view.napari_plugin.results import find_samples

WIDGETS = ("Threshold", "Cuts", "Objects", "Profile", "Provenance")
MAP_WIDGETS = ("Provenance",)
STRESS_WIDGET = "Stress"
"""What is opened with maps over energies alone, and with results of the mechanics branch in addition."""
WINDOW, DOCK_WIDTH = (1500, 950), 430
SETTLED_S, LONGEST_S = 0.5, 60.0
"""A screenshot is taken when the window has been drawn for so long and the widgets have read their
data."""


def view(path: Path, *, screenshot: Path | None) -> list[str]:
    """Open results in napari with all widgets.

    Returns when the window is closed, or the screenshot is written.

    Returns
    -------
    remarks : sentences about what is not shown, such as unfinished branches

    Raises
    ------
    MissingPackageError, InputError, StoreError
        When napari or a display is missing, or there is nothing to show. No window is opened then.
    """
    samples = find_samples(path)
    check_packages()
    check_display(os.environ, sys.platform)
    remarks = [
        f"{sample.name}: {', '.join(sample.unfinished)} is not finished and not shown; run the workflow again"
        for sample in samples
        if sample.unfinished
    ]
    remarks += [
        f"{sample.name}: maps over energies are not shown beside images of the particle; open {path} alone"
        for sample in samples
        for path in sample.aside
    ]
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title=f"oxytomo: {path.resolve().name}", show=True)
    viewer.window.resize(*WINDOW)
    viewer.open(str(path), plugin="oxytomo")
    kinds = {image.kind for sample in samples for image in sample.images}
    names = MAP_WIDGETS if kinds == {"scattering"} else WIDGETS
    names = (*names, STRESS_WIDGET) if "mechanics" in kinds else names
    docks = [viewer.window.add_plugin_dock_widget("oxytomo", name, tabify=True) for name in names]
    viewer.window._qt_window.resizeDocks([docks[0][0]], [DOCK_WIDTH], _horizontal())
    QApplication.processEvents()
    docks[-1 if kinds == {"mechanics"} else 0][0].raise_()
    viewer.layers.selection.active = next(layer for layer in viewer.layers if layer.visible)
    if screenshot is None:
        napari.run()
        return remarks
    wait_until_read(docks[0][1])
    viewer.reset_view()
    write_screenshot(viewer, screenshot)
    viewer.close()
    return remarks


def check_packages() -> None:
    """Raise an error with instructions if napari or a Qt binding is missing."""
    bindings = ("PyQt6", "PySide6", "PyQt5", "PySide2")
    missing = [
        name
        for name, there in (
            ("napari", importlib.util.find_spec("napari") is not None),
            ("Qt", any(importlib.util.find_spec(binding) is not None for binding in bindings)),
        )
        if not there
    ]
    if missing:
        raise MissingPackageError(
            "oxytomo view",
            expected="napari with Qt",
            got=f"{' and '.join(missing)} not installed",
            fix="pip install 'oxytomo[view]'",
        )


def check_display(environ: Mapping[str, str], platform: str) -> None:
    """Raise a helpful error without a display; Qt would end the program without explanation."""
    if not platform.startswith("linux") or environ.get("WAYLAND_DISPLAY"):
        return
    display = environ.get("DISPLAY", "")
    if display and _answers(display):
        return
    raise InputError(
        "oxytomo view",
        expected="a display",
        got=f"DISPLAY={display}, where nothing answers" if display else "no display (DISPLAY is not set)",
        fix="run it on a desktop, log in with `ssh -X`, or start it as `xvfb-run -a oxytomo view … --screenshot FILE.png`",
    )


def _answers(display: str) -> bool:
    """Return True if an X server accepts connections."""
    host, _, number = display.rpartition(":")
    number = number.split(".")[0]
    if not number.isdigit():
        return False
    try:
        if host in ("", "unix"):
            with socket.socket(socket.AF_UNIX) as server:
                server.settimeout(2.0)
                server.connect(f"/tmp/.X11-unix/X{number}")
        else:
            socket.create_connection((host, 6000 + int(number)), timeout=2.0).close()
    except OSError:
        return False
    return True


def wait_until_read(widget: Any) -> None:
    """Draw until the first widget has read its data, then for a moment more."""
    from qtpy.QtWidgets import QApplication

    start = time.monotonic()
    while hasattr(widget, "busy") and widget.busy() and time.monotonic() < start + LONGEST_S:
        QApplication.processEvents()
        time.sleep(0.02)
    settled = time.monotonic() + SETTLED_S
    while time.monotonic() < settled:
        QApplication.processEvents()
        time.sleep(0.02)


def write_screenshot(viewer: Any, path: Path) -> None:
    """Write the window as PNG; refuses a blank one."""
    from PIL import Image

    from oxytomo.io.atomic import complete_or_absent

    pixels = viewer.screenshot(canvas_only=False, flash=False)
    if float(pixels[..., :3].std()) < 1.0:
        raise StoreError(
            str(path),
            expected="a picture",
            got="a blank window",
            fix="check that OpenGL works (Debian: libgl1-mesa-dri), and start it as `xvfb-run -a oxytomo view …`",
        )
    with complete_or_absent(path) as partial:
        Image.fromarray(pixels[..., :3]).save(partial, format="PNG", optimize=True)


def _horizontal() -> Any:
    from qtpy.QtCore import Qt

    return Qt.Orientation.Horizontal
