"""One row per pore: volume from the void fraction, shape, position."""

import numpy as np
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree

from pipeline.arrays import Float64Array, FloatArray, IntArray, LabelArray, NumberArray
from pipeline.measure.surfaces import pore_surface

FEWEST_VOXELS = 27
"""A pore of fewer voxels has no shape that could be measured."""
TOUCHES_PX = 1.5
"""A pore that comes so near to the skin is open."""

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def pore_table(
    void: FloatArray,
    instances: Labels,
    zone: Labels,
    particle: LabelArray,
    depth_px: FloatArray,
    *,
    n_pores: int,
    voxel_nm: float,
) -> dict[str, NumberArray]:
    """Measure each pore.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    instances, zone : int32, pores 1 … n_pores as voxels and with the surroundings blur spreads them to
    particle : uint8, particle of each voxel
    depth_px : float32, distance to the skin in voxels
    n_pores : number of pores
    voxel_nm : edge of a voxel

    Returns
    -------
    table : columns, one entry per pore: ``pore``, ``particle``, ``volume_nm3`` (sum of the void fraction over the
        pore's zone), ``equivalent_diameter_nm``, ``centroid_{z,y,x}_nm``, ``depth_nm`` (centroid to skin),
        ``half_axis_{1,2,3}_nm`` (of the ellipsoid with the same second moments), ``surface_nm2`` and
        ``sphericity`` (mesh of the void fraction at one half, scaled to the pore's volume; NaN below 27
        voxels), ``nearest_neighbour_nm`` (between centroids), ``touches_surface``
    """
    sums = _sums(void, zone, n_pores)
    boxes = find_objects(instances, max_label=max(n_pores, 1))[:n_pores]
    # In a slice volume per pixel of thickness is an area, and the equivalent diameter that of a circle.
    volume = np.maximum(sums, 0.0)
    centroid, axes = np.full((n_pores, 3), np.nan), np.full((n_pores, 3), np.nan)
    surface, sphericity = np.full(n_pores, np.nan), np.full(n_pores, np.nan)
    owner, nearest_skin = np.zeros(n_pores, np.int64), np.full(n_pores, np.inf)
    for i, box in enumerate(boxes):
        own = instances[box] == i + 1
        place = np.argwhere(own)
        start = np.array([s.start for s in box])
        centroid[i] = place.mean(axis=0) + start
        axes[i] = _half_axes(place)
        nearest_skin[i] = depth_px[box][own].min()
        owner[i] = np.bincount(particle[box][own]).argmax()
        if len(place) >= FEWEST_VOXELS and void.shape[0] > 1:
            surface[i], sphericity[i] = _surface(void, zone, box, i + 1, volume[i])
    centre = np.round(centroid).astype(int)
    flat = void.shape[0] == 1
    diameter = np.sqrt(4 / np.pi * volume) if flat else np.cbrt(6 / np.pi * volume)
    return {
        "pore": np.arange(1, n_pores + 1),
        "particle": owner,
        "volume_nm3": volume * voxel_nm**3,
        "equivalent_diameter_nm": diameter * voxel_nm,
        **{f"centroid_{axis}_nm": centroid[:, k] * voxel_nm for k, axis in enumerate("zyx")},
        "depth_nm": depth_px[tuple(centre.T)].astype(np.float64) * voxel_nm,
        **{f"half_axis_{k + 1}_nm": axes[:, k] * voxel_nm for k in range(3)},
        "surface_nm2": surface * voxel_nm**2,
        "sphericity": sphericity,
        "nearest_neighbour_nm": nearest_neighbour(centroid) * voxel_nm,
        "touches_surface": nearest_skin < TOUCHES_PX,
    }


def _sums(void: FloatArray, zone: Labels, n: int) -> Float64Array:
    inside = (zone > 0) & (zone <= n)
    total = np.bincount(zone[inside], void[inside], minlength=n + 1)
    return total[1 : n + 1].astype(np.float64)


def nearest_neighbour(centroid: Float64Array) -> Float64Array:
    """Return the distance of each point to its nearest other one, NaN for a single point."""
    if len(centroid) < 2:
        return np.full(len(centroid), np.nan)
    distances = np.asarray(cKDTree(centroid).query(centroid, k=2)[0], np.float64)
    return distances[:, 1]


def _half_axes(place: IntArray) -> Float64Array:
    """Return the half axes, largest first, of the ellipsoid with the second moments of these voxels."""
    spread = np.cov(place.T, bias=True) if len(place) > 1 else np.zeros((3, 3))
    moments = np.linalg.eigvalsh(spread + np.eye(3) / 12)[::-1]
    axes: Float64Array = np.sqrt(5 * moments)
    return axes


def _surface(
    void: FloatArray, zone: Labels, box: tuple[slice, ...], label: int, volume: float
) -> tuple[float, float]:
    """Return surface and sphericity from a mesh at half of the void fraction."""
    surface = pore_surface(void, zone, box, label)
    if surface is None or volume <= 0:
        return float("nan"), float("nan")
    area, enclosed = surface.area, surface.volume
    sphericity = np.pi ** (1 / 3) * (6 * enclosed) ** (2 / 3) / area
    return area * (volume / enclosed) ** (2 / 3), min(float(sphericity), 1.0)
