"""Particles with pores and cracks of exactly known size, as a microscope images them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.simulate.void_objects import (
    Crack,
    Pore,
    Skin,
    disc_share,
    ellipsoid_share,
    in_plane,
    random_direction,
    random_rotation,
    random_skin,
    skin_share,
)
from oxytomo.slabs import slabs


@dataclass(frozen=True)
class VoidPhantom:
    """Exact content of a volume.

    Attributes
    ----------
    envelope, void : (n_z, n_y, n_x) float32, share of each voxel inside the particle's skin and of
        the voids in it
    crack_index : int16, 1 + index of the crack whose middle plane passes through the voxel, 0
        elsewhere
    pore_index : int16, 1 + index of the pore that contains the voxel's centre
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


@dataclass(frozen=True)
class Scene:
    """Content of a volume before it is drawn.

    Attributes
    ----------
    shape : shape of the volume; the particle is in its middle
    skin, pores, cracks : objects in it; pores and cracks that extend beyond the particle end at its
        skin
    """

    shape: tuple[int, int, int]
    skin: Skin
    pores: tuple[Pore, ...]
    cracks: tuple[Crack, ...]

    def rows(self, rows: slice) -> VoidPhantom:
        """Draw some rows."""
        envelope = skin_share(self.skin, self.shape, rows)
        solid = np.ones(envelope.shape, np.float32)
        crack_index, pore_index = np.zeros(envelope.shape, np.int16), np.zeros(envelope.shape, np.int16)
        for number, pore in enumerate(self.pores, start=1):
            share, box = ellipsoid_share(pore, self.shape)
            low, stop = max(box[0].start, rows.start), min(box[0].stop, rows.stop)
            if low < stop:
                share = share[low - box[0].start : stop - box[0].start]
                own = (slice(low - rows.start, stop - rows.start), *box[1:])
                solid[own] *= 1 - share
                pore_index[own][(share >= 0.5) & (envelope[own] > 0.5)] = number
        for number, crack in enumerate(self.cracks, start=1):
            share, plane = disc_share(crack, self.shape, rows)
            solid *= 1 - share
            crack_index[plane & (envelope > 0.5) & (crack_index == 0)] = number
        void = ((1 - solid) * envelope).astype(np.float32)
        return VoidPhantom(envelope, void, crack_index, pore_index, self.pores, self.cracks)


def turned(scene: Scene, rotation: Float64Array, *, scale: float, size: int) -> Scene:
    """Return the same particle rotated about its centre, on voxels of another size.

    Parameters
    ----------
    scene : its cracks must be flat, because the direction of a bend is not rotated
    rotation : (3, 3), for positions z y x from the middle
    scale : voxel size of the scene over that of the result
    size : edge of the result in voxels
    """
    old, new = (np.array(scene.shape) - 1) / 2, np.full(3, (size - 1) / 2)

    def place(centre: Float64Array) -> Float64Array:
        moved: Float64Array = new + scale * (rotation @ (centre - old))
        return moved

    waves = tuple(
        (rotation @ axis, order, phase, scale * height) for axis, order, phase, height in scene.skin.waves
    )
    pores = tuple(
        Pore(place(p.centre_px), scale * p.half_axes_px, p.rotation @ rotation.T) for p in scene.pores
    )
    cracks = tuple(
        Crack(place(c.centre_px), rotation @ c.normal, scale * c.radius_px, scale * c.aperture_px)
        for c in scene.cracks
    )
    return Scene((size, size, size), Skin(scale * scene.skin.radius_px, waves), pores, cracks)


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
    shape, pores, cracks : see :class:`Scene`
    radius_px : mean radius of the particle
    roughness : largest relative deviation of its surface from a sphere, in waves of low order
    rng : random numbers for the surface
    """
    return Scene(shape, random_skin(radius_px, roughness, rng), pores, cracks).rows(slice(0, shape[0]))


def random_particle(
    size: int,
    *,
    apertures_px: tuple[float, ...],
    pore_radii_px: tuple[float, ...],
    rng: np.random.Generator,
) -> VoidPhantom:
    """Draw the particle of :func:`random_scene`."""
    scene = random_scene(size, apertures_px=apertures_px, pore_radii_px=pore_radii_px, rng=rng)
    return scene.rows(slice(0, size))


def random_scene(
    size: int,
    *,
    apertures_px: tuple[float, ...],
    pore_radii_px: tuple[float, ...],
    rng: np.random.Generator,
) -> Scene:
    """Compose a particle with one crack of each aperture, and pores that do not touch.

    Every other crack is open to the outside.

    Parameters
    ----------
    size : edge of the volume in voxels
    apertures_px : apertures of the cracks
    pore_radii_px : radii of spheres with the volumes of the pores
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
            centre = middle + random_direction(rng) * (radius * 0.85 - wanted * 1.4 - 4) * rng.uniform() ** (
                1 / 3
            )
            if _is_free(centre, wanted * 1.4, pores, cracks):
                stretch = rng.uniform(0.8, 1.25, 3)
                half = wanted * stretch / np.prod(stretch) ** (1 / 3)
                pores.append(Pore(centre, half, random_rotation(rng)))
                break
    return Scene((size, size, size), random_skin(radius, 0.04, rng), tuple(pores), tuple(cracks))


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
    phantom : exact content of the volume
    blur_px : standard deviation of the blur; the noise is not blurred
    contrast_to_noise : contrast of solid to air over the standard deviation of the noise; inf for
        no noise
    shading : relative amplitude of a slow variation of the solid's level
    structure : amplitude of rings about the z axis and of correlated noise, relative to the white
        noise
    rng : random numbers
    """
    grey: FloatArray = (phantom.envelope - phantom.void).astype(np.float32)
    shape = grey.shape
    if shading:
        grey = grey * _shade(shape, shading, rng)(slice(0, shape[0]))
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


def photographed_rows(
    scene: Scene, *, blur_px: float, contrast_to_noise: float, shading: float, rng: np.random.Generator
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield rows of the volume that :func:`photograph` makes, without structured noise.

    Memory is limited by the rows, and the values are the same.
    """
    shade = _shade(scene.shape, shading, rng)
    for slab in slabs(scene.shape, halo=int(4 * blur_px + 0.5)):
        part = scene.rows(slab.wide)
        grey = (part.envelope - part.void) * shade(slab.wide)
        blurred = gaussian_filter(grey, blur_px)[slab.core]
        noise = rng.standard_normal(blurred.shape, np.float32)
        yield slab.rows, blurred + np.float32(1 / contrast_to_noise) * noise


