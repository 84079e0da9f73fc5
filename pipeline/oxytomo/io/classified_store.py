"""Stores of a classified particle as it is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oxytomo.arrays import IntArray
from oxytomo.composition.averaging import AveragedRepeats, averaged
from oxytomo.composition.damage import damage_record
from oxytomo.composition.result import mode_of
from oxytomo.io.composition_store import column_densities
from oxytomo.io.stores import Store
from oxytomo.measure.composition import ClassifiedParticle, particle_box, solver_record
from oxytomo.measure.wedge import missing_wedge
from oxytomo.measure.whole import (
    likely_cause,
    metals_per_oxygen,
    own_mode_fractions,
    relative_density,
    whole_particle,
)
from oxytomo.slabs import Field, mapped, plane, sampled, window

MANY = 361
"""Number of tilts that stand for a range: gaps within it do not count."""


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
    without: Mapping[str, Field] = {}
    if uncertainty is not None and error.get("terms_left_out"):
        each = AveragedRepeats(uncertainty.field("without_term"), box, counted)
        without = dict(zip(error["terms_left_out"], each, strict=True))
    limits = reconstructed.attributes.get("tilt_range_deg")
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
        wedge=None
        if limits is None
        else missing_wedge(np.linspace(float(limits[0]), float(limits[1]), MANY)),
        without=without,
    )


def invalid_rays(decomposed: Store) -> dict[str, Any]:
    """Return the number of rays without a solution, and of invalid pixels per series."""
    attributes = decomposed.attributes
    return {
        "unsolved": attributes["unsolved_rays"],
        "n_rays": attributes["n_rays"],
        "by_series": attributes["invalid"],
    }


def order_of_frames(decomposed: Store) -> tuple[IntArray | None, int]:
    """Return the order of the frames, None where unknown, and the number of series."""
    frame = np.asarray(decomposed["frame"], np.int64) if "frame" in decomposed.names else None
    return frame, len(decomposed.attributes.get("invalid") or ())


def facts_of_stores(
    reconstructed: Store, classified: Store, decomposed: Store | None, of: ClassifiedParticle
) -> dict[str, Any]:
    """Return what ``phases.json`` takes from the stores: whole particle, model, damage, rays."""
    model = {} if decomposed is None else decomposed.attributes.get("model") or {}
    damage = None
    if decomposed is not None:
        damage = damage_record(column_densities(decomposed), *order_of_frames(decomposed))
    return {
        "threshold": of.threshold,
        "voxel_nm": of.voxel_nm,
        "counted_voxel_nm": classified.attributes["voxel_nm"],
        "reference_tm_o": float(reconstructed.attributes["reference_tm_o"]),
        "whole_particle": whole_record(reconstructed, decomposed, of),
        "model": model or None,
        "error_budget": {"noise_and_reconstruction": of.noise, **(model.get("systematic") or {})},
        "damage": damage,
        "solver": solver_record(reconstructed.attributes.get("solver") or {}),
        "invalid_rays": None if decomposed is None else invalid_rays(decomposed),
        "voxels_without_deviation": classified.attributes["voxels_without_deviation"],
        "replicates": len(of.replicates),
    }


def whole_record(reconstructed: Store, decomposed: Store | None, of: ClassifiedParticle) -> dict[str, Any]:
    """Return how far the particle as a whole is from the reference, with formula and likely cause.

    The cause and the fractions against the particle's own mode are there where it is off.
    """
    attributes = reconstructed.attributes
    given = attributes if decomposed is None else decomposed.attributes
    elements, atoms = given.get("elements") or [], given.get("atoms") or []
    # Element signals have no scale of their own: they do not tell metal per oxygen.
    signals = given.get("kind") == "elements"
    known = len(atoms) > 1 and not signals
    inside = sampled(of.deviation, of.particle)
    found = whole_particle(
        inside,
        mode_of(inside),
        threshold=of.threshold,
        reference_tm_o=float(attributes["reference_tm_o"]),
        per_oxygen=sum(atoms[1:]) / atoms[0] if known else float("nan"),
    )
    per_oxygen, dense = np.zeros(0), None
    if "elements" in reconstructed.names and len(atoms) > 1:
        each = reconstructed.field("elements")
        inside_box = [window(plane(each, k), of.box) for k in range(len(atoms))]
        per_oxygen = metals_per_oxygen(inside_box, of.particle)
    if "total" in reconstructed.names and not signals:
        dense = relative_density(window(reconstructed.field("total"), of.box), of.particle)
    found |= {
        "formula": given.get("formula"),
        "density_g_cm3": given.get("density_g_cm3"),
        "relative_density": dense,
        "metal_per_oxygen": dict(zip(elements[1:], per_oxygen.tolist(), strict=True))
        if per_oxygen.size
        else None,
        "likely_cause": None,
        "fractions_against_own_mode": None,
    }
    if found["off_target"]:
        if per_oxygen.size:
            found["likely_cause"] = likely_cause(
                elements[1:], atoms[1:], per_oxygen, threshold=of.threshold, model=given.get("model") or {}
            )
        found["fractions_against_own_mode"] = own_mode_fractions(
            of.deviation, of.particle, threshold=of.threshold, mode=found["most_frequent_deviation"]
        )
    return found
