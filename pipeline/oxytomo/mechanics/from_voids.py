"""Parts of a particle from its segmentation, and from segmentations of noisier volumes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, find_objects, gaussian_filter

from oxytomo.arrays import BoolArray, FloatArray, LabelArray
from oxytomo.errors import InputError
from oxytomo.mechanics.geometry import Parts, check_labels, six_connected
from oxytomo.mechanics.solid import CRACK, SOLID, VOID
from oxytomo.segment.regions import Labels
from oxytomo.segment.void_noise import noise_correlation
from oxytomo.segment.voids import Voids, find_voids, label_voids

HALF = 0.5
"""Void fraction at the surface of a pore; the segmentation reaches further into the blur."""


def box_of_particle(voids: Voids, *, wanted: int | None) -> tuple[int, tuple[slice, ...]]:
    """Return the label of a particle and its box; the largest particle if none is wanted.

    Raises
    ------
    InputError
        If there is no such particle, or the field of view cuts it.
    """
    labels = np.asarray(voids.particle[:])
    sizes = np.bincount(labels.ravel())[1:]
    there = np.flatnonzero(sizes) + 1
    label = int(sizes.argmax()) + 1 if wanted is None else wanted
    if label not in there:
        raise InputError(
            "particle", expected=f"one of {', '.join(map(str, there))}", got=str(label), fix="correct it"
        )
    if label in voids.cut:
        whole = [str(one) for one in there if one not in voids.cut]
        fix = f"give particle: {whole[0]}, which is whole" if whole else "measure a wider field of view"
        raise InputError(
            "particle",
            expected="a particle that the field of view does not cut",
            got=f"particle {label}, which it cuts",
            fix=fix + "; the cut would count as a free surface",
        )
    return label, find_objects((labels == label).astype(np.uint8))[0]


def parts_of_voids(voids: Voids, *, wanted: int | None, voxel_um: float) -> Parts:
    """Return a particle of a segmentation.

    Cracks are cut as sheets whose voxels share faces. Partial volumes count beside the surfaces
    of pores and of the particle.
    """
    label, box = box_of_particle(voids, wanted=wanted)
    found = _Found(voids.void[box], voids.instances[box], voids.n_pores)
    parts = _parts(voids, label, box, found, voxel_um)
    check_labels(parts.labels)
    return parts


@dataclass(frozen=True)
class _Found:
    """Voids in the box of a particle: void fraction, numbers, and the number of pores."""

    void: FloatArray
    instances: Labels
    n_pores: int


def _parts(voids: Voids, label: int, box: tuple[slice, ...], found: _Found, voxel_um: float) -> Parts:
    inside = voids.particle[box] == label
    own = inside & (found.instances <= found.n_pores) & (found.void >= HALF)  # the surface of a pore
    pores = np.where(own, found.instances, 0).astype(np.int32)
    labels = np.where(pores > 0, VOID, np.where(inside, SOLID, 0)).astype(np.uint8)
    cracks: BoolArray = inside & (found.instances > found.n_pores)
    labels[six_connected(cracks, found.void.astype(np.float32)) & inside] = CRACK
    share = _partial(labels, found.void)
    z, y, x = (one.start for one in box)
    return Parts(labels, share, pores * (labels == VOID), voxel_um, (z, y, x))


def _partial(labels: LabelArray, void: FloatArray) -> FloatArray:
    """Return the share of void: partial only in voxels beside the surface of a pore or the skin.

    Elsewhere the void fraction of a voxel is noise. Within a pore it would leave a weak solid, and
    in the solid it would soften what is next to the pore.
    """
    empty = np.pad((labels == VOID) | (labels == 0), 1, constant_values=True)
    cube = np.ones((3, 3, 3), bool)
    core = binary_erosion(empty, cube, border_value=1)[1:-1, 1:-1, 1:-1]
    near = binary_dilation(empty, cube)[1:-1, 1:-1, 1:-1]
    share = np.clip(void, 0.0, 1.0).astype(np.float32)
    share[core] = 1.0
    share[~near] = 0.0
    return share


def noisy_parts(
    voids: Voids,
    parts: Parts,
    *,
    wanted: int | None,
    count: int,
    rng: np.random.Generator,
    false_cracks: float,
    false_discovery: float,
) -> Iterator[Parts]:
    """Yield the particle as found with noise of the measured strength and correlation added.

    Parameters
    ----------
    voids, parts : the segmentation, and the particle in it
    wanted : number of the particle, as before
    count : number of replicates
    rng : random numbers
    false_cracks, false_discovery : as in the segmentation
    """
    if not count:
        return
    label, box = box_of_particle(voids, wanted=wanted)
    void, depth = (np.ascontiguousarray(field[box]) for field in (voids.void, voids.depth_px))
    sigma = noise_correlation(void, (depth > 4) & (voids.zone[box] == 0))
    inside = depth > -3 * voids.blur_px
    for _ in range(count):
        noise = rng.standard_normal(void.shape, np.float32)
        if sigma:
            noise = gaussian_filter(noise, sigma)
            noise /= noise.std()
        values = np.where(inside, void + np.float32(voids.noise) * noise, void).astype(np.float32)
        found = find_voids(
            values,
            depth,
            np.zeros(values.shape, np.uint8),
            blur_px=voids.blur_px,
            false_cracks=false_cracks,
            false_discovery=false_discovery,
        )
        instances, zone = (np.zeros(void.shape, np.int32) for _ in range(2))
        n_pores = label_voids(found, depth, instances, zone, blur_px=voids.blur_px)
        yield _parts(voids, label, box, _Found(values, instances, n_pores), parts.voxel_um)
