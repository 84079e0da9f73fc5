"""The particle of the mechanics branch, from labels or from the structure branch."""

from pathlib import Path

import numpy as np

from oxytomo.config import VolumeSource
from oxytomo.config.stage_settings import LithiateStage
from oxytomo.errors import InputError, errors_about
from oxytomo.io.stores import read_store
from oxytomo.io.void_stores import read_voids
from oxytomo.io.volumes import read_volume
from oxytomo.mechanics.from_voids import noisy_parts, parts_of_voids
from oxytomo.mechanics.geometry import Parts, one_particle
from oxytomo.mechanics.solid import CRACK, SOLID, VOID
from oxytomo.stages.sources import volume_request

Shape = tuple[int, ...]


def particle_of(inputs: dict[str, Path], settings: LithiateStage) -> tuple[Parts, list[Parts], Shape]:
    """Return the particle, its noise replicates, and the shape of the whole volume."""
    if settings.labels is not None:
        return labelled_particle(settings.labels, settings.voxel_nm or np.nan, settings.particle)
    store = read_store(inputs["voids"])
    voids, voxel_um = read_voids(store), 1e-3 * float(store.attributes["voxel_nm"])
    parts = parts_of_voids(voids, wanted=settings.particle, voxel_um=voxel_um)
    segment = settings.segment
    replicates = (
        []
        if segment is None
        else list(
            noisy_parts(
                voids,
                parts,
                wanted=settings.particle,
                count=settings.replicates,
                rng=np.random.default_rng(settings.seed),
                false_cracks=segment.false_cracks,
                false_discovery=segment.false_discovery,
            )
        )
    )
    return parts, replicates, tuple(voids.particle.shape)


def labelled_particle(
    source: VolumeSource, voxel_nm: float, wanted: int | None
) -> tuple[Parts, list[Parts], Shape]:
    """Return the particle of a file of labels, no replicates, and the shape of the file."""
    values = np.asarray(read_volume(volume_request(source)).values[:])
    strange = ~np.isin(values, (0, SOLID, VOID, CRACK))
    labels = np.where(strange, 0, values).astype(np.uint8)
    with errors_about(", ".join(source.images)):
        if strange.any():
            raise InputError(
                "labels",
                expected="0 outside, 1 solid, 2 void, 3 crack",
                got=", ".join(f"{one:g}" for one in np.unique(values[strange])[:8]),
                fix="write the labels with these numbers",
            )
        return one_particle(labels, wanted=wanted, voxel_um=1e-3 * voxel_nm), [], labels.shape
