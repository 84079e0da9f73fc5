"""Figures and tables of a comparison from scattering maps: bulk and surface, feature."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oxytomo.scattering.valences import BULK, SURFACE
from oxytomo.view.compare import Comparison
from oxytomo.view.compared_maps import SHOWN, MapCurve, MapValence
from oxytomo.view.report import Picture, Table
from oxytomo.view.style import INK, SERIES_COLORS, SERIES_MARKERS, house_style, new_figure

WIDTH_IN, PANEL_IN = 9.4, 3.0
MOST_LEVEL = 8
"""More names below the axes are turned."""
STYLES = ("-", "--", ":", "-.")


def scattering_pictures(comparison: Comparison) -> list[Picture]:
    """Return the yields of all maps by element, and the valences of bulk and surface."""
    found = []
    if _panels(comparison):
        found.append(
            Picture(
                "Yields of bulk and surface",
                yields_figure(comparison),
                "One curve per map in the colour of its group, over its largest value; further maps of a group are dashed. "
                "Bands: ± one standard error. Fluorescence comes from the bulk, electrons from the surface.",
                wide=True,
            )
        )
    if _valences(comparison):
        found.append(
            Picture(
                "Valences of bulk and surface",
                depth_figure(comparison),
                "One point per map and yield. Bars: 95 %, from noise and 0.1 eV of energy scale.",
                wide=True,
            )
        )
    return found


def scattering_tables(comparison: Comparison) -> list[Table]:
    """Return the changes of the feature and the valences of all maps."""
    tables = []
    changes = [
        (sample.group, sample.name, pair)
        for sample in comparison.samples
        if sample.maps is not None
        for pair in sample.maps.changes
    ]
    if changes:
        rows = []
        for group, name, pair in changes:
            one = pair["feature"]
            p = one["p_value"]
            rows.append(
                [
                    group,
                    name,
                    f"{pair['first']} to {pair['second']}",
                    _signed(100 * one["change"], 2),
                    f"{100 * one['standard_error']:.2f}",
                    _signed(one["sigma"], 1),
                    "–" if p is None else f"{p:.2g}",
                    f"{one['test']} ({one['scans'][0]} and {one['scans'][1]} scans)",
                ]
            )
        columns: tuple[str, ...] = (
            *("group", "sample", "maps"),
            *("change (%)", "error (%)", "change / error", "p", "test"),
        )
        note = "Feature of oxidised oxygen over the rest of its map; each pair within one sample."
        tables.append(Table("Changes of the feature", columns, rows, frozenset({3, 4, 5, 6}), note))
    valences = _valences(comparison)
    if valences:
        rows = [
            [
                group,
                name,
                one.map,
                one.yield_name,
                one.depth,
                _signed(one.value, 3, plus=False),
                f"{one.error:.3f}",
            ]
            for group, name, one in valences
        ]
        heads = ("group", "sample", "map", "yield", "depth", "mean valence", "error")
        note = "Errors hold noise and 0.1 eV of energy scale, not the choice of references."
        tables.append(Table("Valences of all maps", heads, rows, frozenset({5, 6}), note))
    return tables


def _signed(value: float, decimals: int, *, plus: bool = True) -> str:
    text = f"{value:+.{decimals}f}" if plus else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def _valences(comparison: Comparison) -> list[tuple[str, str, MapValence]]:
    return [
        (sample.group, sample.name, one)
        for sample in comparison.samples
        if sample.maps is not None
        for one in sample.maps.valences
    ]


def _panels(comparison: Comparison) -> list[tuple[str, str, list[tuple[int, MapCurve]]]]:
    """Return element, depth, and the best yield of each map with the place of its group."""
    own = [
        (comparison.groups.index(sample.group), curve)
        for sample in comparison.samples
        if sample.maps is not None
        for curve in sample.maps.curves
    ]
    found = []
    for element in dict.fromkeys(curve.element for _, curve in own):
        for depth in (BULK, SURFACE):
            there = [(place, c) for place, c in own if (c.element, c.depth) == (element, depth)]
            best = {name for name in SHOWN if any(c.yield_name == name for _, c in there)}
            first = next((name for name in SHOWN if name in best), None)
            if depth == BULK and first is not None:
                there = [(place, c) for place, c in there if c.yield_name == first]
            if there:
                found.append((element, depth, there))
    return found


@house_style
def yields_figure(comparison: Comparison) -> Figure:
    """Draw yields of bulk and surface, one panel per element and depth."""
    panels = _panels(comparison)
    rows = -(-len(panels) // 2)
    figure = new_figure(WIDTH_IN, PANEL_IN * rows + 0.2)
    grid = figure.subplots(rows, min(2, len(panels)), squeeze=False).ravel()
    for axes, (element, depth, curves) in zip(grid, panels, strict=False):
        names = ", ".join(dict.fromkeys(curve.yield_name for _, curve in curves))
        seen: dict[int, int] = {}
        for place, curve in curves:
            number = seen[place] = seen.get(place, -1) + 1
            _curve(axes, curve, place, number)
        axes.set_title(f"{element}, {depth} ({names})", loc="left")
        axes.set_xlabel("excitation (eV)")
        axes.set_ylabel("yield / its maximum")
        axes.legend(fontsize=7)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _curve(axes: Axes, curve: MapCurve, place: int, number: int) -> None:
    known = np.isfinite(curve.value)
    scale = float(np.abs(curve.value[known]).max()) if known.any() else 1.0
    value, error = curve.value / (scale or 1.0), curve.error / (scale or 1.0)
    color = SERIES_COLORS[place % len(SERIES_COLORS)]
    style = STYLES[number % len(STYLES)]
    axes.plot(curve.excitation_ev, value, color=color, ls=style, lw=1.2, label=curve.map)
    axes.fill_between(curve.excitation_ev, value - error, value + error, color=color, alpha=0.2, lw=0)


@house_style
def depth_figure(comparison: Comparison) -> Figure:
    """Draw the valences of bulk and surface of each map, one panel per element."""
    valences = _valences(comparison)
    elements = list(dict.fromkeys(one.element for *_, one in valences))
    figure = new_figure(max(4.7, WIDTH_IN * min(1.0, len(elements) / 2)), PANEL_IN)
    for axes, element in zip(figure.subplots(1, len(elements), squeeze=False)[0], elements, strict=True):
        own = [(g, n, one) for g, n, one in valences if one.element == element]
        ticks = list(dict.fromkeys((n, one.map) for _, n, one in own))
        kinds = list(dict.fromkeys((one.depth, one.yield_name) for *_, one in own))
        for number, (depth, name) in enumerate(kinds):
            chosen: Sequence[tuple[str, str, MapValence]] = [
                row for row in own if (row[2].depth, row[2].yield_name) == (depth, name)
            ]
            at = [ticks.index((n, one.map)) + 0.14 * (number - (len(kinds) - 1) / 2) for _, n, one in chosen]
            axes.errorbar(
                at,
                [one.value for *_, one in chosen],
                [1.959964 * np.nan_to_num(one.error) for *_, one in chosen],
                fmt=SERIES_MARKERS[number % len(SERIES_MARKERS)],
                color=SERIES_COLORS[number % len(SERIES_COLORS)],
                mec=INK,
                mew=0.5,
                mfc="white" if depth == SURFACE else None,
                capsize=2.5,
                label=f"{name} ({depth})",
            )
        turned = 90 if len(ticks) * len(elements) > MOST_LEVEL else 0
        axes.set_xticks(range(len(ticks)), [f"{name}\n{one}" for name, one in ticks], rotation=turned)
        axes.set_xlim(-0.6, len(ticks) - 0.4)
        axes.set_ylabel(f"mean valence of {element}")
        axes.grid(visible=True, axis="y")
        axes.legend(fontsize=7)
    return figure
