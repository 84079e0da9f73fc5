"""Sub-pixel registration of image pairs by least squares, with gain and offset free.

A coarse shift comes from a plain cross-correlation of smoothed images; a phase correlation would
lock onto the fixed pattern of the detector. Gauss–Newton steps refine the shift.
"""

import numpy as np
import scipy.fft
import scipy.ndimage
from numba import prange

from oxytomo.align.keys import keys_weights
from oxytomo.align.parallel import map_frames, stack_frames
from oxytomo.align.splines import read_at
from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.segment.smoothing import gaussian
from oxytomo.threads import parallel_kernel

FEW = 6
"""Sides of fewer pixels are not tapered: too little of them would remain."""
BAND_ROWS = 128
"""Sums over the pixels of a frame are accumulated in groups of this many rows."""


def fill_invalid(frames: FloatArray) -> FloatArray:
    """Replace NaN by the mean of the valid neighbours, else by the nearest valid pixel.

    For registration and display only.

    Frames without NaN are returned as they are, not as a copy.
    """
    if np.isfinite(frames).all():
        return frames

    def fill(frame: FloatArray) -> FloatArray:
        valid = np.isfinite(frame)
        if valid.all():
            return frame
        zero = np.where(valid, frame, 0).astype(np.float32)
        weight = scipy.ndimage.uniform_filter(valid.astype(np.float32), 5, mode="constant")
        mean = scipy.ndimage.uniform_filter(zero, 5, mode="constant")
        if not valid.any():
            return np.zeros_like(frame)
        near = weight > 1e-3
        local = np.divide(mean, weight, out=zero, where=near & ~valid)
        hole = ~(near | valid)
        if hole.any():
            # Within a larger hole (opaque rays) the nearest valid pixel is used: the middle of the
            # hole must not look like air.
            nearest = scipy.ndimage.distance_transform_edt(
                ~valid, return_distances=False, return_indices=True
            )
            local[hole] = frame[tuple(index[hole] for index in nearest)]
        return local

    return stack_frames(fill, frames)


def smooth(frames: FloatArray, *, sigma_px: float) -> FloatArray:
    """Gaussian-smooth each frame, after filling invalid pixels."""
    return gaussian(fill_invalid(frames), sigma_px, axes=(1, 2))


def coarse_shifts(moving: FloatArray, fixed: FloatArray, *, max_shift_px: float) -> Float64Array:
    """Whole-pixel shift of each moving image against its fixed image.

    It is the maximum of their windowed cross-correlation.

    Parameters
    ----------
    moving, fixed : (n, n_y, n_x) float32, smoothed
    max_shift_px : largest shift searched in each direction

    Returns
    -------
    (n, 2) float64, (dy, dx): content of ``moving`` sits at +dy, +dx from where it is in ``fixed``
    """
    _, n_y, n_x = moving.shape
    window = np.outer(_taper(n_y), _taper(n_x)).astype(np.float32)
    padded = (scipy.fft.next_fast_len(2 * n_y, real=True), scipy.fft.next_fast_len(2 * n_x, real=True))
    reach_y, reach_x = (int(min(max_shift_px, n - 1)) for n in (n_y, n_x))
    power = scipy.fft.rfft2(window, padded)
    overlap = scipy.fft.irfft2(power * power.conj(), padded)

    def best(m: FloatArray, f: FloatArray) -> tuple[float, float]:
        # In single precision: only the place of the maximum counts.
        a, b = (
            scipy.fft.rfft2((one - np.float32(np.average(one, weights=window))) * window, padded)
            for one in (m, f)
        )
        correlation = scipy.fft.irfft2(a * b.conj(), padded) / np.maximum(overlap, 0.2 * overlap[0, 0])
        ys, xs = np.arange(-reach_y, reach_y + 1), np.arange(-reach_x, reach_x + 1)
        region = correlation[np.ix_(ys % padded[0], xs % padded[1])]
        at = np.unravel_index(int(region.argmax()), region.shape)
        return ys[at[0]], xs[at[1]]

    return np.array(map_frames(best, moving, fixed), np.float64).reshape(-1, 2)


def refine_shifts(
    moving: FloatArray,
    fixed: FloatArray,
    weights: BoolArray,
    start: Float64Array,
    *,
    iterations: int,
    free_gain: bool,
) -> tuple[Float64Array, Float64Array]:
    """Refine shifts by Gauss–Newton on ``gain · moving(r + d) + offset − fixed(r)``.

    Parameters
    ----------
    moving, fixed : (n, n_y, n_x) float32, smoothed
    weights : (n, n_y, n_x) bool, pixels of ``fixed`` that count
    start : (n, 2) first guess, px
    iterations : largest number of steps
    free_gain : fit gain and offset; otherwise they are 1 and 0

    Returns
    -------
    shifts : (n, 2) float64, (dy, dx) px
    residual : (n,) float64, rms difference after registration, in units of the fixed image's
        standard deviation
    """
    shifts = np.array(start, np.float64)
    residual = np.zeros(len(moving))
    _gauss_newton(moving, fixed, weights, shifts, residual, iterations, free_gain)
    return shifts, residual


