"""Elements → deviation of TM/O from a reference composition.

``TM = Σ c_k ρ_k / Σ c_k`` over the metals and ``deviation = (TM / O) / reference − 1``, with relative densities: the nominal
composition has TM/O = 1.

The default method reconstructs the deviation itself. ``TM − reference · O`` has zero projections wherever the composition is on
target, so its sinogram holds only the departures: the shape of the particle, its voids and their wedge artefacts are gone from
the unknown. A sparse, piecewise constant difference is reconstructed from it and divided by the oxygen density.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from pipeline.arrays import BoolArray, Float64Array, FloatArray
from pipeline.composition.column_densities import ColumnDensities, halved_rays, ratio_of_sums
from pipeline.composition.result import Composition, mode_of
from pipeline.errors import InputError
from pipeline.reconstruct.backends import TV_PER_NOISE
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.total_variation import CONVERGED, gradient_noise, total_variation
from pipeline.segment.particle import particle_mask
from pipeline.slabs import Allocate, Field, fill, in_memory, plane, sampled

DIFFERENCE_TV_PER_NOISE = 0.8
DIFFERENCE_L1_PER_NOISE = 0.1
"""Default weights of the deviation reconstruction, in units of the gradient's noise."""

MODEL_ERROR_PX = 0.15
"""How well a grid of voxels can represent the path length of a ray, pixels: added in quadrature to the noise of the densities.
Without it bright data are fitted to a precision that the model does not have, which slows convergence and gains nothing."""

FIRST_ITERATIONS = 20
"""Iterations of the first look in the whole field, which only finds the box of the particle."""

COARSE_COLUMNS = 256
"""From so many columns on the first look is at half the resolution: an eighth of the work."""

