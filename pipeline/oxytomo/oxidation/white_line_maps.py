"""White-line positions of a registered stack, block by block of rows, and their summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, LabelArray
from oxytomo.oxidation.edges import Window, inside
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.valence_maps import block_rows
from oxytomo.oxidation.white_line import (
    FLATTENED,
    FOUND,
    OUT_OF_RANGE,
    STATUS_NAMES,
    TOO_THICK,
    WhiteLine,
    flattening,
    white_line,
)

NAMES = ("position_ev", "error_ev", "height", "edge_ev", "edge_error_ev", "status")
"""Maps that are kept."""
MANY_THICK = 0.1
MOST_ROWS = 100
USUAL_HALF_WIDTH_EV, STEPS = 2.0, 4


@dataclass(frozen=True)
class WhiteLineOptions:
    """How white lines are found; see the settings of the same names."""

    element: str
    white_line_half_width_ev: float | None
    white_line_order: int
    thick_od: float
    thin_sigma: float


def white_line_maps(
    stack: EnergyStack, facts: Mapping[str, Any], options: WhiteLineOptions
) -> tuple[dict[str, FloatArray], dict[str, Any], list[str]]:
    """Find the white line of every pixel in the window of the fit.

    Parameters
    ----------
    stack : registered
    facts : ``stack_energy_ev`` on the scale of the references, and the windows ``window_ev``,
        ``pre_edge_ev``, ``post_edge_ev``
    options : width and order of the polynomial, limits for valid pixels

    Returns
    -------
    maps : by name, see :data:`NAMES`, (n_y, n_x)
    summary : medians over the pixels with a position, None without any
    remarks : what a reader should know
    """
    energy = np.asarray(facts["stack_energy_ev"], np.float64)
    half_width = options.white_line_half_width_ev or usual_half_width_ev(energy, _window(facts))
    _, n_y, n_x = stack.value.shape
    rows = block_rows(stack.rows_at_once, 2 * energy.size * n_x)
    maps: dict[str, FloatArray] = {}
    for top in range(0, n_y, rows):
        part = slice(top, min(top + rows, n_y))
        found = _of_rows(stack, facts, options, part, half_width)
        for name in NAMES:
            array = getattr(found, name)
            maps.setdefault(name, np.empty((n_y, n_x), array.dtype))[part] = array
    summary = {**_summary(maps), "half_width_ev": half_width}
    remarks = _remarks(options, summary)
    ratio = _flattening(stack, maps, facts)
    if ratio is not None and ratio < FLATTENED:
        remarks.append(
            f"{options.element}: the white line per edge jump is {100 * (1 - ratio):.0f} % smaller in thick pixels than in thin "
            "ones: self-absorption (in yield), stray light or other orders flatten it; its position is uncertain there."
        )
    return maps, summary, remarks


def _flattening(stack: EnergyStack, maps: Mapping[str, FloatArray], facts: Mapping[str, Any]) -> float | None:
    """Return the white line per edge jump of thick pixels over that of thin ones."""
    energy = np.asarray(facts["stack_energy_ev"], np.float64)
    below = inside(energy, tuple(facts["pre_edge_ev"]))
    above = inside(energy, tuple(facts["post_edge_ev"]))
    y, x = np.nonzero(np.isin(maps["status"], (FOUND, TOO_THICK)))
    if not below.any() or y.size == 0:
        return None
    # A pixel row at a time is how the file keeps them; every tenth tells enough of a large map.
    rows = np.unique(y)[:: max(1, np.unique(y).size // MOST_ROWS)]
    spectra = [np.asarray(stack.value[:, row])[:, x[y == row]].T for row in rows]
    density = np.concatenate(spectra).astype(np.float64)
    density -= np.nanmean(density[:, below], axis=1)[:, None]
    return flattening(density[np.isfinite(density).all(axis=1)], above)


def described(summary: Mapping[str, Any]) -> str:
    """Return the summary of :func:`white_line_maps` in words."""
    median = summary["median_ev"]
    return "no pixel has one" if median is None else f"{median:.2f} eV in the median"


def solid_pixels(height: FloatArray, status: LabelArray, thin_share: float) -> BoolArray:
    """Return the pixels with enough of the element, those that are too thick included.

    Parameters
    ----------
    height, status : (n_y, n_x) of :class:`~oxytomo.oxidation.white_line.WhiteLine`
    thin_share : pixels with less than this share of the largest height are too thin
    """
    known = np.nan_to_num(height)
    enough = known >= thin_share * float(known.max(initial=0.0))
    return np.asarray((status == TOO_THICK) | ((status == FOUND) & enough))


def usual_half_width_ev(energy_ev: Float64Array, window: Window) -> float:
    """Return 2 eV, or four usual steps of the energies in a window if these are wider."""
    steps = np.diff(np.unique(energy_ev[inside(energy_ev, window)]))
    return max(USUAL_HALF_WIDTH_EV, STEPS * float(np.median(steps))) if steps.size else USUAL_HALF_WIDTH_EV


def _window(facts: Mapping[str, Any]) -> Window:
    low, high = facts["window_ev"]
    return float(low), float(high)


def _of_rows(
    stack: EnergyStack,
    facts: Mapping[str, Any],
    options: WhiteLineOptions,
    part: slice,
    half_width_ev: float,
) -> WhiteLine:
    return white_line(
        np.asarray(stack.value[:, part]),
        np.asarray(stack.variance[:, part]),
        np.asarray(facts["stack_energy_ev"], np.float64),
        search=_window(facts),
        pre_edge=tuple(facts["pre_edge_ev"]),
        post_edge=tuple(facts["post_edge_ev"]),
        half_width_ev=half_width_ev,
        order=options.white_line_order,
        weak_sigma=options.thin_sigma,
        thick_od=options.thick_od,
    )


def _summary(maps: dict[str, FloatArray]) -> dict[str, Any]:
    good, status = maps["status"] == FOUND, maps["status"]
    counts = {name: int((status == label).sum()) for label, name in STATUS_NAMES.items()}
    if not good.any():
        return {"pixels": counts, "median_ev": None, "median_error_ev": None, "edge_median_ev": None}
    edge = maps["edge_ev"][good]
    return {
        "pixels": counts,
        "median_ev": float(np.median(maps["position_ev"][good])),
        "standard_deviation_ev": float(np.std(maps["position_ev"][good], dtype=np.float64)),
        "median_error_ev": float(np.median(maps["error_ev"][good])),
        "edge_median_ev": float(np.nanmedian(edge)) if np.isfinite(edge).any() else None,
    }


def _remarks(options: WhiteLineOptions, summary: dict[str, Any]) -> list[str]:
    """Report thick pixels, and positions outside the range."""
    found, counts = [], summary["pixels"]
    seen, thick = counts[STATUS_NAMES[FOUND]], counts[STATUS_NAMES[TOO_THICK]]
    if thick > MANY_THICK * max(seen + thick, 1):
        found.append(
            f"{options.element}: {thick} pixels are too thick for the position of the white line: stray light and other orders "
            "flatten the peak."
        )
    outside = counts[STATUS_NAMES[OUT_OF_RANGE]]
    if outside > max(seen, 1):
        found.append(
            f"{options.element}: the white line of {outside} pixels is outside the recorded range or the window of the fit."
        )
    return found
