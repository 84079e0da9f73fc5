"""Stage ``measure``: fractions with intervals, domains and shells from classes and deviation."""

from pathlib import Path

from oxytomo.composition.association import Regions, metals_of_classes
from oxytomo.composition.half_volumes import half_volumes
from oxytomo.config.stage_settings import MeasureStage as Settings
from oxytomo.io.classified_store import classified_particle, facts_of_stores
from oxytomo.io.composition_store import column_densities
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.composition import measure_composition, resolution_record
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
        resolution = None
        if decomposed is not None:
            data = column_densities(decomposed)
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
            **facts_of_stores(reconstructed, classified, decomposed, of),
            "particle_volume_nm3": found.volume_nm3,
            "fractions": found.fractions,
            "readings": found.readings,
            "null": found.null,
            "confident": {"confidence": confidence, "fractions": found.confident},
            "domains": found.connected,
            "association": association,
            "resolution": resolution,
            "definitions": DEFINITIONS,
        }
        write_csv(outputs["domains"], found.domains)
        write_csv(outputs["shells"], found.shells)
        write_json(outputs["phases"], content)
    context.log(
        ", ".join(
            f"{name.replace('_', '-')} {100 * one['value']:.2f} %" for name, one in found.fractions.items()
        )
    )
