"""Figures of the oxidation branch: valence maps, spectra, shells, profiles, clusters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oxytomo.results.line_records import ElementLineMaps
from oxytomo.results.records import ElementValence
from oxytomo.view.slices import robust_range
from oxytomo.view.style import (
    EMPTY,
    INK,
    PAPER,
    SEQUENTIAL,
    SERIES_COLORS,
    SERIES_MARKERS,
    SOFT_INK,
    add_scale_bar,
    color_map,
    house_style,
    new_figure,
    plain_image_axes,
)

WIDTH_IN, HALF_WIDTH, HEIGHT = 9.4, 4.7, 3.4
VALENCE_MAP = "plasma"
STATUS_COLORS = {0: "#ede6d6", 1: PAPER, 2: "#D55E00", 3: "#4b5563"}


@house_style
def valence_maps(elements: Sequence[ElementValence]) -> Figure:
    """Show valence, standard error, residual and excluded pixels of each element."""
    rows = len(elements)
    ratio = elements[0].valence.shape[0] / elements[0].valence.shape[1]
    figure = new_figure(WIDTH_IN, rows * float(np.clip(0.24 * WIDTH_IN * ratio + 0.95, 2.0, 4.5)))
    grid = figure.subplots(rows, 4, squeeze=False)
    for row, one in zip(grid, elements, strict=True):
        known = np.isfinite(one.valence)
        panels: list[tuple[Any, str, str, tuple[float, float]]] = [
            (one.valence, f"{one.element}, valence", VALENCE_MAP, robust_range(one.valence)),
            (
                one.error,
                "standard error",
                SEQUENTIAL,
                (0.0, robust_range(np.where(known, one.error, np.nan))[1]),
            ),
            (
                one.residual,
                "relative residual",
                SEQUENTIAL,
                (0.0, robust_range(np.where(known, one.residual, np.nan))[1]),
            ),
        ]
        for axes, (image, title, colors, (low, high)) in zip(row, panels, strict=False):
            shown = axes.imshow(np.where(known, image, np.nan), cmap=color_map(colors), vmin=low, vmax=high)
            _dress(figure, axes, shown, title, image.shape, one.pixel_nm)
        _status_panel(row[3], one)
    return figure


@house_style
def line_maps(one: ElementLineMaps) -> Figure:
    """Show energies of white line and edge of an element without references, and their errors."""
    shape = one.energies["white_line"].shape
    figure = new_figure(WIDTH_IN, 2 * float(np.clip(0.36 * WIDTH_IN * shape[0] / shape[1] + 0.6, 2.0, 4.5)))
    panels = [
        (image, title, colors, error)
        for line, text in (("white_line", "white line"), ("edge", "edge"))
        for image, title, colors, error in (
            (one.energies[line], f"{one.element}, {text} (eV)", VALENCE_MAP, False),
            (one.errors[line], "standard error (eV)", SEQUENTIAL, True),
        )
    ]
    for axes, (image, title, colors, error) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        low, high = robust_range(image) if np.isfinite(image).any() else (0.0, 1.0)
        shown = axes.imshow(image, cmap=color_map(colors), vmin=0.0 if error else low, vmax=high)
        _dress(figure, axes, shown, title, shape, one.pixel_nm)
    return figure


def _dress(
    figure: Figure, axes: Any, shown: Any, title: str, shape: tuple[int, ...], pixel_nm: float
) -> None:
    plain_image_axes(axes, across="x", down="y")
    axes.set_title(title, loc="left", fontsize=9)
    if np.isfinite(pixel_nm):
        add_scale_bar(axes, shape, pixel_nm=pixel_nm)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02, extend="both")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5)


def _status_panel(axes: Any, one: ElementValence) -> None:
    colors = ListedColormap([STATUS_COLORS[label] for label in sorted(STATUS_COLORS)])
    axes.imshow(one.status, cmap=colors, vmin=-0.5, vmax=3.5)
    plain_image_axes(axes, across="x", down="y")
    axes.set_title("left out", loc="left", fontsize=9)
    present = [label for label in one.status_names if (one.status == label).any()]
    handles = [
        Patch(
            facecolor=STATUS_COLORS[label], edgecolor=SOFT_INK, linewidth=0.5, label=one.status_names[label]
        )
        for label in present
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=2, fontsize=7.5)


@house_style
def shell_spectra(one: ElementValence) -> Figure:
    """Show mean spectra of the shells, their fits, and residuals in units of the edge jump."""
    figure = new_figure(HALF_WIDTH, 4.4)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    step = 0.0
    for number, (spectrum, error, model) in enumerate(
        zip(one.shell_spectra, one.shell_errors, one.shell_models, strict=True)
    ):
        if not np.isfinite(spectrum).any():
            continue
        color = _shell_color(number, len(one.shell_spectra))
        jump = one.shell_jumps[number]
        low = np.nanmin(spectrum)
        drawn = (spectrum - low) / jump
        step = step or 0.12 * float(np.nanmax(drawn))
        top.plot(one.energy_ev, drawn + number * step, ".", ms=2.5, color=color)
        top.plot(one.energy_ev, (model - low) / jump + number * step, "-", lw=1.0, color=INK)
        share = one.shell_outer[number], one.shell_inner[number]
        top.text(
            one.energy_ev[-1],
            drawn[-1] + number * step,
            f" {share[0]:.0f}–{share[1]:.0f} %",
            color=color,
            fontsize=7.5,
            va="center",
            clip_on=False,
        )
        bottom.plot(one.energy_ev, (spectrum - model) / jump, "-", lw=0.9, color=color)
        bottom.fill_between(
            one.energy_ev,
            -error / jump,
            error / jump,
            where=np.isfinite(model),
            color=EMPTY,
            alpha=0.35,
            lw=0,
        )
    for axes in (top, bottom):
        axes.axvspan(*one.window_ev, color="#f1f5f9", zorder=-5)
    bottom.axhline(0, color=SOFT_INK, lw=0.7)
    top.set_ylabel(f"{one.element} OD / edge jump, shifted")
    bottom.set_ylabel("residual")
    bottom.set_xlabel("energy (eV)")
    bottom.set_xlim(one.energy_ev[0], one.energy_ev[-1])
    return figure


def _shell_color(number: int, n: int) -> Any:
    return color_map(SEQUENTIAL)(0.05 + 0.85 * number / max(n - 1, 1))


@house_style
def valence_shells(elements: Sequence[ElementValence]) -> Figure:
    """Show the mean valence of each shell with its standard error, one panel per element."""
    columns = min(2, len(elements))
    rows = -(-len(elements) // columns)
    figure = new_figure(HALF_WIDTH * columns, HEIGHT * rows * (0.85 if rows > 1 else 1))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, (axes, one) in enumerate(zip(grid, elements, strict=False)):
        middle = (one.shell_outer + one.shell_inner) / 2
        half = (one.shell_inner - one.shell_outer) / 2
        axes.errorbar(
            middle,
            one.shell_valence,
            one.shell_error,
            half,
            fmt=SERIES_MARKERS[number],
            ms=4.5,
            capsize=2.5,
            color=SERIES_COLORS[number % len(SERIES_COLORS)],
            label="mean of pixels",
        )
        axes.plot(middle, one.spectrum_valence, "_", ms=13, color=INK, label="fit of the mean spectrum")
        axes.set_ylabel(f"{one.element} valence")
        axes.set_xlim(0, 100)
        axes.set_xlabel("area from the rim (0) to the centre (100 %)")
        if number == 0:
            axes.legend(loc="best")
    for axes in grid[len(elements) :]:
        axes.set_visible(False)
    return figure


@house_style
def valence_profiles(one: ElementValence) -> Figure:
    """Show the valence against the distance from the edge and against the edge jump."""
    figure = new_figure(WIDTH_IN, 3.0)
    panels = figure.subplots(1, 2, sharey=True)
    names = {"depth_nm": "distance from the edge (nm)", "edge_jump": "edge jump (optical density)"}
    for axes, (axis, label) in zip(panels, names.items(), strict=True):
        profile = one.profiles.get(axis)
        if profile is None:
            axes.set_visible(False)
            continue
        middle = (profile["low"] + profile["high"]) / 2
        axes.errorbar(
            middle, profile["mean"], profile["error"], fmt="o", ms=3.5, capsize=2, color=SERIES_COLORS[0]
        )
        axes.set_xlabel(label)
    panels[0].set_ylabel(f"{one.element} valence")
    return figure


@house_style
def cluster_figure(one: ElementValence) -> Figure:
    """Show the k-means clusters of spectra: map and mean spectra."""
    figure = new_figure(WIDTH_IN, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
    n = len(one.cluster_spectra)
    colors = [PAPER, *(SERIES_COLORS[i] for i in range(n))]
    left.imshow(one.clusters, cmap=ListedColormap(colors), vmin=-0.5, vmax=n + 0.5)
    plain_image_axes(left, across="x", down="y")
    if np.isfinite(one.pixel_nm):
        add_scale_bar(left, one.clusters.shape, pixel_nm=one.pixel_nm)
    for number, spectrum in enumerate(one.cluster_spectra):
        right.plot(
            one.energy_ev, spectrum, color=SERIES_COLORS[number], lw=1.1, label=f"cluster {number + 1}"
        )
    right.set_xlabel("energy (eV)")
    right.set_ylabel("OD / its mean")
    right.legend(loc="best")
    return figure
