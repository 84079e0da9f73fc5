"""The solid of a particle on a grid of bounded size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.align.poses import Grid
from oxytomo.arrays import Float64Array, FloatArray

LARGEST_PX = 120
"""A particle is binned to at most this many voxels."""
MARGIN = 0.12
"""Air around the particle, as a share of its extent."""
SMOOTHING = 0.6
"""Standard deviation of the blur applied to both volumes, in voxels of the level."""
DENSEST = 1.5
"""Densities are clipped at this multiple of the median of the solid."""


@dataclass(frozen=True)
class Solid:
    """The solid of one particle.

    Attributes
    ----------
    rows : gives the density of some rows, (n, n_y, n_x) float32: above 0 in the solid, 0 in voids
        and outside
    box : bounding box of the particle, along z, y, x
    voxel_nm : edge of a voxel, nm
    """

    rows: Callable[[slice], FloatArray]
    box: tuple[slice, slice, slice]
    voxel_nm: float


@dataclass(frozen=True)
class Coarse:
    """A binned particle: about 1 in the solid.

    Attributes
    ----------
    values : (n_z, n_y, n_x) float32 with air around the particle
    voxel_nm : edge of its voxels, nm
    centre : (3,) index of the centre of mass
    centre_nm : (3,) the same, from the centre of the first voxel of the volume it comes from
    extent_nm : longest side of the particle, nm
    """

    values: FloatArray
    voxel_nm: float
    centre: Float64Array
    centre_nm: Float64Array
    extent_nm: float


def coarse(solid: Solid) -> Coarse:
    """Bin a particle to at most ``LARGEST_PX`` voxels; reads a few rows at a time."""
    extent = max(s.stop - s.start for s in solid.box)
    step = -(-extent // LARGEST_PX)
    margin = int(np.ceil(MARGIN * extent / step)) + 2
    counts = [-(-(s.stop - s.start) // step) for s in solid.box]
    values = np.zeros([n + 2 * margin for n in counts], np.float32)
    inner = slice(margin, -margin)
    for row in range(counts[0]):
        low = solid.box[0].start + row * step
        part = solid.rows(slice(low, min(low + step, solid.box[0].stop)))[:, solid.box[1], solid.box[2]]
        values[margin + row, inner, inner] = binned(part, (step, step, step), (1, *counts[1:]))[0]
    positive = values[values > 0.25 * values.max()]
    solid_level = float(np.median(positive)) if positive.size else 1.0
    values = np.clip(values / solid_level, 0.0, DENSEST).astype(np.float32)
    centre = centre_of_mass(values)
    first = np.array([s.start for s in solid.box]) + (step - 1) / 2 - margin * step
    return Coarse(
        values,
        solid.voxel_nm * step,
        centre,
        (first + centre * step) * solid.voxel_nm,
        extent * solid.voxel_nm,
    )


def grid_at(volume: Coarse, voxel_nm: float) -> Grid:
    """Return a particle with about this voxel size.

    It is blurred by the same length, whatever its own voxel size is.
    """
    step = max(1, round(voxel_nm / volume.voxel_nm))
    counts = [-(-n // step) for n in volume.values.shape]
    values = binned(volume.values, (step,) * 3, counts)
    own_nm = volume.voxel_nm * step
    smooth = gaussian_filter(values, SMOOTHING * voxel_nm / own_nm).astype(np.float32)
    return Grid(smooth, own_nm, (volume.centre - (step - 1) / 2) / step)


def binned(values: FloatArray, step: tuple[int, ...], counts: "list[int] | tuple[int, ...]") -> FloatArray:
    """Return the means of blocks; the last blocks are padded with 0."""
    whole = np.zeros([n * s for n, s in zip(counts, step, strict=True)], np.float32)
    whole[tuple(slice(0, n) for n in values.shape)] = values
    blocks = whole.reshape(counts[0], step[0], counts[1], step[1], counts[2], step[2])
    means: FloatArray = blocks.mean(axis=(1, 3, 5))
    return means


def centre_of_mass(values: FloatArray) -> Float64Array:
    """Return the index of the centre of mass, z y x."""
    total = float(values.sum(dtype=np.float64))
    sums = [
        values.sum(axis=tuple(o for o in range(3) if o != axis), dtype=np.float64) @ np.arange(n)
        for axis, n in enumerate(values.shape)
    ]
    return np.array(sums) / total
