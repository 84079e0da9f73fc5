"""Colours and names of channels and labels in exported images and viewers.

They are distinguishable for colour-blind eyes.
"""

import colorsys
from collections.abc import Mapping

import numpy as np

from oxytomo.arrays import OUTSIDE, OXYGEN_POOR, OXYGEN_RICH, TARGET, UNDECIDED, FloatArray

Rgba = tuple[int, int, int, int]
"""Red, green, blue and opacity, 0 to 255."""

ELEMENT_COLORS: Mapping[str, str] = {"O": "56B4E9", "Mn": "E69F00", "Co": "009E73", "Ni": "CC79A7"}
OTHER_COLORS = ("F0E442", "0072B2", "D55E00", "999999")
GREY = "FFFFFF"

PHASE_COLORS: Mapping[int, Rgba] = {
    OUTSIDE: (0, 0, 0, 0),
    TARGET: (237, 230, 214, 150),
    OXYGEN_POOR: (178, 40, 46, 255),
    OXYGEN_RICH: (108, 128, 150, 255),
}
PHASE_NAMES: Mapping[int, str] = {
    OUTSIDE: "outside",
    TARGET: "target",
    OXYGEN_POOR: "oxygen-poor",
    OXYGEN_RICH: "oxygen-rich",
}
CONFIDENT_COLORS: Mapping[int, Rgba] = {**PHASE_COLORS, UNDECIDED: (230, 195, 50, 110)}
CONFIDENT_NAMES: Mapping[int, str] = {**PHASE_NAMES, UNDECIDED: "undecided"}
PARTICLE_COLORS: Mapping[int, Rgba] = {0: (0, 0, 0, 0), 1: (200, 200, 200, 80)}
PARTICLE_NAMES: Mapping[int, str] = {0: "outside", 1: "particle"}
VOID_COLORS: Mapping[int, Rgba] = {0: (0, 0, 0, 0), 1: (0, 205, 220, 255), 2: (0, 100, 130, 255)}
"""Cyan, the usual colour of voids in the literature; cracks are darker than pores."""
VOID_NAMES: Mapping[int, str] = {0: "outside", 1: "pore", 2: "crack"}

EXCLUDED_COLORS: Mapping[int, Rgba] = {
    0: (0, 0, 0, 0),
    1: (120, 120, 120, 60),
    2: (213, 94, 0, 180),
    3: (0, 0, 0, 160),
}
"""Pixels without a valence in a map: too thin, too thick, without data."""

DEVIATION_WINDOW = (-0.15, 0.15)


def element_color(element: str, position: int) -> str:
    """Return the colour of an element's channel; elements without their own take turns."""
    return ELEMENT_COLORS.get(element, OTHER_COLORS[position % len(OTHER_COLORS)])


def display_window(data: FloatArray, *, percent: float, from_zero: bool) -> tuple[float, float]:
    """Return the range of values to show: percentiles of the finite values.

    Single voxels do not determine it.

    Parameters
    ----------
    data : any shape
    percent : share of the values above the upper (and below the lower) end, in percent
    from_zero : start at zero instead of the lower percentile
    """
    finite = data[np.isfinite(data)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, [percent, 100.0 - percent]))
    low = 0.0 if from_zero else low
    return (low, high) if high > low else (low, low + 1.0)


def instance_colors(count: int) -> dict[int, Rgba]:
    """Return colours for labels 1 to ``count``; consecutive labels differ.

    0 is transparent.
    """
    colors: dict[int, Rgba] = {0: (0, 0, 0, 0)}
    for label in range(1, count + 1):
        hue = (label * 0.61803398875) % 1.0
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 0.95)
        colors[label] = (round(255 * red), round(255 * green), round(255 * blue), 255)
    return colors
