"""How well two volumes match in a pose, and the best pose nearby.

A pose takes places in the fixed volume to places in the moving one, both in nm (z, y, x) from the
centre of its particle: ``moving = rotation @ fixed + shift``.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from scipy.spatial.transform import Rotation

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, NumberArray
from oxytomo.threads import parallel_kernel

CHUNKS = 64
STEPS = 40
DAMPING = 1e-3
SMALL_STEP = 1e-3
"""The search ends when a step is smaller than this many voxels."""
_PHI, _PSI = 2**0.5, 1.533751168755204288118041


@dataclass(frozen=True)
class Grid:
    """A volume to sample: values with air around them, voxel size, index of the particle's centre.

    The index is in the order z, y, x.
    """

    values: FloatArray
    voxel_nm: float
    centre: Float64Array

    def mirrored(self) -> "Grid":
        """Return the mirror image: z inverted."""
        centre = self.centre.copy()
        centre[0] = self.values.shape[0] - 1 - centre[0]
        return Grid(np.ascontiguousarray(self.values[::-1]), self.voxel_nm, centre)


@dataclass(frozen=True)
class Points:
    """Voxels of the fixed volume in and around its particle.

    Attributes
    ----------
    places_nm : (n, 3) float32 z, y, x from the centre of the particle
    values : (n,) float32
    ring : (n,) int32, shell of equal distance from the centre that each voxel belongs to
    excess : (n,) float32, values less the mean of their ring, of unit norm
    group : (n,) int32, part of the volume that each voxel belongs to: cubes dealt out to
        ``n_groups``
    """

    places_nm: FloatArray
    values: FloatArray
    ring: NumberArray
    excess: FloatArray
    group: NumberArray

    def sampled(self, count: int) -> "Points":
        """Return at most this many of the voxels, drawn at random with a fixed seed."""
        chosen = np.random.default_rng(0).permutation(len(self.values))[:count]
        return points_at(self.places_nm[chosen], self.values[chosen], self.ring[chosen], self.group[chosen])


@dataclass(frozen=True)
class Pose:
    """A pose; ``correlation`` is the correlation of the two volumes in it."""

    rotation: Float64Array
    shift_nm: Float64Array
    correlation: float

    def turned_from(self, other: "Pose") -> float:
        """Return the angle between two poses in degrees."""
        cosine = (np.trace(self.rotation @ other.rotation.T) - 1) / 2
        return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def points_of(fixed: Grid, around: BoolArray, *, n_groups: int, cube_px: int) -> Points:
    """Return the voxels of a volume at which it is compared.

    Parameters
    ----------
    fixed : the volume
    around : (n_z, n_y, n_x) bool, the particle and some air around it
    n_groups, cube_px : number of groups, and edge of the cubes that are dealt out to them
    """
    index = np.argwhere(around)
    places = ((index - fixed.centre) * fixed.voxel_nm).astype(np.float32)
    ring = (np.linalg.norm(places, axis=1) / fixed.voxel_nm).astype(np.int32)
    group = ((index // cube_px) @ np.array([1, 3, 5]) % n_groups).astype(np.int32)
    return points_at(places, fixed.values[around], ring, group)


def points_at(places_nm: FloatArray, values: FloatArray, ring: NumberArray, group: NumberArray) -> Points:
    """Return points with their excess over the mean of their ring."""
    mean = np.bincount(ring, values) / np.maximum(np.bincount(ring), 1)
    excess = values - mean[ring]
    excess /= max(float(np.linalg.norm(excess)), 1e-12)
    return Points(places_nm, values.astype(np.float32), ring, excess.astype(np.float32), group)


def rotations_over_all(spacing_deg: float) -> Float64Array:
    """Return rotation matrices (n, 3, 3) spread evenly over all rotations.

    They are about ``spacing_deg`` apart.

    Super-Fibonacci spirals (Alexa, CVPR 2022).
    """
    n = int(np.ceil(8 * np.pi**2 / np.deg2rad(spacing_deg) ** 3))
    s = np.arange(n) + 0.5
    inner, outer = np.sqrt(s / n), np.sqrt(1 - s / n)
    a, b = 2 * np.pi * s / _PHI, 2 * np.pi * s / _PSI
    quaternions = np.stack(
        [inner * np.sin(a), inner * np.cos(a), outer * np.sin(b), outer * np.cos(b)], axis=1
    )
    matrices: Float64Array = Rotation.from_quat(quaternions).as_matrix()
    return matrices


def excess_correlations(
    points: Points, moving: Grid, rotations: Float64Array, shifts_nm: Float64Array
) -> Float64Array:
    """Return, for each pose, the correlation without the part that depends on distance alone.

    A sphere correlates with itself in every orientation. This partial correlation is what remains
    when the mean of every ring about the centre of the fixed particle is subtracted from both
    volumes.

    Parameters
    ----------
    rotations, shifts_nm : (n, 3, 3) and (n, 3)
    """
    found: Float64Array = _excess_correlations(
        points.places_nm,
        points.ring,
        points.excess,
        int(points.ring.max()) + 1,
        moving.values,
        np.ascontiguousarray(rotations / moving.voxel_nm),
        np.ascontiguousarray(shifts_nm / moving.voxel_nm + moving.centre),
    )
    return found


def refined(points: Points, moving: Grid, start: Pose, *, use: BoolArray | None = None) -> Pose:
    """Return the pose near ``start`` in which the volumes correlate best.

    Levenberg–Marquardt steps in three rotations, three shifts, gain and offset. The least squares
    of the values against gain times moving volume plus offset have their minimum where the
    correlation has its maximum.

    Parameters
    ----------
    use : (n,) bool, the points to compare; None for all
    """
    chosen = slice(None) if use is None else use
    places, values = points.places_nm[chosen], points.values[chosen]
    reach_nm = float(np.sqrt((places.astype(np.float64) ** 2).sum(axis=1).mean()))
    rotation, shift = start.rotation, start.shift_nm
    damping, best = DAMPING, _sums(places, values, moving, rotation, shift)
    for _ in range(STEPS):
        normal, right = _equations(best, reach_nm)
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), right)
        turn = Rotation.from_rotvec(step[:3] / reach_nm).as_matrix()
        trial = _sums(places, values, moving, turn @ rotation, shift + step[3:6])
        if _correlation(trial) > _correlation(best):
            rotation, shift, best, damping = turn @ rotation, shift + step[3:6], trial, damping / 5
        else:
            damping *= 10
        if np.abs(step[:6]).max() < SMALL_STEP * moving.voxel_nm or damping > 1e6:
            break
    return Pose(rotation, shift, _correlation(best))


def _sums(
    places: FloatArray, values: FloatArray, moving: Grid, rotation: Float64Array, shift: Float64Array
) -> Float64Array:
    """Return the sums of products (9, 9) for the normal equations.

    The factors are the derivatives by rotation (3) and shift (3), the moving value, 1, and the
    fixed value.
    """
    parts = _products(
        places, values, moving.values, rotation, shift / moving.voxel_nm + moving.centre, moving.voxel_nm
    )
    total: Float64Array = parts.sum(axis=0)
    return total


def _equations(sums: Float64Array, reach_nm: float) -> tuple[Float64Array, Float64Array]:
    """Return the normal equations of the step in rotation (times reach), shift, gain and offset."""
    gain, offset = np.linalg.lstsq(sums[6:8, 6:8], sums[6:8, 8], rcond=None)[0]
    scale = np.array([gain / reach_nm] * 3 + [gain] * 3 + [1.0, 1.0])
    normal = sums[:8, :8] * np.outer(scale, scale)
    residual = sums[:8, 8] - gain * sums[:8, 6] - offset * sums[:8, 7]
    return normal + 1e-9 * np.trace(normal) * np.eye(8), residual * scale


def _correlation(sums: Float64Array) -> float:
    n, m, f = sums[7, 7], sums[6, 7], sums[8, 7]
    spread = (sums[6, 6] - m * m / n) * (sums[8, 8] - f * f / n)
    return float((sums[6, 8] - m * f / n) / np.sqrt(spread)) if spread > 0 else 0.0


@njit(cache=True)
def _sampled(volume, z, y, x):  # type: ignore[no-untyped-def]
    """Return value and gradient (per voxel) by trilinear interpolation; air outside."""
    n_z, n_y, n_x = volume.shape
    if not (0 <= z < n_z - 1 and 0 <= y < n_y - 1 and 0 <= x < n_x - 1):
        return 0.0, 0.0, 0.0, 0.0
    i, j, k = int(z), int(y), int(x)
    a, b, c = z - i, y - j, x - k
    v000, v001 = volume[i, j, k], volume[i, j, k + 1]
    v010, v011 = volume[i, j + 1, k], volume[i, j + 1, k + 1]
    v100, v101 = volume[i + 1, j, k], volume[i + 1, j, k + 1]
    v110, v111 = volume[i + 1, j + 1, k], volume[i + 1, j + 1, k + 1]
    v00, v01 = v000 + c * (v001 - v000), v010 + c * (v011 - v010)
    v10, v11 = v100 + c * (v101 - v100), v110 + c * (v111 - v110)
    v0, v1 = v00 + b * (v01 - v00), v10 + b * (v11 - v10)
    along_y = (1 - a) * (v01 - v00) + a * (v11 - v10)
    d0 = (v001 - v000) + b * ((v011 - v010) - (v001 - v000))
    d1 = (v101 - v100) + b * ((v111 - v110) - (v101 - v100))
    return v0 + a * (v1 - v0), v1 - v0, along_y, d0 + a * (d1 - d0)


@parallel_kernel(element_ns=1000)
def _excess_correlations(places, ring, excess, n_rings, volume, rotations, starts):  # type: ignore[no-untyped-def]
    found = np.empty(len(rotations), np.float64)
    count = np.zeros(n_rings, np.float64)
    for i in range(len(places)):
        count[ring[i]] += 1
    for r in prange(len(rotations)):
        sums = np.zeros(n_rings, np.float64)
        square, product = 0.0, 0.0
        turn, start = rotations[r], starts[r]
        for i in range(len(places)):
            p, q, s = places[i, 0], places[i, 1], places[i, 2]
            z = turn[0, 0] * p + turn[0, 1] * q + turn[0, 2] * s + start[0]
            y = turn[1, 0] * p + turn[1, 1] * q + turn[1, 2] * s + start[1]
            x = turn[2, 0] * p + turn[2, 1] * q + turn[2, 2] * s + start[2]
            value = _sampled(volume, z, y, x)[0]
            sums[ring[i]] += value
            square += value * value
            product += value * excess[i]
        for k in range(n_rings):
            if count[k] > 0:
                square -= sums[k] * sums[k] / count[k]
        found[r] = product / np.sqrt(square) if square > 1e-9 else 0.0
    return found


@parallel_kernel(element_ns=100)
def _products(places, values, volume, rotation, start, voxel):  # type: ignore[no-untyped-def]
    n = len(places)
    parts = np.zeros((CHUNKS, 9, 9), np.float64)
    for chunk in prange(CHUNKS):
        own = np.zeros((9, 9), np.float64)
        row = np.ones(9, np.float64)
        for i in range(chunk * n // CHUNKS, (chunk + 1) * n // CHUNKS):
            p, q, s = places[i, 0], places[i, 1], places[i, 2]
            z = rotation[0, 0] * p + rotation[0, 1] * q + rotation[0, 2] * s
            y = rotation[1, 0] * p + rotation[1, 1] * q + rotation[1, 2] * s
            x = rotation[2, 0] * p + rotation[2, 1] * q + rotation[2, 2] * s
            value, gz, gy, gx = _sampled(
                volume, z / voxel + start[0], y / voxel + start[1], x / voxel + start[2]
            )
            gz, gy, gx = gz / voxel, gy / voxel, gx / voxel
            row[0], row[1], row[2] = y * gx - x * gy, x * gz - z * gx, z * gy - y * gz
            row[3], row[4], row[5], row[6], row[8] = gz, gy, gx, value, values[i]
            for a in range(9):
                for b in range(a, 9):
                    own[a, b] += row[a] * row[b]
        for a in range(9):
            for b in range(9):
                parts[chunk, a, b] = own[min(a, b), max(a, b)]
    return parts
