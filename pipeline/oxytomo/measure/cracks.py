"""One row per crack: area, aperture, extent, direction, reach."""

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray, NumberArray
from oxytomo.measure.totals import particle_totals
from oxytomo.slabs import Field, gather

REACHES_PX = 2.0
"""A crack whose middle surface comes so near to the skin is open: the plate filter ends there."""
TRIM = 0.05


def crack_table(
    index: IntArray,
    normal: FloatArray,
    sheet: IntArray,
    area_px: FloatArray,
    aperture_px: FloatArray,
    inner: BoolArray,
    particle: Field,
    depth_px: Field,
    *,
    voxel_nm: float,
) -> dict[str, NumberArray]:
    """Measure each crack.

    Parameters
    ----------
    index, normal, sheet, area_px, aperture_px, inner : ridge voxels, see
        :class:`oxytomo.segment.sheets.Sheets`
    particle : (n_z, n_y, n_x) uint8, particle of each voxel
    depth_px : float32, distance to the skin
    voxel_nm : edge of a voxel

    Returns
    -------
    table : columns, one entry per crack: ``crack``, ``particle``, ``area_nm2`` (of the middle
        surface), ``aperture_nm`` (area-weighted median away from the rim), ``aperture_p10_nm``,
        ``aperture_p90_nm``, ``volume_nm3`` (area times the mean aperture, a twentieth trimmed at
        both ends), ``extent_nm`` (length along the longest principal axis),
        ``centroid_{z,y,x}_nm``, ``angle_to_radius_deg`` (between the crack's plane and the
        direction to the particle's centre, area-weighted mean: 0 radial, 90 tangential),
        ``least_depth_nm``, ``greatest_depth_nm``, ``touches_surface``
    """
    count = int(sheet.max(initial=0))
    centres = particle_totals(particle).centre
    owners, depths = gather(particle, index), gather(depth_px, index)
    names = (
        "area",
        "median",
        "p10",
        "p90",
        "volume",
        "extent",
        "z",
        "y",
        "x",
        "angle",
        "low",
        "high",
        "owner",
    )
    rows = np.full((count, len(names)), np.nan)
    order = np.argsort(sheet, kind="stable")
    limits = np.searchsorted(sheet[order], np.arange(1, count + 2))
    for i in range(count):
        own = order[limits[i] : limits[i + 1]]
        place, weight = index[own].astype(np.float64), area_px[own].astype(np.float64)
        owner = int(np.bincount(owners[own]).argmax())
        middle = np.average(place, axis=0, weights=weight)
        low, median, high = weighted_quantiles(
            aperture_px[own[inner[own]]], area_px[own[inner[own]]], (0.1, 0.5, 0.9)
        )
        depth = depths[own]
        rows[i] = (
            weight.sum(),
            median,
            low,
            high,
            weight.sum() * _trimmed_mean(aperture_px[own], weight),
            _extent(place - middle),
            *middle,
            _angle_to_radius(place - centres[owner], normal[own, :3], weight),
            depth.min(),
            depth.max(),
            owner,
        )
    column = dict(zip(names, rows.T, strict=True))
    return {
        "crack": np.arange(1, count + 1),
        "particle": column["owner"].astype(np.int64),
        "area_nm2": column["area"] * voxel_nm**2,
        "aperture_nm": column["median"] * voxel_nm,
        "aperture_p10_nm": column["p10"] * voxel_nm,
        "aperture_p90_nm": column["p90"] * voxel_nm,
        "volume_nm3": column["volume"] * voxel_nm**3,
        "extent_nm": column["extent"] * voxel_nm,
        **{f"centroid_{axis}_nm": column[axis] * voxel_nm for axis in "zyx"},
        "angle_to_radius_deg": column["angle"],
        "least_depth_nm": column["low"] * voxel_nm,
        "greatest_depth_nm": column["high"] * voxel_nm,
        "touches_surface": column["low"] <= REACHES_PX,
    }


def weighted_quantiles(values: NumberArray, weights: NumberArray, shares: tuple[float, ...]) -> NumberArray:
    """Return the values below which these shares of the weight lie; NaN without values."""
    if not len(values):
        return np.full(len(shares), np.nan)
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
