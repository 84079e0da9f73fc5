"""Panels of figures for a paper: what can be drawn of each branch, as wide as a column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, FloatArray
from oxytomo.results.fractions import fractions_of
from oxytomo.results.records import Composition, ElementValence, Oxidation, Structure
from oxytomo.results.results import Results
from oxytomo.slabs import Field, plane, sampled
from oxytomo.view.composition_maps import map_rows_of
from oxytomo.view.curves import deviation_histogram, fraction_bars, shell_profile
from oxytomo.view.oxidation_figures import VALENCE_MAP, shell_spectra, valence_shells
from oxytomo.view.slices import PERCENT, Cut, MapRow, robust_range, show_cut
from oxytomo.view.style import (
    CLASS_COLORS,
    CLASS_NAMES,
    GREYS,
    SEQUENTIAL,
    SOFT_INK,
    add_scale_bar,
    class_color_map,
    color_map,
    house_style,
    new_figure,
    plain_image_axes,
)
from oxytomo.view.telling import SIZE_PX, VOIDS, cut_at, draw_solid, telling_slice
from oxytomo.view.void_figures import (
    CRACK_COLOR,
    PORE_COLOR,
    labelled_voids,
    orientation_figure,
    size_figure,
    void_shell_figure,
)

COLUMN_IN = 3.5
"""Width of a column of a journal, 89 mm."""


@dataclass(frozen=True)
class Grid:
    """Volume that slices go through: shape, voxel size, and the most telling slice on demand."""

    shape: tuple[int, ...]
    voxel_nm: float
    telling: Callable[[], tuple[int, int]]


@dataclass(frozen=True)
class Panel:
    """How a panel is drawn, at an axis and an index of its grid; without a grid these do not matter."""

    draw: Callable[[int, int], Figure]
    grid: Grid | None = None


def panels_of(results: Results) -> dict[str, Panel]:
    """Return the panels of a sample by name: composition, structure, oxidation."""
    found: dict[str, Panel] = {}
    if results.composition is not None:
        found |= _composition_panels(results.composition)
    if results.structure is not None:
        found |= _structure_panels(results.structure)
    if results.oxidation is not None:
        found |= _oxidation_panels(results.oxidation)
    return found


def _composition_panels(result: Composition) -> dict[str, Panel]:
    """Return the panels of a composition by name."""
    found: dict[str, Panel] = {}
    labelled = result.particle if result.phases is None else result.phases
    grid = Grid(result.particle.shape, result.voxel_nm, lambda: telling_slice(labelled))
    if result.phases is not None:
        phases = result.phases
        found["3d"] = Panel(lambda _a, _i: _solid(phases, result.voxel_nm))
    for name, row in map_rows_of(result).items():
        found[name] = Panel(_mapped(result, row), grid)
    for name, labels in (("classes", result.phases), ("certain", result.confident)):
        if labels is not None:
            found[name] = Panel(_labelled(result, labels), grid)
    for k, name in enumerate(result.elements):
        density = plane(result.densities, k)
        high = max(0.1, robust_range(sampled(density, result.particle))[1])
        row = MapRow(density, f"{name}, relative density", (0.0, high), SEQUENTIAL)
        found[f"density-{name}"] = Panel(_mapped(result, row, in_percent=False), grid)
    return found | _plots(result)


def _plots(result: Composition) -> dict[str, Panel]:
    """Return the panels that do not depend on a slice."""
    fractions = fractions_of(result.phases_json)
    found: dict[str, Panel] = {}
    if fractions:
        found["fractions"] = Panel(_plot(partial(fraction_bars, fractions)))

    def histogram(_axis: int, _index: int) -> Figure:
        null = None if result.null is None else sampled(result.null, result.particle).astype(np.float32)
        inside = sampled(result.deviation, result.particle)
        return _narrow(deviation_histogram(inside, null, threshold=result.threshold))

    found["histogram"] = Panel(histogram)
    if result.shells is not None and len(result.shells):
        found["shells"] = Panel(_plot(partial(shell_profile, result.shells)))
    return found


def _narrow(figure: Figure) -> Figure:
    """Return a figure as wide as a column, of the same shape."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(COLUMN_IN + 0.4, (COLUMN_IN + 0.4) * height / width + 0.3)
    return figure


@house_style
def _solid(phases: Field, voxel_nm: float) -> Figure:
    figure = new_figure(COLUMN_IN, COLUMN_IN)
    draw_solid(figure.add_subplot(), phases, voxel_nm=voxel_nm, legend=False, size_px=2 * SIZE_PX)
    class_legend(figure, (OXYGEN_POOR, OXYGEN_RICH))
    return figure


def _mapped(result: Composition, row: MapRow, *, in_percent: bool = True) -> Callable[[int, int], Figure]:
    @house_style
    def draw(axis: int, index: int) -> Figure:
        cut = cut_at(row.volume, result.particle, axis=axis, index=index, voxel_nm=result.voxel_nm)
        figure = _figure_for(cut)
        axes = figure.add_subplot()
        low, high = row.window
        shown = show_cut(axes, cut, pixel_nm=result.voxel_nm, cmap=color_map(row.colors), vmin=low, vmax=high)
        form = PERCENT if in_percent else None
        extend = "both" if low < 0 else "max"
        bar = figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02, extend=extend, format=form)
        bar.set_label(row.label)
        bar.outline.set_visible(False)
        return figure

    return draw


