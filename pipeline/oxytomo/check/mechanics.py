"""Check the branch mechanics before a run: labels, tables and currents."""

from collections.abc import Iterator
from pathlib import Path

from oxytomo.check.plausible import require_files
from oxytomo.config import MechanicsConfig, ProjectConfig, StructureConfig, source_files
from oxytomo.errors import InputError, PipelineError
from oxytomo.run.needs import Needs, stage_needs, structure_shape


def check_mechanics(
    project: ProjectConfig, sample: str, config: MechanicsConfig, *, look: bool
) -> tuple[list[PipelineError], dict[str, Needs]]:
    """Return the problems of the branch and the needs of its stages.

    With ``look`` the labels are read, too.
    """
    problems = list(mechanics_problems(config, f"samples.{sample}.mechanics", look=look))
    return problems, {} if problems else mechanics_needs(config, project.samples[sample].structure)


def mechanics_problems(config: MechanicsConfig, place: str, *, look: bool) -> Iterator[PipelineError]:
    """Yield what a run would refuse.

    Parameters
    ----------
    config : settings of the branch
    place : its place in the configuration
    look : also read the labels
    """
    from oxytomo.mechanics.schedule import refuse_unsustained
    from oxytomo.stages.materials import material_of
    from oxytomo.stages.particles import labelled_particle

    try:
        for name, path in config.material.tables.items():
            require_files(f"{place}.material.{name}", [Path(path)])
        material = material_of(config).constant
        if config.labels is None:
            return
        require_files(f"{place}.labels", source_files(config.labels))
        if not look:
            return
        parts, _, _ = labelled_particle(config.labels, config.voxel_nm or 0.0, config.particle)
        if config.wetted == "skin":
            refuse_unsustained(
                parts.radius_um,
                material.diffusivity_um2_s,
                c_rates=config.c_rates,
                lithium=config.lithium,
            )
    except PipelineError as error:
        yield InputError(f"{place}: {error.subject}", expected=error.expected, got=error.got, fix=error.fix)


def mechanics_needs(config: MechanicsConfig, structure: StructureConfig | None) -> dict[str, Needs]:
    """Return the needs of the stages; empty if the shape of the volume is not known."""
    from oxytomo.stages.sources import branch_shapes

    try:
        shapes = branch_shapes(config)
        if not shapes and structure is not None:
            shapes = {"labels": structure_shape(branch_shapes(structure))}
        return stage_needs(config, "mechanics", shapes) if shapes else {}
    except PipelineError:
        return {}
