"""One row per crack: area, aperture, extent, direction, reach."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, IntArray, NumberArray
from oxytomo.measure.tables import table
from oxytomo.measure.totals import particle_totals
from oxytomo.segment.sheets import Sheets
from oxytomo.slabs import Field, gather

if TYPE_CHECKING:
    import pandas as pd

REACHES_PX = 2.0
"""A crack is open if its middle surface is this close to the skin: the plate filter ends there."""
TRIM = 0.05


def crack_table(sheets: Sheets, particle: Field, depth_px: Field, *, voxel_nm: float) -> pd.DataFrame:
    """Measure each crack.

    Parameters
    ----------
    sheets : middle surfaces of the cracks
    particle : (n_z, n_y, n_x) uint8, number of the particle of each voxel
    depth_px : float32, depth below the skin, voxels
    voxel_nm : edge of a voxel, nm

    Returns
    -------
    table : one row per crack: ``crack``, ``particle`` (int64), ``area_nm2`` (of the middle
        surface), ``aperture_nm`` (area-weighted median away from the rim), ``aperture_p10_nm``,
        ``aperture_p90_nm``, ``volume_nm3`` (area times the mean aperture, a twentieth trimmed at
        both ends), ``extent_nm`` (length along the longest principal axis),
        ``centroid_{z,y,x}_nm``, ``angle_to_radius_deg`` (between the crack's plane and the
        direction to the particle's centre, area-weighted mean: 0 radial, 90 tangential),
        ``least_depth_nm``, ``greatest_depth_nm`` (float64), ``touches_surface`` (bool)
    """
    centres = particle_totals(particle).centre
    owners, depths = gather(particle, sheets.index), gather(depth_px, sheets.index)
    owner_of = np.zeros(sheets.count, np.int64)
    middle = np.full((sheets.count, 3), np.nan)
    names = ("area", "p10", "median", "p90", "volume", "extent", "angle", "low", "high")
    column = {name: np.full(sheets.count, np.nan) for name in names}
    for i, own in enumerate(_rows_of_each(sheets)):
        place, weight = sheets.index[own].astype(np.float64), sheets.area_px[own].astype(np.float64)
        inner = own[sheets.inner[own]]
        owner_of[i] = np.bincount(owners[own]).argmax()
        middle[i] = np.average(place, axis=0, weights=weight)
        column["p10"][i], column["median"][i], column["p90"][i] = weighted_quantiles(
            sheets.aperture_px[inner], sheets.area_px[inner], (0.1, 0.5, 0.9)
        )
        column["area"][i] = weight.sum()
        column["volume"][i] = weight.sum() * _trimmed_mean(sheets.aperture_px[own], weight)
        column["extent"][i] = _extent(place - middle[i])
        radius = place - centres[owner_of[i]]
        column["angle"][i] = _angle_to_radius(radius, sheets.normal[own, :3], weight)
        column["low"][i], column["high"][i] = depths[own].min(), depths[own].max()
    return table(
        {
            "crack": np.arange(1, sheets.count + 1),
            "particle": owner_of,
            "area_nm2": column["area"] * voxel_nm**2,
            "aperture_nm": column["median"] * voxel_nm,
            "aperture_p10_nm": column["p10"] * voxel_nm,
            "aperture_p90_nm": column["p90"] * voxel_nm,
            "volume_nm3": column["volume"] * voxel_nm**3,
            "extent_nm": column["extent"] * voxel_nm,
            **{f"centroid_{axis}_nm": middle[:, k] * voxel_nm for k, axis in enumerate("zyx")},
            "angle_to_radius_deg": column["angle"],
            "least_depth_nm": column["low"] * voxel_nm,
            "greatest_depth_nm": column["high"] * voxel_nm,
            "touches_surface": column["low"] <= REACHES_PX,
        }
    )


def _rows_of_each(sheets: Sheets) -> Iterator[IntArray]:
    """Yield the ridge voxels of each sheet."""
    order = np.argsort(sheets.sheet, kind="stable")
    limits = np.searchsorted(sheets.sheet[order], np.arange(1, sheets.count + 2))
    for start, stop in pairwise(limits):
        yield order[start:stop]


def weighted_quantiles(values: NumberArray, weights: NumberArray, shares: tuple[float, ...]) -> NumberArray:
    """Return weighted quantiles at these shares; NaN without values."""
    if not len(values):
        return np.full(len(shares), np.nan)
    values, weights = np.asarray(values), np.asarray(weights)
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order]) - weights[order] / 2
    found: NumberArray = np.interp(np.array(shares) * weights.sum(), cumulative, values[order])
    return found


def _trimmed_mean(values: NumberArray, weights: NumberArray) -> float:
    low, high = weighted_quantiles(values, weights, (TRIM, 1 - TRIM))
    keep: BoolArray = (values >= low) & (values <= high)
    return float(np.average(values[keep], weights=weights[keep]))


def _extent(place: Float64Array) -> float:
    if len(place) < 2:
        return 1.0
    axis = np.linalg.eigh(place.T @ place)[1][:, -1]
    return float(np.ptp(place @ axis)) + 1.0


def _angle_to_radius(radius: Float64Array, normal: NumberArray, weight: NumberArray) -> float:
    length = np.linalg.norm(radius, axis=1)
    sine = np.abs(np.einsum("ij,ij->i", radius, normal)) / np.maximum(length, 1e-6)
    return float(np.average(np.degrees(np.arcsin(np.clip(sine, 0, 1))), weights=weight))