def _shade(shape: tuple[int, ...], shading: float, rng: np.random.Generator) -> Callable[[slice], FloatArray]:
    """Return a function that gives the factors of a slow variation of grey values in some rows."""
    waves = [np.cos(2 * np.pi * (np.arange(n) / n * rng.uniform(0.5, 1.2) + rng.uniform())) for n in shape]

    def factors(rows: slice) -> FloatArray:
        parts = (waves[0][rows], *waves[1:])
        total = sum(w.reshape([-1 if i == axis else 1 for i in range(3)]) for axis, w in enumerate(parts))
        return 1 + np.float32(shading / 3) * np.asarray(total, np.float32)

    return factors


def _rings(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Return rings about the z axis that differ from slice to slice, of unit standard deviation."""
    n_z, n_y, n_x = shape
    y, x = np.mgrid[:n_y, :n_x]
    r = np.hypot(y - (n_y - 1) / 2, x - (n_x - 1) / 2)
    lines = rng.standard_normal((n_z, int(r.max()) + 2)).astype(np.float32)
    lines = gaussian_filter(lines, (4.0, 0.7)).astype(np.float32)
    lines /= np.sqrt(np.arange(lines.shape[1], dtype=np.float32) + 4)
    low = r.astype(int)
    part = (r - low).astype(np.float32)
    rings = lines[:, low] * (1 - part) + lines[:, low + 1] * part
    result: FloatArray = (rings / rings.std()).astype(np.float32)
    return result


def _random_crack(
    aperture: float, *, open_: bool, radius: float, middle: Float64Array, rng: np.random.Generator
) -> Crack:
    """Return a crack along a radius of the particle that reaches the skin, or one inside."""
    outward = random_direction(rng)
    tangent = np.cross(outward, random_direction(rng))
    normal = tangent / np.linalg.norm(tangent)
    size = radius * rng.uniform(0.42, 0.55)
    place = 0.85 * radius if open_ else rng.uniform(0.15, 0.4) * radius
    bend = rng.uniform(-0.15, 0.15) / size
    return Crack(middle + outward * place, normal, size, aperture, bend)


def _is_free(centre: Float64Array, reach: float, pores: list[Pore], cracks: list[Crack]) -> bool:
    """Return whether a ball keeps a distance of 8 voxels from every pore and crack."""
    gap = 8.0
    for pore in pores:
        if np.linalg.norm(centre - pore.centre_px) < reach + pore.half_axes_px.max() + gap:
            return False
    for crack in cracks:
        offset = centre - crack.centre_px
        along, across = in_plane(crack.normal)
        u, v = offset @ along, offset @ across
        d = abs(offset @ crack.normal - crack.bend / 2 * u * u)
        if d < reach + gap + crack.aperture_px and np.hypot(u, v) < crack.radius_px + reach + gap:
            return False
    return True
