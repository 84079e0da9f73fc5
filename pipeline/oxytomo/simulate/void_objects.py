"""Bodies of exactly known size: pores, cracks and the particle's skin, as shares of voxels.

Objects are given as signed distances. The share of a voxel is the share of an interval of one
voxel's length along the surface's normal. The volume of a crack is then its area times its aperture
in every direction, and cracks thinner than a voxel are as exact as thick ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray


@dataclass(frozen=True)
class Pore:
    """An ellipsoid: centre and half axes in voxels, rotation with the axes as rows."""

    centre_px: Float64Array
    half_axes_px: Float64Array
    rotation: Float64Array

    @property
    def volume_px(self) -> float:
        """Volume in voxels."""
        return float(4 / 3 * np.pi * np.prod(self.half_axes_px))


@dataclass(frozen=True)
class Crack:
    """A disc of constant aperture, bent about one in-plane axis.

    The radius of curvature is 1/``bend``.

    Attributes
    ----------
    centre_px, normal : centre and normal of the disc
    radius_px, aperture_px : radius and aperture of the disc
    bend : curvature in 1/voxel
    """

    centre_px: Float64Array
    normal: Float64Array
    radius_px: float
    aperture_px: float
    bend: float = 0.0


@dataclass(frozen=True)
class Skin:
    """A sphere with a wavy surface.

    Attributes
    ----------
    radius_px : mean radius
    waves : direction, order, phase and amplitude in voxels of each wave
    """

    radius_px: float
    waves: tuple[tuple[Float64Array, int, float, float], ...]


def random_skin(radius_px: float, roughness: float, rng: np.random.Generator) -> Skin:
    """Draw a skin with four waves of low order.

    Their amplitudes add up to ``roughness`` of the radius.
    """
    waves = []
    for _ in range(4):
        axis = random_direction(rng)
        waves.append((axis, int(rng.integers(2, 6)), float(rng.uniform(0, 6)), radius_px * roughness / 4))
    return Skin(radius_px, tuple(waves))


def skin_share(skin: Skin, shape: tuple[int, ...], rows: slice) -> FloatArray:
    """Return the share of each voxel inside the skin, in some rows of a volume.

    The particle is in the middle of the volume.
    """
    middle = [(n - 1) / 2 for n in shape]
    z, y, x = grid(shape, rows, middle)
    r = np.sqrt(z * z + y * y + x * x)
    surface = np.full(r.shape, skin.radius_px, np.float32)
    for axis, order, phase, amplitude in skin.waves:
        a = axis.astype(np.float32)
        cosine = (a[0] * z + a[1] * y + a[2] * x) / np.maximum(r, 1)
        wave = np.cos(order * np.arccos(np.clip(cosine, -1, 1)) + np.float32(phase))
        surface += np.float32(amplitude) * wave.astype(np.float32)
    return np.clip(surface - r + 0.5, 0, 1).astype(np.float32)


def grid(shape: tuple[int, ...], rows: slice, centre: Sequence[float] | Float64Array) -> list[FloatArray]:
    """Return the positions of some rows of voxels relative to a centre, z y x, for broadcasting."""
    places = [np.arange(rows.start, rows.stop), *(np.arange(n) for n in shape[1:])]
    axes = [p.astype(np.float32) - np.float32(c) for p, c in zip(places, centre, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def ellipsoid_share(pore: Pore, shape: tuple[int, ...]) -> tuple[FloatArray, tuple[slice, ...]]:
    """Return the share of each voxel of a box, averaged over 4³ points."""
    reach = pore.half_axes_px.max() + 2
    box = tuple(
        slice(max(0, int(c - reach)), min(n, int(c + reach) + 2))
        for c, n in zip(pore.centre_px, shape, strict=True)
    )
    fine = [
        np.arange(4 * s.start, 4 * s.stop) / 4 - 0.375 - c for s, c in zip(box, pore.centre_px, strict=True)
    ]
    z, y, x = np.meshgrid(*fine, indexing="ij", sparse=True)
    total = sum(
        ((a[0] * z + a[1] * y + a[2] * x) / half) ** 2
        for a, half in zip(pore.rotation, pore.half_axes_px, strict=True)
    )
    sizes = [s.stop - s.start for s in box]
    inside = (np.asarray(total) <= 1).reshape(sizes[0], 4, sizes[1], 4, sizes[2], 4)
    return inside.mean(axis=(1, 3, 5), dtype=np.float32), box


def disc_share(crack: Crack, shape: tuple[int, ...], rows: slice) -> tuple[FloatArray, BoolArray]:
    """Return the share of each voxel and the voxels on the middle plane, in some rows."""
    z, y, x = grid(shape, rows, crack.centre_px)
    n = crack.normal.astype(np.float32)
    along, across = in_plane(crack.normal)
    u = along[0] * z + along[1] * y + along[2] * x
    v = across[0] * z + across[1] * y + across[2] * x
    d = n[0] * z + n[1] * y + n[2] * x - np.float32(crack.bend / 2) * u * u
    rim = np.clip(crack.radius_px - np.hypot(u, v) + 0.5, 0, 1)
    half = crack.aperture_px / 2
    share = np.clip(np.minimum(d + 0.5, half) - np.maximum(d - 0.5, -half), 0, 1) * rim
    return share.astype(np.float32), (np.abs(d) <= 0.5) & (rim > 0.5)


def in_plane(normal: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return two directions at right angles in the plane of a normal."""
    along = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    along /= np.linalg.norm(along)
    return along, np.cross(normal, along)


def random_direction(rng: np.random.Generator) -> Float64Array:
    """Return a unit vector."""
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def random_rotation(rng: np.random.Generator) -> Float64Array:
    """Return three orthogonal unit vectors."""
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q
