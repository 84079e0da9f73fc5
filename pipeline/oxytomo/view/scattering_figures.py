"""Figures of the scattering branch: maps with windows, yields, cuts, differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from oxytomo.results.records import Scattering, ScatteringMap, ScatteringPair
from oxytomo.scattering.maps import bin_edges
from oxytomo.view.style import (
    DIVERGING,
    INK,
    SEQUENTIAL,
    SERIES_COLORS,
    SOFT_INK,
    color_map,
    house_style,
    new_figure,
)

WIDTH_IN, HEIGHT = 9.4, 3.6
WINDOW_COLORS = {"PFY": "#ffffff", "sPFY": "#E69F00", "iPFY": "#56B4E9"}


def _drawn(axes: Any, excitation: Any, emission: Any, values: Any, **options: Any) -> Any:
    """Draw a map with the excitation across and the emission up."""
    density = values / np.diff(bin_edges(emission))
    axes.set_xlabel("excitation (eV)")
    return axes.pcolormesh(bin_edges(excitation), bin_edges(emission), density.T, rasterized=True, **options)


def _grid(figure: Figure, n: int) -> list[Any]:
    columns = min(2, n)
    return list(figure.subplots(-(-n // columns), columns, squeeze=False).ravel())


@house_style
def map_figure(maps: Sequence[ScatteringMap], features: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Show each map with the windows of its yields, its cuts, its elastic line and the feature."""
    figure = new_figure(WIDTH_IN, HEIGHT * -(-len(maps) // 2))
    grid = _grid(figure, len(maps))
    for axes, one in zip(grid, maps, strict=False):
        known = one.intensity[np.isfinite(one.intensity)]
        density = one.intensity / np.diff(bin_edges(one.emission_ev))
        high = float(np.nanpercentile(density, 99.7)) if known.size else 1.0
        shown = _drawn(
            axes, one.excitation_ev, one.emission_ev, one.intensity,
            cmap=color_map(SEQUENTIAL), vmin=0.0, vmax=high or 1.0,
        )  # fmt: skip
        low, top = bin_edges(one.emission_ev)[[0, -1]]
        line = np.array([max(low, one.excitation_ev[0]), min(top, one.excitation_ev[-1])])
        axes.plot(line, line, color="#ffffff", lw=0.8, ls=":")
        for name, window in one.facts["windows_ev"].items():
            if name in WINDOW_COLORS:
                for limit in window:
                    axes.axhline(limit, color=WINDOW_COLORS[name], lw=0.9, ls="--")
                axes.text(
                    one.excitation_ev[-1], window[1], f"{name} ",
                    color=WINDOW_COLORS[name], fontsize=7, ha="right", va="bottom",
                    bbox={"facecolor": "#00000099", "edgecolor": "none", "pad": 0.8},
                )  # fmt: skip
        feature = features.get(one.name)
        if feature is not None:
            (left, right), (bottom, upper) = feature["excitation_ev"], feature["emission_ev"]
            axes.add_patch(
                Rectangle((left, bottom), right - left, upper - bottom, fill=False, ec="#D55E00", lw=1.3)
            )
        axes.set_title(one.name, loc="left")
        axes.set_ylabel("emission (eV)")
        bar = figure.colorbar(shown, ax=axes, pad=0.02, extend="max", label="photons per flux and eV")
        bar.outline.set_visible(False)
    for axes in grid[len(maps) :]:
        axes.set_visible(False)
    return figure


@house_style
def yield_figure(result: Scattering, element: str) -> Figure:
    """Show the yields of the maps of an element, each over its largest value."""
    table = result.yields[result.yields["element"] == element]
    names = list(dict.fromkeys(table["yield"]))
    figure = new_figure(WIDTH_IN, 2.7 * -(-len(names) // 2))
    grid = _grid(figure, len(names))
    for axes, name in zip(grid, names, strict=False):
        for number, (map_name, own) in enumerate(table[table["yield"] == name].groupby("map", sort=False)):
            _curve(axes, own, "excitation_ev", number, str(map_name))
        axes.set_title(name, loc="left")
        axes.set_xlabel("excitation (eV)")
        axes.set_ylabel("yield / its maximum")
    grid[0].legend(loc="best")
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    return figure


def _curve(axes: Any, own: "pd.DataFrame", across: str, number: int, label: str) -> None:
    """Draw a curve over its largest value, with a band of ± one standard error."""
    value, error = own["value"].to_numpy(), own["standard_error"].to_numpy()
    largest = float(np.nanmax(np.abs(value))) if np.isfinite(value).any() else 1.0
    x, scale = own[across].to_numpy(), largest or 1.0
    color = SERIES_COLORS[number % len(SERIES_COLORS)]
    axes.plot(x, value / scale, color=color, lw=1.2, label=label)
    axes.fill_between(x, (value - error) / scale, (value + error) / scale, color=color, alpha=0.25, lw=0)


@house_style
def cut_figure(result: Scattering, element: str) -> Figure:
    """Show the emission spectra at the chosen excitations, each over its largest value."""
    table = result.cuts[result.cuts["element"] == element]
    energies = list(dict.fromkeys(table["excitation_ev"]))
    figure = new_figure(WIDTH_IN, 2.9 * -(-len(energies) // 2))
    grid = _grid(figure, len(energies))
    for axes, energy in zip(grid, energies, strict=False):
        for number, (name, own) in enumerate(
            table[table["excitation_ev"] == energy].groupby("map", sort=False)
        ):
            _curve(axes, own, "emission_ev", number, str(name))
        axes.set_title(f"excitation {energy:g} eV", loc="left")
        axes.set_xlabel("emission (eV)")
        axes.set_ylabel("emission / its maximum")
    grid[0].legend(loc="best")
    for axes in grid[len(energies) :]:
        axes.set_visible(False)
    return figure


@house_style
def difference_figure(pair: ScatteringPair) -> Figure:
    """Show the difference of two maps, and the difference over its standard error."""
    figure = new_figure(WIDTH_IN, HEIGHT)
    panels = figure.subplots(1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(pair.error > 0, pair.difference / pair.error, np.nan)
    widths = np.diff(bin_edges(pair.emission_ev))
    finite = np.abs(pair.difference / widths)[np.isfinite(pair.difference)]
    limit = float(np.percentile(finite, 99.5)) if finite.size else 1.0
    images = (
        (pair.difference, "difference", "photons per flux and eV", limit or 1.0),
        (ratio * widths, "difference / standard error", "standard errors", 5.0),
    )
    for axes, (values, title, label, high) in zip(panels, images, strict=True):
        shown = _drawn(
            axes, pair.excitation_ev, pair.emission_ev, values,
            cmap=color_map(DIVERGING), vmin=-high, vmax=high,
        )  # fmt: skip
        axes.set_ylabel("emission (eV)")
        axes.set_title(title, loc="left")
        feature = pair.facts["feature"]
        if feature is not None:
            (left, right), (bottom, upper) = feature["excitation_ev"], feature["emission_ev"]
            axes.add_patch(
                Rectangle((left, bottom), right - left, upper - bottom, fill=False, ec=INK, lw=1.2)
            )
        bar = figure.colorbar(shown, ax=axes, pad=0.02, extend="both", label=label)
        bar.outline.set_visible(False)
        axes.tick_params(colors=SOFT_INK)
    return figure
