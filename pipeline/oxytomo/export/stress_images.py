"""Channels of the image of stress."""

from collections.abc import Mapping, Sequence

import numpy as np

from oxytomo.export.ngff import Channel
from oxytomo.io.mechanics_stores import in_whole
from oxytomo.mechanics.summary import Shown
from oxytomo.palette import GREY, Rgba

LABEL_COLORS: Mapping[int, Rgba] = {
    0: (0, 0, 0, 0),
    1: (200, 200, 200, 80),
    2: (0, 205, 220, 255),
    3: (0, 100, 130, 255),
}
LABEL_NAMES: Mapping[int, str] = {0: "outside", 1: "solid", 2: "void", 3: "crack"}
STRESSES = ("first_principal", "von_mises", "hydrostatic", "hoop")


def stress_channels(
    shown: Shown, shape: Sequence[int], *, in_time: bool
) -> tuple[list[Channel], dict[str, str]]:
    """Return the channels on the grid of the whole volume, and their units.

    They are lithium, four stresses in MPa, and the shape factor of the first principal stress,
    which is missing in time steps. Voxels without solid are NaN.
    """
    there = shown.solid.share[shown.solid.inside] > 0
    fields = {"lithium": shown.lithium}
    fields |= {name: np.float32(shown.amplitude_mpa) * getattr(shown.scalars, name) for name in STRESSES}
    if not in_time:
        fields["shape_factor"] = shown.scalars.first_principal
    channels = []
    for name, field in fields.items():
        whole = in_whole(np.where(there, field, np.float32(np.nan)), shown.parts.start, shape)
        known = in_whole(there, shown.parts.start, shape)
        whole[~known] = np.nan
        low, high = (float(one) for one in np.percentile(field[there], (1, 99)))
        channels.append(
            Channel(name, whole, GREY, _window(low, high, name), active=name == "first_principal")
        )
    units = {name: "MPa" if name in STRESSES else "1" for name in fields}
    return channels, units


def _window(low: float, high: float, name: str) -> tuple[float, float]:
    """Return a range that is symmetric for stresses of both signs."""
    if name in ("first_principal", "hydrostatic", "hoop", "shape_factor"):
        limit = max(abs(low), abs(high), 1e-6)
        return -limit, limit
    return (min(low, high - 1e-6), high) if name == "lithium" else (0.0, max(high, 1e-6))
