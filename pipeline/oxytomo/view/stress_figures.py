"""Figures of stress: maps beside the solid without voids, curves over depth, K_I of cracks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.results.records import Mechanics
from oxytomo.slabs import Field
from oxytomo.view.curves import HEIGHT
from oxytomo.view.slices import centre_cuts, cut_row, row_height, show_cut
from oxytomo.view.style import DIVERGING, INK, SEQUENTIAL, SERIES_COLORS, color_map, house_style, new_figure

WIDTH_IN = 9.4
SOLID = 1
MEASURED, FILLED, IDEAL = SERIES_COLORS[5], SERIES_COLORS[0], INK
NAMES = {
    "first_principal": "first principal stress (MPa)",
    "von_mises": "von Mises stress (MPa)",
    "hydrostatic": "hydrostatic stress (MPa)",
    "hoop": "hoop stress (MPa)",
}


@house_style
def stress_maps(result: Mechanics, name: str) -> Figure:
    """Show cuts of one stress: this particle (above), the same solid without voids (below)."""
    rows: list[tuple[Field, str]] = [(result.stress[name], "this particle")]
    if name in result.without_voids:
        rows.append((result.without_voids[name], "without voids"))
    labels = np.asarray(result.labels[:])
    shown = []
    for number, (field, title) in enumerate(rows):
        there = labels == SOLID if number == 0 else labels > 0
        values = np.where(there, result.amplitude_mpa * np.asarray(field[:]), np.float32(np.nan))
        shown.append((centre_cuts(values, labels, voxel_nm=result.voxel_nm), title))
    both = np.concatenate([cut.image[np.isfinite(cut.image)] for cuts, _ in shown for cut in cuts])
    top = float(np.percentile(np.abs(both), 99)) if both.size else 1.0
    plain = name == "von_mises"
    options = {
        "cmap": color_map(SEQUENTIAL if plain else DIVERGING),
        "vmin": 0.0 if plain else -top,
        "vmax": max(top, 1e-9),
    }
    figure = new_figure(WIDTH_IN, len(shown) * row_height(shown[0][0]))
    for row, (cuts, title) in enumerate(shown):
        panels = cut_row(figure, cuts, len(shown), row)
        for axes, cut in zip(panels, cuts, strict=True):
            image = show_cut(axes, cut, pixel_nm=result.voxel_nm, **options)
        figure.colorbar(image, ax=panels, label=f"{NAMES[name]}, {title}", shrink=0.8)
    return figure


@house_style
def depth_curves(times: Any) -> Figure:
    """Show hoop and von Mises stress beside the voids over depth, at each current.

    Parameters
    ----------
    times : table ``stress_time.csv``
    """
    figure = new_figure(WIDTH_IN, HEIGHT)
    panels = figure.subplots(1, 2)
    rates = sorted(set(times["c_rate"]))
    for axes, name, title in zip(panels, ("hoop", "von_mises"), ("hoop", "von Mises"), strict=True):
        for rate, color in zip(rates, SERIES_COLORS * len(rates), strict=False):
            own = times[times["c_rate"] == rate]
            axes.plot(own["depth"], own[f"{name}_voids_p95_mpa"], "o-", color=color, label=f"{rate:g} C")
            ideal = own[f"ideal_{name}_void_mpa"]
            if ideal.notna().any():
                axes.plot(own["depth"], ideal, ":", color=color, label=f"{rate:g} C, ideal sphere")
        axes.set_xlabel("depth of discharge or charge")
        axes.set_ylabel(f"{title} stress (MPa)")
        if float(np.nanmin(np.append(times[f"{name}_voids_p95_mpa"], np.inf))) > 0:
            axes.set_yscale("log")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


@house_style
def radial_curves(shells: Any) -> Figure:
    """Show hoop and von Mises stress over depth below the surface.

    Parameters
    ----------
    shells : table ``stress_shells.csv``
    """
    figure = new_figure(WIDTH_IN, HEIGHT)
    panels = figure.subplots(1, 2)
    middle = (shells["outer_nm"] + shells["inner_nm"]) / 2000
    for axes, name, title in zip(panels, ("hoop", "von_mises"), ("hoop", "von Mises"), strict=True):
        curves: Mapping[str, tuple[str, str]] = {
            f"{name}_mpa": ("this particle", MEASURED),
            f"without_voids_{name}_mpa": ("without voids", FILLED),
            f"ideal_{name}_mpa": ("ideal sphere", IDEAL),
        }
        for column, (label, color) in curves.items():
            if shells[column].notna().any():
                axes.plot(middle, shells[column], "o-", color=color, label=label, markersize=3.5)
        axes.set_xlabel("distance to the outer surface (µm)")
        axes.set_ylabel(f"{title} stress (MPa)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@house_style
def void_curves(voids: Any, fronts: Any) -> Figure:
    """Show stress beside each pore over its depth, and the distribution of K_I."""
    figure = new_figure(WIDTH_IN, HEIGHT)
    left, right = figure.subplots(1, 2)
    known = voids[voids["p95_first_principal_mpa"].notna()]
    thin = ~known["bridge_resolved"].astype(bool)
    for where, color, label in ((~thin, MEASURED, "bridge resolved"), (thin, "#9aa0a6", "thin bridge")):
        own = known[where]
        if len(own):
            left.plot(own["depth_nm"] / 1e3, own["p95_first_principal_mpa"], "o", color=color, label=label)
    left.set_xlabel("depth of the pore (µm)")
    left.set_ylabel("first principal stress, 95th percentile (MPa)")
    if len(known):
        left.legend()
    values = fronts["k_mpa_sqrt_m"].dropna()
    if len(values):
        right.hist(values, 20, color=FILLED, alpha=0.8)
    for axes, empty in ((left, not len(known)), (right, not len(values))):
        if empty:
            axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
    right.set_xlabel("K_I along the crack fronts (MPa √m)")
    right.set_ylabel("voxels of the fronts")
    return figure