def _labelled(result: Composition, labels: Field) -> Callable[[int, int], Figure]:
    @house_style
    def draw(axis: int, index: int) -> Figure:
        cut = cut_at(labels, result.particle, axis=axis, index=index, voxel_nm=result.voxel_nm)
        figure = _figure_for(cut)
        axes = figure.add_subplot()
        show_cut(axes, cut, pixel_nm=result.voxel_nm, cmap=class_color_map(), vmin=-0.5, vmax=4.5)
        class_legend(figure, [int(value) for value in np.unique(cut.image)])
        return figure

    return draw


def class_legend(figure: Figure, present: Sequence[int]) -> None:
    """Draw the names of classes below a figure."""
    handles = [
        Patch(facecolor=CLASS_COLORS[k], edgecolor=SOFT_INK, linewidth=0.5, label=CLASS_NAMES[k])
        for k in CLASS_NAMES
        if k in present
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _figure_for(cut: Cut) -> Figure:
    rows, columns = cut.image.shape
    return new_figure(COLUMN_IN, float(np.clip((COLUMN_IN - 0.9) * rows / columns + 0.8, 1.5, 7.0)))


def _structure_panels(result: Structure) -> dict[str, Panel]:
    """Return the panels of pores and cracks by name."""
    labels = labelled_voids(result.particle, result.voids)
    grid = Grid(result.volume.shape, result.voxel_nm, lambda: telling_slice(labels, (2, 3)))
    cracks, smallest = result.facts["cracks"], result.facts["calibration"]["smallest_aperture_nm"]
    found = {
        "voids-3d": Panel(lambda _a, _i: _solid_voids(labels, result.voxel_nm)),
        "volume": Panel(_grey(result, None), grid),
        "voids": Panel(_grey(result, result.voids), grid),
        "void-sizes": Panel(
            _plot(partial(size_figure, result.pores, cracks.get("aperture_distribution"), smallest))
        ),
    }
    shells = result.facts["shells"]
    if shells:
        found["void-shells"] = Panel(_plot(partial(void_shell_figure, shells)))
    if result.cracks is not None:
        found["crack-angles"] = Panel(_plot(partial(orientation_figure, result.cracks)))
    return found


@house_style
def _solid_voids(labels: Field, voxel_nm: float) -> Figure:
    figure = new_figure(COLUMN_IN, COLUMN_IN)
    axes = figure.add_subplot()
    draw_solid(axes, labels, voxel_nm=voxel_nm, look=VOIDS, legend=False, size_px=2 * SIZE_PX)
    _void_legend(figure)
    return figure


def _grey(result: Structure, voids: Field | None) -> Callable[[int, int], Figure]:
    """Return how grey values are drawn at a slice, with pores and cracks over them if given."""

    @house_style
    def draw(axis: int, index: int) -> Figure:
        cut = cut_at(result.volume, result.particle, axis=axis, index=index, voxel_nm=result.voxel_nm)
        figure = _figure_for(cut)
        axes = figure.add_subplot()
        low, high = robust_range(cut.image)
        show_cut(axes, cut, pixel_nm=result.voxel_nm, cmap=color_map(GREYS), vmin=low, vmax=high)
        if voids is not None:
            over = cut_at(voids, result.particle, axis=axis, index=index, voxel_nm=result.voxel_nm).image
            colors = ListedColormap([PORE_COLOR, CRACK_COLOR])
            axes.imshow(np.ma.masked_equal(over, 0), cmap=colors, vmin=0.5, vmax=2.5, alpha=0.8)
            _void_legend(figure)
        return figure

    return draw


def _void_legend(figure: Figure) -> None:
    handles = [
        Patch(facecolor=color, label=name) for color, name in ((PORE_COLOR, "pores"), (CRACK_COLOR, "cracks"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _oxidation_panels(result: Oxidation) -> dict[str, Panel]:
    """Return the panels of oxidation states by name, for each element."""
    found: dict[str, Panel] = {}
    for one in result.elements:
        high = robust_range(np.where(np.isfinite(one.valence), one.error, np.nan))[1]
        found[f"valence-{one.element}"] = Panel(
            _map(one, one.valence, f"{one.element} valence", VALENCE_MAP, robust_range(one.valence))
        )
        found[f"valence-error-{one.element}"] = Panel(
            _map(one, one.error, f"{one.element} valence, standard error", SEQUENTIAL, (0.0, high))
        )
        found[f"valence-shells-{one.element}"] = Panel(_plot(partial(valence_shells, [one])))
        found[f"spectra-{one.element}"] = Panel(_plot(partial(shell_spectra, one)))
    return found


def _plot(make: Callable[[], Figure]) -> Callable[[int, int], Figure]:
    """Return how a figure of the report is drawn as wide as a column."""
    return lambda _axis, _index: _narrow(make())


def _map(
    one: ElementValence, image: FloatArray, label: str, colors: str, window: tuple[float, float]
) -> Callable[[int, int], Figure]:
    """Return how a map of pixels with a valence is drawn."""

    @house_style
    def draw(_axis: int, _index: int) -> Figure:
        known = np.where(np.isfinite(one.valence), image, np.nan)
        figure = _figure_for(Cut(known, "x", "y", ""))
        axes = figure.add_subplot()
        shown = axes.imshow(known, cmap=color_map(colors), vmin=window[0], vmax=window[1])
        plain_image_axes(axes, across="x", down="y")
        if np.isfinite(one.pixel_nm):
            add_scale_bar(axes, known.shape, pixel_nm=one.pixel_nm)
        extend = "both" if window[0] > 0 else "max"
        bar = figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02, extend=extend)
        bar.set_label(label)
        bar.outline.set_visible(False)
        return figure

    return draw
