"""Maps over excitation and emission energy as the channels of one image.

OME-Zarr knows space, time and channels, and viewers expect lengths. The axes of this image are
energies: y is the excitation and x the emission; 1 nm stands for 1 eV. The energies of the first
pixel and the step are in the record of the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.export.ngff import Channel
from oxytomo.io.stores import Store
from oxytomo.palette import GREY, display_window, element_color
from oxytomo.scattering.maps import bin_edges

MOST_PIXELS = 4000
"""Most pixels along one axis; wider maps are shown with larger steps."""


@dataclass(frozen=True)
class EmissionImage:
    """Channels on one grid of both energies.

    Attributes
    ----------
    channels : per map its intensity per eV of emission, then its standard error; then differences
    step_ev : size of a pixel in both directions
    excitation_ev, emission_ev : energies of the first pixel
    """

    channels: list[Channel]
    step_ev: float
    excitation_ev: float
    emission_ev: float


def emission_image(maps: Mapping[str, Store], measured: Store) -> EmissionImage:
    """Put all maps and differences on one grid; pixels outside a map are NaN.

    Each pixel shows the point of the map whose bin it is in, per eV of emission; nothing is
    interpolated.

    Parameters
    ----------
    maps : calibrated maps by name
    measured : the store of the differences
    """
    axes = [(store["excitation_ev"], store["emission_ev"]) for store in maps.values()]
    lows, highs, steps = [], [], []
    for at in (0, 1):
        edges = [bin_edges(pair[at]) for pair in axes]
        lows.append(min(float(edge[0]) for edge in edges))
        highs.append(max(float(edge[-1]) for edge in edges))
        steps.append(min(float(np.diff(edge).min()) for edge in edges))
    step = max(min(steps), *((high - low) / MOST_PIXELS for low, high in zip(lows, highs, strict=True)))
    grid: list[Float64Array] = [
        np.asarray(low + step * (np.arange(int(np.ceil((high - low) / step - 1e-6))) + 0.5), np.float64)
        for low, high in zip(lows, highs, strict=True)
    ]

    def shown(values: Float64Array, excitation: Float64Array, emission: Float64Array) -> FloatArray:
        density = values / np.diff(bin_edges(emission))
        return _nearest(density, excitation, emission, grid)

    channels = []
    for number, (name, store) in enumerate(maps.items()):
        excitation, emission = axes[number]
        color = element_color(str(store.attributes["element"]), number)
        photons, flux = store["photons"], store["flux"][:, None]
        channels += [
            _channel(name, shown(photons / flux, excitation, emission), color),
            _channel(
                f"{name}_standard_error",
                shown(np.sqrt(np.abs(photons)) / flux, excitation, emission),
                GREY,
                active=False,
            ),
        ]
    for first, second in measured.attributes["pairs"]:
        key = f"{first}-{second}"
        own = measured[f"{key}.excitation_ev"], measured[f"{key}.emission_ev"]
        for array, name in (
            ("difference", f"{second} − {first}"),
            ("error", f"{second} − {first}, standard error"),
        ):
            channels.append(_channel(name, shown(measured[f"{key}.{array}"], *own), GREY, active=False))
    return EmissionImage(channels, step, float(grid[0][0]), float(grid[1][0]))


def _nearest(
    values: Float64Array, excitation: Float64Array, emission: Float64Array, grid: list[Float64Array]
) -> FloatArray:
    """Return the values of the bins that the pixels are in; NaN outside."""
    rows, columns = bin_edges(excitation), bin_edges(emission)
    row = np.searchsorted(rows, grid[0]) - 1
    column = np.searchsorted(columns, grid[1]) - 1
    inside = ((row >= 0) & (row < excitation.size))[:, None] & ((column >= 0) & (column < emission.size))[
        None
    ]
    found = values[np.clip(row, 0, excitation.size - 1)][:, np.clip(column, 0, emission.size - 1)]
    return np.where(inside, found, np.nan).astype(np.float32)


def _channel(name: str, data: FloatArray, color: str, **options: Any) -> Channel:
    return Channel(name, data, color, display_window(data, percent=1.0, from_zero=False), **options)
