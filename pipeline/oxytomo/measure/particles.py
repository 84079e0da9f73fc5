"""Particles and agglomerates in a map, shells of equal area, profiles by depth."""

import cc3d
import numpy as np
import skimage.measure
from scipy.ndimage import distance_transform_edt
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.measure.shells import depth_below_surface, shell_labels

EDGES = 4
"""Neighbours that share an edge of a pixel."""
NECK_DEPTH_PX = 1.5
"""Two parts are separate particles if the neck between them is this much narrower than the smaller
part (half widths)."""


def agglomerates(mask: BoolArray, *, min_pixels: int) -> IntArray:
    """Label the 4-connected parts of a mask with at least ``min_pixels``, largest first."""
    found = cc3d.dust(mask, threshold=min_pixels, connectivity=EDGES)
    labels = cc3d.connected_components(found, connectivity=EDGES)
    return _by_size(labels)


def split_particles(labels: IntArray, *, min_pixels: int) -> IntArray:
    """Split agglomerates at their necks by a watershed of the distance to the outside.

    The watershed is scikit-image's.

    Parameters
    ----------
    labels : (n_y, n_x) agglomerates
    min_pixels : smaller parts are merged with the part that they touch
    """
    distance = distance_transform_edt(labels > 0)
    seeds = skimage.measure.label(h_maxima(distance, NECK_DEPTH_PX))
    parts = watershed(-distance, seeds, mask=labels > 0)
    sizes = np.bincount(parts.ravel())
    small = np.flatnonzero(sizes < min_pixels)
    if np.isin(parts, small[small > 0]).any():
        seeds = np.where(np.isin(seeds, small), 0, seeds)
        parts = watershed(-distance, seeds, mask=labels > 0)
    return _by_size(parts)


def particle_shells(
    labels: IntArray, *, n_shells: int, pixel_nm: float
) -> tuple[LabelArray, FloatArray, FloatArray]:
    """Cut each agglomerate into shells of equal area by the distance to its outer edge.

    Returns
    -------
    shells : (n_y, n_x) uint8, 1 at the rim to n at the centre, 0 outside
    depth_nm : distance to the outer edge, NaN outside
    inside_share : share of the agglomerate's area that is deeper than a pixel, NaN outside
    """
    shells = np.zeros(labels.shape, np.uint8)
    depth = np.full(labels.shape, np.nan, np.float32)
    share = np.full(labels.shape, np.nan, np.float32)
    for region in skimage.measure.regionprops(labels):
        box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in region.slice)
        one = labels[box] == region.label
        padded = np.pad(one, 1)
        found = depth_below_surface(padded, voxel_nm=pixel_nm)
        cut = shell_labels(found, n_shells=n_shells)[1:-1, 1:-1]
        own = found[1:-1, 1:-1]
        shells[box][one], depth[box][one] = cut[one], own[one]
        order = np.argsort(np.argsort(-own[one], kind="stable"), kind="stable")
        share[box][one] = (order + 0.5) / one.sum()
    return shells, depth, share


def binned_means(
    value: FloatArray, error: FloatArray, by: FloatArray, edges: Float64Array
) -> tuple[Float64Array, Float64Array, IntArray]:
    """Mean of a map in bins of another, with its standard error for independent pixel errors.

    Parameters
    ----------
    value, error : any shape, NaN where unknown
    by : same shape, NaN where a pixel does not count
    edges : (n + 1,) increasing limits

    Returns
    -------
    mean, error : (n,) NaN in an empty bin
    n_pixels : (n,)
    """
    known = np.isfinite(value) & np.isfinite(by) & np.isfinite(error)
    place = np.digitize(by[known], edges) - 1
    place[by[known] == edges[-1]] = edges.size - 2
    within = (place >= 0) & (place < edges.size - 1)
    place, size = place[within], edges.size - 1
    count = np.bincount(place, minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(place, weights=value[known][within], minlength=size) / count
        spread = np.sqrt(np.bincount(place, weights=error[known][within] ** 2, minlength=size)) / count
    return np.where(count > 0, mean, np.nan), np.where(count > 0, spread, np.nan), count


def _by_size(labels: IntArray) -> IntArray:
    """Number labels by decreasing size."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(sizes.size, np.int64)
    kept = order[sizes[order] > 0]
    rank[kept] = np.arange(kept.size) + 1
    numbered: IntArray = rank[labels]
    return numbered
