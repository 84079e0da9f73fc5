"""Figures for a paper: single panels at a chosen slice, as PNG, PDF and SVG with embedded fonts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from oxytomo.errors import ConfigError, InputError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.results.results import Results
from oxytomo.view.paper_panels import Grid, panels_of
from oxytomo.view.style import as_text

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
    at : slice; None: the slice with most of what differs from the rest

    Raises
    ------
    InputError
        If the sample has no branch with panels.
    ConfigError
        If it has no such panel or slice.
    """
    results = Results.of_folder(folder, more=False)
    results.files.check_all()
    known = panels_of(results)
    if not known:
        raise InputError(
            str(folder),
            expected="a sample with a composition, structure or oxidation",
            got="none",
            fix="leave out --panel: the figures of the report are written for every branch",
        )
    for name in panels:
        if name not in known:
            raise ConfigError(
                "--panel", expected=f"one of {', '.join(known)}", got=repr(name), fix="choose from the list"
            )
    chosen = {name: known[name] for name in panels or known}
    places = {name: _place(panel.grid, at) for name, panel in chosen.items()}
    written = []
    for name, panel in chosen.items():
        axis, index = places[name]
        end = "" if panel.grid is None else f"_{AXES[axis]}_{index * panel.grid.voxel_nm / 1000:.2f}um"
        written += save_figure(panel.draw(axis, index), out / f"{name}{end}")
    return written


def _place(grid: Grid | None, at: SliceAt | None) -> tuple[int, int]:
    """Return axis and index of a slice through the volume of a panel."""
    if grid is None:
        return 0, 0
    if at is None:
        return grid.telling()
    axis = AXES.index(at.axis)
    index, side = round(at.place_um * 1000 / grid.voxel_nm), grid.shape[axis]
    if not 0 <= index < side:
        raise ConfigError(
            "--slice",
            expected=f"{at.axis} from 0 to {(side - 1) * grid.voxel_nm / 1000:.2f} µm",
            got=f"{at.place_um:g} µm",
            fix="take the place from the title of a slice in the report",
        )
    return axis, index
