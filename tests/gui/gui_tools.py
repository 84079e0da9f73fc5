"""What the tests of the window share: letting Qt work, and the colour at a place."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def settle(until: Callable[[], bool] | None = None, *, longest_s: float = 30.0) -> None:
    """Let Qt work until a condition holds, or for a moment."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + (longest_s if until else 0.3)
    while time.monotonic() < end:
        QApplication.processEvents()
        if until and until():
            break
        time.sleep(0.01)
    assert until is None or until(), "it did not happen in time"
    QApplication.processEvents()


def canvas_pixel(viewer: Any, place_nm: tuple[float, ...]) -> tuple[int, int]:
    """Return row and column of a place (z, y, x) on the canvas, of a 2-D view."""
    shown = list(viewer.dims.displayed)
    centre = np.asarray(viewer.scene.camera.center)[-2:]
    size = np.asarray(viewer.window._qt_viewer.canvas.size)
    row, column = (np.asarray(place_nm)[shown] - centre) * viewer.scene.camera.zoom + size / 2
    return round(float(row)), round(float(column))


def color_at(viewer: Any, place_nm: tuple[float, ...]) -> np.ndarray:
    """Return red, green and blue that the canvas shows at a place."""
    settle()
    picture = viewer.screenshot(canvas_only=True, flash=False)
    row, column = canvas_pixel(viewer, place_nm)
    return picture[row, column, :3].astype(int)
