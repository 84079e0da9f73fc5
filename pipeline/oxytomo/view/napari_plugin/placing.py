"""Where images lie in a viewer: levels, scale, place, units and names of the axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oxytomo.results.images import Levels, OpenedImage

COARSEST_SIDE = 256
"""Coarser levels are not handed on: in 3D napari shows the coarsest, and this many voxels can be
turned smoothly."""
TICKS_EV = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
MOST_TICKS = 9
"""Distances between the numbers along an axis, and most of them."""


def placed(levels: Levels, beam: tuple[float, float] | None) -> dict[str, Any]:
    """Return data, multiscale, scale, translation and units.

    A map beside volumes gets the axis along the beam.

    A map is a projection: detector row z, detector column x (at tilt 0), and through everything
    along y. So it becomes one voxel deep, and that voxel reaches over ``beam``, the range of y of
    the volumes.
    """
    arrays, scale, place = list(shown_levels(levels.arrays)), levels.scale_nm, levels.translate_nm
    axes: tuple[str, ...] = ("z", "y", "x") if len(scale) == 3 or beam else ("y", "x")
    if beam and len(scale) == 2:
        arrays = [np.asarray(array)[:, None, :] for array in arrays]
        scale = (scale[0], beam[1] - beam[0], scale[1])
        place = (place[0], (beam[0] + beam[1]) / 2, place[1])
    many = len(arrays) > 1
    return {
        "data": arrays if many else arrays[0],
        "multiscale": many,
        "scale": scale,
        "translate": place,
        "units": ("nm",) * len(scale),
        "axis_labels": axes,
    }


def over_energies(image: OpenedImage, levels: Levels) -> dict[str, Any]:
    """Return place, units and names of axes that are energies; 1 nm of the image is 1 eV."""
    axes = image.record["axes_of_energy"]
    first = [float(axes[axis]["first"]) for axis in "yx"]
    return {
        "translate": tuple(a + b for a, b in zip(levels.translate_nm, first, strict=True)),
        "units": ("eV", "eV"),
        "axis_labels": tuple(str(axes[axis]["name"]) for axis in "yx"),
    }


def shown_levels(arrays: Sequence[Any]) -> Sequence[Any]:
    """Return the levels up to the first with all sides at most :data:`COARSEST_SIDE`."""
    for count, array in enumerate(arrays, start=1):
        if max(array.shape) <= COARSEST_SIDE:
            return arrays[:count]
    return arrays


def energy_ticks(image: OpenedImage) -> tuple[Any, dict[str, Any], str]:
    """Return a layer of numbers along the edges of a map: excitation on the left, emission below."""
    axes, (rows, columns) = image.record["axes_of_energy"], image.grid.arrays[0].shape
    step = float(image.grid.scale_nm[0])
    first = [float(axes[axis]["first"]) - step / 2 for axis in "yx"]
    last = [start + step * n for start, n in zip(first, (rows, columns), strict=True)]
    apart = next((one for one in TICKS_EV if max(np.subtract(last, first)) / one <= MOST_TICKS), TICKS_EV[-1])
    ticks = [
        apart * np.arange(np.ceil(a / apart), np.floor(b / apart) + 1)
        for a, b in zip(first, last, strict=True)
    ]
    away = 0.03 * (last[0] - first[0])
    left = [(ev, first[1] - 1.6 * away) for ev in ticks[0]]
    below = [(last[0] + away, ev) for ev in ticks[1]]
    names = [
        (last[0] + 2.4 * away, (first[1] + last[1]) / 2),
        (first[0] - away, first[1] + 0.08 * (last[1] - first[1])),
    ]
    said = ["emission (eV)", "excitation (eV)"]
    text = {
        "string": [f"{ev:g}" for ev in (*ticks[0], *ticks[1])] + said,
        "color": "white",
        "size": 9,
        "anchor": "center",
    }
    arguments = {
        "name": "energies (eV)",
        "text": text,
        "size": 0.01,
        "opacity": 1.0,
        "face_color": "transparent",
        "border_color": "transparent",
        "units": ("eV", "eV"),
        "axis_labels": tuple(str(axes[axis]["name"]) for axis in "yx"),
    }
    return np.array([*left, *below, *names]), arguments, "points"
