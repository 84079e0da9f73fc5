"""The structure of a particle on the grid of its composition, to which it was registered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from oxytomo.align.coarse import Solid
from oxytomo.align.placing import Placement, placed_labels, placed_share, trim
from oxytomo.align.rigid import RigidFit
from oxytomo.arrays import FloatArray
from oxytomo.segment.voids import CRACK, PORE
from oxytomo.slabs import Box, Field, count_set, fill, mapped, new_field, read, slabs, window

INSIDE = 0.5
MARGIN = 2
MEANINGS = {
    "same_particle": "the branches show the same particle",
    "mirrored": "one branch is the mirror image of the other: the tilt angles of one have the wrong sign, or its images are "
    "mirrored; nothing is compared",
    "unclear": "no orientation stands out: not the same particle, or one whose shape and voids do not tell its orientations "
    "apart; nothing is compared",
}
TRANSFORM_DEFINITIONS = {
    "structure_to_composition": "place in composition = matrix · (z, y, x, 1) of the place in structure, both in nm from the "
    "centre of the first voxel",
    "rotation": "of the same transform: angle about an axis (x, y, z), and angles about the fixed axes x, y and z in this order",
    "likeness": "correlation of the two densities in and around the particle without the mean at every distance from the centre",
    "margin": "by how many standard deviations of random orientations (Fisher's z) the best orientation stands out from all "
    "others and from the mirror image; compared only from 1 on",
    "registration_error": "standard errors of rotation and translation, of the latter at the particle's centre: from leaving "
    "out eighths of the volume in turn; the missing wedge of the tilts, which draws a particle along the beam, is not in it",
    "outside": "share of the composition's particle that is outside the structure's after registration",
}


@dataclass(frozen=True)
class Segmented:
    """A segmented structure.

    Attributes
    ----------
    particle : (n_z, n_y, n_x) labels of particles
    void : share of each voxel that is empty
    zone : above 0 where voids were sought
    instances : numbers of voids, pores up to ``n_pores``
    n_pores : number of pores
    voxel_nm : edge of a voxel
    """

    particle: Field
    void: Field
    zone: Field
    instances: Field
    n_pores: int
    voxel_nm: float


def composition_solid(particle: Field, densities: Sequence[Field], voxel_nm: float) -> Solid:
    """Return the particle of a composition with the mean of its densities.

    Only a few rows of it are in memory at a time.
    """

    def rows(wanted: slice) -> FloatArray:
        density = np.mean([read(one, wanted) for one in densities], axis=0)
        return np.where(read(particle, wanted), density, 0).astype(np.float32)

    return Solid(rows, box_of(particle, 1), voxel_nm)


def structure_solid(particle: Field, void: Field, voxel_nm: float) -> Solid:
    """Return the largest particle of a segmentation; only a few rows are in memory at a time."""
    label = _largest_particle(particle)

    def rows(wanted: slice) -> FloatArray:
        inside = read(particle, wanted) == label
        return np.where(inside, 1 - read(void, wanted), 0).astype(np.float32)

    return Solid(rows, box_of(particle, label), voxel_nm)


def _largest_particle(particle: Field) -> int:
    counts = np.zeros(256, np.int64)
    for slab in slabs(particle.shape):
        counts += np.bincount(read(particle, slab.rows).ravel(), minlength=256)
    return int(counts[1:].argmax()) + 1


def placement_of(fit: RigidFit, moving: Solid, fixed: Solid, shape: tuple[int, ...]) -> Placement:
    """Return the position of the moving volume on the fixed grid, (n_z, n_y, n_x)."""
    n_z, n_y, n_x = shape
    return Placement(
        fit.rotation,
        fit.translation_nm,
        from_nm=moving.voxel_nm,
        onto_nm=fixed.voxel_nm,
        shape=(n_z, n_y, n_x),
    )


def compared_box(fixed: Solid, placement: Placement, particle: Field) -> Box:
    """Return the box of the fixed volume around its particle and the moving particles."""
    everything = box_of(mapped(particle, lambda part: part > 0, np.bool_), True)
    return _around(_wider(fixed.box, placement.shape), placement.reached(everything))


def _wider(box: Box, shape: tuple[int, ...]) -> Box:
    """Return a box with a margin around it, cropped to the volume: a surface needs surroundings."""
    return tuple(
        slice(max(one.start - MARGIN, 0), min(one.stop + MARGIN, n))
        for one, n in zip(box, shape, strict=True)
    )


def box_of(labels: Field, label: int) -> tuple[slice, slice, slice]:
    """Return the bounding box of a label."""
    seen = [np.zeros(n, bool) for n in labels.shape]
    for slab in slabs(labels.shape):
        inside = read(labels, slab.rows) == label
        seen[0][slab.rows] = inside.any(axis=(1, 2))
        seen[1] |= inside.any(axis=(0, 2))
        seen[2] |= inside.any(axis=(0, 1))
    z, y, x = (slice(int(line[0]), int(line[-1]) + 1) for line in map(np.flatnonzero, seen))
    return z, y, x


def _around(one: Box, other: Box) -> Box:
    """Return the box around two boxes."""
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def in_whole(part: Field, box: Box, shape: tuple[int, ...]) -> Field:
    """Return a field that is 0 outside a box."""
    whole = new_field(shape, part.dtype)
    fill(window(whole, box), np.asarray, part)
    return whole


def placed_structure(of: Segmented, placement: Placement, *, compared: bool) -> dict[str, Field]:
    """Return the particle and the voids of the structure on the composition's grid.

    They are empty where nothing is compared.
    """
    shape = placement.shape
    inside, instances = new_field(shape, np.uint8), new_field(shape, np.int32)
    share = new_field(shape, np.float32)
    if compared:
        particle, void, zone, n_rows = of.particle, of.void, of.zone, of.particle.shape[0]

        def solid(rows: slice) -> FloatArray:
            return (read(particle, rows) > 0).astype(np.float32)

        def empty(rows: slice) -> FloatArray:
            return np.where(read(zone, rows) > 0, read(void, rows), 0).clip(0).astype(np.float32)

        for slab in slabs(shape):
            here = placement.within((slab.rows, slice(0, shape[1]), slice(0, shape[2])))
            inside[slab.rows] = placed_share(solid, n_rows, here) > INSIDE
            share[slab.rows] = placed_share(empty, n_rows, here)
            instances[slab.rows] = placed_labels(of.instances, here)
        trim(instances, share, last=of.n_pores)

    def kinds(numbers: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.where(numbers > of.n_pores, CRACK, np.where(numbers > 0, PORE, 0))

    return {
        "particle": inside,
        "voids": mapped(instances, kinds, np.uint8),
        "instances": instances,
        "void": mapped(share, lambda part: part.clip(0, 1), np.float32),
    }


def transform_of(fit: RigidFit) -> list[list[float]]:
    """Return the transform from structure to composition, (3, 4), z y x in nm."""
    inverse = fit.rotation.T
    found: list[list[float]] = np.column_stack([inverse, -inverse @ fit.translation_nm]).tolist()
    return found


def registration_record(fit: RigidFit, particle: Field, placed: Field) -> dict[str, Any]:
    """Return a registration and its uncertainty as plain values."""
    turn = Rotation.from_matrix(fit.rotation.T[::-1, ::-1])
    vector = turn.as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    missed = mapped(particle, lambda own, other: (own > 0) & (other == 0), np.bool_, placed)
    outside = count_set(missed) / count_set(particle)
    return {
        "structure_to_composition": {"matrix_zyx_nm": transform_of(fit)},
        "rotation": {
            "angle_deg": angle,
            "axis_xyz": (vector / angle if angle > 0 else np.array([0.0, 0.0, 1.0])).tolist(),
            "about_x_y_z_deg": turn.as_euler("xyz", degrees=True).tolist(),
            "standard_error_deg": fit.rotation_error_deg,
        },
        "translation": {
            "nm_zyx": [row[3] for row in transform_of(fit)],
            "standard_error_nm": fit.translation_error_nm,
        },
        "quality": {
            "correlation": fit.correlation,
            "likeness": fit.likeness,
            "likeness_of_second": fit.second,
            "likeness_of_mirror_image": fit.mirror,
            "chance_sd": fit.chance_sd,
            "margin": fit.margin,
            "compared_voxel_nm": fit.compared_voxel_nm,
            "outside": outside if fit.verdict == "same_particle" else None,
        },
    }
