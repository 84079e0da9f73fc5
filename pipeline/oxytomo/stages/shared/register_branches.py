"""Stage ``register_branches``: composition and structure of one particle → where voids lie to oxygen-poor domains."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from oxytomo.align.coarse import Solid
from oxytomo.align.placing import Placement, placed_labels, placed_share, trim
from oxytomo.align.rigid import RigidFit, register_rigid
from oxytomo.arrays import FloatArray
from oxytomo.config import RegisterBranchesStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.chance import Against, against_chance, depth_levels
from oxytomo.measure.shells import Column, depth_below_surface
from oxytomo.measure.void_neighbourhoods import (
    DEFINITIONS,
    DISTANCE_COLUMNS,
    NEIGHBOURHOOD_COLUMNS,
    Neighbourhoods,
    distance_table,
    distances_nm,
    near_shares,
    neighbourhood_table,
    neighbourhoods,
)
from oxytomo.run.context import StageContext
from oxytomo.segment.components import filled_bodies
from oxytomo.segment.voids import CRACK, PORE
from oxytomo.slabs import Allocate, Box, Field, Mapped, count_set, fill, plane, read, slabs, window

CONFIDENCE = 0.95
NEAR_VOXELS = 3
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


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Register ``voids`` to ``reconstruct``, compare with ``classify`` and ``uncertainty``, write store and tables."""
    composition, structure = read_store(inputs["reconstruct"]), read_store(inputs["voids"])
    fixed, moving = _composition_solid(composition), _structure_solid(structure)
    fit = register_rigid(fixed, moving, progress=context.progress("orientations"))
    n_z, n_y, n_x = composition.array("particle").shape
    whole = Placement(
        fit.rotation,
        fit.translation_nm,
        from_nm=moving.voxel_nm,
        onto_nm=fixed.voxel_nm,
        shape=(n_z, n_y, n_x),
    )
    everything = _box_of(Mapped(structure.field("particle"), lambda part: part > 0, np.bool_), True)
    box = _around(_wider(fixed.box, whole.shape), whole.reached(everything))
    distances: dict[str, Column] = {name: [] for name in DISTANCE_COLUMNS}
    beside: dict[str, Column] = {name: [] for name in NEIGHBOURHOOD_COLUMNS}
    volume = ("z", "y", "x")
    with scratch_fields(outputs["store"]) as allocate:
        placed = _placed(structure, whole.within(box), allocate, compared=fit.verdict == "same_particle")
        content: dict[str, Any] = {
            "verdict": fit.verdict,
            "meaning": MEANINGS[fit.verdict],
            **_registration(fit, window(composition.field("particle"), box), placed["particle"]),
        }
        if fit.verdict == "same_particle":
            compared, distances, beside = _compared(
                inputs, composition, structure, placed, box, settings, allocate
            )
            content |= compared
        content["definitions"] = TRANSFORM_DEFINITIONS | DEFINITIONS
        arrays = {name: _in_whole(array, box, whole.shape, allocate) for name, array in placed.items()}
        write_store(
            outputs["store"],
            {name: NamedArray(array, volume, "1") for name, array in arrays.items()},
            provenance=context.provenance(inputs),
            attributes={
                "pixel_nm": whole.onto_nm,
                "verdict": fit.verdict,
                "structure_to_composition": _matrix(fit),
                "n_pores": structure.attributes["n_pores"],
            },
        )
    write_csv(outputs["distances"], {name: list(column) for name, column in distances.items()})
    write_csv(outputs["neighbourhoods"], {name: list(column) for name, column in beside.items()})
    write_json(outputs["branches"], content)
    context.log(
        f"{MEANINGS[fit.verdict]} (stands out by {fit.margin:.1f}, correlation {fit.correlation:.3f}, "
        f"± {fit.rotation_error_deg:.2f}°, ± {fit.translation_error_nm:.1f} nm)"
    )


