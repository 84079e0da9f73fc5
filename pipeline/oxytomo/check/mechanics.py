"""Check the branch mechanics before a run: labels, tables and currents."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oxytomo.check.plausible import require_files
from oxytomo.check.series import SeriesFacts
from oxytomo.config import MechanicsConfig, ProjectConfig, StructureConfig, source_files
from oxytomo.errors import InputError, PipelineError
from oxytomo.run.needs import Needs, stage_needs, structure_shape

if TYPE_CHECKING:
    from oxytomo.mechanics.geometry import Parts


def check_mechanics(
    project: ProjectConfig, sample: str, config: MechanicsConfig, *, look: bool
) -> tuple[dict[str, SeriesFacts], list[PipelineError], dict[str, Needs]]:
    """Return facts of the labels, the problems of the branch and the needs of its stages.

    With ``look`` the labels are read, too; without, there are no facts of them.
    """
    place = f"samples.{sample}.mechanics"
    facts: dict[str, SeriesFacts] = {}
    problems = list(mechanics_problems(config, place, facts, look=look))
    return facts, problems, {} if problems else mechanics_needs(config, project.samples[sample].structure)


def mechanics_problems(
    config: MechanicsConfig, place: str, facts: dict[str, SeriesFacts], *, look: bool
) -> Iterator[PipelineError]:
    """Yield what a run would refuse.

    Parameters
    ----------
    config : settings of the branch
    place : its place in the configuration
    facts : gets those of the labels
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
        parts, _, shape = labelled_particle(config.labels, config.voxel_nm or 0.0, config.particle)
        facts["labels"] = _facts(f"{place}.labels", parts, shape)
        if config.wetted == "skin":
            refuse_unsustained(
                parts.radius_um,
                material.diffusivity_um2_s,
                c_rates=config.c_rates,
                lithium=config.lithium,
            )
    except PipelineError as error:
        yield InputError(f"{place}: {error.subject}", expected=error.expected, got=error.got, fix=error.fix)


def _facts(place: str, parts: "Parts", shape: tuple[int, ...]) -> SeriesFacts:
    """Return what the labels contain; shares are of the particle with its voids."""
    from oxytomo.mechanics.solid import CRACK, SOLID, VOID

    whole = np.count_nonzero(parts.labels)
    solid, void, crack = (100 * np.count_nonzero(parts.labels == one) / whole for one in (SOLID, VOID, CRACK))
    n_pores = np.unique(parts.voids[parts.voids > 0]).size
    n_z, n_y, n_x = shape
    return SeriesFacts(
        place=place,
        shape=(n_z, n_y, n_x),
        tilt_deg=(),
        energy_ev=float("nan"),
        pixel_nm=1e3 * parts.voxel_um,
        quantity="labels",
        n_flat=0,
        content=f"particle of {parts.radius_um:.3g} µm radius: solid {solid:.1f} %, {n_pores} pore{'s' * (n_pores != 1)} "
        f"{void:.1f} %, cracks {crack:.1f} %",
    )


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
