"""One row per pore: volume from the void fraction, shape, position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.spatial import cKDTree

from oxytomo.arrays import Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.measure.pore_surface import pore_surface
from oxytomo.measure.tables import table
from oxytomo.measure.totals import Labels, void_totals
from oxytomo.segment.voids import Voids
from oxytomo.slabs import gather, largest, read, read_ahead, slabs

if TYPE_CHECKING:
    import pandas as pd

FEWEST_VOXELS = 27
"""Pores of fewer voxels have no measurable shape."""
TOUCHES_PX = 1.5
"""A pore is open if it is this close to the skin."""


def pore_table(voids: Voids, *, voxel_nm: float) -> pd.DataFrame:
    """Measure each pore.

    Parameters
    ----------
    voids : the segmentation; ``void``, ``instances``, ``zone``, ``particle``, ``depth_px`` and
        ``n_pores`` are read
    voxel_nm : edge of a voxel, nm

    Returns
    -------
    table : one row per pore: ``pore``, ``particle`` (int64), ``volume_nm3`` (sum of the void
        fraction over the pore's zone), ``equivalent_diameter_nm``, ``centroid_{z,y,x}_nm``,
        ``depth_nm`` (centroid to skin), ``half_axis_{1,2,3}_nm`` (of the ellipsoid with the same
        second moments), ``surface_nm2`` and ``sphericity`` (mesh of the void fraction at one half,
        scaled to the pore's volume; NaN below 27 voxels), ``nearest_neighbour_nm`` (between
        centroids), ``least_depth_nm`` (float64), ``touches_surface`` (bool)
    """
    found, n = _pore_sums(voids), voids.n_pores
    flat = voids.void.shape[0] == 1
    sums = void_totals(voids.void, voids.zone, voids.particle, n_voids=max(largest(voids.zone), n))
    volume = np.maximum(sums[:, 1 : n + 1].sum(axis=0), 0.0)
    centroid = found.sums / found.count[:, None]
    axes = _half_axes(found, centroid)
    surface, sphericity = np.full(n, np.nan), np.full(n, np.nan)
    fraction, owner = read_ahead(voids.void), read_ahead(voids.zone)
    for i in map(int, () if flat else np.flatnonzero(found.count >= FEWEST_VOXELS)):
        surface[i], sphericity[i] = pore_surface(
            fraction, owner, found.low[i], found.high[i], i + 1, volume_px=volume[i]
        )
    # In a slice the volume per pixel of thickness is an area; the diameter is that of a circle.
    diameter = np.sqrt(4 / np.pi * volume) if flat else np.cbrt(6 / np.pi * volume)
    depth_px = gather(voids.depth_px, np.round(centroid).astype(int))
    return table(
        {
            "pore": np.arange(1, n + 1),
            "particle": found.owners.argmax(axis=1),
            "volume_nm3": volume * voxel_nm**3,
            "equivalent_diameter_nm": diameter * voxel_nm,
            **{f"centroid_{axis}_nm": centroid[:, k] * voxel_nm for k, axis in enumerate("zyx")},
            "depth_nm": depth_px.astype(np.float64) * voxel_nm,
            **{f"half_axis_{k + 1}_nm": axes[:, k] * voxel_nm for k in range(3)},
            "surface_nm2": surface * voxel_nm**2,
            "sphericity": sphericity,
            "nearest_neighbour_nm": nearest_neighbour(centroid) * voxel_nm,
            "least_depth_nm": found.least_depth * voxel_nm,
            "touches_surface": found.least_depth < TOUCHES_PX,
        }
    )


@dataclass(frozen=True)
class _PoreSums:
    """Sums per pore: voxels, places and their products, extent, least depth, owners."""

    count: IntArray
    sums: IntArray
    products: IntArray
    low: IntArray
    high: IntArray
    least_depth: FloatArray
    owners: IntArray


def _pore_sums(voids: Voids) -> _PoreSums:
    n = voids.n_pores
    found = _PoreSums(
        np.zeros(n, np.int64),
        np.zeros((n, 3), np.int64),
        np.zeros((n, 3, 3), np.int64),
        np.full((n, 3), np.iinfo(np.int64).max),
        np.full((n, 3), -1),
        np.full(n, np.inf, np.float32),
        np.zeros((n, largest(voids.particle) + 1), np.int64),
    )
    for slab in slabs(voids.instances.shape):
        parts = (read(field, slab.rows) for field in (voids.instances, voids.depth_px, voids.particle))
        _add_pores(*parts, slab.rows.start, *vars(found).values())
    return found


@numba.njit(cache=True)
def _add_pores(
    instances: Labels,
    depth_px: FloatArray,
    particle: LabelArray,
    first: int,
    count: IntArray,
    sums: IntArray,
    products: IntArray,
    low: IntArray,
    high: IntArray,
    least_depth: FloatArray,
    owners: IntArray,
) -> None:
    n_z, n_y, n_x = instances.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                i = instances[z, y, x] - 1
                if 0 <= i < count.size:
                    place = (z + first, y, x)
                    count[i] += 1
                    owners[i, particle[z, y, x]] += 1
                    least_depth[i] = min(least_depth[i], depth_px[z, y, x])
                    for a in range(3):
                        sums[i, a] += place[a]
                        low[i, a] = min(low[i, a], place[a])
                        high[i, a] = max(high[i, a], place[a])
                        for b in range(3):
                            products[i, a, b] += place[a] * place[b]


def nearest_neighbour(centroid: Float64Array) -> Float64Array:
    """Return the distance of each point to its nearest other one, NaN for a single point."""
    if len(centroid) < 2:
        return np.full(len(centroid), np.nan)
    distances = np.asarray(cKDTree(centroid).query(centroid, k=2)[0], np.float64)
    return distances[:, 1]


def _half_axes(found: _PoreSums, centroid: Float64Array) -> Float64Array:
    """Return half axes, largest first, of the ellipsoids with the pores' second moments."""
    spread = found.products / found.count[:, None, None] - centroid[:, :, None] * centroid[:, None, :]
    moments = np.linalg.eigvalsh(spread + np.eye(3) / 12)[:, ::-1]
    axes: Float64Array = np.sqrt(5 * np.maximum(moments, 1 / 12))
    return axes
