"""Stage ``measure_voids``: tables of pores, cracks and their network, with intervals."""

from functools import partial
from pathlib import Path

import numpy as np

from oxytomo.config.stage_settings import MeasureVoidsStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.io.void_stores import read_voids
from oxytomo.measure.void_facts import MeasuredVoids, void_facts
from oxytomo.measure.void_tables import trial_numbers, void_tables, written_columns
from oxytomo.measure.void_warnings import structure_warnings
from oxytomo.segment.void_noise import noise_spread
from oxytomo.stages.context import StageContext
from oxytomo.stages.progress import counted


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``voids``, measure, write ``pores``, ``cracks`` and ``structure``."""
    store, segment = read_store(inputs["voids"]), settings.segment
    voids, voxel_nm = read_voids(store), float(store.attributes["voxel_nm"])
    tables = void_tables(voids, voxel_nm=voxel_nm)
    spread = noise_spread(
        voids,
        partial(trial_numbers, voids, tables.network),
        replicates=settings.replicates,
        rng=np.random.default_rng(settings.seed),
        false_cracks=segment.false_cracks,
        false_discovery=segment.false_discovery,
    )
    found = MeasuredVoids.of(voids, tables, spread, bridge_px=segment.bridge_px, voxel_nm=voxel_nm)
    with scratch_fields(outputs["structure"]):
        content = void_facts(found, shells=settings.shells)
    write_csv(outputs["pores"], written_columns(tables.pores))
    write_csv(outputs["cracks"], written_columns(tables.cracks))
    write_json(outputs["structure"], content)
    total = content["porosity"]["total"]["value"]
    context.log(
        f"porosity {100 * total:.2f} %, {counted(voids.n_pores, 'pore')}, {counted(voids.sheets.count, 'crack')}"
    )
    for sentence in structure_warnings(content):
        context.log(f"warning: {sentence}")
