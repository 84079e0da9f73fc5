"""Figures of a comparison: group means, profiles, pore sizes, crack orientation."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oxytomo.arrays import Float64Array
from oxytomo.results.definitions import Quantity
from oxytomo.view.compare import WHOLE, Comparison
from oxytomo.view.style import INK, SERIES_COLORS, SERIES_MARKERS, house_style, new_figure

WIDTH_IN, PANEL_IN = 9.4, 2.7
PANELS = 4
ANGLES = np.linspace(0.0, 90.0, 10)
SPREAD = 0.22
"""Half the width of the row of particles of a group."""


@house_style
def number_panels(comparison: Comparison, quantities: Sequence[Quantity]) -> Figure:
    """Show each particle with its noise interval, and each group mean with its 95 % interval.

    Parameters
    ----------
    comparison : the samples and their means
    quantities : quantities, one panel each
    """
    rows = -(-len(quantities) // PANELS)
    columns = min(PANELS, len(quantities))
    figure = new_figure(WIDTH_IN, PANEL_IN * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, quantity in zip(panels, quantities, strict=False):
        for place, group in enumerate(comparison.groups):
            _group(axes, comparison, quantity, group, place)
        axes.set_title(f"{quantity.name} ({quantity.unit})" if quantity.unit else quantity.name)
        axes.set_xticks(range(len(comparison.groups)), _ticks(comparison.groups))
        axes.set_xlim(-0.6, len(comparison.groups) - 0.4)
        axes.margins(y=0.12)
        if quantity.unit == "%":
            low, high = axes.get_ylim()
            axes.set_ylim(max(0.0, low), min(WHOLE, high))
        axes.grid(visible=True, axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(axis="x", length=0)
    for axes in panels[len(quantities) :]:
        axes.set_visible(False)
    return figure


def _group(axes: Axes, comparison: Comparison, quantity: Quantity, group: str, place: int) -> None:
    """Draw the particles of one group, and their mean if there are several."""
    color, marker = _look(place)
    numbers = [s.numbers[quantity.key] for s in comparison.members(group) if quantity.key in s.numbers]
    numbers = [number for number in numbers if np.isfinite(number.value)]
    offsets = np.linspace(-SPREAD, SPREAD, len(numbers)) if len(numbers) > 1 else np.zeros(len(numbers))
    mean = comparison.means[quantity.key, group]
    if mean.n > 1 and mean.interval is not None:
        axes.fill_between([place - 0.36, place + 0.36], *mean.interval, color=color, alpha=0.18, lw=0)
        axes.plot([place - 0.36, place + 0.36], [mean.mean] * 2, color=color, lw=1.6)
    for offset, number in zip(offsets, numbers, strict=True):
        low, high = number.interval or (number.value, number.value)
        reach = [[max(0.0, number.value - low)], [max(0.0, high - number.value)]]
        axes.errorbar(
            place + offset,
            number.value,
            reach,
            fmt=marker,
            ms=5,
            color=color,
            markeredgecolor=INK,
            markeredgewidth=0.5,
            capsize=2.5,
            lw=1.1,
        )


@house_style
def profile_panels(comparison: Comparison, profiles: Sequence[tuple[str, str]]) -> Figure:
    """Show quantities from rim to centre, one line per particle in the colour of its group.

    Parameters
    ----------
    comparison : the samples
    profiles : key of each profile and the label of its axis
    """
    columns = len(profiles)
    figure = new_figure(max(4.7, WIDTH_IN * min(1.0, columns / 3)), 3.4)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for axes, (key, label) in zip(panels, profiles, strict=True):
        for place, group in enumerate(comparison.groups):
            color, marker = _look(place)
            for sample in comparison.members(group):
                profile = sample.profiles.get(key)
                if profile is None:
                    continue
                middle = (profile.outer + profile.inner) / 2
                error = np.nan_to_num(1.96 * profile.error)
                axes.errorbar(
                    middle, profile.value, error, marker=marker, ms=4, color=color, capsize=2, lw=1.3
                )
        axes.set_xlim(0, 100)
        axes.set_xlabel("rim (0) to centre (100 %)")
        axes.set_ylabel(label)
        axes.grid(visible=True, axis="y")
        axes.set_axisbelow(True)
    _legend(figure, comparison.groups)
    return figure


@house_style
def pore_and_crack_figure(comparison: Comparison) -> Figure:
    """Show cumulative pore density and orientation of crack area, one line per particle."""
    figure = new_figure(WIDTH_IN, 3.4)
    left, right = figure.subplots(1, 2)
    _each(comparison, left, _pore_steps)
    left.set_xlabel("equivalent diameter d (nm)")
    left.set_ylabel("pores larger than d (1/µm³)")
    left.set_ylim(bottom=0)
    left.set_xlim(left=0)
    _each(comparison, right, _crack_steps)
    right.set_xlabel("angle of the crack to the radius (°): 0 radial, 90 along the skin")
    right.set_ylabel("crack area per volume (1/µm)")
    right.set_xlim(0, 90)
    right.set_ylim(bottom=0)
    _legend(figure, comparison.groups)
    return figure


Steps = Callable[[Float64Array, tuple[Float64Array, Float64Array], float], tuple[Float64Array, Float64Array]]


def _each(comparison: Comparison, axes: Axes, steps: Steps) -> None:
    styles = ((0, ()), (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)))
    for place, group in enumerate(comparison.groups):
        for number, sample in enumerate(comparison.members(group)):
            if sample.pores is not None and sample.cracks is not None:
                values, edges = steps(sample.pores, sample.cracks, sample.volume_um3)
                axes.stairs(
                    values,
                    edges,
                    color=_look(place)[0],
                    lw=1.5,
                    ls=styles[number % len(styles)],
                    baseline=None,
                )


def _pore_steps(
    diameters: Float64Array, _cracks: tuple[Float64Array, Float64Array], volume: float
) -> tuple[Float64Array, Float64Array]:
    edges = np.concatenate([[0.0], np.sort(diameters)])
    edges = np.append(edges, edges[-1] * 1.05 + 1.0)
    return np.arange(diameters.size, -1, -1) / volume, edges


def _crack_steps(
    _pores: Float64Array, cracks: tuple[Float64Array, Float64Array], volume: float
) -> tuple[Float64Array, Float64Array]:
    area, angle = cracks
    known = np.isfinite(angle) & np.isfinite(area)
    return np.histogram(angle[known], ANGLES, weights=area[known])[0] / 1e6 / volume, ANGLES


def _legend(figure: Figure, groups: Sequence[str]) -> None:
    handles = []
    for place, group in enumerate(groups):
        color, marker = _look(place)
        handles.append(Line2D([], [], color=color, marker=marker, ms=4, label=group))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(groups)))


def _ticks(groups: Sequence[str]) -> list[str]:
    """Return short names of groups for the axis."""
    most = 24 // max(1, len(groups)) + 4
    return [group if len(group) <= most else f"{group[: most - 1]}…" for group in groups]


def _look(place: int) -> tuple[str, str]:
    return SERIES_COLORS[place % len(SERIES_COLORS)], SERIES_MARKERS[place % len(SERIES_MARKERS)]
