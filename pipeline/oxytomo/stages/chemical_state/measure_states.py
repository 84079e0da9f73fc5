"""Stage ``measure_states``: classes, shells and domains of the valence of all elements."""

from pathlib import Path
from typing import Any

import pandas as pd

from oxytomo.chemical_state.columns import mean_valence
from oxytomo.chemical_state.measures import DEFINITIONS, measure_state
from oxytomo.config.stage_settings import MeasureStatesStage as Settings
from oxytomo.io.chemical_state_stores import state_columns, state_particle, state_record, whole_volume
from oxytomo.io.composition_store import VOLUME
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose_<El>``, ``reconstruct_<El>``, ``uncertainty_<El>``; write the numbers."""
    arrays: dict[str, NamedArray] = {}
    summary: dict[str, Any] = {}
    tables: dict[str, list[pd.DataFrame]] = {"shells": [], "domains": []}
    limits = settings.model_dump(exclude={"elements"})
    with scratch_fields(outputs["store"]):
        for element in settings.elements:
            decomposed = read_store(inputs[f"decompose_{element}"])
            reconstructed = read_store(inputs[f"reconstruct_{element}"])
            of = state_particle(reconstructed, read_store(inputs[f"uncertainty_{element}"]))
            found = measure_state(of, **limits)
            sums = mean_valence(state_columns(decomposed, 0.0))
            summary[element] = {
                **found.summary,
                "valence_of_sums": sums,
                "solver": reconstructed.attributes["solver"],
                **state_record(decomposed),
            }
            for name, labels in (("classes", found.classes.phases), ("confident", found.classes.confident)):
                arrays[f"{element}_{name}"] = NamedArray(whole_volume(labels, reconstructed), VOLUME, "1")
            for table, rows in (("shells", found.shells), ("domains", found.domains)):
                rows.insert(0, "element", element)
                tables[table].append(rows)
            context.log(
                f"{element}: mean valence {found.summary['mean_valence']:.3f}, "
                + ", ".join(
                    f"{name} {100 * one['value']:.2f} %" for name, one in found.summary["fractions"].items()
                )
            )
        for table, parts in tables.items():
            write_csv(outputs[table], pd.concat(parts, ignore_index=True))
        write_json(outputs["states"], {"elements": summary, "definitions": dict(DEFINITIONS)})
        attributes = {"elements": list(settings.elements), **limits}
        write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)
