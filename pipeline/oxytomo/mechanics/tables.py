"""Tables of stress: beside each pore, by depth below the surface, and along crack fronts."""

import numpy as np
import pandas as pd
from scipy.ndimage import center_of_mass, distance_transform_edt

from oxytomo.arrays import Float64Array, FloatArray, IntArray
from oxytomo.mechanics.geometry import NEAR, Parts, beside_voids, distance_to, interior
from oxytomo.mechanics.solid import CRACK, FEWEST_BRIDGE_VOXELS, Solid
from oxytomo.mechanics.states import Scalars

FEWEST_VOXELS = 8
"""Fewer voxels beside a pore give no percentile."""
SURFACE_FIT = (1.5, 3.5)
"""Distances of voxel centres from the nearest void voxel, in voxels, for the extrapolation of
stress to the surface."""


def stress_at_voids(parts: Parts, solid: Solid, found: Scalars, *, amplitude_mpa: float) -> pd.DataFrame:
    """Return one row per pore with the stress one to two voxels off its surface.

    ``found`` is on the grid of the labels.

    Columns: ``void``, centre (nm, from the middle of the first voxel of the whole volume), volume,
    equivalent diameter, depth of the centre below the outer surface, number of voxels read, mean
    and 95th percentile of the first principal stress, means of hoop and von Mises stress, the mean
    hoop stress at the surface of the pore (see :func:`surface_hoop`), the width of the bridge of
    solid to the nearest other pore or crack, and whether it is resolved. Stress is NaN with fewer
    than :data:`FEWEST_VOXELS` voxels.
    """
    numbers = np.unique(parts.voids[parts.voids > 0])
    where = beside_voids(parts, solid)[solid.inside]
    owner = _nearest_void(parts.voids)[where] if numbers.size else np.zeros(0, np.int64)
    order = np.argsort(owner, kind="stable")
    limits = np.searchsorted(owner[order], np.append(numbers, numbers[-1:] + 1))
    values = {
        name: np.float64(amplitude_mpa) * getattr(found, name)[where][order]
        for name in ("first_principal", "hoop", "von_mises")
    }
    voxel_nm = 1e3 * parts.voxel_um
    depth = distance_to(parts.labels == 0, border=True)
    bridges, surface = bridges_um(parts), surface_hoop(parts, solid, found.hydrostatic)
    rows = []
    centres = center_of_mass(parts.voids > 0, parts.voids, numbers) if numbers.size else []
    for i, (number, centre) in enumerate(zip(numbers.tolist(), centres, strict=True)):
        own = {name: one[limits[i] : limits[i + 1]] for name, one in values.items()}
        count = limits[i + 1] - limits[i]
        known = count >= FEWEST_VOXELS
        volume = float(np.count_nonzero(parts.voids == number)) * voxel_nm**3
        z, y, x = ((c + s) * voxel_nm for c, s in zip(centre, parts.start, strict=True))
        bridge = bridges.get(number, np.nan)
        first = own["first_principal"]
        rows.append(
            {
                "void": number,
                "z_nm": z,
                "y_nm": y,
                "x_nm": x,
                "volume_nm3": volume,
                "equivalent_diameter_nm": float(np.cbrt(6 * volume / np.pi)),
                "depth_nm": voxel_nm * float(depth[tuple(np.round(centre).astype(int))]),
                "n_voxels": int(count),
                "mean_first_principal_mpa": float(first.mean()) if known else np.nan,
                "p95_first_principal_mpa": float(np.percentile(first, 95)) if known else np.nan,
                "mean_hoop_mpa": float(own["hoop"].mean()) if known else np.nan,
                "mean_von_mises_mpa": float(own["von_mises"].mean()) if known else np.nan,
                "surface_hoop_mpa": amplitude_mpa * surface.get(number, np.nan),
                "bridge_nm": 1e3 * bridge,
                "bridge_resolved": not bridge < FEWEST_BRIDGE_VOXELS * parts.voxel_um,
            }
        )
    return pd.DataFrame(rows, columns=list(VOID_COLUMNS))


VOID_COLUMNS = (
    *("void", "z_nm", "y_nm", "x_nm", "volume_nm3", "equivalent_diameter_nm", "depth_nm", "n_voxels"),
    *("mean_first_principal_mpa", "p95_first_principal_mpa", "mean_hoop_mpa", "mean_von_mises_mpa"),
    *("surface_hoop_mpa", "bridge_nm", "bridge_resolved"),
)
FRONT_COLUMNS = ("crack", "z_nm", "y_nm", "x_nm", "k_mpa_sqrt_m", "k_over_kc")


