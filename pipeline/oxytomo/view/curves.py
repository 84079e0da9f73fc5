"""Plots: histograms, bars, profiles, alignment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.results.fractions import Fraction
from oxytomo.view.style import (
    CLASS_COLORS,
    CLASS_KEYS,
    CLASS_NAMES,
    INK,
    NULL_COLOR,
    SAMPLE_COLOR,
    SEQUENTIAL,
    SERIES_COLORS,
    SERIES_MARKERS,
    SOFT_INK,
    house_style,
    new_figure,
    percent,
)

HALF_WIDTH, HEIGHT = 4.7, 3.4
BINS = 121


@house_style
def deviation_histogram(deviation: FloatArray, null: FloatArray | None, *, threshold: float) -> Figure:
    """Show the distribution of the TM/O deviation, and that of a uniform particle.

    The axis of the shares is logarithmic: what is found lies in the tails, below the peak of the
    voxels on target.

    Parameters
    ----------
    deviation : deviations of the voxels of the particle, any shape; NaN is ignored
    null : deviations of the null run (same noise), or None
    threshold : threshold of the classes
    """
    figure = new_figure(HALF_WIDTH, HEIGHT)
    axes = figure.add_subplot()
    finite = deviation[np.isfinite(deviation)]
    reach = max(3 * threshold, float(np.percentile(np.abs(finite), 99.9)) if finite.size else 0.0)
    fewest = 50.0
    edges = np.linspace(-reach, reach, BINS + 1)
    for values, color, name, fill in (
        (finite, SAMPLE_COLOR, "sample", True),
        (null, NULL_COLOR, "null run (uniform particle, same noise)", False),
    ):
        if values is None:
            continue
        known = values[np.isfinite(values)]
        if known.size == 0:
            continue
        # Beyond the axis, voxels count in the outermost bins; one voxel alone is still on the axis.
        share = 100 * np.histogram(np.clip(known, -reach, reach), edges)[0] / known.size
        fewest = min(fewest, 50 / known.size)
        look = {"fill": True, "alpha": 0.55} if fill else {"baseline": None}
        axes.stairs(np.maximum(share, 1e-9), 100 * edges, color=color, label=name, lw=1.5, **look)
    for side in (-1, 1):
        axes.axvline(100 * side * threshold, color=INK, lw=0.9, ls=(0, (4, 3)))
    axes.set_yscale("log")
    axes.set_ylim(fewest, 300)
    axes.text(-100 * reach, 220, "oxygen-rich", color="#3f6788", va="top", ha="left", fontsize=8.5)
    axes.text(100 * reach, 220, "oxygen-poor", color="#b2282e", va="top", ha="right", fontsize=8.5)
    axes.set_xlim(-100 * reach, 100 * reach)
    axes.set_xlabel("TM/O deviation from the reference (%)")
    axes.set_ylabel(f"share of voxels per {200 * reach / BINS:.2g} % bin (%)")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


DIRECTIONS = {
    "all": "all directions",
    "tilt_axis": "along the tilt axis",
    "across_beam": "across the middle beam",
    "along_beam": "along the middle beam (missing wedge)",
}


@house_style
def resolution_curves(resolution: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Show the Fourier shell correlation of the half volumes, total and along three axes.

    Parameters
    ----------
    resolution : ``resolution`` of ``phases.json``
    """
    figure = new_figure(HALF_WIDTH, HEIGHT)
    axes = figure.add_subplot()
    for (key, name), color in zip(DIRECTIONS.items(), (INK, *SERIES_COLORS), strict=False):
        if key not in resolution:
            continue
        curve = resolution[key]
        frequency = np.array(curve["frequency_per_nm"], float)
        axes.plot(frequency, np.array(curve["correlation"], float), color=color, lw=1.4, label=name)
        if key == "all":
            half_bit = np.array(curve["half_bit"], float)
            axes.plot(
                frequency, half_bit, color=SOFT_INK, lw=0.9, ls=(0, (4, 3)), label="half-bit (all directions)"
            )
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    axes.set_xlabel("spatial frequency (1/nm)")
    axes.set_ylabel("correlation of odd and even tilts")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@house_style
