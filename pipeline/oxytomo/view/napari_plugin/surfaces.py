"""Surfaces of the classes for the 3D view, where labels of the target would hide what is inside."""

from typing import Any

import numpy as np
import scipy.ndimage
from skimage.measure import marching_cubes

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, BoolArray, Float64Array, IntArray
from oxytomo.palette import PHASE_COLORS, PHASE_NAMES, Rgba
from oxytomo.results.images import Levels, OpenedImage

SMOOTHING_PX = 0.6
"""Blur of the voxels of a class before its surface is drawn, as in renders."""
SKIN_NAME, SKIN_OPACITY = "particle", 0.2
SKIN_COLOR: Rgba = (237, 230, 214, 255)


def class_surfaces(image: OpenedImage, *, most_side: int) -> list[dict[str, Any]]:
    """Return surfaces of the oxygen-poor and oxygen-rich regions and of the particle.

    Parameters
    ----------
    image : a composition
    most_side : the finest level with at most so many voxels along a side is used

    Returns
    -------
    surfaces : arguments of a napari surface layer, each with ``data``; empty classes are left out
    """
    phases, scale, place = chosen_level(image.labels["phases"], most_side=most_side)
    wanted = [
        (PHASE_NAMES[OXYGEN_POOR], phases == OXYGEN_POOR, PHASE_COLORS[OXYGEN_POOR], 1.0),
        (PHASE_NAMES[OXYGEN_RICH], phases == OXYGEN_RICH, PHASE_COLORS[OXYGEN_RICH], 1.0),
        (SKIN_NAME, phases > 0, SKIN_COLOR, SKIN_OPACITY),
    ]
    found = []
    for name, inside, color, opacity in wanted:
        mesh = surface(inside)
        if mesh is None:
            continue
        rgb = tuple(part / 255 for part in color[:3])
        found.append(
            {
                "data": mesh,
                "name": f"{name} (surface)",
                "vertex_colors": np.tile(np.asarray((*rgb, 1.0), np.float32), (len(mesh[0]), 1)),
                "opacity": opacity,
                "shading": "smooth",
                "blending": "translucent",
                "scale": tuple(scale),
                "translate": tuple(place),
                "units": ("nm",) * 3,
            }
        )
    return found


def surface(inside: BoolArray) -> tuple[Float64Array, IntArray] | None:
    """Return the surface of voxels, points in voxels (z, y, x) and triangles; None if there is none."""
    if not inside.any():
        return None
    low = np.argwhere(inside).min(axis=0)
    box = scipy.ndimage.find_objects(inside.astype(np.uint8))[0]
    padded = np.pad(inside[box].astype(np.float32), 2)
    blurred = scipy.ndimage.gaussian_filter(padded, SMOOTHING_PX)
    if blurred.max() <= 0.5:
        return None
    points, faces, _, _ = marching_cubes(blurred, 0.5)
    return points.astype(np.float64) + low - 2, faces


def chosen_level(levels: Levels, *, most_side: int) -> tuple[np.ndarray, Float64Array, Float64Array]:
    """Return the finest level with small sides, its voxel size, and the centre of its first voxel."""
    fits = (n for n, array in enumerate(levels.arrays) if max(array.shape) <= most_side)
    number = next(fits, len(levels.arrays) - 1)
    array = np.asarray(levels.arrays[number])
    # A coarser voxel spans f fine voxels; its centre is shifted by (f − 1)/2 fine voxels.
    spans = 2.0 ** np.round(np.log2(np.asarray(levels.arrays[0].shape) / np.asarray(array.shape)))
    scale = np.asarray(levels.scale_nm) * spans
    return array, scale, np.asarray(levels.translate_nm) + (spans - 1) / 2 * np.asarray(levels.scale_nm)
