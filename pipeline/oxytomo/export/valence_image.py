"""Valence maps of all elements as the channels of one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.align.maps import place_on, placed
from oxytomo.arrays import FloatArray, LabelArray, NumberArray
from oxytomo.export.ngff import Channel, Label
from oxytomo.io.oxidation_stores import is_line_map
from oxytomo.io.stores import Store
from oxytomo.oxidation.status import STATUS_NAMES
from oxytomo.oxidation.white_line import STATUS_NAMES as LINE_STATUS_NAMES
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
        fraction of each reference; without references energies of white line and edge
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
                np.nan_to_num(fit[_amount(fit)]),
                np.nan_to_num(first[_amount(first)]),
                pixel_nm=float(fit.attributes["pixel_nm"]),
                fixed_pixel_nm=float(first.attributes["pixel_nm"]),
            )
        )
        if is_line_map(fit):
            own = {name: fit[f"white_line_{source}"] for name, source in LINE_SOURCES.items()}
        else:
            names = [str(name) for name in fit.attributes["names"]]
            own = shown_maps({name: fit[name] for name in SOURCES}, names)
        maps[element] = placed(own, place)
        shifts[element] = (0.0, 0.0) if place is None else place.shift_px
    particle: LabelArray = (agglomerates > 0).astype(np.uint8)
    labels = [
        Label("particle", particle, PARTICLE_COLORS, PARTICLE_NAMES),
        Label("excluded", first["white_line_status"], EXCLUDED_COLORS, LINE_STATUS_NAMES)
        if is_line_map(first)
        else Label("excluded", first["status"], EXCLUDED_COLORS, STATUS_NAMES),
    ]
    return ValenceImage(_channels(maps), labels, shifts, float(first.attributes["pixel_nm"]))


SOURCES = ("valence", "valence_error", "amount", "r_factor", "fractions")
"""Displayed arrays of a fit."""
LINE_SOURCES = {
    "white_line_ev": "position_ev",
    "white_line_error_ev": "error_ev",
    "edge_ev": "edge_ev",
    "edge_error_ev": "edge_error_ev",
    "white_line_height": "height",
}
"""Displayed maps of an element without references, and their arrays."""


def _amount(fit: Store) -> str:
    """Return the array that is proportional to the amount of the element."""
    return "white_line_height" if is_line_map(fit) else "amount"


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
        if "valence" not in own:
            first, *others = (
                _channel(f"{element}_{name}", array, GREY, active=name == "white_line_ev")
                for name, array in own.items()
            )
            channels.append(first)
            more += others
            continue
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
