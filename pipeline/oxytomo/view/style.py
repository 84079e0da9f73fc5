"""Common style of all figures: colours, fonts, scale bars, PNG output."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogFormatterSciNotation

from oxytomo.arrays import OUTSIDE, OXYGEN_POOR, OXYGEN_RICH, TARGET, UNDECIDED
from oxytomo.results.names import CLASS_KEYS as CLASS_KEYS
from oxytomo.results.names import CLASS_NAMES as CLASS_NAMES
from oxytomo.results.names import percent as percent
from oxytomo.results.names import percent_setting as percent_setting

INK, SOFT_INK, PAPER, EMPTY = "#1f2328", "#6b7280", "#ffffff", "#b9bcc1"
"""Colours of text and axes, secondary text, background, and missing values."""

SAMPLE_COLOR, NULL_COLOR = "#1f4e79", "#d9822b"
SERIES_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7a7a00", "#000000")
SERIES_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

CLASS_COLORS: Mapping[int, str] = {
    OUTSIDE: PAPER,
    TARGET: "#ede6d6",
    OXYGEN_POOR: "#b2282e",
    OXYGEN_RICH: "#6c8096",
    UNDECIDED: "#ecd268",
}
DIVERGING, SEQUENTIAL, GREYS = "RdBu_r", "viridis", "gray"
PNG_DPI = 150

house_style = matplotlib.rc_context(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "axes.edgecolor": SOFT_INK,
        "axes.labelcolor": INK,
        "axes.titlesize": 9.5,
        "axes.titlecolor": INK,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "xtick.color": SOFT_INK,
        "ytick.color": SOFT_INK,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "grid.color": "#e5e7eb",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.4,
        "image.interpolation": "nearest",
        "text.parse_math": False,  # names of samples and groups are no formulas
    }
)
"""Decorator of drawing functions: settings for one figure only."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, without global state."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


class PlainPowers(LogFormatterSciNotation):
    """Labels of a logarithmic axis without formulas: 10⁻¹⁶, 2×10³."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick."""
        label = re.sub(
            r"\\mathdefault|\\times|[${}]", lambda found: _PLAIN.get(found[0], ""), super().__call__(x, pos)
        )
        number, _, power = label.partition("^")
        return number + power.translate(_SUPERSCRIPT)


_PLAIN = {r"\times": "×"}
_SUPERSCRIPT = str.maketrans("0123456789-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")


@contextmanager
def as_text(figure: Figure) -> Iterator[None]:
    """Draw a figure within the block with all text as it is, letters without a glyph as boxes."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        for change, old in (
            (axis.set_major_formatter, axis.get_major_formatter()),
            (axis.set_minor_formatter, axis.get_minor_formatter()),
        ):
            if isinstance(old, LogFormatterSciNotation):
                change(PlainPowers(labelOnlyBase=old.labelOnlyBase, minor_thresholds=old.minor_thresholds))
    with warnings.catch_warnings(), matplotlib.rc_context({"text.parse_math": False}):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


@house_style
def to_png(figure: Figure) -> bytes:
    """Render a figure as PNG."""
    buffer = io.BytesIO()
    with as_text(figure):
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def color_map(name: str) -> Any:
    """Return a colour map that shows missing values in grey."""
    return matplotlib.colormaps[name].with_extremes(bad=EMPTY)


def class_color_map() -> Any:
    """Return the colour map of label images, for values from −0.5 to 4.5."""
    return ListedColormap([CLASS_COLORS[value] for value in sorted(CLASS_COLORS)])


def scale_bar_length_nm(width_nm: float) -> float:
    """Return a round length (1, 2 or 5 × 10ⁿ) near one fifth of the width of an image."""
    goal = width_nm / 5
    power = 10.0 ** np.floor(np.log10(goal))
    return float(max(step * power for step in (1, 2, 5) if step * power <= goal * 1.001))


def format_length(length_nm: float) -> str:
    """Return a length with a suitable unit."""
    return f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"


def add_scale_bar(axes: Any, shape: tuple[int, ...], *, pixel_nm: float) -> None:
    """Draw a scale bar with its length below the lower-left corner of an image.

    Parameters
    ----------
    axes : axes with an image of one data unit per pixel, first row at the top
    shape : (n_rows, n_columns)
    pixel_nm : pixel size
    """
    rows, columns = shape
    length_nm = scale_bar_length_nm(columns * pixel_nm)
    height = max(rows, columns) * 0.014
    top = rows - 0.5 + 1.6 * height
    axes.add_patch(
        Rectangle((-0.5, top), length_nm / pixel_nm, height, color=INK, linewidth=0, clip_on=False)
    )
    axes.text(
        length_nm / pixel_nm + 1.5 * height,
        top + height / 2,
        format_length(length_nm),
        va="center",
        ha="left",
        fontsize=8.5,
    )


def plain_image_axes(axes: Any, *, across: str, down: str) -> None:
    """Remove ticks and frame from an image and label its axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylabel(f"{down} ↓", rotation=0, ha="right", va="center", fontsize=8.5)
    axes.set_title(f"{across} →", loc="right", fontsize=8.5, pad=3)
