"""Where images lie in a viewer: levels, scale, place, units and names of the axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oxytomo.results.images import Levels, OpenedImage

COARSEST_SIDE = 256
"""Coarser levels are not handed on: in 3D napari shows the coarsest, and this many voxels can be
turned smoothly."""


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
