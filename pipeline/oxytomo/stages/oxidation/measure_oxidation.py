"""Stage ``measure_oxidation``: shells, particles, profiles and models from valence maps."""

from pathlib import Path
from typing import Any

from oxytomo.config.stage_settings import MeasureOxidationStage as Settings
from oxytomo.io.oxidation_stores import (
    fitted_element,
    is_line_map,
    line_maps,
    measured_arrays,
    particle_arrays,
    registered_stack,
)
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.io.tables import write_csv, write_json, write_rows
from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.measure.line_particles import line_shells, line_summary
from oxytomo.measure.valence_particles import ParticleOptions, find_particles, particle_tables
from oxytomo.oxidation.particle_spectra import explore_particles, particle_spectra, with_spectra
from oxytomo.oxidation.stack import EnergyStack
from oxytomo.oxidation.summary import loss_models, oxidation_summary
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.stages.context import StageContext

Rows = dict[str, list[dict[str, Any]]]
TABLES = ("shells", "particles", "profiles", "white_lines")


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``fit_<El>`` and ``register_<El>``; write tables, summary and ``store``."""
    arrays: dict[str, NamedArray] = {}
    rows: Rows = {name: [] for name in TABLES}
    summary: dict[str, dict[str, Any]] = {"elements": {}, "white_lines": {}}
    for name in settings.elements:
        stack, fit = (
            registered_stack(read_store(inputs[f"register_{name}"])),
            read_store(inputs[f"fit_{name}"]),
        )
        lines = is_line_map(fit)
        one = (_white_lines if lines else _valences)(name, fit, stack, settings, arrays, rows)
        summary["white_lines" if lines else "elements"][name] = one[0]
        context.log(f"{name}: {one[1]}")
    for table, content in rows.items():
        if content:
            write_rows(outputs[table], content)
        else:
            write_csv(outputs[table], {column: [] for column in TABLE_TYPES[f"oxidation_{table}"].columns})
    write_json(outputs["summary"], {**summary, "definitions": OXIDATION_DEFINITIONS})
    attributes = {"elements": list(settings.elements), "summary": summary["elements"]}
    write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)


def _valences(
    name: str,
    fit: Store,
    stack: EnergyStack,
    settings: Settings,
    arrays: dict[str, NamedArray],
    rows: Rows,
) -> tuple[dict[str, Any], str]:
    """Add arrays and rows of an element with references; return its summary, and words about it."""
    element, options = fitted_element(fit, stack), settings.options(ParticleOptions)
    particles = find_particles(element.solid, options, element=name, step_nm=element.map.step_nm)
    spectra = particle_spectra(
        stack, element, shells=particles.shells, particles=particles.clumps, n_shells=settings.shells
    )
    explored = explore_particles(stack, element, particles.clumps, n_clusters=settings.clusters)
    tables = particle_tables(element.map, particles, options)
    models = loss_models(tables.largest, step_nm=element.map.step_nm, thin_share=element.facts["thin_share"])
    rows["shells"] += with_spectra(tables.shells, spectra)
    rows["particles"] += tables.particles
    rows["profiles"] += tables.profiles
    arrays |= measured_arrays(element, particles, spectra, explored)
    summary = oxidation_summary(
        element,
        particles.known(element.map),
        spectra,
        models,
        n_significant=explored.n_significant,
        time_s=settings.time_s,
    )
    return summary, particles.described(element.map)


def _white_lines(
    name: str,
    fit: Store,
    stack: EnergyStack,
    settings: Settings,
    arrays: dict[str, NamedArray],
    rows: Rows,
) -> tuple[dict[str, Any], str]:
    """Add arrays and rows of an element without references; return its summary, and words about it."""
    of = line_maps(fit, stack)
    particles = find_particles(of.solid, settings.options(ParticleOptions), element=name, step_nm=of.step_nm)
    rows["white_lines"] += line_shells(of, particles.shells, element=name, n_shells=settings.shells)
    arrays |= {f"{name}_{key}": array for key, array in particle_arrays(particles).items()}
    facts = fit.attributes
    kept = ("window_ev", "pre_edge_ev", "post_edge_ev", "energy_offset_ev", "remarks")
    summary = {
        **line_summary(of, particles.clumps > 0),
        "pixels": facts["white_line"]["pixels"],
        "absorption_edge": facts["edge"],
        "half_width_ev": facts["white_line"]["half_width_ev"],
        **{key: facts[key] for key in kept},
    }
    line, n = summary["white_line"], int(particles.clumps.max())
    said = "no white line" if line is None else f"mean white line {line['mean_ev']:.3f} eV"
    return summary, f"{n} agglomerates, {said}"
