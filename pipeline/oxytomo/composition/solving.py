"""Reconstruction of a composition from its sinograms by the chosen method."""

from collections.abc import Mapping
from typing import Any

from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.deviation import reconstruct_deviation
from oxytomo.composition.deviation_problems import DeviationSolver
from oxytomo.composition.deviation_steps import Ground
from oxytomo.composition.progress import OnProgress
from oxytomo.composition.ratio import RatioSolver, reconstruct_ratio
from oxytomo.composition.result import Composition

Solver = DeviationSolver | RatioSolver


def solver_of(*, method: str, **values: Any) -> Solver:
    """Return the solver of a method, ``deviation`` or ``ratio``, from its settings."""
    return DeviationSolver(**values) if method == "deviation" else RatioSolver(**values)


def reconstruct_composition(
    data: ColumnDensities,
    *,
    solver: Solver,
    reference_tm_o: float | None,
    start: Composition | None,
    with_metals: bool,
    threads: int,
    on_progress: OnProgress,
    ground: Ground | None = None,
) -> Composition:
    """Reconstruct a composition; used for the sample and, with a start, for its noise replicates.

    Parameters
    ----------
    data : element sinograms
    solver : method and its settings
    reference_tm_o : TM/O relative to the formula that deviations refer to; None for the particle's
        own mode
    start : a composition close to the result, from which the deviation method starts
    with_metals : reconstruct every metal, not only oxygen and the metals together
    threads : for the backends of the ratio method
    ground : input that replicates share, of the deviation method
    """
    if isinstance(solver, DeviationSolver):
        return reconstruct_deviation(
            data,
            solver=solver,
            reference_tm_o=reference_tm_o,
            start=start,
            with_metals=with_metals,
            on_progress=on_progress,
            ground=ground,
        )
    return reconstruct_ratio(
        data, solver=solver, reference_tm_o=reference_tm_o, threads=threads, on_progress=on_progress
    )


def solver_in_words(record: Mapping[str, float]) -> str:
    """Say how many iterations each problem took, and how far it is from its solution.

    The gradient that is left is told in units of the gradient that noise makes.
    """
    solved = []
    for key, count in record.items():
        name = key.removesuffix("_iterations")
        left = record.get(f"{name}_residual")
        if name != key and left is not None:
            solved.append(f"{name.replace('_', ' ')} {count:.0f} ({left:.2g})")
    return (
        f"iterations (gradient that is left, noise 1): {', '.join(solved)}" if solved else "solved directly"
    )
