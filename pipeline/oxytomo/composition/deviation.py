"""Deviation of TM/O from a reference composition, from element sinograms.

``TM = Σ c_k ρ_k / Σ c_k`` over the metals and ``deviation = (TM / O) / reference − 1``, with
relative densities: the nominal composition has TM/O = 1.

The default method reconstructs the deviation itself. ``TM − reference · O`` has zero projections
wherever the composition equals the reference, so its sinogram holds only the deviations. The shape
of the particle, its voids and their wedge artefacts drop out of the unknown. A sparse, piecewise
constant difference is reconstructed from it and divided by the oxygen density.
"""

from dataclasses import replace

import numpy as np

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.composition.column_densities import ColumnDensities, ratio_of_sums
from oxytomo.composition.deviation_problems import (
    DeviationSolver,
    FoundBySlab,
    chain,
    difference_problem,
    record_of,
)
from oxytomo.composition.deviation_steps import (
    Ground,
    Solutions,
    prepare,
    refer_to,
    refine_slab,
    solve_slab,
    thickness,
)
from oxytomo.composition.first_look import FIRST_ITERATIONS
from oxytomo.composition.progress import OnProgress, Progress
from oxytomo.composition.result import Composition, mode_of
from oxytomo.errors import InputError
from oxytomo.segment.particle import particle_mask
from oxytomo.slabs import Field, fill, new_field, plane, sampled


def reconstruct_deviation(
    data: ColumnDensities,
    *,
    solver: DeviationSolver,
    reference_tm_o: float | None,
    start: Composition | None,
    with_metals: bool,
    on_progress: OnProgress | None = None,
    ground: Ground | None = None,
) -> Composition:
    """Reconstruct the composition with the deviation as the unknown.

    Memory is limited by the solver's slabs.

    Parameters
    ----------
    data : element sinograms
    solver : settings
    reference_tm_o : TM/O of the reference relative to nominal; None: the particle's own mode
    start : a composition close to the result, from which the iterations start; its total and its
        particle are kept
    with_metals : also reconstruct the single metals (for display and the joint histogram)
    on_progress : called with (iterations done, iterations in all)
    ground : of another draw of the same data with the same start; found if None
    """
    n_metals = len(data.single) if with_metals else 0
    progress = Progress(
        on_progress,
        FIRST_ITERATIONS
        + iterations_of(solver, n_metals, again=reference_tm_o is None, with_total=start is None),
    )
    if ground is None:
        ground = prepare(
            data,
            solver=solver,
            reference_tm_o=reference_tm_o,
            start=start,
            n_metals=n_metals,
            progress=progress,
        )
    else:
        progress.finish(FIRST_ITERATIONS)
        if reference_tm_o is None:
            ground = refer_to(ground, data, solver, ratio_of_sums(data))
    solutions = Solutions.empty(ground.support.shape, 1 + n_metals)
    found = [
        (
            solve_slab(data, ground, slab, solutions, solver=solver, start=start, progress=progress),
            thickness(slab),
        )
        for slab in ground.slabs
    ]
    record = chain_record(data, ground, solver, n_metals, found)
    particle = particle_mask(solutions.total) if start is None else start.particle
    if start is not None:
        solutions = replace(solutions, total=start.total)
    if reference_tm_o is None:
        ground = refer_to_mode(data, ground, solver, solutions, particle)
        first, difference = solutions.difference, new_field(particle.shape, np.float32)
        again = [
            (
                refine_slab(
                    data, ground, slab, difference, solver=solver, difference=first, progress=progress
                ),
                thickness(slab),
            )
            for slab in ground.slabs
        ]
        solutions = replace(solutions, difference=difference)
        record |= difference_record(data, ground, solver, again)
    return composed(solutions, particle, ground.reference_tm_o, record)


def iterations_of(solver: DeviationSolver, n_metals: int, *, again: bool, with_total: bool = True) -> int:
    """Return the largest number of iterations of the slabs, with one or two differences."""
    densities = 1 + n_metals + (1 if with_total else 0)
    return densities * solver.element_iterations + (2 if again else 1) * solver.iterations


def chain_record(
    data: ColumnDensities, ground: Ground, solver: DeviationSolver, n_metals: int, found: FoundBySlab
) -> dict[str, float]:
    """Return how the first look, the densities and the difference were obtained."""
    solved = [problem for problem in chain(data, solver, n_metals) if problem.name in found[0][0]]
    densities = record_of(solved, ground.noise, found)
    return ground.record | densities | difference_record(data, ground, solver, found)


def difference_record(
    data: ColumnDensities, ground: Ground, solver: DeviationSolver, found: FoundBySlab
) -> dict[str, float]:
    """Return how the difference was obtained."""
    return record_of([difference_problem(data, solver, ground.reference_tm_o)], ground.noise, found)


def refer_to_mode(
    data: ColumnDensities, ground: Ground, solver: DeviationSolver, solutions: Solutions, particle: Field
) -> Ground:
    """Return the shared input with the particle's own mode as reference."""
    reference = ground.reference_tm_o
    first = composed(solutions, particle, reference, {})
    mode = mode_of(sampled(first.deviation, particle))
    return refer_to(ground, data, solver, reference * (1 + mode))


def composed(
    solutions: Solutions, particle: Field, reference_tm_o: float, record: dict[str, float]
) -> Composition:
    """Return the composition made of the solutions of all slabs."""
    deviation = deviation_of_difference(
        solutions.difference, plane(solutions.elements, 0), particle, reference_tm_o=reference_tm_o
    )
    return Composition(
        solutions.elements,
        solutions.difference,
        deviation,
        particle,
        solutions.total,
        float(reference_tm_o),
        record,
    )


def deviation_of_difference(
    difference: Field, oxygen: Field, particle: Field, *, reference_tm_o: float
) -> Field:
    """Deviation ``(TM/O)/reference − 1 = (TM − reference · O) / (reference · O)``.

    NaN outside the particle.

    Oxygen below a fifth of its typical density in the particle is raised to that value. At partly
    filled surface voxels the quotient of two small numbers would be meaningless.
    """
    deviation = new_field(difference.shape, np.float32)
    typical = sampled(oxygen, particle)
    floor = 0.2 * float(np.median(typical)) if typical.size else 1.0
    if floor <= 0:
        raise InputError(
            "oxygen",
            expected="a positive oxygen density in the particle",
            got=f"a median of {5 * floor:.3g}",
            fix="check that the O series are in the right order and on the right side of the edge",
        )

    def quotient(d: FloatArray, o: FloatArray, inside: BoolArray) -> FloatArray:
        return np.where(inside, d / (reference_tm_o * np.maximum(o, floor)), np.nan).astype(np.float32)

    fill(deviation, quotient, difference, oxygen, particle)
    return deviation
