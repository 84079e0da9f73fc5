"""Stores of a classified particle as it is measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oxytomo.composition.averaging import AveragedRepeats, averaged
from oxytomo.io.stores import Store
from oxytomo.measure.composition import ClassifiedParticle, particle_box
from oxytomo.slabs import Field, mapped, window


def classified_particle(
    reconstructed: Store, classified: Store, uncertainty: Store | None
) -> ClassifiedParticle:
    """Return a classified particle in its box.

    Slices are read on access; replicates are averaged in the same way as the deviation.
    """
    box = particle_box(reconstructed.field("particle"))
    particle = mapped(window(reconstructed.field("particle"), box), np.asarray, np.bool_)
    voxel_nm = float(reconstructed.attributes["pixel_nm"])
    width_px = float(classified.attributes["voxel_nm"]) / voxel_nm

    def counted(deviation: Field) -> Field:
        return deviation if width_px <= 1 else averaged(deviation, particle, width_px)

    replicates: Sequence[Field] = ()
    null: Sequence[Field] = ()
    if uncertainty is not None:
        replicates, null = (
            AveragedRepeats(uncertainty.field(name), box, counted) for name in ("replicates", "null")
        )
    error = {} if uncertainty is None else uncertainty.attributes
    return ClassifiedParticle(
        box=box,
        particle=particle,
        deviation=counted(window(reconstructed.field("deviation"), box)),
        phases=window(classified.field("phases"), box),
        confident=window(classified.field("phases_confident"), box),
        replicates=replicates,
        null=null,
        voxel_nm=voxel_nm,
        threshold=float(classified.attributes["threshold"]),
        systematic=error["systematic"] if replicates else 0.0,
        skin_oxygen_px=error["skin_oxygen_px"] if replicates else 0.0,
        noise=error["noise"] if replicates else None,
    )


def invalid_rays(decomposed: Store) -> dict[str, Any]:
    """Return the number of rays without a solution, and of invalid pixels per series."""
    attributes = decomposed.attributes
    return {
        "unsolved": attributes["unsolved_rays"],
        "n_rays": attributes["n_rays"],
        "by_series": attributes["invalid"],
    }
