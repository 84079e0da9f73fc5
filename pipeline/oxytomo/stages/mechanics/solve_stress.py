"""Stage ``solve_stress``: stress of each lithium profile, and of variants of the particle."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from oxytomo.config.stage_settings import SolveStressStage as Settings
from oxytomo.io.mechanics_stores import read_parts, read_replicates, write_stress
from oxytomo.io.stores import read_store
from oxytomo.mechanics.schedule import sign_of
from oxytomo.mechanics.solving import linear_strain, solve_profiles
from oxytomo.mechanics.states import Solver
from oxytomo.mechanics.trials import run_trials
from oxytomo.stages.context import StageContext
from oxytomo.stages.materials import material_of


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``lithiate``, solve for stress, and write ``store``."""
    store = read_store(inputs["lithiate"])
    parts, facts = read_parts(store), store.attributes
    curves, solver = (
        material_of(settings),
        Solver(settings.tolerance, settings.most_iterations, context.threads),
    )
    elastic, swell = curves.constant.elastic, curves.volume_strain
    law = (lambda x: swell.at(x)) if swell else (lambda x: curves.constant.volume_strain * x)
    found = solve_profiles(
        parts,
        store.field("profiles"),
        shown=int(facts["states"][int(facts["shown"])]["profile"]),
        elastic=elastic,
        strain=(lambda x: linear_strain(np.asarray(law(x), np.float32))) if settings.in_time else None,
        sign=sign_of(settings.direction),
        solver=solver,
        progress=context.progress("stress"),
    )
    trials = run_trials(
        parts,
        read_replicates(store),
        wetted=settings.wetted,
        sign=sign_of(settings.direction),
        poisson=elastic.poisson,
        solver=solver,
    )
    write_stress(outputs["store"], found, asdict(trials), provenance=context.provenance(inputs))
    last = found.solver[-1]
    context.log(
        f"{len(found.numbers)} profiles, {last['iterations']} iterations, residual {last['residual']:.1e}"
    )
    for one in found.solver:
        if one["residual"] > 2 * settings.tolerance:
            context.log(f"warning: the stress solver stopped at a residual of {one['residual']:.1e}")
