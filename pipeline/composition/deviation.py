"""Elements → deviation of TM/O from a reference composition.

``TM = Σ c_k ρ_k / Σ c_k`` over the metals and ``deviation = (TM / O) / reference − 1``, with relative densities: the nominal
composition has TM/O = 1.

The default method reconstructs the deviation itself. ``TM − reference · O`` has zero projections wherever the composition is on
target, so its sinogram holds only the departures: the shape of the particle, its voids and their wedge artefacts are gone from
the unknown. A sparse, piecewise constant difference is reconstructed from it and divided by the oxygen density.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage

from pipeline.arrays import BoolArray, Float64Array, FloatArray, StoredArray
from pipeline.composition.decomposition import combine
from pipeline.errors import InputError
from pipeline.reconstruct.backends import TV_PER_NOISE, Algorithm, Backend, reconstruct
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

SUPPORT_MARGIN_PX = 3
"""Voxels by which the support is wider than the particle."""

TILTS_AT_ONCE = 16
"""Tilts of all elements that are read together."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class ColumnDensities:
    """Element sinograms of one particle.

    Attributes
    ----------
    areal : (n_element, n_tilt, n_z, n_s) float32, µm of reference density, NaN where not known; oxygen first
    covariance : (n_pair, n_tilt, n_z, n_s) float32, µm², inf where not known; both may lie on disk
    tilt_deg : (n_tilt,) degrees
    atoms : (n_element,) atoms per formula unit; those of the metals weigh them in TM
    pixel_um : detector pixel
    """

    areal: StoredArray
    covariance: StoredArray
    tilt_deg: Float64Array
    atoms: Float64Array
    pixel_um: float

    @property
    def oxygen(self) -> Float64Array:
        """Coefficients that pick oxygen."""
        return np.eye(len(self.atoms))[0]

    @property
    def metal(self) -> Float64Array:
        """Coefficients of TM."""
        metals = np.concatenate([[0.0], self.atoms[1:]])
        return metals / metals.sum()

    @property
    def parts(self) -> list[slice]:
        """Tilts in the portions that are read together."""
        starts = range(0, self.tilt_deg.size, TILTS_AT_ONCE)
        return [slice(start, min(start + TILTS_AT_ONCE, self.tilt_deg.size)) for start in starts]

    def sinogram(
        self, coefficients: Float64Array, *, model_error_px: float = 0.0, allocate: Allocate = in_memory
    ) -> tuple[Field, Field]:
        """Combine elements: line integrals in pixels (0 where invalid) and inverse variance (0 where invalid).

        ``model_error_px``, the error of a path length, is added in quadrature to the noise.
        """
        values, weights = (allocate(self.areal.shape[1:], np.float32) for _ in range(2))
        for tilts in self.parts:
            value, variance = combine(self.areal, self.covariance, coefficients, tilts)
            valid = np.isfinite(value) & np.isfinite(variance)
            weight = np.where(valid, self.pixel_um**2 / np.where(valid, variance, 1), 0).astype(np.float32)
            weights[tilts] = weight / (1 + np.float32(model_error_px**2) * weight)
            values[tilts] = np.where(valid, value / np.float32(self.pixel_um), 0)
        return values, weights


@dataclass(frozen=True)
class DeviationSolver:
    """Settings of the deviation method; weights of None are chosen from the noise."""

    iterations: int
    tv_weight: float | None
    l1_weight: float | None
    element_iterations: int
    element_tv_weight: float | None
    psf_px: float


@dataclass(frozen=True)
class RatioSolver:
    """Settings of the ratio method: the same operator for every element, then the division."""

    algorithm: Algorithm
    backend: Backend
    iterations: int
    smoothing_px: float