def fraction_bars(fractions: Sequence[Fraction]) -> Figure:
    """Show class fractions with their 95 % intervals, and the null run."""
    figure = new_figure(HALF_WIDTH, HEIGHT)
    axes = figure.add_subplot()
    for place, fraction in enumerate(fractions):
        value = 100 * fraction.value
        axes.bar(place - 0.19, value, 0.36, color=CLASS_COLORS[fraction.label], edgecolor=INK, linewidth=0.7)
        top = value
        if fraction.interval is not None:
            low, high = (100 * limit for limit in fraction.interval)
            error = [[max(0.0, value - low)], [max(0.0, high - value)]]
            axes.errorbar(place - 0.19, value, np.array(error), fmt="none", ecolor=INK, capsize=3, lw=1.1)
            top = max(top, high)
        axes.annotate(
            percent(fraction.value),
            (place - 0.19, top),
            (0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        if fraction.null is not None:
            null = 100 * fraction.null
            axes.bar(
                place + 0.19, null, 0.36, facecolor="none", edgecolor=NULL_COLOR, linewidth=1.2, hatch="////"
            )
            axes.annotate(
                percent(fraction.null),
                (place + 0.19, null),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color="#a85c12",
            )
    axes.set_xticks(range(len(fractions)), [fraction.name for fraction in fractions])
    axes.set_ylabel("fraction of the particle's volume (%)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.08)
    axes.tick_params(axis="x", length=0)
    return figure


@house_style
def shell_profile(table: Any) -> Figure:
    """Show mean deviation and class fractions from rim to centre.

    Parameters
    ----------
    table : columns ``shell_outer``, ``shell_inner`` (percent of the volume), ``mean_deviation``,
        ``standard_error``, and optionally ``oxygen_poor`` and ``oxygen_rich``
    """
    figure = new_figure(HALF_WIDTH, HEIGHT)
    outer, inner, mean, error = (
        np.array(table[name], np.float64)
        for name in ("shell_outer", "shell_inner", "mean_deviation", "standard_error")
    )
    middle = (outer + inner) / 2
    classes = [key for key in ("oxygen_poor", "oxygen_rich") if key in table]
    panels = figure.subplots(2 if classes else 1, 1, sharex=True, squeeze=False)[:, 0]
    panels[0].axhline(0, color=SOFT_INK, lw=0.8)
    panels[0].errorbar(
        middle, 100 * mean, 100 * error, (inner - outer) / 2, fmt="o", ms=4, color=SAMPLE_COLOR, capsize=2.5
    )
    panels[0].set_ylabel("mean deviation (%)")
    for key, marker in zip(classes, ("o", "s"), strict=False):
        label = CLASS_KEYS[key]
        panels[1].plot(
            middle,
            100 * np.array(table[key], np.float64),
            marker=marker,
            ms=4.5,
            color=CLASS_COLORS[label],
            label=CLASS_NAMES[label],
        )
    if classes:
        panels[1].set_ylim(bottom=0)
        panels[1].set_ylabel("fraction (%)")
        panels[1].legend(ncols=2, loc="best")
    panels[-1].set_xlim(float(outer.min()), float(inner.max()))
    panels[-1].set_xlabel("depth: share of the volume from the rim (0) to the centre (100 %)")
    figure.align_ylabels()
    return figure


@house_style
def joint_histogram(tm: FloatArray, oxygen: FloatArray, *, reference_tm_o: float, threshold: float) -> Figure:
    """Show the relative density of transition metals against that of oxygen.

    Parameters
    ----------
    tm, oxygen : (n,) relative densities of the particle's voxels
    reference_tm_o : TM/O of the reference composition, relative to nominal
    threshold : threshold of the classes
    """
    figure = new_figure(HALF_WIDTH, HEIGHT)
    axes = figure.add_subplot()
    both = np.isfinite(tm) & np.isfinite(oxygen)
    tm, oxygen = tm[both], oxygen[both]
    low, high = _density_limits(np.concatenate([tm, oxygen]))
    counts, edges, _ = np.histogram2d(oxygen, tm, bins=BINS, range=((low, high), (low, high)))
    shown = axes.pcolormesh(
        edges,
        edges,
        np.ma.masked_equal(counts.T, 0),
        cmap=SEQUENTIAL,
        norm=LogNorm(vmin=1, vmax=max(2.0, float(counts.max()))),
        rasterized=True,
    )
    line = np.array([0.0, high])
    for factor, style in ((1.0, "-"), (1 + threshold, (0, (4, 3))), (1 - threshold, (0, (4, 3)))):
        axes.plot(line, line * reference_tm_o * factor, color="#d9305f", lw=0.9, ls=style)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel("O, relative density")
    axes.set_ylabel("TM, relative density")
    bar = figure.colorbar(shown, ax=axes, pad=0.02)
    bar.set_label("voxels")
    bar.outline.set_visible(False)
    return figure


@house_style
def alignment_curves(
    tilt_deg: Float64Array, dy_px: Float64Array, dx_px: Float64Array, names: Sequence[str]
) -> Figure:
    """Show the corrected shifts against tilt, one curve per series.

    Parameters
    ----------
    tilt_deg : (n_tilt,) tilt angles
    dy_px, dx_px : (n_series, n_tilt) shifts in pixels of the common grid
    names : n_series names
    """
    figure = new_figure(2 * HALF_WIDTH, 2.9)
    panels = figure.subplots(1, 2, sharex=True)
    step = max(1, tilt_deg.size // 12)
    for axes, shifts, name in zip(panels, (dy_px, dx_px), ("dy (along the tilt axis)", "dx"), strict=True):
        axes.axhline(0, color=SOFT_INK, lw=0.7)
        for number, shift in enumerate(shifts):
            color, marker = _series_look(number)
            axes.plot(tilt_deg, shift, color=color, marker=marker, ms=4, lw=1.0, markevery=step)
        axes.set_xlabel("tilt (°)")
        axes.set_ylabel(f"{name} (px)")
        axes.grid(visible=True, axis="y")
        axes.set_axisbelow(True)
    handles = []
    for number, name in enumerate(names):
        color, marker = _series_look(number)
        handles.append(Line2D([], [], color=color, marker=marker, ms=4, lw=1, label=name))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, max(1, len(handles))))
    return figure


@house_style
def residual_curves(
    tilt_deg: Float64Array, after: Float64Array, before: Float64Array | None, *, bad: BoolArray
) -> Figure:
    """Show the misfit of each frame against tilt, before and after alignment, with bad frames.

    Parameters
    ----------
    tilt_deg : (n_tilt,) tilt angles
    after, before : (n_tilt,) misfit relative to the frame's standard deviation; ``before`` may be
        None
    bad : (n_tilt,) frames to mark with crosses
    """
    figure = new_figure(2 * HALF_WIDTH, 2.4)
    axes = figure.subplots()
    if before is not None and np.isfinite(before).any():
        axes.plot(tilt_deg, 100 * before, color=SOFT_INK, lw=1.0, label="as recorded")
    axes.plot(tilt_deg, 100 * after, color=SERIES_COLORS[0], lw=1.4, label="aligned")
    if bad.any():
        axes.plot(
            tilt_deg[bad], 100 * after[bad], "x", color=SERIES_COLORS[1], ms=8, mew=2, label="looks bad"
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tilt (°)")
    axes.set_ylabel("misfit (% of the contrast)")
    axes.grid(visible=True, axis="y")
    axes.legend()
    return figure


def _density_limits(values: FloatArray) -> tuple[float, float]:
    """Return limits in steps of 0.1 that contain nearly all densities."""
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, [0.2, 99.8]))
    return max(0.0, np.floor(low * 10 - 0.5) / 10), float(np.ceil(max(high, 0.1) * 10 + 0.5) / 10)


def _series_look(number: int) -> tuple[str, str]:
    return SERIES_COLORS[number % len(SERIES_COLORS)], SERIES_MARKERS[number % len(SERIES_MARKERS)]
