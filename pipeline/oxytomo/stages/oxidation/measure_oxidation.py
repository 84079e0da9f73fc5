"""Stage ``measure_oxidation``: shells, particles, profiles and models from valence maps."""

from pathlib import Path
from typing import Any

from oxytomo.config.stage_settings import MeasureOxidationStage as Settings
from oxytomo.io import oxidation_stores as stores
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.tables import write_json, write_rows
from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.measure.line_particles import measure_lines
from oxytomo.measure.valence_particles import ParticleOptions, find_particles, particle_tables
from oxytomo.oxidation.measuring import MeasureOptions, measure_spectra
from oxytomo.oxidation.particle_spectra import with_spectra
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.stages.context import StageContext

TABLES = ("shells", "particles", "profiles", "white_lines")


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``fit_<El>`` and ``register_<El>``; write tables, summary and ``store``."""
    arrays: dict[str, NamedArray] = {}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    summary: dict[str, dict[str, Any]] = {"elements": {}, "white_lines": {}}
    criteria, options = settings.options(ParticleOptions), settings.options(MeasureOptions)
    for name in settings.elements:
        stack = stores.registered_stack(read_store(inputs[f"register_{name}"]))
        fit = read_store(inputs[f"fit_{name}"])
        if stores.is_line_map(fit):
            lines = measure_lines(stores.line_maps(fit, stack), criteria, element=name)
            rows["white_lines"] += lines.shells
            arrays |= stores.line_arrays(name, lines.particles)
            summary["white_lines"][name] = {**lines.summary, **stores.line_record(fit)}
            context.log(f"{name}: {lines.described()}")
            continue
        element = stores.fitted_element(fit, stack)
        step_nm = element.map.step_nm
        particles = find_particles(element.solid, criteria, element=name, step_nm=step_nm)
        tables = particle_tables(element.map, particles, criteria)
        found = measure_spectra(
            stack,
            element,
            particles=particles.clumps,
            shells=particles.shells,
            largest=tables.largest,
            options=options,
        )
        rows["shells"] += with_spectra(tables.shells, found.spectra)
        rows["particles"] += tables.particles
        rows["profiles"] += tables.profiles
        arrays |= stores.measured_arrays(element, particles, found.spectra, found.explored)
        summary["elements"][name] = found.summary
        context.log(f"{name}: {particles.described(element.map)}")
    for table, content in rows.items():
        write_rows(outputs[table], content, columns=TABLE_TYPES[f"oxidation_{table}"].columns)
    write_json(outputs["summary"], {**summary, "definitions": OXIDATION_DEFINITIONS})
    attributes = {"elements": list(settings.elements), "summary": summary["elements"]}
    write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)