def similarity_steps(
    moving: FloatArray, fixed: FloatArray, weights: BoolArray, shifts: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """One least-squares step of shift, rotation and magnification, with gain and offset free.

    The model is ``fixed(r) = gain · moving(M r + d) + offset`` about the middle of the frame, with
    M a small rotation ``(y, x) → (−x, y)`` times a magnification.

    Parameters
    ----------
    moving, fixed : (n, n_y, n_x) float32, smoothed
    weights : (n, n_y, n_x) bool, pixels of ``fixed`` that count
    shifts : (n, 2) the shifts d = (dy, dx) at which the step is taken, px

    Returns
    -------
    steps : (n, 4) float64: change of dy and dx (px), rotation (rad), relative magnification; NaN
        where there are too few pixels
    errors : (n, 4) their standard errors from the scatter of the residual; pixels count as
        independent
    """
    n, n_y, n_x = moving.shape
    y, x = np.arange(n_y)[:, None] - (n_y - 1) / 2, np.arange(n_x)[None, :] - (n_x - 1) / 2
    unknown = np.full(4, np.nan)

    def step(i: int) -> tuple[Float64Array, Float64Array]:
        frame = read_at(moving[i].astype(np.float64), shifts[i])
        gradient_y, gradient_x = np.gradient(frame)
        inside = weights[i].copy()
        dy, dx = (int(np.ceil(abs(s))) + 2 for s in shifts[i])
        if 2 * dy >= n_y or 2 * dx >= n_x:
            return unknown, unknown
        inside[:dy] = inside[n_y - dy :] = False
        inside[:, :dx] = inside[:, n_x - dx :] = False
        count = int(inside.sum())
        if count < 64:
            return unknown, unknown
        normal, right, power = np.zeros((6, 6)), np.zeros(6), 0.0
        for rows in (slice(low, low + BAND_ROWS) for low in range(0, n_y, BAND_ROWS)):
            by_y, by_x, own, kept = gradient_y[rows], gradient_x[rows], frame[rows], inside[rows]
            turn, growth = y[rows] * by_x - x * by_y, y[rows] * by_y + x * by_x
            basis = np.stack([c[kept] for c in (by_y, by_x, turn, growth, own, np.ones_like(own))], axis=1)
            target = fixed[i][rows][kept].astype(np.float64)
            normal += basis.T @ basis
            right += basis.T @ target
            power += float(target @ target)
        # The gain is near 1 within a series and free between energies: fit it, then divide it out.
        # Columns of unit length keep the normal equations well conditioned.
        length = np.maximum(np.sqrt(np.diag(normal)), 1e-30)
        inverse = np.linalg.pinv(normal / np.outer(length, length)) / np.outer(length, length)
        fit = inverse @ right
        rest = max(power - float(2 * fit @ right - fit @ normal @ fit), 0.0)
        covariance = inverse * rest / (count - 6)
        return fit[:4] / fit[4], np.sqrt(np.diag(covariance)[:4]) / abs(fit[4])

    steps, errors = zip(*map_frames(step, range(n)), strict=True)
    return np.array(steps).reshape(n, 4), np.array(errors).reshape(n, 4)


def _taper(n: int) -> Float64Array:
    """Window that is 1 in the middle and falls to 0 over a tenth of the length at either end."""
    if n < FEW:
        return np.ones(n)
    edge = max(2, n // 10)
    ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) / edge
    return np.sin(np.pi / 2 * np.minimum(ramp, 1)) ** 2


@parallel_kernel(element_ns=1000, nogil=True)
def _gauss_newton(moving, fixed, weights, shifts, residual, iterations, free_gain):  # type: ignore[no-untyped-def]
    n, n_y, n_x = moving.shape
    for i in prange(n):
        gain, offset = 1.0, 0.0
        wy, wx, dy_, dx_ = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
        for iteration in range(iterations + 1):
            normal, right = np.zeros((4, 4)), np.zeros(4)
            total, squares, sums, count = 0.0, 0.0, 0.0, 0
            iy, ix = int(np.floor(shifts[i, 0])), int(np.floor(shifts[i, 1]))
            keys_weights(shifts[i, 0] - iy, wy, dy_)
            keys_weights(shifts[i, 1] - ix, wx, dx_)
            for y in range(max(0, 1 - iy), min(n_y, n_y - 2 - iy)):
                for x in range(max(0, 1 - ix), min(n_x, n_x - 2 - ix)):
                    if not weights[i, y, x]:
                        continue
                    v, gy, gx = 0.0, 0.0, 0.0
                    for j in range(4):
                        a, b = 0.0, 0.0
                        for k in range(4):
                            p = moving[i, y + iy + j - 1, x + ix + k - 1]
                            a += wx[k] * p
                            b += dx_[k] * p
                        v += wy[j] * a
                        gy += dy_[j] * a
                        gx += wy[j] * b
                    g = fixed[i, y, x]
                    r = g - gain * v - offset
                    basis = (gain * gy, gain * gx, v, 1.0)
                    for a_ in range(4):
                        right[a_] += basis[a_] * r
                        for b_ in range(4):
                            normal[a_, b_] += basis[a_] * basis[b_]
                    total += r * r
                    squares += g * g
                    sums += g
                    count += 1
            if count < 16:
                residual[i] = np.nan
                break
            spread = squares / count - (sums / count) ** 2
            residual[i] = np.sqrt(total / count / max(spread, 1e-30))
            if iteration == iterations:
                break
            size = 4 if free_gain else 2
            scale = np.trace(normal[:size, :size])
            step = np.linalg.solve(
                normal[:size, :size] + np.eye(size) * 1e-9 * max(scale, 1e-30), right[:size]
            )
            move = max(abs(step[0]), abs(step[1]))
            limit = min(1.0, 1.0 / max(move, 1e-30))
            shifts[i, 0] += step[0] * limit
            shifts[i, 1] += step[1] * limit
            if free_gain:
                gain += step[2]
                offset += step[3]
            if move < 1e-3:
                break
