"""Images: slices through volumes, maps, sinograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.slabs import Field, in_parts, read, sampled, slabs
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

MARGIN_PX = 4
WIDTH_IN = 9.4
_DIRECTIONS = ((0, "x", "y"), (1, "x", "z"), (2, "y", "z"))
"""Axis of the slice, and names of the horizontal and vertical axes."""


PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.3g} %".replace("-", "−"))
"""Ticks of a colour bar in percent, like the text."""


@dataclass(frozen=True)
class MapRow:
    """One row of cuts: a volume, what it shows, its lowest and highest value, its colours."""

    volume: Field
    label: str
    window: tuple[float, float]
    colors: str


@dataclass(frozen=True)
class Cut:
    """One slice of a volume: the image, the names of its axes, and its position."""

    image: NDArray[Any]
    across: str
    down: str
    title: str


def centre_cuts(volume: Field, particle: Field | None, *, voxel_nm: float) -> list[Cut]:
    """Return three orthogonal slices through the centre of the particle, cropped to it.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) array or field
    particle : nonzero inside, of the same shape; None: centre of the volume without cropping
    voxel_nm : voxel size
    """
    box, centre = [], []
    for profile in _profiles(volume.shape, particle):
        found = np.flatnonzero(profile)
        centre.append(round(float(np.average(np.arange(profile.size), weights=profile))))
        box.append(slice(max(0, int(found[0]) - MARGIN_PX), int(found[-1]) + 1 + MARGIN_PX))
    cuts = []
    for axis, across, down in _DIRECTIONS:
        index = tuple(centre[a] if a == axis else box[a] for a in range(3))
        name = "zyx"[axis]
        place = centre[axis] * voxel_nm / 1000
        cuts.append(Cut(np.asarray(volume[index]), across, down, f"{name} = {place:.2f} µm"))
    return cuts


def _profiles(shape: tuple[int, ...], particle: Field | None) -> list[NDArray[Any]]:
    """Count the voxels of the particle in every plane along z, y and x.

    Equal without a particle.
    """
    along_z, plane = np.zeros(shape[0], np.int64), np.zeros(shape[1:], np.int64)
    if particle is not None:
        for slab in slabs(shape):
            inside = read(particle, slab.rows) > 0
            along_z[slab.rows] = inside.sum(axis=(1, 2))
            plane += inside.sum(axis=0)
    profiles = [along_z, plane.sum(axis=1), plane.sum(axis=0)]
    return profiles if along_z.any() else [np.ones(side, np.int64) for side in shape]


def cut_row(figure: Figure, cuts: Sequence[Cut], rows: int = 1, row: int = 0) -> list[Any]:
    """Return axes for a row of slices, with the widths of their images."""
    ratios = [cut.image.shape[1] for cut in cuts]
    grid = figure.add_gridspec(rows, len(cuts), width_ratios=ratios)
    return [figure.add_subplot(grid[row, column]) for column in range(len(cuts))]


def row_height(cuts: Sequence[Cut]) -> float:
    """Return the height in inches of a row of slices that fills the width."""
    width = sum(cut.image.shape[1] for cut in cuts)
    tallest = max(cut.image.shape[0] for cut in cuts)
    return float(np.clip((WIDTH_IN - 1.6) * tallest / width + 0.75, 2.0, 6.0))


def show_cut(axes: Any, cut: Cut, *, pixel_nm: float, **options: Any) -> Any:
    """Show a slice with its title, its axes and a scale bar."""
    shown = axes.imshow(cut.image, **options)
    plain_image_axes(axes, across=cut.across, down=cut.down)
    if cut.title:
        axes.set_title(cut.title, loc="left", fontsize=9)
    add_scale_bar(axes, cut.image.shape, pixel_nm=pixel_nm)
    return shown


@house_style
def slice_figure(
    volume: Field,
    particle: Field | None,
    *,
    voxel_nm: float,
    window: tuple[float, float],
    colors: str,
    label: str,
) -> Figure:
    """Show three orthogonal slices of a volume through the centre of the particle.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) array or field; NaN is shown in grey
    particle : nonzero inside, of the same shape, or None
    voxel_nm : voxel size
    window : lowest and highest value shown
    colors : name of a colour map
    label : quantity and unit for the colour bar
    """
    cuts = centre_cuts(volume, particle, voxel_nm=voxel_nm)
    figure = new_figure(WIDTH_IN, row_height(cuts))
    panels = cut_row(figure, cuts)
    for axes, cut in zip(panels, cuts, strict=True):
        shown = show_cut(axes, cut, pixel_nm=voxel_nm, cmap=color_map(colors), vmin=window[0], vmax=window[1])
    bar = figure.colorbar(shown, ax=panels, shrink=0.85, pad=0.015, extend="both")
    bar.set_label(label)
    bar.outline.set_visible(False)
    return figure


@house_style
def class_slices(
    phases: Field,
    particle: Field | None,
    *,
    voxel_nm: float,
    names: Mapping[int, str] = CLASS_NAMES,
) -> Figure:
    """Show three orthogonal slices of classes through the centre of the particle.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels 0 to 4
    particle : nonzero inside, of the same shape; None: all voxels with a class
    voxel_nm : voxel size
    names : names of the labels
    """
    cuts = centre_cuts(phases, phases if particle is None else particle, voxel_nm=voxel_nm)
    figure = new_figure(WIDTH_IN, row_height(cuts) + 0.3)
    panels = cut_row(figure, cuts)
    for axes, cut in zip(panels, cuts, strict=True):
        show_cut(axes, cut, pixel_nm=voxel_nm, cmap=class_color_map(), vmin=-0.5, vmax=4.5)
    there = {int(value) for (part,) in in_parts(phases) for value in np.unique(part)}
    present = [value for value in names if value in there]
    handles = [
        Patch(facecolor=CLASS_COLORS[value], edgecolor=SOFT_INK, linewidth=0.5, label=names[value])
        for value in present
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@house_style
def map_rows(rows: Sequence[MapRow], particle: Field, *, voxel_nm: float) -> Figure:
    """Show several volumes in the same three slices, one row each, with bars in percent.

    Parameters
    ----------
    rows : the volumes, (n_z, n_y, n_x) fractions; NaN is shown in grey
    particle : nonzero inside, of the same shape
    voxel_nm : voxel size
    """
    all_cuts = [centre_cuts(row.volume, particle, voxel_nm=voxel_nm) for row in rows]
    figure = new_figure(WIDTH_IN, len(rows) * row_height(all_cuts[0]))
    ratios = [cut.image.shape[1] for cut in all_cuts[0]]
    grid = figure.add_gridspec(len(rows), len(ratios), width_ratios=ratios)
    for number, (row, cuts) in enumerate(zip(rows, all_cuts, strict=True)):
        panels = [figure.add_subplot(grid[number, column]) for column in range(len(cuts))]
        low, high = row.window
        for axes, cut in zip(panels, cuts, strict=True):
            shown = show_cut(axes, cut, pixel_nm=voxel_nm, cmap=color_map(row.colors), vmin=low, vmax=high)
        extend = "both" if low < 0 else "max"
        bar = figure.colorbar(shown, ax=panels, shrink=0.85, pad=0.015, extend=extend, format=PERCENT)
        bar.set_label(row.label)
        bar.outline.set_visible(False)
    return figure


def tomogram_slices(volume: Field, *, voxel_nm: float, label: str) -> Figure:
    """Show three orthogonal slices through the centre of a volume, in grey.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) array
    voxel_nm : voxel size
    label : quantity and unit
    """
    figure: Figure = slice_figure(
        volume, None, voxel_nm=voxel_nm, window=robust_range(sampled(volume)), colors=GREYS, label=label
    )
    return figure


@house_style
def areal_density_maps(
    maps: FloatArray, names: Sequence[str], *, pixel_nm: float, label: str, colors: str = SEQUENTIAL
) -> Figure:
    """Show maps of one angle side by side, each with its own colour bar.

    Parameters
    ----------
    maps : (n, n_y, n_x) array; NaN is shown in grey
    names : n names
    pixel_nm : pixel size
    label : quantity and unit of all maps
    """
    columns = 2 if len(maps) in (2, 4) else min(3, len(maps))
    rows = -(-len(maps) // columns)
    width = min(WIDTH_IN, 4.6 * columns)
    panel = (width / columns - 1.0) * maps.shape[1] / maps.shape[2] + 0.7
    figure = new_figure(width, rows * float(np.clip(panel, 1.8, 6.0)))
    grid = figure.add_gridspec(rows, columns)
    for number, (name, image) in enumerate(zip(names, maps, strict=True)):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        low, high = robust_range(image)
        cut = Cut(image, "x", "y", name)
        shown = show_cut(axes, cut, pixel_nm=pixel_nm, cmap=color_map(colors), vmin=min(0.0, low), vmax=high)
        bar = figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02, extend="both")
        bar.set_label(label)
        bar.outline.set_visible(False)
    return figure


@house_style
def before_and_after(
    rows: FloatArray, slices: FloatArray, tilt_deg: Float64Array, *, pixel_nm: float
) -> Figure:
    """Show the sinogram and slice of one detector row, as recorded (above) and aligned (below).

    Parameters
    ----------
    rows : (2, n_tilt, n_x) array, sorted by tilt; NaN is shown in grey
    slices : (2, n, n) array
    tilt_deg : (n_tilt,) tilt angles
    pixel_nm : pixel size
    """
    figure = new_figure(WIDTH_IN, 6.2)
    panels = figure.subplots(2, 2, width_ratios=(1.3, 1))
    edges, half = _edges(tilt_deg), rows.shape[2] * pixel_nm / 2000
    columns = np.linspace(-half, half, rows.shape[2] + 1)
    for (left, right), row, image, state in zip(
        panels, rows, slices, ("as recorded", "aligned"), strict=True
    ):
        low, high = robust_range(rows[1])
        left.pcolormesh(
            columns,
            edges,
            np.ma.masked_invalid(row),
            cmap=color_map(SEQUENTIAL),
            vmin=min(0.0, low),
            vmax=high,
            rasterized=True,
        )
        left.set_facecolor(color_map(SEQUENTIAL).get_bad())
        left.set_xlabel("s, distance from the tilt axis (µm)")
        left.set_ylabel("tilt (°)")
        left.set_ylim(edges[-1], edges[0])
        left.set_title(f"sinogram, {state}")
        low, high = robust_range(slices[1])
        show_cut(
            right,
            Cut(image, "x", "y", f"slice, {state}"),
            pixel_nm=pixel_nm,
            cmap=color_map(GREYS),
            vmin=low,
            vmax=high,
        )
    return figure


@house_style
def thumbnails(frames: FloatArray, titles: Sequence[str]) -> Figure:
    """Show frames side by side, four in a row, in common grey levels.

    Parameters
    ----------
    frames : (n, n_y, n_x) array
    titles : n titles
    """
    n_rows = -(-len(frames) // 4)
    figure = new_figure(WIDTH_IN, 2.4 * n_rows)
    panels = np.atleast_1d(figure.subplots(n_rows, 4)).ravel()
    low, high = robust_range(frames)
    for axes in panels:
        axes.axis("off")
    for axes, frame, title in zip(panels, frames, titles, strict=False):
        axes.imshow(frame, cmap=color_map(GREYS), vmin=low, vmax=high)
        axes.set_title(title)
    return figure


def _edges(centres: Float64Array) -> Float64Array:
    """Return the limits between sorted values; the outer limits are extrapolated."""
    if centres.size < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def robust_range(image: NDArray[Any]) -> tuple[float, float]:
    """Return the range that contains 99 % of the finite values."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, [0.5, 99.5]))
    return (low, high) if high > low else (low, low + 1.0)
