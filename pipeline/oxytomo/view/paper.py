"""Figures for a paper: single panels at a chosen slice, as PNG, PDF and SVG with embedded fonts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH
from oxytomo.errors import ConfigError, InputError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.results.fractions import fractions_of
from oxytomo.results.records import Composition
from oxytomo.results.results import Results
from oxytomo.slabs import Field, plane, sampled
from oxytomo.view.composition_maps import map_rows_of
from oxytomo.view.curves import deviation_histogram, fraction_bars, shell_profile
from oxytomo.view.slices import PERCENT, Cut, MapRow, robust_range, show_cut
from oxytomo.view.style import (
    CLASS_COLORS,
    CLASS_NAMES,
    SEQUENTIAL,
    SOFT_INK,
    as_text,
    class_color_map,
    color_map,
    house_style,
    new_figure,
)
from oxytomo.view.telling import SIZE_PX, cut_at, draw_solid, telling_slice

COLUMN_IN = 3.5
"""Width of a column of a journal, 89 mm."""
DPI = 300
FORMATS = ("png", "pdf", "svg")
AXES = "zyx"
_EMBEDDED = {
    "pdf.fonttype": 42,  # TrueType, as a whole: editors of journals refuse Type 3
    "svg.fonttype": "path",  # glyphs as outlines: no font is needed to show them
    "svg.hashsalt": "oxytomo",
}
_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


@dataclass(frozen=True)
class SliceAt:
    """A slice across an axis (``z``, ``y`` or ``x``), at a place in µm."""

    axis: str
    place_um: float


def slice_at(text: str) -> SliceAt:
    """Return the slice that a text such as ``z=0.52`` names.

    Raises
    ------
    ConfigError
        If it names none.
    """
    axis, _, place = text.partition("=")
    try:
        found = SliceAt(axis.strip().lower(), float(place))
    except ValueError:
        found = SliceAt("", np.nan)
    if len(found.axis) != 1 or found.axis not in AXES or not np.isfinite(found.place_um):
        raise ConfigError(
            "--slice",
            expected="an axis and a place in µm, such as z=0.52",
            got=repr(text),
            fix="take the place from the title of a slice in the report",
        )
    return found


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG at 300 dpi, PDF and SVG; return the files.

    Parameters
    ----------
    figure : the figure
    stem : path of the files without their endings
    """
    written = []
    for form in FORMATS:
        path = stem.with_name(f"{stem.name}.{form}")
        with complete_or_absent(path) as partial, matplotlib.rc_context(_EMBEDDED), as_text(figure):
            figure.savefig(partial, format=form, dpi=DPI, metadata=_METADATA[form])
        written.append(path)
    return written


def write_panels(folder: Path, out: Path, *, panels: Sequence[str], at: SliceAt | None) -> list[Path]:
    """Write panels of a sample and return the files.

    Parameters
    ----------
    folder : results folder of the sample
    out : folder of the files; each is named after its panel and slice
    panels : names of panels; all of them for none
    at : slice; None: the slice with most of both departing classes

    Raises
    ------
    InputError
        If the sample has no composition.
    ConfigError
        If it has no such panel or slice.
    """
    results = Results.of_folder(folder, more=False)
    results.files.check_all()
    found = results.composition
    if found is None:
        raise InputError(
            str(folder),
            expected="a sample with a composition",
            got="none",
            fix="leave out --panel: the figures of the report are written for every branch",
        )
    known = _panels(found)
    for name in panels:
        if name not in known:
            raise ConfigError(
                "--panel", expected=f"one of {', '.join(known)}", got=repr(name), fix="choose from the list"
            )
    axis, index = _place(found, at)
    written = []
    for name in panels or known:
        panel = known[name]
        end = f"_{AXES[axis]}_{index * found.voxel_nm / 1000:.2f}um" if panel.is_slice else ""
        written += save_figure(panel.draw(axis, index), out / f"{name}{end}")
    return written


@dataclass(frozen=True)
class _Panel:
    """How a panel is drawn at a slice, and whether the slice matters."""

    draw: Callable[[int, int], Figure]
    is_slice: bool = True


def _place(result: Composition, at: SliceAt | None) -> tuple[int, int]:
    """Return axis and index of a slice."""
    if at is None:
        return telling_slice(result.particle if result.phases is None else result.phases)
    axis = AXES.index(at.axis)
    index, side = round(at.place_um * 1000 / result.voxel_nm), result.particle.shape[axis]
    if not 0 <= index < side:
        raise ConfigError(
            "--slice",
            expected=f"{at.axis} from 0 to {(side - 1) * result.voxel_nm / 1000:.2f} µm",
            got=f"{at.place_um:g} µm",
            fix="take the place from the title of a slice in the report",
        )
    return axis, index


def _panels(result: Composition) -> dict[str, _Panel]:
    """Return the panels of a composition by name."""
    found: dict[str, _Panel] = {}
    if result.phases is not None:
        phases = result.phases
        found["3d"] = _Panel(lambda _a, _i: _solid(phases, result.voxel_nm), is_slice=False)
    for name, row in map_rows_of(result).items():
        found[name] = _Panel(_mapped(result, row))
    for name, labels in (("classes", result.phases), ("certain", result.confident)):
        if labels is not None:
            found[name] = _Panel(_labelled(result, labels))
    for k, name in enumerate(result.elements):
        density = plane(result.densities, k)
        high = max(0.1, robust_range(sampled(density, result.particle))[1])
        row = MapRow(density, f"{name}, relative density", (0.0, high), SEQUENTIAL)
        found[f"density-{name}"] = _Panel(_mapped(result, row, in_percent=False))
    return found | _plots(result)


def _plots(result: Composition) -> dict[str, _Panel]:
    """Return the panels that do not depend on a slice."""
    fractions = fractions_of(result.phases_json)
    found = {}
    if fractions:
        found["fractions"] = _Panel(lambda _a, _i: _narrow(fraction_bars(fractions)), is_slice=False)

    def histogram(_axis: int, _index: int) -> Figure:
        null = None if result.null is None else sampled(result.null, result.particle).astype(np.float32)
        inside = sampled(result.deviation, result.particle)
        return _narrow(deviation_histogram(inside, null, threshold=result.threshold))

    found["histogram"] = _Panel(histogram, is_slice=False)
    if result.shells is not None and len(result.shells):
        found["shells"] = _Panel(lambda _a, _i: _narrow(shell_profile(result.shells)), is_slice=False)
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