def surface_hoop(parts: Parts, solid: Solid, hydrostatic: FloatArray) -> dict[int, float]:
    """Return the mean hoop stress at the surface of each pore, in the unit of ``hydrostatic``.

    It is the mean of the two normal stresses along the surface. The normal stress across a free
    surface is 0, so it is 3/2 of the hydrostatic stress there. That is extrapolated by a straight
    line over the distance from the surface, from voxels one to three voxels off it. About a
    spherical void under an even pull the hydrostatic stress does not change with the distance,
    while the hoop stress itself falls steeply (Timoshenko and Goodier, Theory of Elasticity,
    § 152).
    """
    where = beside_voids(parts, solid, SURFACE_FIT)[solid.inside]
    if not where.any():
        return {}
    owner = _nearest_void(parts.voids)[where]
    off = distance_to(parts.voids > 0)[where].astype(np.float64) - 0.5
    values, found = 1.5 * hydrostatic[where].astype(np.float64), {}
    for number in np.unique(owner).tolist():
        own = owner == number
        if np.count_nonzero(own) >= FEWEST_VOXELS and np.ptp(off[own]) > 1.0:
            found[number] = float(np.polyfit(off[own], values[own], 1)[1])
    return found


def _nearest_void(voids: IntArray) -> IntArray:
    places = distance_transform_edt(voids == 0, return_distances=False, return_indices=True)
    nearest: IntArray = voids[tuple(places)]
    return nearest


def bridges_um(parts: Parts) -> dict[int, float]:
    """Return the width of the solid between each pore and the nearest other pore or crack, µm.

    Every solid voxel belongs to the nearest void voxel. Where two regions touch, the distance of
    their void voxels, less one, is the width of the bridge there; the smallest is returned.
    """
    owners = parts.voids.astype(np.int64)
    owners[parts.labels == CRACK] = int(owners.max()) + 1
    if np.count_nonzero(np.unique(owners)) < 2:
        return {}
    places = distance_transform_edt(owners == 0, return_distances=False, return_indices=True)
    owner = owners[tuple(places)]
    inside = parts.labels > 0
    found: dict[int, float] = {}
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        meet = (owner[low] != owner[high]) & inside[low] & inside[high]
        step = (places[(slice(None), *low)][:, meet] - places[(slice(None), *high)][:, meet]).astype(float)
        gap = np.sqrt((step**2).sum(0)) - 1
        for side in (owner[low][meet], owner[high][meet]):
            least = np.full(int(owners.max()) + 1, np.inf)
            np.minimum.at(least, side, gap)
            for number in np.flatnonzero(np.isfinite(least)).tolist():
                found[number] = min(found.get(number, np.inf), float(least[number]))
    pores = np.unique(parts.voids[parts.voids > 0])
    return {int(n): found[n] * parts.voxel_um for n in pores.tolist() if n in found}


def shell_numbers(parts: Parts, solid: Solid, *, shells: int) -> tuple[IntArray, Float64Array]:
    """Return the number of the shell of each voxel, padded, and the limits in nm.

    Shells have equal volume by the distance to the outer surface; 1 is the rim. Voxels nearer than
    1.5 voxels to a surface, where stress is not exact, have no shell, 0.
    """
    depth = distance_to(parts.labels == 0, border=True)
    values = depth[parts.labels > 0]
    limits = np.quantile(values, np.arange(1, shells) / shells) if values.size else np.zeros(shells - 1)
    numbers = np.zeros(solid.share.shape, np.int64)
    numbers[solid.inside] = np.where(parts.labels > 0, 1 + np.searchsorted(limits, depth, "left"), 0)
    numbers[~interior(parts, solid)] = 0
    edges = np.concatenate([[0.0], limits, [float(values.max(initial=0.0))]])
    return numbers, edges * 1e3 * parts.voxel_um


def shell_means(numbers: IntArray, field: FloatArray, *, shells: int) -> Float64Array:
    """Return the mean of a field in each shell; NaN in an empty one."""
    count = np.bincount(numbers.ravel(), minlength=shells + 1)[1:]
    total = np.bincount(numbers.ravel(), weights=field.ravel().astype(np.float64), minlength=shells + 1)[1:]
    with np.errstate(invalid="ignore"):
        means: Float64Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def unresolved_bridges(table: pd.DataFrame) -> int:
    """Return the number of pores whose bridge is thinner than four voxels."""
    return int((~table["bridge_resolved"].astype(bool)).sum())


def read_distance_nm(parts: Parts) -> tuple[float, float]:
    """Return the distances from a void at which stress is read, nm."""
    low, high = (1e3 * parts.voxel_um * (one - 0.5) for one in NEAR)
    return low, high
