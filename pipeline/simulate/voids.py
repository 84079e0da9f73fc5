"""Particles with pores and cracks whose sizes are known exactly, as a microscope would show them.

Objects enter as signed distances, so that a voxel holds the share that an interval of one voxel's length along
the surface's normal holds. The volume of a crack is then its area times its aperture whatever its direction,
and cracks thinner than a voxel are as exact as thick ones.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter

from pipeline.arrays import BoolArray, Float64Array, FloatArray


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
    """A disc of constant aperture, bent with a radius of curvature 1/``bend`` about one in-plane axis.

    Attributes
    ----------
    centre_px, normal : of the disc
    radius_px, aperture_px : of the disc
    bend : curvature in 1/voxel
    """

    centre_px: Float64Array
    normal: Float64Array
    radius_px: float
    aperture_px: float
    bend: float = 0.0


@dataclass(frozen=True)
class VoidPhantom:
    """What is in the volume, exactly.

    Attributes
    ----------
    envelope, void : (n_z, n_y, n_x) float32, share of each voxel inside the particle's skin and of the voids in it
    crack_index : int16, 1 + index of the crack whose middle plane runs through the voxel, 0 elsewhere
    pore_index : int16, 1 + index of the pore that holds the voxel's centre
    pores, cracks : the objects
    """

    envelope: FloatArray
    void: FloatArray
    crack_index: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]"
    pore_index: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]"
    pores: tuple[Pore, ...] = ()
    cracks: tuple[Crack, ...] = field(default=())

    @property
    def porosity(self) -> float:
        """Volume of the voids / volume inside the skin."""
        return float(self.void.sum(dtype=np.float64) / self.envelope.sum(dtype=np.float64))


def draw(
    shape: tuple[int, int, int],
    *,
    radius_px: float,
    roughness: float,
    pores: tuple[Pore, ...],
    cracks: tuple[Crack, ...],
    rng: np.random.Generator,
) -> VoidPhantom:
    """Draw a particle with its voids.

    Parameters
    ----------
    shape : of the volume; the particle is in its middle
    radius_px : mean radius of the particle
    roughness : largest relative departure of its surface from a sphere, in waves of low order
    pores, cracks : what is in it; where they reach out of the particle they end at its skin
    rng : random numbers for the surface
    """
    middle = (np.array(shape) - 1) / 2
    axes = [np.arange(n, dtype=np.float32) - m for n, m in zip(shape, middle, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    envelope = _skin(z, y, x, radius_px, roughness, rng)
    solid = np.ones(shape, np.float32)
    crack_index = np.zeros(shape, np.int16)
    pore_index = np.zeros(shape, np.int16)
    for number, pore in enumerate(pores, start=1):
        share, box = _ellipsoid(pore, shape)
        solid[box] *= 1 - share
        pore_index[box][(share >= 0.5) & (envelope[box] > 0.5)] = number
    for number, crack in enumerate(cracks, start=1):
        share, plane = _disc(crack, shape)
        solid *= 1 - share
        crack_index[plane & (envelope > 0.5) & (crack_index == 0)] = number
    void = ((1 - solid) * envelope).astype(np.float32)
    return VoidPhantom(envelope, void, crack_index, pore_index, pores, cracks)


def random_particle(
    size: int,
    *,
    apertures_px: tuple[float, ...],
    pore_radii_px: tuple[float, ...],
    rng: np.random.Generator,
) -> VoidPhantom:
    """Draw a particle with one crack of each aperture, every other open to the outside, and pores that do not touch.

    Parameters
    ----------
    size : edge of the volume in voxels
    apertures_px : of the cracks
    pore_radii_px : of the pores, radii of spheres of the same volume
    rng : random numbers
    """
    radius, middle = 0.41 * size, np.full(3, (size - 1) / 2)
    cracks: list[Crack] = []
    for number, aperture in enumerate(apertures_px):
        crack = _random_crack(aperture, open_=number % 2 == 0, radius=radius, middle=middle, rng=rng)
        cracks.append(crack)
    pores: list[Pore] = []
    for wanted in sorted(pore_radii_px, reverse=True):
        for _ in range(400):
            centre = middle + _direction(rng) * (radius * 0.85 - wanted * 1.4 - 4) * rng.uniform() ** (1 / 3)
            if _is_free(centre, wanted * 1.4, pores, cracks):
                stretch = rng.uniform(0.8, 1.25, 3)
                half = wanted * stretch / np.prod(stretch) ** (1 / 3)
                pores.append(Pore(centre, half, _rotation(rng)))
                break
    return draw(
        (size, size, size),
        radius_px=radius,
        roughness=0.04,
        pores=tuple(pores),
        cracks=tuple(cracks),
        rng=rng,
    )


def photograph(
    phantom: VoidPhantom,
    *,
    blur_px: float,
    contrast_to_noise: float,
    shading: float,
    structure: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return grey values: 1 in the solid and 0 in the air, shaded and blurred, with noise.

    Parameters
    ----------
    phantom : what is there
    blur_px : standard deviation of the blur; the noise is not blurred
    contrast_to_noise : contrast of solid to air / standard deviation of the noise; inf for no noise
    shading : relative amplitude of a slow variation of the solid's level
    structure : amplitude of rings about the z axis and of correlated noise, relative to the white noise
    rng : random numbers
    """
    grey: FloatArray = (phantom.envelope - phantom.void).astype(np.float32)
    shape = grey.shape
    if shading:
        waves = [
            np.cos(2 * np.pi * (np.arange(n) / n * rng.uniform(0.5, 1.2) + rng.uniform())) for n in shape
        ]
        field_ = sum(w.reshape([-1 if i == axis else 1 for i in range(3)]) for axis, w in enumerate(waves))
        grey = grey * (1 + np.float32(shading / 3) * field_.astype(np.float32))
    grey = gaussian_filter(grey, blur_px) if blur_px else grey
    if np.isinf(contrast_to_noise):
        return grey
    sigma = 1 / contrast_to_noise
    noise = rng.standard_normal(shape, np.float32)
    if structure:
        correlated = gaussian_filter(rng.standard_normal(shape, np.float32), 1.0)
        noise += np.float32(structure) * correlated / correlated.std()
        noise += np.float32(structure) * _rings(shape, rng)
    result: FloatArray = grey + np.float32(sigma) * noise
    return result


