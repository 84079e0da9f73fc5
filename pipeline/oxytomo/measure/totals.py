"""Sums over particles and voids, row by row."""

from dataclasses import dataclass

import numba
import numpy as np

from oxytomo.arrays import Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.slabs import Field, largest, read, slabs

Labels = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


@dataclass(frozen=True)
class ParticleTotals:
    """Size and centre of each particle; entry 0 is the outside.

    Attributes
    ----------
    volume_px : (n + 1,) int64, voxels; 0 for the outside
    centre : (n + 1, 3) float64, centre of mass in voxels, z y x; NaN for the outside and an empty
        label
    """

    volume_px: IntArray
    centre: Float64Array


def particle_totals(particle: Field) -> ParticleTotals:
    """Return size and centre of each particle of a label volume."""
    n = largest(particle) + 1
    volume, sums = np.zeros(n, np.int64), np.zeros((n, 3), np.int64)
    for slab in slabs(particle.shape):
        _add_particles(read(particle, slab.rows), slab.rows.start, volume, sums)
    volume[0] = 0
    with np.errstate(invalid="ignore"):
        return ParticleTotals(volume, sums / np.where(volume, volume, np.nan)[:, None])


@numba.njit(cache=True)
def _add_particles(particle: LabelArray, first: int, volume: IntArray, sums: IntArray) -> None:
    n_z, n_y, n_x = particle.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                label = particle[z, y, x]
                if label > 0:
                    volume[label] += 1
                    sums[label, 0] += z + first
                    sums[label, 1] += y
                    sums[label, 2] += x


def void_totals(void: Field, zone: Field, particle: Field, *, n_voids: int) -> Float64Array:
    """Return sums of the void fraction by particle (0: outside) and void.

    Shape (n_particles + 1, n_voids + 1).
    """
    sums = np.zeros((largest(particle) + 1, n_voids + 1))
    for slab in slabs(void.shape):
        _add_voids(read(void, slab.rows), read(zone, slab.rows), read(particle, slab.rows), sums)
    return sums


@numba.njit(cache=True)
def _add_voids(void: FloatArray, zone: Labels, particle: LabelArray, sums: Float64Array) -> None:
    n_z, n_y, n_x = void.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                if zone[z, y, x] > 0:
                    sums[particle[z, y, x], zone[z, y, x]] += void[z, y, x]