def _composition_solid(store: Store) -> Solid:
    """Return the particle of a composition; a few rows of it are in memory."""
    particle = store.field("particle")
    own = [store.field("total")] if "total" in store.names else _items(store.field("elements"))

    def rows(wanted: slice) -> FloatArray:
        density = np.mean([read(one, wanted) for one in own], axis=0)
        return np.where(read(particle, wanted), density, 0).astype(np.float32)

    return Solid(rows, _box_of(particle, 1), float(store.attributes["pixel_nm"]))


def _items(field: Field) -> list[Field]:
    """Return the items along the first axis as fields."""
    return [plane(field, index) for index in range(field.shape[0])]


def _structure_solid(store: Store) -> Solid:
    """Return the largest particle of a segmentation; a few rows of it are in memory."""
    particle, void = store.field("particle"), store.field("void")
    label = _largest_particle(particle)

    def rows(wanted: slice) -> FloatArray:
        inside = read(particle, wanted) == label
        return np.where(inside, 1 - read(void, wanted), 0).astype(np.float32)

    return Solid(rows, _box_of(particle, label), float(store.attributes["voxel_nm"]))


def _largest_particle(particle: Field) -> int:
    counts = np.zeros(256, np.int64)
    for slab in slabs(particle.shape):
        counts += np.bincount(read(particle, slab.rows).ravel(), minlength=256)
    return int(counts[1:].argmax()) + 1


def _wider(box: Box, shape: tuple[int, ...]) -> Box:
    """Return a box with a margin around it, as far as there is one: a surface needs something outside."""
    return tuple(
        slice(max(one.start - MARGIN, 0), min(one.stop + MARGIN, n))
        for one, n in zip(box, shape, strict=True)
    )


def _box_of(labels: Field, label: int) -> tuple[slice, slice, slice]:
    """Return the box that a label lies in."""
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


def _in_whole(part: Field, box: Box, shape: tuple[int, ...], allocate: Allocate) -> Field:
    """Return a field that is 0 outside a box."""
    whole = allocate(shape, part.dtype)
    fill(window(whole, box), np.asarray, part)
    return whole


