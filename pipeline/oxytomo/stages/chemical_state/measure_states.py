"""Stage ``measure_states``: valences of all elements, or white lines of those without references."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from oxytomo.chemical_state import line_measures
from oxytomo.chemical_state.columns import mean_valence
from oxytomo.chemical_state.line_measures import measure_lines
from oxytomo.chemical_state.measures import DEFINITIONS, measure_state
from oxytomo.chemical_state.profiles import depth_profile
from oxytomo.config.stage_settings import MeasureStatesStage as Settings
from oxytomo.io.chemical_state_stores import (
    is_white_line,
    line_particle,
    state_columns,
    state_particle,
    state_record,
    whole_volume,
)
from oxytomo.io.composition_store import VOLUME
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.stages.context import StageContext

TABLES = ("shells", "domains", "profiles", "white_lines")


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``decompose_<El>``, ``reconstruct_<El>``, ``uncertainty_<El>``; write the numbers."""
    arrays: dict[str, NamedArray] = {}
    found: dict[str, dict[str, Any]] = {"elements": {}, "white_lines": {}}
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    with scratch_fields(outputs["store"]):
        for element in settings.elements:
            stores = [
                read_store(inputs[f"{name}_{element}"])
                for name in ("decompose", "reconstruct", "uncertainty")
            ]
            if is_white_line(stores[1]):
                own, rows = _white_lines(stores, settings)
                found["white_lines"][element] = own
            else:
                own, rows = _valences(element, stores, settings, arrays)
                found["elements"][element] = own
            for name, table in rows.items():
                table.insert(0, "element", element)
                tables[name].append(table)
            context.log(f"{element}: {_said(own)}")
        for name, parts in tables.items():
            columns = TABLE_TYPES[f"chemical_state_{name}"].columns
            write_csv(
                outputs[name],
                pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*columns]),
            )
        definitions = {**DEFINITIONS, **(line_measures.DEFINITIONS if found["white_lines"] else {})}
        write_json(outputs["states"], {**found, "definitions": definitions})
        attributes = {
            "elements": list(settings.elements),
            "threshold": settings.threshold,
            "confidence": settings.confidence,
        }
        write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)


def _valences(
    element: str, stores: list[Store], settings: Settings, arrays: dict[str, NamedArray]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Return numbers and tables of the valence of one element, and add its classes to the arrays."""
    decomposed, reconstructed, uncertainty = stores
    of = state_particle(reconstructed, uncertainty)
    measured = measure_state(
        of,
        threshold=settings.threshold,
        confidence=settings.confidence,
        shells=settings.shells,
        min_domain_voxels=settings.min_domain_voxels,
    )
    profile, models = depth_profile(
        of.deviation,
        of.particle,
        of.replicates,
        voxel_nm=of.voxel_nm,
        reference_valence=of.reference_valence,
        bins=settings.profile_bins,
        time_s=settings.time_s,
    )
    summary = {
        **measured.summary,
        "valence_of_sums": mean_valence(state_columns(decomposed, 0.0)),
        "solver": reconstructed.attributes["solver"],
        "models": models,
        **state_record(decomposed),
    }
    classes = measured.classes
    for name, labels in (("classes", classes.phases), ("confident", classes.confident)):
        arrays[f"{element}_{name}"] = NamedArray(whole_volume(labels, reconstructed), VOLUME, "1")
    return summary, {"shells": measured.shells, "domains": measured.domains, "profiles": profile}


def _white_lines(stores: list[Store], settings: Settings) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Return numbers and table of the white line and the edge of an element without references."""
    decomposed, reconstructed, uncertainty = stores
    summary, shells = measure_lines(
        line_particle(decomposed, reconstructed, uncertainty), shells=settings.shells
    )
    summary["solver"] = reconstructed.attributes["solver"]
    return {**summary, **state_record(decomposed)}, {"white_lines": shells}


def _said(own: Mapping[str, Any]) -> str:
    """Return the most important numbers of an element in words."""
    if "fractions" in own:
        shares = (f"{name} {100 * one['value']:.2f} %" for name, one in own["fractions"].items())
        return f"mean valence {own['mean_valence']:.3f}, " + ", ".join(shares)
    line = own["white_line"]
    return "no voxel has a white line" if line is None else f"mean white line {line['mean_ev']:.3f} eV"
