"""Weighted least squares with total variation, by accelerated proximal gradients (FISTA).

Solves, for a volume x inside a support,

    min  ½ ‖G A x − b‖²_W + λ TV(x) + μ ‖x‖₁,   optionally x ≥ 0,

where A is the projector, G the instrument's point spread (or 1), W the inverse variance of the data
b, and TV the isotropic total variation in three dimensions. Differences across the border of the
support are left out, so there is no penalty on the contrast of the rim to the outside.

References
----------
Beck & Teboulle, IEEE Trans. Image Process. 18, 2419 (2009): FISTA and the dual projected gradient
for the TV step.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numba import prange

from oxytomo.arrays import BoolArray, FloatArray, NumberArray
from oxytomo.reconstruct.blocks import (
    SLICES,
    copy_of,
    empty_blocks,
    from_blocks,
    sinogram_blocks,
    to_blocks,
    zero_blocks,
)
from oxytomo.reconstruct.blur import blur, gaussian_taps
from oxytomo.reconstruct.denoising import Denoiser
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.reconstruct.projector import adjoint, forward
from oxytomo.slabs import Field, new_field, read
from oxytomo.slabs import slabs as rows_of
from oxytomo.threads import parallel_kernel

OnIteration = Callable[[int, int], None]
INNER = 8
"""Initial number of dual iterations per proximal step; they start from the end of the last step.
Inexact steps let the residual stall: after ``PATIENCE`` iterations that reduce it by less than a
tenth, the number doubles, up to ``MOST_INNER``."""

PATIENCE, MOST_INNER = 15, 64

CONVERGED = 0.03
"""Default tolerance, in units of :func:`gradient_noise`: the conditions of the minimum are met to 3
% of the effect of noise on the gradient. Deviations are then within about 0.1 percentage points
(rms) of those after 400 iterations."""

POWER_ITERATIONS = 4
"""The bound is then 2 % to 4 % above the eigenvalue."""

SLAB_BYTES = 2**30
"""Memory for the state of a solve; larger volumes are solved slab by slab."""

STATE_BYTES = 9 * 4
"""Arrays per voxel: three iterates, the gradient, three duals, the support, and one spare."""

HALO = 8
"""Slices solved on either side of a slab and then dropped."""


@dataclass(frozen=True)
class Reached:
    """Convergence of a solution.

    Attributes
    ----------
    iterations : number of iterations done
    residual : rms gradient mapping over the support, per voxel in units of the data term; it is 0
        at a minimum (Beck 2017, First-order methods in optimization, § 10.3)
    misfit : weighted squared residual per measured value; 1 if the model explains the data to
        within their noise (of slabs: the mean, halos included)
    """

    iterations: int
    residual: float
    misfit: float


@dataclass(frozen=True)
class TotalVariationResult:
    """A solution, (n_z, n_y, n_x) and 0 outside the support, its convergence and eigenvalue."""

    volume: Field
    reached: Reached
    eigenvalue: float


def total_variation(
    projections: Field,
    weights: Field,
    geometry: TiltGeometry,
    *,
    support: Field,
    psf_px: float,
    tv_weight: float,
    l1_weight: float,
    nonnegative: bool,
    iterations: int,
    tolerance: float,
    start: Field | None = None,
    on_iteration: OnIteration | None = None,
) -> TotalVariationResult:
    """Solve the weighted TV problem above.

    At most one slab of data and volume is in memory at a time.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, line integrals in unit · pixel; values with weight 0
        are ignored
    weights : (n_tilt, n_z, n_s) float32, inverse variance of the projections, 0 where invalid
    geometry : the scan
    support : (n_z, n_y, n_x) bool; x is 0 outside
    psf_px : standard deviation of the instrument's point spread on the detector, px; 0 for none
    tv_weight, l1_weight : λ and μ, in units of the data term per voxel
    nonnegative : constrain x ≥ 0
    iterations : largest number of iterations
    tolerance : the iteration ends when the residual falls below it; see :data:`CONVERGED`
    start : (n_z, n_y, n_x) float32, start of the iteration; zero if None
    """
    rows, columns, slices = bounding_box(support)
    cropped = geometry.cropped(rows, columns)
    parts = solver_slabs(slices, slice_bytes(cropped))
    volume = new_field(support.shape, np.float32)
    found, largest = [], 0.0
    for i, (core, around) in enumerate(parts):

        def report(done: int, total: int, before: int = i) -> None:
            if on_iteration is not None:
                on_iteration(before * total + done, len(parts) * total)

        one = minimize(
            np.asarray(projections[:, around]),
            np.asarray(weights[:, around]),
            cropped,
            support=np.asarray(support[around, rows, columns]).astype(bool),
            psf_px=psf_px,
            tv_weight=tv_weight,
            l1_weight=l1_weight,
            nonnegative=nonnegative,
            iterations=iterations,
            tolerance=tolerance,
            start=None if start is None else np.asarray(start[around, rows, columns]),
            on_iteration=report,
        )
        first = core.start - around.start
        thickness = core.stop - core.start
        volume[core, rows, columns] = one.volume[first : first + thickness]
        found.append((one.reached, thickness))
        largest = max(largest, one.eigenvalue)
    return TotalVariationResult(volume, together(found), largest)


def together(found: Sequence[tuple[Reached, int]]) -> Reached:
    """Return the worst convergence of all slabs, and their mean misfit weighted by slices."""
    each, thickness = zip(*found, strict=True)
    misfit = np.average([one.misfit for one in each], weights=thickness)
    return Reached(max(one.iterations for one in each), max(one.residual for one in each), float(misfit))


def slice_bytes(geometry: TiltGeometry) -> int:
    """Return the state of a solve per slice of its box."""
    return STATE_BYTES * geometry.n_y * geometry.n_x


def solver_slabs(slices: slice, bytes_per_slice: int, *, parts: int = 1) -> list[tuple[slice, slice]]:
    """Divide a range of slices into parts whose state fits in ``SLAB_BYTES``.

    Each part is returned without and with its halo.

    The number of parts is ``parts`` or a multiple of it.

    Slices are coupled by total variation and by the point spread; both reach a few slices. With
    ``HALO`` slices on either side, a part differs from the whole, at the seam, by no more than both
    differ from the converged solution.
    """
    first, last = slices.start, slices.stop
    room = max(1, SLAB_BYTES // bytes_per_slice)
    whole = last - first <= room
    fewest = 1 if whole else -(-(last - first) // max(HALO, room - 2 * HALO))
    n_parts = -(-fewest // parts) * parts
    edges = np.linspace(first, last, n_parts + 1).round().astype(int).tolist()
    return [
        (slice(a, b), slice(max(first, a - HALO), min(last, b + HALO))) for a, b in itertools.pairwise(edges)
    ]


def minimize(
    projections: FloatArray,
    weights: FloatArray,
    geometry: TiltGeometry,
    *,
    support: BoolArray,
    psf_px: float,
    tv_weight: float,
    l1_weight: float,
    nonnegative: bool,
    iterations: int,
    tolerance: float,
    start: FloatArray | None,
    on_iteration: OnIteration,
    eigenvalue: float | None = None,
) -> TotalVariationResult:
    """Solve one slab as a whole.

    As :func:`total_variation`, with the support's box as geometry, in memory. The eigenvalue is
    that of another solution with these weights, if known.
    """
    weight = sinogram_blocks(weights)
    data = sinogram_blocks(np.where(weights > 0, projections, 0))
    inside = to_blocks(support.astype(np.float32))
    taps = gaussian_taps(psf_px)
    step = 1.0 / (eigenvalue or largest_eigenvalue(weight, inside, geometry, taps))
    lines = np.asarray(inside.any(axis=-1))
    x = zero_blocks(inside.shape) if start is None else to_blocks(np.where(support, start, 0))
    previous, ahead = copy_of(x), copy_of(x)
    tv, l1 = step * tv_weight, step * l1_weight
    proximal = partial(Denoiser(inside).denoise, tv_weight=tv, l1_weight=l1, nonnegative=nonnegative)
    # Overwritten in every iteration: new arrays each time would cost as much as a projection.
    projected, blurred, point = (empty_blocks(like.shape) for like in (data, data, inside))
    n_inside = max(1, int(np.count_nonzero(support)))
    momentum, missed, missed_before, inner, done = 1.0, np.inf, np.inf, INNER, 0
    for done in range(1, iterations + 1):
        residual = blur(forward(ahead, geometry, lines=lines, out=projected), taps, out=blurred)
        _weigh_residual(residual, data, weight)
        adjoint(blur(residual, taps, out=projected), geometry, lines=lines, out=point)
        _descend(ahead, point, np.float32(step))
        previous, x = x, previous
        # The dual of the last proximal step is a warm start, so a few inner iterations are enough.
        proximal(point, x, iterations=inner)
        uphill, distance = _moments(ahead, x, previous)
        missed = float(np.sqrt(distance / n_inside)) / step
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        if uphill > 0:  # the momentum points against the descent: restart it
            faster, momentum = 1.0, 1.0
        _extrapolate(x, previous, np.float32((momentum - 1) / faster), ahead)
        momentum = faster
        on_iteration(done, iterations)
        if missed < tolerance:
            break
        if done % PATIENCE == 0:
            inner = min(MOST_INNER, 2 * inner) if missed > 0.9 * missed_before else inner
            missed_before = missed
    residual = blur(forward(x, geometry, lines=lines, out=projected), taps, out=blurred)
    reached = Reached(done, missed, _misfit(residual, data, weight))
    return TotalVariationResult(from_blocks(x, support.shape[0]), reached, 1 / step)


def _misfit(projected: FloatArray, data: FloatArray, weight: FloatArray) -> float:
    """Return the mean weighted square of the residual, over the data with a weight."""
    projected -= data
    return float(np.vdot(projected, projected * weight)) / max(1, int(np.count_nonzero(weight)))


def gradient_noise(weights: Field, geometry: TiltGeometry, support: Field) -> float:
    """Standard deviation of the gradient ``AᵀW(Ax − b)`` due to noise, rms over the support.

    It is ``sqrt(Σ a² w)`` over the rays of a voxel. The two weights of a ray add up to about 1 and
    their squares to 2/3 on average, so ``sqrt(2/3 · AᵀW1)`` is used. TV and L1 weights are in units
    of it, so they scale with the counts, the number of tilts and the pixel size.
    """
    rows, columns, slices = bounding_box(support)
    cropped = geometry.cropped(rows, columns)
    total, count = 0.0, 0
    for z in range(slices.start, slices.stop, SLICES):
        part = slice(z, min(z + SLICES, slices.stop))
        inside = np.asarray(support[part, rows, columns])
        sums = adjoint(sinogram_blocks(np.asarray(weights[:, part])), cropped)
        sums = from_blocks(sums, part.stop - part.start)
        total += float(sums[inside].sum(dtype=np.float64))
        count += int(np.count_nonzero(inside))
    return float(np.sqrt(2.0 / 3.0 * total / count)) if count else 0.0


def bounding_box(support: Field) -> tuple[slice, slice, slice]:
    """Smallest box around the support, as slices of (y, x, z); at least one voxel."""
    in_z, shadow = np.zeros(support.shape[0], bool), np.zeros(support.shape[1:], bool)
    for slab in rows_of(support.shape):
        part = read(support, slab.rows).astype(bool)
        in_z[slab.rows] = part.any(axis=(1, 2))
        shadow |= part.any(axis=0)

    def extent(line: NumberArray) -> slice:
        (where,) = np.nonzero(line)
        return slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 1)

    in_y, in_x = np.logical_or.reduce(shadow, axis=1), np.logical_or.reduce(shadow, axis=0)
    return extent(in_y), extent(in_x), extent(in_z)


def largest_eigenvalue(
    weight: FloatArray, inside: FloatArray, geometry: TiltGeometry, taps: FloatArray
) -> float:
    """Upper bound of the largest eigenvalue of Aᵀ Gᵀ W G A inside the support.

    It is within a few percent of it.

    The matrix M has no negative entries, so for any positive x the largest of (M x)ᵢ / xᵢ is an
    upper bound (Collatz 1942, Wielandt 1950); x comes from power iterations.
    """
    x, bound, lines = inside, 0.0, np.asarray(inside.any(axis=-1))
    for _ in range(POWER_ITERATIONS):
        projected = blur(forward(x, geometry, lines=lines), taps)
        projected *= weight
        image = adjoint(blur(projected, taps), geometry, lines=lines)
        image *= inside
        bound = _largest_quotient(image, x)
        norm = float(np.linalg.norm(image))
        if norm == 0:
            return 1.0
        image /= np.float32(norm)
        x = image
    return bound


@parallel_kernel(nogil=True)
def _weigh_residual(residual, data, weight):  # type: ignore[no-untyped-def]
    n_block, n_t, n_s, n_k = residual.shape
    for job in prange(n_block * n_t):
        block, t = job // n_t, job % n_t
        for s in range(n_s):
            r, d, w = residual[block, t, s], data[block, t, s], weight[block, t, s]
            for k in range(n_k):
                r[k] = (r[k] - d[k]) * w[k]


@parallel_kernel(nogil=True)
def _descend(ahead, gradient, step):  # type: ignore[no-untyped-def]
    """``ahead − step · gradient`` in place of ``gradient``."""
    n_block, n_y, n_x, n_k = ahead.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        for x in range(n_x):
            a, g = ahead[block, y, x], gradient[block, y, x]
            for k in range(n_k):
                g[k] = a[k] - step * g[k]


@parallel_kernel(nogil=True)
def _extrapolate(volume, previous, factor, ahead):  # type: ignore[no-untyped-def]
    n_block, n_y, n_x, n_k = volume.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        for x in range(n_x):
            v, p, out = volume[block, y, x], previous[block, y, x], ahead[block, y, x]
            for k in range(n_k):
                out[k] = v[k] + factor * (v[k] - p[k])


@parallel_kernel(nogil=True, fastmath={"contract", "reassoc"})
def _moments(ahead, x, previous):  # type: ignore[no-untyped-def]
    """Sums over (ahead − x)(x − previous) and (ahead − x)², in double precision.

    The order of summation depends on the shape only.
    """
    n_block, n_y = x.shape[0], x.shape[1]
    parts = np.zeros((n_block * n_y, 2))
    for job in prange(n_block * n_y):
        a = ahead[job // n_y, job % n_y].reshape(-1)
        n = x[job // n_y, job % n_y].reshape(-1)
        o = previous[job // n_y, job % n_y].reshape(-1)
        uphill, distance = 0.0, 0.0
        for i in range(n.size):
            step = a[i] - n[i]
            uphill += step * (n[i] - o[i])
            distance += step * step
        parts[job, 0], parts[job, 1] = uphill, distance
    return parts[:, 0].sum(), parts[:, 1].sum()


@parallel_kernel(nogil=True)
def _largest_quotient(image, x):  # type: ignore[no-untyped-def]
    n_block, n_y, n_x, n_k = x.shape
    largest = np.zeros(n_block * n_y, np.float32)
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        most = np.float32(0)
        for column in range(n_x):
            above, below = image[block, y, column], x[block, y, column]
            for k in range(n_k):
                if below[k] > 0:
                    most = max(most, above[k] / below[k])
        largest[job] = most
    return float(largest.max())
