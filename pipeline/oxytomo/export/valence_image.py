"""Valence maps of all elements as the channels of one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.align.maps import place_on, placed
from oxytomo.arrays import FloatArray, LabelArray, NumberArray
from oxytomo.export.ngff import Channel, Label
from oxytomo.io.stores import Store
from oxytomo.oxidation.status import STATUS_NAMES
from oxytomo.palette import (
    EXCLUDED_COLORS,
    GREY,
    PARTICLE_COLORS,
    PARTICLE_NAMES,
    display_window,
    element_color,
)

UNKNOWN_PIXEL_NM = 1.0


@dataclass(frozen=True)
class ValenceImage:
    """Channels and labels on the grid of the first element.

    Attributes
    ----------
    channels : per element ``<El>`` (valence) and ``<El>_residual`` (root mean square residual over
        that of the spectrum); then per element ``<El>_standard_error``, ``<El>_edge_jump`` and a
        fraction of each reference
    labels : particles, and the reason for pixels without a valence
    shifts_px : dy, dx of each element
    pixel_nm : pixel size of the first element, NaN if unknown
    """

    channels: list[Channel]
    labels: list[Label]
    shifts_px: dict[str, tuple[float, float]]
    pixel_nm: float

    @property
    def pixel_shown_nm(self) -> float:
        """Pixel size of the image; 1 nm if unknown."""
        return self.pixel_nm if np.isfinite(self.pixel_nm) else UNKNOWN_PIXEL_NM


def valence_image(fits: Mapping[str, Store], agglomerates: NumberArray) -> ValenceImage:
    """Resample the maps of all elements to one grid.

    Parameters
    ----------
    fits : stores of the fits by element; the first has the grid of the image
    agglomerates : (n_y, n_x) of the first element, 0 outside
    """
    first, *_ = fits.values()
    maps: dict[str, dict[str, FloatArray]] = {}
    shifts = {}
    for element, fit in fits.items():
        place = (
            None
            if fit is first
            else place_on(
                np.nan_to_num(fit["amount"]),
                np.nan_to_num(first["amount"]),
                pixel_nm=float(fit.attributes["pixel_nm"]),
                fixed_pixel_nm=float(first.attributes["pixel_nm"]),
            )
        )
        names = [str(name) for name in fit.attributes["names"]]
        arrays = {name: fit[name] for name in SOURCES}
        maps[element] = placed(shown_maps(arrays, names), place)
        shifts[element] = (0.0, 0.0) if place is None else place.shift_px
    particle: LabelArray = (agglomerates > 0).astype(np.uint8)
    labels = [
        Label("particle", particle, PARTICLE_COLORS, PARTICLE_NAMES),
        Label("excluded", first["status"], EXCLUDED_COLORS, STATUS_NAMES),
    ]
    return ValenceImage(_channels(maps), labels, shifts, float(first.attributes["pixel_nm"]))


SOURCES = ("valence", "valence_error", "amount", "r_factor", "fractions")
"""Displayed arrays of a fit."""


def shown_maps(fit: Mapping[str, FloatArray], names: Sequence[str]) -> dict[str, FloatArray]:
    """Return the maps of one element, NaN where no valence was fitted; unknown edge jumps are 0.

    Parameters
    ----------
    fit : ``valence``, ``valence_error``, ``amount``, ``r_factor`` (n_y, n_x) and ``fractions``
        (n_reference, n_y, n_x)
    names : of the references
    """
    good = np.isfinite(fit["valence"])

    def shown(array: FloatArray) -> FloatArray:
        return np.where(good, array, np.nan).astype(np.float32)

    return {
        "valence": fit["valence"].astype(np.float32),
        "residual": shown(np.sqrt(fit["r_factor"])),
        "standard_error": shown(fit["valence_error"]),
        "edge_jump": np.nan_to_num(fit["amount"]).astype(np.float32),
        **{f"fraction_{name}": shown(fit["fractions"][i]) for i, name in enumerate(names)},
    }


def _channels(maps: Mapping[str, Mapping[str, FloatArray]]) -> list[Channel]:
    """Return valences and residuals of all elements first, then their other maps."""
    channels, more = [], []
    for index, (element, own) in enumerate(maps.items()):
        channels += [
            _channel(element, own["valence"], element_color(element, index)),
            _channel(f"{element}_residual", own["residual"], GREY, active=False),
        ]
        more += [
            _channel(f"{element}_{name}", array, GREY, active=False)
            for name, array in own.items()
            if name not in ("valence", "residual")
        ]
    return channels + more


def _channel(name: str, data: FloatArray, color: str, **options: Any) -> Channel:
    return Channel(name, data, color, display_window(data, percent=1.0, from_zero=False), **options)