def _rings(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Return rings about the z axis that differ from slice to slice, of unit standard deviation."""
    n_z, n_y, n_x = shape
    y, x = np.mgrid[:n_y, :n_x]
    r = np.hypot(y - (n_y - 1) / 2, x - (n_x - 1) / 2)
    lines = rng.standard_normal((n_z, int(r.max()) + 2)).astype(np.float32)
    lines = gaussian_filter(lines, (4.0, 0.7)) / np.sqrt(np.arange(lines.shape[1]) + 4)
    low = r.astype(int)
    part = (r - low).astype(np.float32)
    rings = lines[:, low] * (1 - part) + lines[:, low + 1] * part
    result: FloatArray = (rings / rings.std()).astype(np.float32)
    return result


def _skin(
    z: FloatArray, y: FloatArray, x: FloatArray, radius: float, roughness: float, rng: np.random.Generator
) -> FloatArray:
    r = np.sqrt(z * z + y * y + x * x)
    surface = np.full(r.shape, radius, np.float32)
    for _ in range(4):
        a = _direction(rng).astype(np.float32)
        cosine = (a[0] * z + a[1] * y + a[2] * x) / np.maximum(r, 1)
        surface += np.float32(radius * roughness / 4) * np.cos(
            rng.integers(2, 6) * np.arccos(np.clip(cosine, -1, 1)) + rng.uniform(0, 6)
        ).astype(np.float32)
    return np.clip(surface - r + 0.5, 0, 1).astype(np.float32)


def _ellipsoid(pore: Pore, shape: tuple[int, ...]) -> tuple[FloatArray, tuple[slice, ...]]:
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


def _disc(crack: Crack, shape: tuple[int, ...]) -> tuple[FloatArray, BoolArray]:
    """Return the share of each voxel, and the voxels that the middle plane runs through."""
    axes = [
        np.arange(n, dtype=np.float32) - np.float32(c) for n, c in zip(shape, crack.centre_px, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    n = crack.normal.astype(np.float32)
    along, across = _in_plane(crack.normal)
    u = along[0] * z + along[1] * y + along[2] * x
    v = across[0] * z + across[1] * y + across[2] * x
    d = n[0] * z + n[1] * y + n[2] * x - np.float32(crack.bend / 2) * u * u
    rim = np.clip(crack.radius_px - np.hypot(u, v) + 0.5, 0, 1)
    half = crack.aperture_px / 2
    share = np.clip(np.minimum(d + 0.5, half) - np.maximum(d - 0.5, -half), 0, 1) * rim
    return share.astype(np.float32), (np.abs(d) <= 0.5) & (rim > 0.5)


def _random_crack(
    aperture: float, *, open_: bool, radius: float, middle: Float64Array, rng: np.random.Generator
) -> Crack:
    """Return a crack that reaches the skin and contains a radius of the particle, or one inside it."""
    outward = _direction(rng)
    tangent = np.cross(outward, _direction(rng))
    normal = tangent / np.linalg.norm(tangent)
    size = radius * rng.uniform(0.42, 0.55)
    place = 0.85 * radius if open_ else rng.uniform(0.15, 0.4) * radius
    bend = rng.uniform(-0.15, 0.15) / size
    return Crack(middle + outward * place, normal, size, aperture, bend)


def _is_free(centre: Float64Array, reach: float, pores: list[Pore], cracks: list[Crack]) -> bool:
    """Say whether a ball keeps 8 voxels away from every pore and crack."""
    gap = 8.0
    for pore in pores:
        if np.linalg.norm(centre - pore.centre_px) < reach + pore.half_axes_px.max() + gap:
            return False
    for crack in cracks:
        offset = centre - crack.centre_px
        along, across = _in_plane(crack.normal)
        u, v = offset @ along, offset @ across
        d = abs(offset @ crack.normal - crack.bend / 2 * u * u)
        if d < reach + gap + crack.aperture_px and np.hypot(u, v) < crack.radius_px + reach + gap:
            return False
    return True


def _in_plane(normal: Float64Array) -> tuple[Float64Array, Float64Array]:
    along = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    along /= np.linalg.norm(along)
    return along, np.cross(normal, along)


def _direction(rng: np.random.Generator) -> Float64Array:
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def _rotation(rng: np.random.Generator) -> Float64Array:
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q
