"""The picture of the first screen: the classes in 3D, and the slice that shows most of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oxytomo.arrays import OXYGEN_POOR, OXYGEN_RICH, TARGET
from oxytomo.slabs import Field, in_parts, read, slabs
from oxytomo.view.slices import MARGIN_PX, PERCENT, WIDTH_IN, Cut, robust_range, show_cut
from oxytomo.view.solid_view import solid_view
from oxytomo.view.style import (
    CLASS_COLORS,
    CLASS_NAMES,
    DIVERGING,
    GREYS,
    INK,
    add_scale_bar,
    color_map,
    house_style,
    new_figure,
)
from oxytomo.view.void_figures import CRACK_COLOR, PORE_COLOR

SIZE_PX = 320
SOLID_COLOR = "#d9d4c8"
HEIGHT_IN = 4.3
_AXES = (("x", "y"), ("x", "z"), ("y", "z"))


def telling_slice(phases: Field, shown: tuple[int, int] = (OXYGEN_POOR, OXYGEN_RICH)) -> tuple[int, int]:
    """Return axis and index of the slice with most of two labels, those of the departing classes.

    A slice counts the square root of its voxels of each label, so that one with both is better than
    one with twice as much of one. Without any, it is the middle slice along z.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) labels
    shown : the two labels
    """
    counts = [np.zeros((2, side)) for side in phases.shape]
    first = np.zeros(phases.shape[0], np.int64)
    for slab in slabs(phases.shape):
        part = read(phases, slab.rows)
        first[slab.rows] = (part > 0).sum(axis=(1, 2))
        for k, label in enumerate(shown):
            own = part == label
            counts[0][k, slab.rows] = own.sum(axis=(1, 2))
            counts[1][k] += own.sum(axis=(0, 2))
            counts[2][k] += own.sum(axis=(0, 1))
    scores = [np.sqrt(count).sum(axis=0) for count in counts]
    axis = int(np.argmax([score.max() for score in scores]))
    if scores[axis].max() > 0:
        return axis, int(np.argmax(scores[axis]))
    there = np.flatnonzero(first)
    return 0, int(there[there.size // 2]) if there.size else phases.shape[0] // 2


def cut_at(volume: Field, particle: Field, *, axis: int, index: int, voxel_nm: float) -> Cut:
    """Return one slice, cropped to the particle in it.

    Parameters
    ----------
    volume, particle : (n_z, n_y, n_x) fields; the slice is cropped to what is not 0
    axis, index : position of the slice
    voxel_nm : voxel size
    """
    key = tuple(index if a == axis else slice(None) for a in range(3))
    image, inside = np.asarray(volume[key]), np.asarray(particle[key]) > 0
    box = []
    for along in (1, 0):
        found = np.flatnonzero(inside.any(axis=along))
        low, high = (found[0], found[-1]) if found.size else (0, inside.shape[1 - along] - 1)
        box.append(slice(max(0, int(low) - MARGIN_PX), int(high) + 1 + MARGIN_PX))
    across, down = _AXES[axis]
    return Cut(image[tuple(box)], across, down, f"{'zyx'[axis]} = {index * voxel_nm / 1000:.2f} µm")


@house_style
def telling_figure(deviation: Field, phases: Field, *, voxel_nm: float, threshold: float) -> Figure:
    """Show the classes in 3D, and the deviation in the slice with most of them.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) TM/O deviation
    phases : (n_z, n_y, n_x) labels
    voxel_nm : voxel size
    threshold : threshold of the classes
    """
    axis, index = telling_slice(phases)
    cut = cut_at(deviation, phases, axis=axis, index=index, voxel_nm=voxel_nm)
    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.12))
    draw_solid(left, phases, voxel_nm=voxel_nm)
    left.set_title("classes in 3D; the rest of the particle is translucent", loc="left", fontsize=9)
    shown = show_cut(
        right, cut, pixel_nm=voxel_nm, cmap=color_map(DIVERGING), vmin=-3 * threshold, vmax=3 * threshold
    )
    bar = figure.colorbar(shown, ax=right, shrink=0.85, pad=0.02, extend="both", format=PERCENT)
    bar.set_label("TM/O deviation")
    bar.outline.set_visible(False)
    for side in (-1, 1):
        bar.ax.axhline(side * threshold, color=INK, lw=0.8, ls=(0, (3, 2)))
    return figure


@house_style
def telling_voids(volume: Field, labels: Field, *, voxel_nm: float) -> Figure:
    """Show pores and cracks in 3D, and the grey values in the slice with most of them.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) grey values
    labels : 0 outside, 1 solid, 2 pore, 3 crack
    voxel_nm : voxel size
    """
    axis, index = telling_slice(labels, (2, 3))
    cut = cut_at(volume, labels, axis=axis, index=index, voxel_nm=voxel_nm)
    figure = new_figure(WIDTH_IN, HEIGHT_IN)
    left, right = figure.subplots(1, 2)
    draw_solid(left, labels, voxel_nm=voxel_nm, look=VOIDS)
    left.set_title("pores and cracks in 3D; the solid is translucent", loc="left", fontsize=9)
    low, high = robust_range(cut.image)
    show_cut(right, cut, pixel_nm=voxel_nm, cmap=color_map(GREYS), vmin=low, vmax=high)
    return figure


@dataclass(frozen=True)
class Look:
    """Colours and names of the bodies of a 3D view, and the colour of the outline."""

    colors: Mapping[int, str]
    names: Mapping[int, str]
    skin: str


CLASSES = Look(
    {label: CLASS_COLORS[label] for label in (OXYGEN_POOR, OXYGEN_RICH)}, CLASS_NAMES, CLASS_COLORS[TARGET]
)
VOIDS = Look({2: PORE_COLOR, 3: CRACK_COLOR}, {2: "pores", 3: "cracks"}, SOLID_COLOR)


def draw_solid(
    axes: Any,
    labels: Field,
    *,
    voxel_nm: float,
    look: Look = CLASSES,
    legend: bool = True,
    size_px: int = SIZE_PX,
) -> None:
    """Draw bodies in 3D into axes, with a scale bar and a legend."""
    drawn = solid_view(labels, list(look.colors.items()), skin=look.skin, size_px=size_px)
    axes.set_axis_off()
    if drawn is None:
        return
    axes.imshow(drawn.image, interpolation="bilinear")
    add_scale_bar(axes, drawn.image.shape[:2], pixel_nm=drawn.pixel_voxels * voxel_nm)
    if legend:
        shown = [label for label in look.colors if _has(labels, label)]
        handles = [Patch(facecolor=look.colors[k], label=look.names[k]) for k in shown]
        if handles:
            axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, -0.08), ncols=2)


def _has(phases: Field, label: int) -> bool:
    return any((part == label).any() for (part,) in in_parts(phases))