def _placed(
    structure: Store, placement: Placement, allocate: Allocate, *, compared: bool
) -> dict[str, Field]:
    """Return the particle and the voids of the structure on the composition's grid, empty where nothing is compared."""
    shape = placement.shape
    inside, instances = allocate(shape, np.uint8), allocate(shape, np.int32)
    share = allocate(shape, np.float32)
    n_pores = int(structure.attributes["n_pores"])
    if compared:
        particle, void, zone = (structure.field(name) for name in ("particle", "void", "zone"))
        n_rows = particle.shape[0]

        def solid(rows: slice) -> FloatArray:
            return (read(particle, rows) > 0).astype(np.float32)

        def empty(rows: slice) -> FloatArray:
            return np.where(read(zone, rows) > 0, read(void, rows), 0).clip(0).astype(np.float32)

        for slab in slabs(shape):
            here = placement.within((slab.rows, slice(0, shape[1]), slice(0, shape[2])))
            inside[slab.rows] = placed_share(solid, n_rows, here) > INSIDE
            share[slab.rows] = placed_share(empty, n_rows, here)
            instances[slab.rows] = placed_labels(structure.field("instances"), here)
        trim(instances, share, last=n_pores)

    def kinds(numbers: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.where(numbers > n_pores, CRACK, np.where(numbers > 0, PORE, 0))

    return {
        "particle": inside,
        "voids": Mapped(instances, kinds, np.uint8),
        "instances": instances,
        "void": Mapped(share, lambda part: part.clip(0, 1), np.float32),
    }


def _matrix(fit: RigidFit) -> list[list[float]]:
    """Return the transform from structure to composition, (3, 4), z y x in nm."""
    inverse = fit.rotation.T
    found: list[list[float]] = np.column_stack([inverse, -inverse @ fit.translation_nm]).tolist()
    return found


def _registration(fit: RigidFit, particle: Field, placed: Field) -> dict[str, Any]:
    turn = Rotation.from_matrix(fit.rotation.T[::-1, ::-1])
    vector = turn.as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    missed = Mapped(particle, lambda own, other: (own > 0) & (other == 0), np.bool_, placed)
    outside = count_set(missed) / count_set(particle)
    return {
        "structure_to_composition": {"matrix_zyx_nm": _matrix(fit)},
        "rotation": {
            "angle_deg": angle,
            "axis_xyz": (vector / angle if angle > 0 else np.array([0.0, 0.0, 1.0])).tolist(),
            "about_x_y_z_deg": turn.as_euler("xyz", degrees=True).tolist(),
            "standard_error_deg": fit.rotation_error_deg,
        },
        "translation": {
            "nm_zyx": [row[3] for row in _matrix(fit)],
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


def _compared(
    inputs: dict[str, Path],
    composition: Store,
    structure: Store,
    placed: dict[str, Field],
    box: Box,
    settings: Settings,
    allocate: Allocate,
) -> tuple[dict[str, Any], dict[str, Column], dict[str, Column]]:
    """Return numbers, the table of distances and that of neighbourhoods, of a box of the composition."""
    voxel_nm, deviation = (
        float(composition.attributes["pixel_nm"]),
        window(composition.field("deviation"), box),
    )
    classified, uncertainty = read_store(inputs["classify"]), read_store(inputs["uncertainty"])
    phases = window(classified.field("phases"), box)
    null_phases = window(classified.field("null_phases"), box) if classified.attributes["n_null"] else None
    solid = Mapped(placed["particle"], lambda part: part > 0, np.bool_)
    depth = depth_below_surface(filled_bodies(solid, allocate), voxel_nm=voxel_nm, allocate=allocate)
    inside = Mapped(depth, lambda part, phase: (phase > 0) & np.isfinite(part), np.bool_, phases)
    levels = depth_levels(depth, inside, voxel_nm=voxel_nm, allocate=allocate)
    near_nm = settings.near_nm if settings.near_nm is not None else NEAR_VOXELS * voxel_nm
    rng = np.random.default_rng(settings.seed)
    chance: dict[str, Any] = {
        "rotations": Rotation.random(settings.placements, random_state=rng).as_matrix(),
        "confidence": CONFIDENCE,
        "rng": rng,
    }
    distances = distances_nm(
        placed["voids"], depth, pore=PORE, crack=CRACK, voxel_nm=voxel_nm, allocate=allocate
    )
    table = distance_table(distances, phases, null_phases, levels, voxel_nm=voxel_nm, **chance)
    shares = near_shares(distances["void"], phases, null_phases, levels, near_nm=near_nm, **chance)
    labels = neighbourhoods(
        placed["instances"], inside, near_nm=near_nm, voxel_nm=voxel_nm, allocate=allocate
    )
    n_pores = int(structure.attributes["n_pores"])
    n_voids = n_pores + int(structure["sheet_sheet"].max(initial=0))
    beside = neighbourhood_table(
        Neighbourhoods(labels, placed["instances"], n_voids, n_pores),
        deviation,
        [window(one, box) for one in _items(uncertainty.field("replicates"))],
        phases,
        levels,
        voxel_nm=voxel_nm,
    )
    first_nm = voxel_nm * np.array([one.start for one in box])
    for axis, start in zip("zyx", first_nm, strict=True):
        beside[f"centroid_{axis}_nm"] = np.asarray(beside[f"centroid_{axis}_nm"]) + start
    beside_any = Mapped(labels, lambda part: part > 0, np.bool_)
    near = against_chance(deviation, beside_any, levels, **chance)
    numbers = {
        "near_nm": near_nm,
        "placements": settings.placements,
        "near_share": {name: _plain(found) | {"null_run": null} for name, (found, null) in shares.items()},
        "near_mean_deviation": _plain(near),
    }
    return numbers, table, beside


def _plain(found: Against) -> dict[str, Any]:
    return {
        "value": found.value,
        "expected": found.expected,
        "chance95": [found.low, found.high],
        "p_value": found.p_value,
    }
