"""Stage ``measure_oxidation``: shells, particles, profiles and models from valence maps."""

from pathlib import Path
from typing import Any

from oxytomo.config.stage_settings import MeasureOxidationStage as Settings
from oxytomo.io.oxidation_stores import fitted_element, measured_arrays, registered_stack
from oxytomo.io.stores import NamedArray, read_store, write_store
from oxytomo.io.tables import write_json, write_rows
from oxytomo.measure.definitions import OXIDATION_DEFINITIONS
from oxytomo.measure.valence_particles import ParticleOptions, find_particles, particle_tables
from oxytomo.oxidation.particle_spectra import explore_particles, particle_spectra, with_spectra
from oxytomo.oxidation.summary import loss_models, oxidation_summary
from oxytomo.stages.context import StageContext


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``fit_<El>`` and ``register_<El>``; write tables, summary and ``store``."""
    arrays: dict[str, NamedArray] = {}
    rows: dict[str, list[dict[str, Any]]] = {"shells": [], "particles": [], "profiles": []}
    summary: dict[str, Any] = {}
    options = settings.options(ParticleOptions)
    for name in settings.elements:
        stack = registered_stack(read_store(inputs[f"register_{name}"]))
        element = fitted_element(read_store(inputs[f"fit_{name}"]), stack)
        particles = find_particles(element.solid, options, element=name, step_nm=element.map.step_nm)
        spectra = particle_spectra(
            stack, element, shells=particles.shells, particles=particles.clumps, n_shells=settings.shells
        )
        explored = explore_particles(stack, element, particles.clumps, n_clusters=settings.clusters)
        tables = particle_tables(element.map, particles, options)
        models = loss_models(
            tables.largest, step_nm=element.map.step_nm, thin_share=element.facts["thin_share"]
        )
        rows["shells"] += with_spectra(tables.shells, spectra)
        rows["particles"] += tables.particles
        rows["profiles"] += tables.profiles
        arrays |= measured_arrays(element, particles, spectra, explored)
        summary[name] = oxidation_summary(
            element,
            particles.known(element.map),
            spectra,
            models,
            n_significant=explored.n_significant,
            time_s=settings.time_s,
        )
        context.log(f"{name}: {particles.described(element.map)}")
    for table, content in rows.items():
        write_rows(outputs[table], content)
    write_json(outputs["summary"], {"elements": summary, "definitions": OXIDATION_DEFINITIONS})
    attributes = {"elements": list(settings.elements), "summary": summary}
    write_store(outputs["store"], arrays, provenance=context.provenance(inputs), attributes=attributes)