@dataclass(frozen=True)
class Composition:
    """Reconstructed composition of one particle; the volumes are fields, large ones on disk.

    Attributes
    ----------
    elements : (n_element, n_z, n_y, n_x) float32, relative density
    difference : (n_z, n_y, n_x) float32, TM − reference · O, relative density
    deviation : (n_z, n_y, n_x) float32, NaN outside the particle
    particle : (n_z, n_y, n_x) bool, solid
    total : (n_z, n_y, n_x) float32, mean of TM and O
    reference_tm_o : the TM/O, relative to the nominal composition, that the deviation refers to
    record : how the solution was reached (weights, iterations, misfits)
    """

    elements: Field
    difference: Field
    deviation: Field
    particle: Field
    total: Field
    reference_tm_o: float
    record: dict[str, float] = field(default_factory=dict)


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
    geometry = TiltGeometry.square(data.tilt_deg, data.areal.shape[-1])
    n_metals = len(data.atoms) - 1 if with_metals else 0
    modes = 2 if reference_tm_o is None else 1
    steps = [FIRST_ITERATIONS] + [solver.element_iterations] * (2 + n_metals) + [solver.iterations] * modes
    progress = _Progress(on_progress, steps)
    record: dict[str, float] = {}

    def solve(
        name: str,
        coefficients: Float64Array,
        support: Field,
        begin: Field | None,
        *,
        iterations: int,
        model_error_px: float,
        tv_weight: float | None,
        tv_per_noise: float,
        l1_weight: float | None,
        nonnegative: bool,
    ) -> Field:
        values, weights = data.sinogram(coefficients, model_error_px=model_error_px, allocate=allocate)
        noise = gradient_noise(weights, geometry, support)
        tv = tv_per_noise * noise if tv_weight is None else tv_weight
        l1 = DIFFERENCE_L1_PER_NOISE * noise if l1_weight is None else l1_weight
        result = total_variation(
            values,
            weights,
            geometry,
            support=support,
            psf_px=solver.psf_px,
            tv_weight=tv,
            l1_weight=l1,
            nonnegative=nonnegative,
            iterations=iterations,
            tolerance=CONVERGED * noise,
            start=begin,
            allocate=allocate,
            on_iteration=progress.step,
        )
        progress.finish()
        record.update(
            {
                f"{name}_tv_weight": tv,
                f"{name}_l1_weight": l1,
                f"{name}_iterations": result.iterations,
                f"{name}_residual": result.residual / noise,
                f"{name}_misfit": result.misfit,
            }
        )
        return result.volume

    def density(
        name: str,
        coefficients: Float64Array,
        support: Field,
        begin: Field | None,
        iterations: int = solver.element_iterations,
    ) -> Field:
        return solve(
            name,
            coefficients,
            support,
            begin,
            iterations=iterations,
            model_error_px=MODEL_ERROR_PX,
            tv_weight=solver.element_tv_weight,
            tv_per_noise=TV_PER_NOISE,
            l1_weight=0.0,
            nonnegative=True,
        )

    shape = (data.areal.shape[2], geometry.n_y, geometry.n_x)
    both = 0.5 * (data.oxygen + data.metal)
    # A first look in the whole field finds the box that holds the particle; the rest is done inside.
    if start is None:
        everywhere = allocate(shape, bool)
        fill(everywhere, np.logical_not, everywhere)
        total = density("first", both, everywhere, None, FIRST_ITERATIONS)
    else:
        total = start.total
        progress.finish()
    support = _support(total, allocate)
    total = density("total", both, support, total)
    particle = _particle(total, allocate)
    elements = allocate((1 + n_metals, *shape), np.float32)
    for k in range(1 + n_metals):
        begin = total if start is None else plane(start.elements, k)
        name = f"metal_{k}" if k else "oxygen"
        fill(plane(elements, k), np.asarray, density(name, np.eye(len(data.atoms))[k], support, begin))
    oxygen = plane(elements, 0)

    reference = _ratio_of_sums(data, allocate) if reference_tm_o is None else reference_tm_o
    difference = allocate(shape, np.float32) if start is None else start.difference
    for mode in range(modes):
        difference = solve(
            "difference",
            data.metal - reference * data.oxygen,
            support,
            difference,
            iterations=solver.iterations,
            model_error_px=0.0,
            tv_weight=solver.tv_weight,
            tv_per_noise=DIFFERENCE_TV_PER_NOISE,
            l1_weight=solver.l1_weight,
            nonnegative=False,
        )
        deviation = deviation_of_difference(
            difference, oxygen, particle, reference_tm_o=reference, allocate=allocate
        )
        if mode + 1 < modes:
            reference *= 1 + mode_of(sampled(deviation, particle))
    return Composition(elements, difference, deviation, particle, total, float(reference), record)


