"""Stage ``lithiate``: one particle, its wetted surface and its lithium at each current and depth."""

from pathlib import Path

from oxytomo.config import expand
from oxytomo.config.stage_settings import LithiateStage as Settings
from oxytomo.io.mechanics_stores import write_lithium
from oxytomo.mechanics.geometry import averaged, averaging
from oxytomo.mechanics.lithiation import lithiate
from oxytomo.mechanics.states import Solver
from oxytomo.mechanics.trials import MOST_VOXELS
from oxytomo.stages.context import StageContext
from oxytomo.stages.materials import currents_of
from oxytomo.stages.particles import particle_of


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``voids`` or the labels of the settings, solve for lithium, and write ``store``."""
    whole, noisy, shape = particle_of(inputs, settings)
    factor = averaging(whole.labels.shape, max_voxels=settings.max_voxels)
    parts = averaged(whole, factor)
    coarse = averaging(parts.labels.shape, max_voxels=MOST_VOXELS)
    if factor > 1:
        context.log(f"blocks of {factor} × {factor} × {factor} voxels averaged; cracks cut again")
    found = lithiate(
        parts,
        currents_of(settings),
        wetted=settings.wetted,
        solver=Solver(settings.tolerance, settings.most_iterations, context.threads),
    )
    given = {name: Path(path) for name, path in settings.material.tables.items()}
    if settings.labels is not None:
        given |= {f"labels_{number}": path for number, path in enumerate(expand(settings.labels.images))}
    write_lithium(
        outputs["store"],
        parts,
        [averaged(one, factor * coarse) for one in noisy],
        found.profiles,
        attributes={
            "states": found.states,
            "shown": found.shown,
            "radius_um": parts.radius_um,
            "replicate_factor": coarse,
            "solver": found.solver,
            "left_out_share": found.left_out_share,
            "wetted_um2": found.wetted_um2,
            "whole_shape": [-(-n // factor) for n in shape],
            "factor": factor,
            "direction": settings.direction,
            "in_time": settings.in_time,
            "warnings": found.warnings,
        },
        provenance=context.provenance(inputs | given),
    )
    context.log(
        f"particle of {parts.radius_um:.3g} µm on {' × '.join(map(str, parts.labels.shape))} voxels, "
        f"{len(found.states)} states"
    )
    for warning in found.warnings:
        context.log(f"warning: {warning}")
