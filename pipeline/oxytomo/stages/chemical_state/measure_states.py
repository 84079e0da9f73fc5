"""Stage ``measure_states``: valences of all elements, or white lines of those without references."""

from pathlib import Path

from oxytomo.chemical_state.measuring import (
    MeasuredElement,
    MeasureOptions,
    measure_valence,
    measure_white_line,
    numbers_of,
    table_of,
)
from oxytomo.config.stage_settings import MeasureStatesStage as Settings
from oxytomo.io.chemical_state_stores import (
    is_white_line,
    label_arrays,
    line_particle,
    state_columns,
    state_particle,
    state_record,
)
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose_<El>``, ``reconstruct_<El>``, ``uncertainty_<El>``; write the numbers."""
    options = settings.options(MeasureOptions)
    found: dict[str, MeasuredElement] = {}
    arrays: dict[str, NamedArray] = {}
    with scratch_fields(outputs["store"]):
        for element in settings.elements:
            names = ("decompose", "reconstruct", "uncertainty")
            decomposed, reconstructed, uncertainty = (read_store(inputs[f"{n}_{element}"]) for n in names)
            solver = reconstructed.attributes["solver"]
            if is_white_line(reconstructed):
                lines = line_particle(decomposed, reconstructed, uncertainty)
                one = measure_white_line(lines, shells=settings.shells, solver=solver)
            else:
                of, data = state_particle(reconstructed, uncertainty), state_columns(decomposed, 0.0)
                one = measure_valence(of, data, options, solver=solver)
            found[element] = one.with_record(state_record(decomposed))
            arrays |= label_arrays(element, one.labels, reconstructed)
            context.log(f"{element}: {one.described()}")
        for name in ("shells", "domains", "profiles", "white_lines"):
            columns = [*TABLE_TYPES[f"chemical_state_{name}"].columns]
            write_csv(outputs[name], table_of(found, name, columns))
        write_json(outputs["states"], numbers_of(found))
        attributes = {
            "elements": list(settings.elements),
            "threshold": settings.threshold,
            "confidence": settings.confidence,
        }
        write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)
