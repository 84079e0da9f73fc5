"""Stage ``measure``: fractions with intervals, domains and shells from classes and deviation."""

from pathlib import Path

from oxytomo.composition.association import Regions, metals_of_classes
from oxytomo.composition.damage import damage_record
from oxytomo.composition.half_volumes import half_volumes
from oxytomo.config import MeasureStage as Settings
from oxytomo.io.classified_store import (
    classified_particle,
    invalid_rays,
    order_of_frames,
    whole_record,
)
from oxytomo.io.composition_store import column_densities
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.composition import measure_composition, resolution_record, solver_record
from oxytomo.measure.definitions import DEFINITIONS
from oxytomo.measure.resolution import tilt_series_resolution
from oxytomo.slabs import plane
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Measure slab by slab and write the tables."""
    reconstructed, classified = read_store(inputs["reconstruct"]), read_store(inputs["classify"])
    given = {name: read_store(inputs[name]) for name in ("uncertainty", "decompose") if name in inputs}
    uncertainty, decomposed = given.get("uncertainty"), given.get("decompose")
    with scratch_fields(outputs["phases"]):
        of = classified_particle(reconstructed, classified, uncertainty)
        resolution = damage = None
        model = {} if decomposed is None else decomposed.attributes.get("model") or {}
        if decomposed is not None:
            data = column_densities(decomposed)
            damage = damage_record(data, *order_of_frames(decomposed))
            if (halves := half_volumes(data, of.particle, of.box)) is not None:
                pair, share = (halves.first, halves.second), halves.object_share
                shown = tilt_series_resolution(*pair, data.tilt_deg, voxel_nm=of.voxel_nm, object_share=share)
                resolution = resolution_record(shown)
        found = measure_composition(of, settings.shells, settings.min_domain_voxels)
        association = None
        if decomposed is not None and "elements" in reconstructed.names:
            names, oxygen = list(decomposed.attributes["elements"]), plane(reconstructed.field("elements"), 0)
            regions = Regions(of.box, of.phases, found.layers, settings.shells)
            association = metals_of_classes(data, names, oxygen, regions)
        confidence = float(classified.attributes["confidence"])
        content = {
            "threshold": of.threshold,
            "voxel_nm": of.voxel_nm,
            "counted_voxel_nm": classified.attributes["voxel_nm"],
            "reference_tm_o": float(reconstructed.attributes["reference_tm_o"]),
            "particle_volume_nm3": found.volume_nm3,
            "whole_particle": whole_record(reconstructed, decomposed, of),
            "fractions": found.fractions,
            "readings": found.readings,
            "null": found.null,
            "confident": {"confidence": confidence, "fractions": found.confident},
            "domains": found.connected,
            "association": association,
            "resolution": resolution,
            "model": model or None,
            "error_budget": {"noise_and_reconstruction": of.noise, **(model.get("systematic") or {})},
            "damage": damage,
            "solver": solver_record(reconstructed.attributes.get("solver") or {}),
            "invalid_rays": None if decomposed is None else invalid_rays(decomposed),
            "voxels_without_deviation": classified.attributes["voxels_without_deviation"],
            "replicates": len(of.replicates),
            "definitions": DEFINITIONS,
        }
        write_csv(outputs["domains"], found.domains)
        write_csv(outputs["shells"], found.shells)
        write_json(outputs["phases"], content)
    context.log(", ".join(f"{name} {100 * one['value']:.2f} %" for name, one in found.fractions.items()))
