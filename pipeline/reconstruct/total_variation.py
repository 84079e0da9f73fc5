"""Weighted least squares with total variation, by accelerated proximal gradients (FISTA).

Solves, for a volume x inside a support,

    min  ½ ‖G A x − b‖²_W + λ TV(x) + μ ‖x‖₁,   optionally x ≥ 0,

where A is the projector, G the instrument's point spread (or 1), W the inverse variance of the data b, and TV the isotropic
variation in three dimensions. Differences across the border of the support do not count, so a rim pays nothing for its
contrast to the empty space outside.

References
----------
Beck & Teboulle, IEEE Trans. Image Process. 18, 2419 (2009): FISTA and the dual projected gradient for the TV step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from pipeline.arrays import BoolArray, FloatArray
from pipeline.reconstruct.blur import blur, gaussian_taps
from pipeline.reconstruct.geometry import TiltGeometry
from pipeline.reconstruct.projector import adjoint, forward, from_blocks, sinogram_blocks, to_blocks

OnIteration = Callable[[int, int], None]
INNER = 6
"""Dual iterations per proximal step; they start where the last step ended."""


@dataclass(frozen=True)
class TotalVariationResult:
    """A solution and how it was reached.

    Attributes
    ----------
    volume : (n_z, n_y, n_x) float32, 0 outside the support
    iterations : iterations done
    change : relative change of the volume in the last iteration
    misfit : weighted squared residual per measured value; 1 where the model explains the data down to their noise
    """

    volume: FloatArray
    iterations: int
    change: float
    misfit: float


def total_variation(
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
    start: FloatArray | None = None,
    on_iteration: OnIteration | None = None,
) -> TotalVariationResult:
    """Solve the weighted TV problem above.

    Parameters
    ----------
    projections : (n_tilt, n_z, n_s) float32, line integrals in unit · pixel; where the weight is 0 the value is ignored
    weights : (n_tilt, n_z, n_s) float32, inverse variance of the projections, 0 where they are not valid
    geometry : the scan
    support : (n_z, n_y, n_x) bool; x is 0 outside
    psf_px : standard deviation of the instrument's point spread on the detector, px; 0 for none
    tv_weight, l1_weight : λ and μ, in units of the data term per voxel
    nonnegative : constrain x ≥ 0
    iterations : at most so many
    tolerance : stop when ‖x_k − x_{k−1}‖ / ‖x_k‖ falls below it
    start : (n_z, n_y, n_x) float32, where to start; zero if None
    """
    rows, columns, slices = bounding_box(support)
    shape, geometry = support.shape, geometry.cropped(rows, columns)
    support = support[slices, rows, columns]
    weight = sinogram_blocks(weights[:, slices])
    data = sinogram_blocks(np.where(weights[:, slices] > 0, projections[:, slices], 0))
    inside = to_blocks(support.astype(np.float32))
    taps = gaussian_taps(psf_px)
    step = 1.0 / largest_eigenvalue(weight, inside, geometry, taps)

    x = (
        np.zeros_like(inside)
        if start is None
        else to_blocks(np.where(support, start[slices, rows, columns], 0))
    )
    previous, ahead, point = x.copy(), x.copy(), np.empty_like(x)
    dual = np.zeros((3, *x.shape), np.float32)
    momentum, change, done = 1.0, np.inf, 0
    for i in range(iterations):
        done = i + 1
        residual = blur(forward(ahead, geometry), taps)
        _weigh_residual(residual, data, weight)
        _descend(ahead, adjoint(blur(residual, taps), geometry), np.float32(step), point)
        previous, x = x, previous
        # The dual of the last proximal step is a warm start, so a few inner iterations are enough.
        denoise(point, inside, dual, x, step * tv_weight, step * l1_weight, nonnegative, INNER)
        uphill, moved, norm = _moments(ahead, x, previous)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        if uphill > 0:  # the momentum points against the descent: start it again
            faster, momentum = 1.0, 1.0
        _extrapolate(x, previous, np.float32((momentum - 1) / faster), ahead)
        momentum = faster
        change = float(np.sqrt(moved / norm)) if norm > 0 else 0.0
        if on_iteration is not None:
            on_iteration(done, iterations)
        if change < tolerance:
            break
    residual = blur(forward(x, geometry), taps)
    residual -= data
    misfit = float(np.vdot(residual, residual * weight)) / max(1, int(np.count_nonzero(weight)))
    volume = np.zeros(shape, np.float32)
    volume[slices, rows, columns] = from_blocks(x, support.shape[0])
    return TotalVariationResult(volume, done, change, misfit)


def gradient_noise(weights: FloatArray, geometry: TiltGeometry, support: BoolArray) -> float:
    """Standard deviation that the data's noise gives the gradient ``AᵀW(Ax − b)``, rms over the support.

    It is ``sqrt(Σ a² w)`` over the rays of a voxel. The two weights of a ray add up to about 1 and their squares to 2/3 on
    average, so ``sqrt(2/3 · AᵀW1)`` is used. TV and L1 weights are set in units of it: they then follow the counts, the
    number of tilts and the pixel size by themselves.
    """
    rows, columns, slices = bounding_box(support)
    if not support.any():
        return 0.0
    sums = adjoint(sinogram_blocks(weights[:, slices]), geometry.cropped(rows, columns))
    mean = float(
        from_blocks(sums, slices.stop - slices.start)[support[slices, rows, columns]].mean(dtype=np.float64)
    )
    return float(np.sqrt(2.0 / 3.0 * mean))


def bounding_box(support: BoolArray) -> tuple[slice, slice, slice]:
    """Smallest box around the support, as slices of (y, x, z); at least one voxel."""
    slices = []
    for axis in range(3):
        (where,) = np.nonzero(support.any(axis=tuple(a for a in range(3) if a != axis)))
        slices.append(slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 1))
    return slices[1], slices[2], slices[0]


def largest_eigenvalue(
    weight: FloatArray, inside: FloatArray, geometry: TiltGeometry, taps: FloatArray
) -> float:
    """Largest eigenvalue of Aᵀ Gᵀ W G A inside the support: twelve power iterations, and 5 % on top.

    The matrix has no negative entries, so iterating from a positive start converges quickly, and from below.
    """
    x = inside.copy()
    value = 0.0
    for _ in range(12):
        norm = float(np.linalg.norm(x))
        if norm == 0:
            return 1.0
        x /= np.float32(norm)
        projected = blur(forward(x, geometry), taps)
        projected *= weight
        x = adjoint(blur(projected, taps), geometry) * inside
        value = float(np.linalg.norm(x))
    return max(1.05 * value, 1e-30)


def denoise(
    noisy: FloatArray,
    inside: FloatArray,
    dual: FloatArray,
    result: FloatArray,
    tv_weight: float,
    l1_weight: float,
    nonnegative: bool,
    iterations: int,
) -> None:
    """Proximal map of λ TV + μ L1 (+ x ≥ 0) in blocks, by projected gradients on its dual; ``dual`` is a warm start.

    Arrays are (block, y, x, SLICES) float32; ``dual`` is (3, block, y, x, SLICES). Writes ``result`` and ``dual``.
    """
    if tv_weight <= 0:
        _primal(noisy, inside, dual * np.float32(0), result, np.float32(l1_weight), nonnegative)
        return
    step = np.float32(1.0 / 12.0)  # 1 / ‖D‖² in three dimensions
    for _ in range(iterations):
        _primal(noisy, inside, dual, result, np.float32(l1_weight), nonnegative)
        _ascend(result, inside, dual, step, np.float32(tv_weight))
    _primal(noisy, inside, dual, result, np.float32(l1_weight), nonnegative)


@njit(parallel=True, cache=True, nogil=True)
def _primal(noisy, inside, dual, result, l1_weight, nonnegative):  # type: ignore[no-untyped-def]
    """Compute x = prox(noisy − Dᵀ dual), 0 outside."""
    n_block, n_y, n_x, n_k = noisy.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        value = np.empty(n_k, np.float32)
        for x in range(n_x):
            line, mask, out = noisy[block, y, x], inside[block, y, x], result[block, y, x]
            dz, dy, dx = dual[0, block, y, x], dual[1, block, y, x], dual[2, block, y, x]
            for k in range(n_k):
                value[k] = line[k] + dz[k] + dy[k] + dx[k]
            for k in range(1, n_k):
                value[k] -= dz[k - 1]
            if block > 0:
                value[0] -= dual[0, block - 1, y, x, n_k - 1]
            if y > 0:
                before = dual[1, block, y - 1, x]
                for k in range(n_k):
                    value[k] -= before[k]
            if x > 0:
                before = dual[2, block, y, x - 1]
                for k in range(n_k):
                    value[k] -= before[k]
            for k in range(n_k):
                v = value[k]
                v = np.maximum(v - l1_weight, np.float32(0)) + np.minimum(v + l1_weight, np.float32(0))
                if nonnegative:
                    v = np.maximum(v, np.float32(0))
                out[k] = v * mask[k]


@njit(parallel=True, cache=True, nogil=True)
def _ascend(volume, inside, dual, step, limit):  # type: ignore[no-untyped-def]
    """Move the dual along the differences and project it on the ball of radius ``limit``."""
    n_block, n_y, n_x, n_k = volume.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        above = np.zeros(n_k, np.float32)
        above_mask = np.zeros(n_k, np.float32)
        nothing = np.zeros(n_k, np.float32)
        for x in range(n_x):
            v, m = volume[block, y, x], inside[block, y, x]
            dz, dy, dx = dual[0, block, y, x], dual[1, block, y, x], dual[2, block, y, x]
            for k in range(n_k - 1):
                above[k], above_mask[k] = v[k + 1], m[k + 1]
            if block + 1 < n_block:
                above[n_k - 1] = volume[block + 1, y, x, 0]
                above_mask[n_k - 1] = inside[block + 1, y, x, 0]
            else:
                above_mask[n_k - 1] = np.float32(0)
            if y + 1 < n_y:
                vy, my = volume[block, y + 1, x], inside[block, y + 1, x]
            else:
                vy, my = nothing, nothing
            if x + 1 < n_x:
                vx, mx = volume[block, y, x + 1], inside[block, y, x + 1]
            else:
                vx, mx = nothing, nothing
            for k in range(n_k):
                gz = (dz[k] + step * (above[k] - v[k])) * above_mask[k] * m[k]
                gy = (dy[k] + step * (vy[k] - v[k])) * my[k] * m[k]
                gx = (dx[k] + step * (vx[k] - v[k])) * mx[k] * m[k]
                shrink = limit / np.maximum(limit, np.sqrt(gz * gz + gy * gy + gx * gx))
                dz[k], dy[k], dx[k] = gz * shrink, gy * shrink, gx * shrink


@njit(parallel=True, cache=True, nogil=True)
def _weigh_residual(residual, data, weight):  # type: ignore[no-untyped-def]
    n_block, n_t, n_s, n_k = residual.shape
    for job in prange(n_block * n_t):
        block, t = job // n_t, job % n_t
        for s in range(n_s):
            r, d, w = residual[block, t, s], data[block, t, s], weight[block, t, s]
            for k in range(n_k):
                r[k] = (r[k] - d[k]) * w[k]


@njit(parallel=True, cache=True, nogil=True)
def _descend(ahead, gradient, step, point):  # type: ignore[no-untyped-def]
    n_block, n_y, n_x, n_k = ahead.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        for x in range(n_x):
            a, g, out = ahead[block, y, x], gradient[block, y, x], point[block, y, x]
            for k in range(n_k):
                out[k] = a[k] - step * g[k]


@njit(parallel=True, cache=True, nogil=True)
def _extrapolate(volume, previous, factor, ahead):  # type: ignore[no-untyped-def]
    n_block, n_y, n_x, n_k = volume.shape
    for job in prange(n_block * n_y):
        block, y = job // n_y, job % n_y
        for x in range(n_x):
            v, p, out = volume[block, y, x], previous[block, y, x], ahead[block, y, x]
            for k in range(n_k):
                out[k] = v[k] + factor * (v[k] - p[k])


@njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _moments(ahead, x, previous):  # type: ignore[no-untyped-def]
    """Sums over (ahead − x)(x − previous), (x − previous)² and x², in double and in an order fixed by the shape."""
    n_block, n_y = x.shape[0], x.shape[1]
    parts = np.zeros((n_block * n_y, 3))
    for job in prange(n_block * n_y):
        a = ahead[job // n_y, job % n_y].reshape(-1)
        n = x[job // n_y, job % n_y].reshape(-1)
        o = previous[job // n_y, job % n_y].reshape(-1)
        uphill, moved, norm = 0.0, 0.0, 0.0
        for i in range(n.size):
            difference = n[i] - o[i]
            uphill += (a[i] - n[i]) * difference
            moved += difference * difference
            norm += n[i] * n[i]
        parts[job, 0], parts[job, 1], parts[job, 2] = uphill, moved, norm
    return parts[:, 0].sum(), parts[:, 1].sum(), parts[:, 2].sum()
