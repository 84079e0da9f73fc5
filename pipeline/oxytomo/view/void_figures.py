"""Figures of pores and cracks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from oxytomo.arrays import LabelArray
from oxytomo.palette import VOID_COLORS
from oxytomo.slabs import Field, mapped, sampled
from oxytomo.view.curves import HALF_WIDTH, HEIGHT
from oxytomo.view.slices import centre_cuts, cut_row, robust_range, row_height, show_cut
from oxytomo.view.style import GREYS, color_map, house_style, new_figure

PORE_COLOR, CRACK_COLOR = (f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in (VOID_COLORS[1], VOID_COLORS[2]))
WIDTH_IN = 9.4


def labelled_voids(particle: Field, voids: Field) -> Field:
    """Return labels of the solid (1), pores (2) and cracks (3); 0 outside.

    Parameters
    ----------
    particle : (n_z, n_y, n_x) nonzero inside
    voids : 1 in pores, 2 in cracks
    """

    def label(inside: LabelArray, void: LabelArray) -> LabelArray:
        return np.where(inside > 0, np.where(void > 0, void + 1, 1), 0).astype(np.uint8)

    return mapped(particle, label, np.uint8, voids)


@house_style
def void_slices(volume: Field, particle: Field, voids: Field, *, voxel_nm: float) -> Figure:
    """Show slices as measured (above), and with particle, pores and cracks (below).

    Parameters
    ----------
    volume : (n_z, n_y, n_x) grey values, array or field; with n_z = 1 the single slice is shown
    particle, voids : label arrays of the same shape
    voxel_nm : voxel size
    """
    parts = [centre_cuts(field, particle, voxel_nm=voxel_nm) for field in (volume, particle, voids)]
    if volume.shape[0] == 1:
        parts = [cuts[:1] for cuts in parts]
    flat = len(parts[0]) == 1
    figure = new_figure(WIDTH_IN, (1 if flat else 2) * row_height(parts[0]) + (3 if flat else 0))
    rows = [cut_row(figure, parts[0], 2, row) for row in range(2)]
    low, high = robust_range(sampled(volume))
    colors = ListedColormap([PORE_COLOR, CRACK_COLOR])
    for column, (grey, inside, labels) in enumerate(zip(*parts, strict=True)):
        for row in range(2):
            show_cut(rows[row][column], grey, pixel_nm=voxel_nm, cmap=color_map(GREYS), vmin=low, vmax=high)
        over = np.ma.masked_equal(labels.image, 0)
        rows[1][column].imshow(over, cmap=colors, vmin=0.5, vmax=2.5, alpha=0.8)
        if 0 < (inside.image > 0).mean() < 1:
            rows[1][column].contour(inside.image > 0, levels=[0.5], colors="white", linewidths=0.8)
    return figure


@house_style
def size_figure(
    pores: Any,
    apertures: Mapping[str, Sequence[float]] | None,
    smallest_aperture_nm: float | None,
) -> Figure:
    """Show the distributions of pore diameter and of crack area by local aperture.

    Parameters
    ----------
    pores : table ``pores.csv``, or None
    apertures : ``edges_nm`` and ``area_nm2`` of the bins, None without cracks
    smallest_aperture_nm : smallest detectable aperture, drawn as a dashed line
    """
    figure = new_figure(HALF_WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    diameter = np.asarray(() if pores is None else pores["equivalent_diameter_nm"], float)
    if diameter.size:
        counts, edges = np.histogram(diameter, 15, (0, 1.02 * float(diameter.max())))
        left.stairs(counts, edges, fill=True, color=PORE_COLOR, alpha=0.8)
    left.yaxis.get_major_locator().set_params(integer=True)
    left.set_xlabel("pore diameter (nm)")
    left.set_ylabel("pores")
    if apertures is not None:
        area = np.asarray(apertures["area_nm2"], float) / 1e6
        right.stairs(area, apertures["edges_nm"], fill=True, color=CRACK_COLOR, alpha=0.8)
        if smallest_aperture_nm is not None:
            right.axvline(smallest_aperture_nm, color="black", linestyle="--", linewidth=1.0)
    right.set_xlabel("local aperture (nm)")
    right.set_ylabel("crack area (µm²)")
    for axes, empty in ((left, not diameter.size), (right, apertures is None)):
        if empty:
            axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
    return figure


@house_style
def orientation_figure(cracks: Any) -> Figure:
    """Show the crack area by angle to the radius, from radial (0°) to tangential (90°).

    Parameters
    ----------
    cracks : table ``cracks.csv``
    """
    figure = new_figure(HALF_WIDTH, HEIGHT)
    axes = figure.add_subplot()
    angle = np.asarray(cracks["angle_to_radius_deg"], float)
    area = np.asarray(cracks["area_nm2"], float) / 1e6
    known = np.isfinite(angle) & np.isfinite(area)
    counts, edges = np.histogram(angle[known], 9, (0.0, 90.0), weights=area[known])
    axes.stairs(counts, edges, fill=True, color=CRACK_COLOR, alpha=0.8)
    axes.set_xlim(0, 90)
    axes.set_xticks(range(0, 91, 30))
    axes.set_xlabel("angle of the crack to the radius (°)")
    axes.set_ylabel("crack area (µm²)")
    return figure


@house_style
def void_shell_figure(shells: Sequence[Mapping[str, Any]]) -> Figure:
    """Show the porosity of pores and cracks in each shell, with the rim on the left."""
    figure = new_figure(HALF_WIDTH, HEIGHT)
    axes = figure.add_subplot()
    place = [(row["shell_outer"] + row["shell_inner"]) / 2 for row in shells]
    width = 0.8 * (shells[0]["shell_inner"] - shells[0]["shell_outer"])
    pores = np.array([100 * row["pores"] for row in shells])
    cracks = np.array([100 * row["cracks"] for row in shells])
    axes.bar(place, pores, width, color=PORE_COLOR, label="pores")
    axes.bar(place, cracks, width, bottom=np.maximum(pores, 0), color=CRACK_COLOR, label="cracks")
    axes.set_xlabel("volume from the rim (0) to the centre (100 %)")
    axes.set_ylabel("porosity (%)")
    axes.legend()
    return figure