SUPPORT_MARGIN_PX = 3
"""Voxels by which the support is wider than the particle."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class DeviationSolver:
    """Settings of the deviation method; weights of None are chosen from the noise."""

    iterations: int
    tv_weight: float | None
    l1_weight: float | None
    element_iterations: int
    element_tv_weight: float | None
    psf_px: float


def reconstruct_deviation(
    data: ColumnDensities,
    *,
    solver: DeviationSolver,
    reference_tm_o: float | None,
    start: Composition | None,
    with_metals: bool,
    allocate: Allocate = in_memory,
    on_progress: OnProgress | None = None,
) -> Composition:
    """Reconstruct the composition with the deviation as the unknown, in memory set by the solver's slabs.

    Parameters
    ----------
    data : element sinograms
    solver : settings
    reference_tm_o : TM/O of the reference relative to nominal; None: the particle's own mode
    start : a composition close to the result, to start the iterations from
    with_metals : reconstruct the single metals too (for display and the joint histogram)
    allocate : makes the fields of the result and of what lies between
    on_progress : called with (iterations done, iterations in all)
    """
    n_metals = len(data.atoms) - 1 if with_metals else 0
    modes = 2 if reference_tm_o is None else 1
    steps = [FIRST_ITERATIONS] + [solver.element_iterations] * (2 + n_metals) + [solver.iterations] * modes
    run = _Run(data, solver, allocate, _Progress(on_progress, steps))
    shape = (data.areal.shape[2], run.geometry.n_y, run.geometry.n_x)
    both = 0.5 * (data.oxygen + data.metal)
    # A first look in the whole field finds the box that holds the particle; the rest is done inside.
    if start is None:
        total = run.first_look(both, shape)
    else:
        total = start.total
        run.progress.finish()
    support = _support(total, allocate)
    total = run.density("total", both, support, total)
    particle = _particle(total, allocate)
    elements = allocate((1 + n_metals, *shape), np.float32)
    for k in range(1 + n_metals):
        begin = total if start is None else plane(start.elements, k)
        found = run.density(f"metal_{k}" if k else "oxygen", np.eye(len(data.atoms))[k], support, begin)
        fill(plane(elements, k), np.asarray, found)
    oxygen = plane(elements, 0)

    reference = ratio_of_sums(data, allocate) if reference_tm_o is None else reference_tm_o
    difference = allocate(shape, np.float32) if start is None else start.difference
    for mode in range(modes):
        difference = run.difference(data.metal - reference * data.oxygen, support, difference)
        deviation = deviation_of_difference(
            difference, oxygen, particle, reference_tm_o=reference, allocate=allocate
        )
        if mode + 1 < modes:
            reference *= 1 + mode_of(sampled(deviation, particle))
    return Composition(elements, difference, deviation, particle, total, float(reference), run.record)


class _Run:
    """Solves of one particle: what they share, and a record of how each was reached."""

    def __init__(
        self, data: ColumnDensities, solver: DeviationSolver, allocate: Allocate, progress: "_Progress"
    ) -> None:
        self.data, self.solver, self.allocate, self.progress = data, solver, allocate, progress
        self.geometry = TiltGeometry.square(data.tilt_deg, data.areal.shape[-1])
        self.record: dict[str, float] = {}

    def first_look(self, coefficients: Float64Array, shape: tuple[int, ...]) -> Field:
        """Rough density in the whole field, of large ones with voxels twice as large."""
        if shape[-1] < COARSE_COLUMNS:
            everywhere = self.allocate(shape, bool)
            fill(everywhere, np.logical_not, everywhere)
            return self.density("first", coefficients, everywhere, None, FIRST_ITERATIONS)
        fine = self.data.sinogram(coefficients, model_error_px=MODEL_ERROR_PX, allocate=self.allocate)
        values, weights = halved_rays(*fine)
        geometry = TiltGeometry.square(self.data.tilt_deg, values.shape[-1])
        everywhere = np.ones((values.shape[1], geometry.n_y, geometry.n_x), bool)
        noise = gradient_noise(weights, geometry, everywhere)
        found = total_variation(
            values,
            weights,
            geometry,
            support=everywhere,
            psf_px=self.solver.psf_px / 2,
            tv_weight=TV_PER_NOISE * noise,
            l1_weight=0.0,
            nonnegative=True,
            iterations=FIRST_ITERATIONS,
            tolerance=CONVERGED * noise,
            on_iteration=self.progress.step,
        )
        self.progress.finish()
        total = self.allocate(shape, np.float32)
        for z in range(2 * everywhere.shape[0]):
            rows = np.asarray(found.volume[z // 2]).repeat(2, axis=0).repeat(2, axis=1)
            total[z, : rows.shape[0], : rows.shape[1]] = rows
        return total

    def density(
        self,
        name: str,
        coefficients: Float64Array,
        support: Field,
        start: Field | None,
        iterations: int | None = None,
    ) -> Field:
        """Non-negative density of a combination of elements."""
        return self._solve(
            name,
            coefficients,
            support,
            start,
            model_error_px=MODEL_ERROR_PX,
            tv=(self.solver.element_tv_weight, TV_PER_NOISE),
            l1=(None, 0.0),
            nonnegative=True,
            iterations=iterations or self.solver.element_iterations,
        )

    def difference(self, coefficients: Float64Array, support: Field, start: Field) -> Field:
        """Sparse difference of either sign."""
        return self._solve(
            "difference",
            coefficients,
            support,
            start,
            model_error_px=0.0,
            tv=(self.solver.tv_weight, DIFFERENCE_TV_PER_NOISE),
            l1=(self.solver.l1_weight, DIFFERENCE_L1_PER_NOISE),
            nonnegative=False,
            iterations=self.solver.iterations,
        )

    def _solve(
        self,
        name: str,
        coefficients: Float64Array,
        support: Field,
        start: Field | None,
        *,
        model_error_px: float,
        tv: tuple[float | None, float],
        l1: tuple[float | None, float],
        nonnegative: bool,
        iterations: int,
    ) -> Field:
        """Solve one problem; weights are (given or None, what they are in units of the gradient's noise)."""
        values, weights = self.data.sinogram(
            coefficients, model_error_px=model_error_px, allocate=self.allocate
        )
        noise = gradient_noise(weights, self.geometry, support)
        tv_weight, l1_weight = (share * noise if given is None else given for given, share in (tv, l1))
        result = total_variation(
            values,
            weights,
            self.geometry,
            support=support,
            psf_px=self.solver.psf_px,
            tv_weight=tv_weight,
            l1_weight=l1_weight,
            nonnegative=nonnegative,
            iterations=iterations,
            tolerance=CONVERGED * noise,
            start=start,
            allocate=self.allocate,
            on_iteration=self.progress.step,
        )
        self.progress.finish()
        self.record |= {
            f"{name}_tv_weight": tv_weight,
            f"{name}_l1_weight": l1_weight,
            f"{name}_iterations": result.iterations,
            f"{name}_residual": result.residual / noise,
            f"{name}_misfit": result.misfit,
        }
        return result.volume


def deviation_of_difference(
    difference: Field,
    oxygen: Field,
    particle: Field,
    *,
    reference_tm_o: float,
    allocate: Allocate = in_memory,
) -> Field:
    """Deviation ``(TM/O)/reference − 1 = (TM − reference · O) / (reference · O)``; NaN outside the particle.

    Oxygen below a fifth of its typical density in the particle is raised to that: at partly filled voxels of the surface the
    quotient of two small numbers would say nothing.
    """
    deviation = allocate(difference.shape, np.float32)
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


def _support(total: Field, allocate: Allocate) -> Field:
    """Generous support: everything above a seventh of the solid's density, and three voxels around it."""
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

    support = allocate(total.shape, bool)
    fill(support, near, total, halo=SUPPORT_MARGIN_PX + 4)  # the Gaussian is cut at four standard deviations
    return support


def _particle(total: Field, allocate: Allocate) -> Field:
    """Return the solid as a field; finding it takes a few volumes in memory."""
    particle = allocate(total.shape, bool)
    fill(particle, np.asarray, particle_mask(np.asarray(total[:])))
    return particle


class _Progress:
    """Adds up the iterations of several solves; a solve that stops early is counted as done."""

    def __init__(self, on_progress: OnProgress | None, steps: list[int]) -> None:
        self._report, self._steps, self._index = on_progress, steps, 0

    def step(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` iterations of this solve, over all its slabs, are done."""
        if self._report is not None:
            now = self._steps[self._index] * done // total if self._index < len(self._steps) else 0
            self._report(sum(self._steps[: self._index]) + now, sum(self._steps))

    def finish(self) -> None:
        self._index += 1
        self.step(0, 1)
