"""The main numbers of one search for voids, counted in the same way in every repetition."""

import numpy as np
from scipy.ndimage import minimum

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.measure.cracks import REACHES_PX
from oxytomo.measure.networks import void_network
from oxytomo.measure.pores import TOUCHES_PX
from oxytomo.slabs import Field, faces

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def mean_aperture(aperture_px: FloatArray, area_px: FloatArray, inner: BoolArray) -> float:
    """Return the area-weighted mean local aperture inside the rims, NaN without cracks."""
    if not inner.any():
        return float("nan")
    return float(np.average(aperture_px[inner], weights=area_px[inner]))


def reaching_surface(
    instances: Labels, depth_px: FloatArray, index: IntArray, sheet: IntArray, *, n_pores: int
) -> BoolArray:
    """Return which voids, pores first, are close enough to the skin to be open.

    Parameters
    ----------
    instances : (n_z, n_y, n_x) int32, pores 1 … n_pores
    depth_px : float32, distance to the skin
    index, sheet : ridge voxels of the cracks, see :class:`oxytomo.segment.sheets.Sheets`
    n_pores : number of pores
    """
    pores = np.asarray(minimum(depth_px, instances, np.arange(1, n_pores + 1)), np.float64).reshape(-1)
    cracks = np.full(int(sheet.max(initial=0)), np.inf)
    np.minimum.at(cracks, sheet - 1, depth_px[tuple(index.T)])
    return np.concatenate([pores < TOUCHES_PX, cracks <= REACHES_PX])


def cut_by_faces(instances: Field, *, n_voids: int) -> BoolArray:
    """Return which voids (pores first) touch a face of the volume and are cut by it."""
    cut = np.zeros(n_voids + 1, bool)
    for face in faces(instances):
        cut[np.unique(face)] = True
    return cut[1:]


def void_sums(
    void: FloatArray,
    zone: Labels,
    pairs: IntArray,
    touches: BoolArray,
    cut: BoolArray | None = None,
    *,
    n_pores: int,
) -> dict[str, float]:
    """Return volumes in voxels and numbers of the voids.

    Parameters
    ----------
    void : (n_z, n_y, n_x) float32, void fraction
    zone : int32, number of the void (from 1) that each voxel may hold a part of
    pairs : contacts, see :func:`oxytomo.measure.networks.void_network`
    touches, cut : (n,) bool, voids that reach the surface, and those that reach the edge of the
        volume, pores first
    n_pores : number of pores
    """
    n = len(touches)
    volume: Float64Array = np.bincount(zone.ravel(), void.ravel(), minlength=n + 1)[1:].astype(np.float64)
    network = void_network(pairs, np.maximum(volume, 0), touches, cut, n_pores=n_pores)
    total, opened, unknown = (
        float(part.sum()) for part in (volume, volume[network.open], volume[network.unknown])
    )
    return {
        "total": total,
        "open": opened,
        "closed": total - opened - unknown,
        "unknown": unknown,
        "pores": float(volume[:n_pores].sum()),
        "cracks": float(volume[n_pores:].sum()),
        "n_pores": float(n_pores),
        "n_cracks": float(n - n_pores),
    }
