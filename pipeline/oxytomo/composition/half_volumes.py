"""Half volumes from the odd and from the even tilts, for the measurement of the resolution."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage

from oxytomo.arrays import FloatArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.total_variation import bounding_box
from oxytomo.slabs import Box, Field

CORRELATED_VOXELS = 64_000_000
"""Largest number of voxels of the half volumes that are correlated."""
CORRELATED_MARGIN = 10
"""Width around the particle's box over which its soft mask falls to 0, voxels."""


@dataclass(frozen=True)
class HalfVolumes:
    """Mean density of two halves of the tilts under a soft mask, (n_z, n_y, n_x) float32.

    The particle's share of the mask is included.
    """

    first: FloatArray
    second: FloatArray
    object_share: float


def half_volumes(data: ColumnDensities, particle: Field, box: Box) -> HalfVolumes | None:
    """Reconstruct the mean density from every other tilt; None for fewer than four tilts.

    The half volumes cover the particle's box. Of a large box they cover only slices around the
    middle, because they are Fourier transformed as a whole.

    Parameters
    ----------
    data : element sinograms
    particle : mask of the particle in its box
    box : position of the particle's box in the volume
    """
    if data.tilt_deg.size < 4:
        return None
    shape = (data.areal.shape[2], data.areal.shape[3], data.areal.shape[3])
    near = tuple(
        slice(max(0, s.start - CORRELATED_MARGIN), min(n, s.stop + CORRELATED_MARGIN))
        for s, n in zip(box, shape, strict=True)
    )
    rows = _middle(near[0], max(8, CORRELATED_VOXELS // max(1, _size(near[1]) * _size(near[2]))))
    mask = np.zeros((_size(rows), _size(near[1]), _size(near[2])), bool)
    inner = [slice(b.start - n.start, b.stop - n.start) for b, n in zip(box[1:], near[1:], strict=True)]
    low, high = max(rows.start, box[0].start), min(rows.stop, box[0].stop)
    mask[(slice(low - rows.start, high - rows.start), *inner)] = particle[
        low - box[0].start : high - box[0].start
    ]
    soft = scipy.ndimage.gaussian_filter(
        scipy.ndimage.binary_dilation(mask, iterations=4).astype(np.float32), 2.0
    )
    mean_density = _mean_density(data, rows)
    halves = []
    for start in (0, 1):
        geometry = TiltGeometry.square(data.tilt_deg[start::2], shape[2]).cropped(near[1], near[2])
        half = filtered_backprojection(np.ascontiguousarray(mean_density[start::2]), geometry)
        half *= soft
        halves.append(half)
    share = float(np.prod([_size(extent) for extent in bounding_box(mask)])) / mask.size
    return HalfVolumes(halves[0], halves[1], share)


def _mean_density(data: ColumnDensities, rows: slice) -> FloatArray:
    """Return line integrals of the total density in some rows, (n_tilt, n_z, n_s)."""
    found = np.empty((data.tilt_deg.size, _size(rows), data.areal.shape[3]), np.float32)
    for tilts in data.parts:
        areal, covariance = (np.asarray(each[:, tilts, rows]) for each in (data.areal, data.covariance))
        part = replace(data, areal=areal, covariance=covariance, tilt_deg=data.tilt_deg[tilts])
        found[tilts] = np.asarray(part.sinogram(data.total)[0])
    return found


def _middle(span: slice, most: int) -> slice:
    """Return the middle of a range, of at most this length."""
    cut = max(0, _size(span) - most)
    return slice(span.start + cut // 2, span.stop - (cut - cut // 2))


def _size(span: slice) -> int:
    return int(span.stop - span.start)
