"""Figures for a paper over states of charge: classes of one particle per state, and what all have."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET
from oxytomo.io.plain_files import printable
from oxytomo.results.names import CLASS_KEYS
from oxytomo.results.records import Composition, ElementValence
from oxytomo.results.results import Results
from oxytomo.view.oxidation_figures import VALENCE_MAP
from oxytomo.view.paper import save_figure
from oxytomo.view.paper_panels import class_legend
from oxytomo.view.slices import robust_range, show_cut
from oxytomo.view.style import (
    CLASS_COLORS,
    INK,
    SERIES_COLORS,
    SERIES_MARKERS,
    add_scale_bar,
    class_color_map,
    color_map,
    house_style,
    new_figure,
    plain_image_axes,
)
from oxytomo.view.telling import cut_at, draw_solid, telling_slice

WIDTH_IN = 7.2
"""Width of a page of a journal, 183 mm."""
BAR = 0.26


STATE_PANELS = ("classes-over-states", "valence-over-states")
"""Names of the figures over groups."""


def write_state_figures(
    groups: Mapping[str, Sequence[Path]], out: Path, *, panels: Sequence[str] = STATE_PANELS
) -> list[Path]:
    """Write the figures of classes and of oxidation states over groups; return the files.

    The first sample of each group is shown; numbers are of all its samples. Figures without two
    groups that have their branch are left out.

    Parameters
    ----------
    groups : name of the group -> results folders of its samples
    out : folder of the files
    panels : which of :data:`STATE_PANELS`
    """
    results = {
        printable(group): [Results.of_folder(f, more=False) for f in folders]
        for group, folders in groups.items()
    }
    written: list[Path] = []
    drawn: tuple[tuple[str, Callable[[Any], Figure], Callable[[Results], Any]], ...] = (
        ("classes-over-states", class_states, lambda one: one.composition),
        ("valence-over-states", valence_states, lambda one: one.oxidation),
    )
    for name, draw, record in drawn:
        if name not in panels:
            continue
        there = {
            group: found
            for group, members in results.items()
            if (found := [one for member in members if (one := record(member)) is not None])
        }
        if len(there) > 1:
            written += save_figure(draw(there), out / name.replace("-", "_"))
    return written


@house_style
def class_states(groups: Mapping[str, Sequence[Composition]]) -> Figure:
    """Show the classes in 3D, in their most telling slice, and their fractions, per state.

    Parameters
    ----------
    groups : state -> its particles
    """
    shown = {
        group: next((m for m in members if m.phases is not None), None) for group, members in groups.items()
    }
    n = len(groups)
    cell = WIDTH_IN / max(3, n)
    figure = new_figure(WIDTH_IN, 2 * cell + 2.6)
    grid = figure.add_gridspec(3, n, height_ratios=(cell, cell, 2.0))
    for column, (group, result) in enumerate(shown.items()):
        top, middle = (figure.add_subplot(grid[row, column]) for row in (0, 1))
        top.set_axis_off()
        middle.set_axis_off()
        top.set_title(group, loc="center")
        if result is not None and result.phases is not None:
            draw_solid(top, result.phases, voxel_nm=result.voxel_nm, legend=False)
            axis, index = telling_slice(result.phases)
            cut = cut_at(result.phases, result.particle, axis=axis, index=index, voxel_nm=result.voxel_nm)
            middle.set_axis_on()
            show_cut(middle, cut, pixel_nm=result.voxel_nm, cmap=class_color_map(), vmin=-0.5, vmax=4.5)
    _fractions(figure.add_subplot(grid[2, :]), groups)
    class_legend(figure, (TARGET, OXYGEN_POOR, OXYGEN_RICH))
    return figure


def _fractions(axes: Any, groups: Mapping[str, Sequence[Composition]]) -> None:
    """Draw the fractions of each particle with their 95 % intervals, side by side per class."""
    keys = [key for key in CLASS_KEYS if key != "undecided"]
    for place, members in enumerate(groups.values()):
        for offset, key in enumerate(keys):
            own = [
                entry
                for member in members
                if (entry := ((member.phases_json or {}).get("fractions") or {}).get(key))
                and entry["value"] is not None
            ]
            if not own:
                continue
            at = place + (offset - 1) * BAR
            mean = 100 * float(np.mean([entry["value"] for entry in own]))
            axes.bar(at, mean, BAR * 0.95, color=CLASS_COLORS[CLASS_KEYS[key]], edgecolor=INK, linewidth=0.6)
            spots = np.linspace(-0.3, 0.3, len(own)) * BAR if len(own) > 1 else np.zeros(1)
            for spot, entry in zip(spots, own, strict=True):
                value = 100 * float(entry["value"])
                low, high = (100 * float(one) for one in entry.get("ci95") or (entry["value"],) * 2)
                reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
                axes.errorbar(at + spot, value, reach, fmt=".", ms=3, color=INK, capsize=2, lw=0.9)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("share of the volume (%)")
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(100.0, high))


@house_style
def valence_states(groups: Mapping[str, Sequence[Any]]) -> Figure:
    """Show the valence maps of each element per state, and the valence from rim to centre.

    Parameters
    ----------
    groups : state -> oxidation states of its particles
    """
    maps = {group: {one.element: one for one in members[0].elements} for group, members in groups.items()}
    elements = list(dict.fromkeys(name for found in maps.values() for name in found))
    n = len(groups)
    cell = WIDTH_IN / (n + 2)
    figure = new_figure(WIDTH_IN, len(elements) * max(1.9, cell + 0.35) + 0.4)
    grid = figure.add_gridspec(len(elements), n + 1, width_ratios=(*[1.0] * n, 1.6))
    for row, element in enumerate(elements):
        own = {group: found[element] for group, found in maps.items() if element in found}
        low, high = robust_range(np.concatenate([one.valence.ravel() for one in own.values()]))
        panels = []
        for column, group in enumerate(groups):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            panels.append(axes)
            if group in own:
                shown = _valence(axes, own[group], (low, high))
            if row == 0:
                axes.set_title(group, loc="center")
        bar = figure.colorbar(shown, ax=panels, shrink=0.8, pad=0.02, extend="both")
        bar.set_label(f"{element} valence")
        bar.outline.set_visible(False)
        profile = figure.add_subplot(grid[row, n])
        for place, (group, members) in enumerate(groups.items()):
            _profile(profile, members, element, group, place)
        profile.set_ylabel(f"{element} valence")
        profile.set_xlim(0, 100)
        if row == len(elements) - 1:
            profile.set_xlabel("rim (0) to centre (100 %)")
        if row == 0:
            profile.legend(fontsize=7.5)
    return figure


def _valence(axes: Any, one: ElementValence, window: tuple[float, float]) -> Any:
    axes.set_axis_on()
    shown = axes.imshow(one.valence, cmap=color_map(VALENCE_MAP), vmin=window[0], vmax=window[1])
    plain_image_axes(axes, across="x", down="y")
    if np.isfinite(one.pixel_nm):
        add_scale_bar(axes, one.valence.shape, pixel_nm=one.pixel_nm)
    return shown


def _profile(axes: Any, members: Sequence[Any], element: str, group: str, place: int) -> None:
    """Draw the valence of an element from rim to centre, one line per particle of a state."""
    color = SERIES_COLORS[place % len(SERIES_COLORS)]
    marker = SERIES_MARKERS[place % len(SERIES_MARKERS)]
    name: str | None = group
    for member in members:
        for one in member.elements:
            if one.element == element:
                middle = (one.shell_outer + one.shell_inner) / 2
                reach = 1.96 * np.nan_to_num(one.shell_error)
                axes.errorbar(
                    middle,
                    one.shell_valence,
                    reach,
                    marker=marker,
                    ms=3.5,
                    color=color,
                    capsize=2,
                    label=name,
                )
                name = None
