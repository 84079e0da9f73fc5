"""Steps of the deviation method: shared input of its solves, and the solves of one slab of slices.

Once support, noise and reference are known, slabs with their halo are independent of each other.
They are solved in sequence in one job, or each in a job of its own. Both call these functions, so
the numbers are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.composition.column_densities import ColumnDensities, ratio_of_sums
from oxytomo.composition.deviation_problems import (
    DeviationSolver,
    Problem,
    chain,
    difference_problem,
    noise_of,
)
from oxytomo.composition.first_look import FIRST_ITERATIONS, first_look
from oxytomo.composition.progress import Progress
from oxytomo.composition.result import Composition
from oxytomo.errors import InputError
from oxytomo.reconstruct.total_variation import (
    CONVERGED,
    HALO,
    Reached,
    bounding_box,
    minimize,
    slice_bytes,
    solver_slabs,
)
from oxytomo.slabs import Box, Field, fill, in_memory, new_field, plane, sampled, workspace

SUPPORT_MARGIN_PX = 3
"""Number of voxels by which the support is wider than the particle."""


@dataclass(frozen=True)
class Ground:
    """Input that all slabs of a particle share.

    Attributes
    ----------
    support : (n_z, n_y, n_x) bool
    total : (n_z, n_y, n_x) float32, start of the total density
    noise : noise of the gradient, by problem
    reference_tm_o : TM/O that the difference refers to
    record : how the first look was obtained
    box : rows and columns (y, x) of the support
    slabs : slices that are solved together, without and with their halo
    eigenvalues : largest eigenvalues of the problems, by name and first slice of the slab, if known
    """

    support: Field
    total: Field
    noise: dict[str, float]
    reference_tm_o: float
    record: dict[str, float]
    box: Box
    slabs: Sequence[tuple[slice, slice]]
    eigenvalues: dict[tuple[str, int], float] = field(default_factory=dict)

    def share(self, slab: tuple[slice, slice]) -> float:
        """Return the share of the particle in a slab."""
        return thickness(slab) / sum(thickness(one) for one in self.slabs)

    def of_part(self, part: int, parts: int) -> Sequence[tuple[slice, slice]]:
        """Return the slabs of one part, counted from 1; all parts have the same number."""
        count = len(self.slabs) // parts
        return self.slabs[(part - 1) * count : part * count]


@dataclass(frozen=True)
class Solutions:
    """Fields for the solutions of slabs.

    They cover a whole particle, or a part from ``first_row``.

    Attributes
    ----------
    total, difference : (n_z, n_y, n_x) float32
    elements : (n_element, n_z, n_y, n_x) float32
    """

    total: Field
    elements: Field
    difference: Field
    first_row: int = 0

    @classmethod
    def empty(cls, shape: tuple[int, ...], n_elements: int, first_row: int = 0) -> "Solutions":
        """Return zeros of (n_z, n_y, n_x)."""
        total, difference = (new_field(shape, np.float32) for _ in range(2))
        return cls(total, new_field((n_elements, *shape), np.float32), difference, first_row)


def prepare(
    data: ColumnDensities,
    *,
    solver: DeviationSolver,
    reference_tm_o: float | None,
    start: Composition | None,
    n_metals: int,
    progress: Progress,
) -> Ground:
    """Find the input that all slabs share.

    Parameters as in :func:`oxytomo.composition.deviation.reconstruct_deviation`.
    """
    # The total of a start is kept
    problems = chain(data, solver, n_metals)[0 if start is None else 1 :]
    record: dict[str, float] = {}
    if start is None:
        total, record = first_look(data, solver, problems[0], progress)
    else:
        total = start.total
        progress.finish(FIRST_ITERATIONS)
    support = _support(total)
    reference = ratio_of_sums(data) if reference_tm_o is None else reference_tm_o
    problems.append(difference_problem(data, solver, reference))
    noise = {problem.name: noise_of(data, problem, support) for problem in problems}
    # A replicate, which has a start, is one job: it is divided only as far as memory requires.
    box, slabs = slabs_of(data, support, solver.parts if start is None else 1)
    return Ground(support, total, noise, float(reference), record, box, slabs)


def slabs_of(data: ColumnDensities, support: Field, parts: int) -> tuple[Box, list[tuple[slice, slice]]]:
    """Return the box of the particle (y, x) and the slabs: slices without and with halo."""
    rows, columns, slices = bounding_box(support)
    if slices.stop - slices.start < parts * HALO and parts > 1:
        raise InputError(
            "reconstruct.parts",
            expected=f"parts of {HALO} slices or more",
            got=f"{parts} parts of a particle of {slices.stop - slices.start} slices",
            fix=f"set parts to {max(1, (slices.stop - slices.start) // HALO)} or less for this sample",
        )
    bytes_each = slice_bytes(data.geometry.cropped(rows, columns))
    return (rows, columns), solver_slabs(slices, bytes_each, parts=parts)


def thickness(slab: tuple[slice, slice]) -> int:
    """Return the number of slices of a slab without its halo."""
    return slab[0].stop - slab[0].start


def solve_slab(
    data: ColumnDensities,
    ground: Ground,
    slab: tuple[slice, slice],
    into: Solutions,
    *,
    solver: DeviationSolver,
    start: Composition | None,
    progress: Progress,
) -> dict[str, Reached]:
    """Solve for total, elements and difference in one slab.

    Without another start, the elements start from its total.

    With a start, its total is kept, because it only defines the particle and the start of the
    elements, and both are known then.
    """
    solves = _Solves(data, ground, slab, solver.psf_px, progress)
    first, *others = chain(data, solver, into.elements.shape[0] - 1)
    total = None
    if start is None:
        total = solves.solve(first, solves.cut(ground.total), into.total, into.first_row)
    for k, problem in enumerate(others):
        begin = total if start is None else solves.cut(plane(start.elements, k))
        solves.solve(problem, begin, plane(into.elements, k), into.first_row)
    problem = difference_problem(data, solver, ground.reference_tm_o)
    departure = None if start is None else solves.cut(start.difference)
    solves.solve(problem, departure, into.difference, into.first_row)
    return solves.reached


def refine_slab(
    data: ColumnDensities,
    ground: Ground,
    slab: tuple[slice, slice],
    into: Field,
    *,
    first_row: int = 0,
    solver: DeviationSolver,
    difference: Field,
    progress: Progress,
) -> dict[str, Reached]:
    """Solve again for the difference in one slab, with another reference."""
    solves = _Solves(data, ground, slab, solver.psf_px, progress)
    problem = difference_problem(data, solver, ground.reference_tm_o)
    solves.solve(problem, solves.cut(difference), into, first_row)
    return solves.reached


def refer_to(ground: Ground, data: ColumnDensities, solver: DeviationSolver, reference_tm_o: float) -> Ground:
    """Return the shared input with another reference."""
    problem = difference_problem(data, solver, reference_tm_o)
    noise = ground.noise | {problem.name: noise_of(data, problem, ground.support)}
    # The weights of the other problems stay, and with them their eigenvalues.
    kept = {key: value for key, value in ground.eigenvalues.items() if key[0] != problem.name}
    return replace(ground, noise=noise, reference_tm_o=reference_tm_o, eigenvalues=kept)


class _Solves:
    """Solves in one slab with its halo."""

    def __init__(
        self,
        data: ColumnDensities,
        ground: Ground,
        slab: tuple[slice, slice],
        psf_px: float,
        progress: Progress,
    ) -> None:
        self._rays, self._ground, self._slab = data.rows(slab[1]), ground, slab
        self._psf_px, self._progress = psf_px, progress
        self._inside = self.cut(ground.support).astype(bool)
        self.reached: dict[str, Reached] = {}

    def solve(self, problem: Problem, start: FloatArray | None, into: Field, first_row: int) -> FloatArray:
        """Write the slab's own slices into a field.

        Returns the solution in the particle's box with the halo, in the form of a start.
        """
        share, noise = self._ground.share(self._slab), self._ground.noise[problem.name]
        with workspace(in_memory):
            values, weights = problem.sinogram(self._rays)
        tv_weight, l1_weight = problem.weights(noise)
        key = problem.name, self._slab[0].start
        found = minimize(
            np.asarray(values),
            np.asarray(weights),
            self._rays.geometry.cropped(*self._ground.box),
            support=self._inside,
            psf_px=self._psf_px,
            tv_weight=tv_weight,
            l1_weight=l1_weight,
            nonnegative=problem.nonnegative,
            iterations=problem.iterations,
            tolerance=CONVERGED * noise,
            start=start,
            on_iteration=lambda done, _: self._progress.step(share * done),
            eigenvalue=self._ground.eigenvalues.get(key),
        )
        self._ground.eigenvalues[key] = found.eigenvalue
        self._progress.finish(share * problem.iterations)
        self.reached[problem.name] = found.reached
        core, around = self._slab
        rows = slice(core.start - first_row, core.stop - first_row)
        volume = np.asarray(found.volume)
        into[(rows, *self._ground.box)] = volume[core.start - around.start : core.stop - around.start]
        return volume

    def cut(self, field: Field) -> NDArray[Any]:
        """Return the box of the particle in the slab with its halo."""
        return np.asarray(field[(self._slab[1], *self._ground.box)])


def _support(total: Field) -> Field:
    """Generous support: voxels above a seventh of the solid's density, dilated by three voxels."""
    solid = float(np.percentile(sampled(total), 99.5))
    if not solid > 0:
        raise InputError(
            "particle",
            expected="a particle that absorbs in the field of view",
            got="an empty volume",
            fix="check the flat fields and that the series show the particle",
        )

    def near(density: FloatArray) -> BoolArray:
        blob = scipy.ndimage.gaussian_filter(density, 1.0) > 0.15 * solid
        return scipy.ndimage.binary_dilation(blob, iterations=SUPPORT_MARGIN_PX)

    support = new_field(total.shape, bool)
    # The Gaussian is truncated at four standard deviations
    fill(support, near, total, halo=SUPPORT_MARGIN_PX + 4)
    return support