def reconstruct_ratio(
    data: ColumnDensities,
    *,
    solver: RatioSolver,
    reference_tm_o: float | None,
    threads: int,
    on_progress: OnProgress | None = None,
) -> Composition:
    """Reconstruct every element with the same linear operator, smooth equally, and divide.

    With "fbp" (and SIRT without positivity) the operator is linear, so a constant ratio stays exactly constant whatever the
    missing wedge does; noise is much larger than in :func:`reconstruct_deviation`.
    """
    geometry = TiltGeometry.square(data.tilt_deg, data.areal.shape[-1])
    n = len(data.atoms)
    volumes = []
    for k in range(n):
        values, weights = data.sinogram(np.eye(n)[k])
        volume = reconstruct(
            np.asarray(values),
            np.asarray(weights),
            geometry,
            algorithm=solver.algorithm,
            backend=solver.backend,
            iterations=solver.iterations,
            nonnegative=False,
            tv_weight=None,
            threads=threads,
        )
        if solver.smoothing_px > 0:
            volume = scipy.ndimage.gaussian_filter(volume, solver.smoothing_px)
        volumes.append(volume)
        if on_progress is not None:
            on_progress(k + 1, n)
    elements = np.stack(volumes)
    metal = np.tensordot(data.metal.astype(np.float32), elements, axes=1)
    total = 0.5 * (metal + elements[0])
    particle = particle_mask(total)
    reference = 1.0 if reference_tm_o is None else reference_tm_o
    deviation = np.full(total.shape, np.nan, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = metal / elements[0]
    if reference_tm_o is None:
        reference = 1 + mode_of(ratio[particle] - 1)
    good = particle & np.isfinite(ratio) & (elements[0] > 0)
    deviation[good] = ratio[good] / reference - 1
    return Composition(
        elements,
        metal - np.float32(reference) * elements[0],
        deviation,
        particle,
        total,
        float(reference),
        {},
    )


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


def mode_of(values: FloatArray) -> float:
    """Most frequent value, from a histogram of a fiftieth of the inner range, refined by the median around it."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0
    low, high = np.percentile(finite, [5, 95])
    if high - low < 1e-9:
        return float(np.median(finite))
    counts, edges = np.histogram(finite, bins=50, range=(float(low), float(high)))
    smooth = np.convolve(counts, np.ones(5), mode="same")
    at = int(smooth.argmax())
    middle, reach = 0.5 * (edges[at] + edges[at + 1]), 3 * (edges[1] - edges[0])
    return float(np.median(finite[np.abs(finite - middle) <= reach]))


def _ratio_of_sums(data: ColumnDensities, allocate: Allocate) -> float:
    """Mean TM/O of the whole particle, from the sums over all valid rays."""
    metal, oxygen = (
        sum(float(np.sum(values[part], dtype=np.float64)) for part in data.parts)
        for values in (data.sinogram(which, allocate=allocate)[0] for which in (data.metal, data.oxygen))
    )
    if oxygen <= 0:
        raise InputError(
            "oxygen",
            expected="a positive sum of the oxygen signal",
            got=f"{oxygen:.3g}",
            fix="check the oxygen series",
        )
    return metal / oxygen


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

    def step(self, done: int, _total: int) -> None:
        if self._report is not None:
            self._report(sum(self._steps[: self._index]) + done, sum(self._steps))

    def finish(self) -> None:
        self._index += 1
        self.step(0, 0)
