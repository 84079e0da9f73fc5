"""Registration of two images whose contrast differs from place to place.

Between two energies the contrast of a sample changes with its chemistry. With one gain for the
whole frame, a sample that is rich on one side and poor on the other looks as if it had moved. Here
gain and background are free and linear in every square of a few pixels. The shift is then found
from outlines and grains, which are the same at every energy.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from oxytomo.align.keys import keys_weights
from oxytomo.arrays import BoolArray, Float64Array, FloatArray
from oxytomo.threads import parallel_kernel

FEWEST_PX = 8
"""Frames of fewer rows (or columns) carry no information on the shift across them."""
LOCAL = 6
"""Free numbers per square: gain and its slopes, background and its slopes."""
MIN_PIXELS = 3 * LOCAL
"""Squares with fewer valid pixels are left out."""
MOVES = 2
"""Components of the shift: y and x."""
ROBUST = 2.0
"""The weight of a square falls in proportion when its misfit exceeds this many times the usual
variance."""
GAIN = 2.0
"""The weight of a square falls when its gain exceeds this many times the ratio of both
contrasts."""
SETTLED_PX = 1e-3


@dataclass(frozen=True)
class LocalFit:
    """Shift of one frame against a fixed image.

    Attributes
    ----------
    shift_px : (2,) (dy, dx): content of the frame sits at +dy, +dx from its place in the fixed
        image
    error_px : (2,) standard errors from the scatter between the squares, which includes noise and
        misfit; inf where nothing determines the shift
    residual : rms misfit, in units of the frame's contrast
    """

    shift_px: Float64Array
    error_px: Float64Array
    residual: float


def local_shift(
    moving: FloatArray,
    fixed: FloatArray,
    weights: BoolArray,
    start: Float64Array,
    *,
    iterations: int,
    tile_px: int,
) -> LocalFit:
    """Shift of one frame by least squares, with gain and background free and linear in squares.

    In a square with its middle at 0 the model of the frame is ``(a + b·r) fixed(r − d) + c + e·r``.
    Each square has its own a, b, c and e; the shift d is common. The local parameters are
    eliminated square by square (variable projection; Golub and Pereyra, SIAM J. Numer. Anal. 10,
    413, 1973), and d is found by Gauss–Newton steps. The error is the sandwich estimate for
    independent squares (White, Econometrica 50, 1, 1982), so it grows where the model does not
    hold.

    Parameters
    ----------
    moving, fixed : (n_y, n_x) float32, smoothed, no NaN
    weights : (n_y, n_x) bool, pixels of ``moving`` that count
    start : (2,) first guess, px
    iterations : largest number of steps
    tile_px : edge of the squares, px: small squares follow the chemistry closely, large ones
        determine the shift better
    """
    n_y, n_x = fixed.shape
    tile = min(tile_px, n_y), min(tile_px, n_x)
    n_tiles = -(-n_y // tile[0]) * -(-n_x // tile[1])
    table = np.empty((n_tiles, MOVES + 1, MOVES + 1))
    counts, power, gains = np.empty(n_tiles), np.empty(n_tiles), np.empty(n_tiles)
    shift = np.array(start, np.float64)
    # Frames of few rows, which may be repeated rows, do not determine a shift across them.
    scale = 1e-4 * float(fixed.std())
    free = np.array([s.size >= FEWEST_PX and np.abs(s).max() > scale for s in _changes(fixed)])
    shift[~free] = 0
    largest_gain = GAIN * float(moving[weights].std()) / max(float(fixed[weights].std()), 1e-30)
    normal, right, step = np.zeros((2, 2)), np.zeros(2), np.zeros(2)
    for iteration in range(iterations + 1):
        _tile_tables(
            moving, fixed, weights, shift[0], shift[1], tile[0], tile[1], table, counts, power, gains
        )
        weight = _tile_weights(table, counts, gains, largest_gain=largest_gain)
        normal = np.einsum("t,tab->ab", weight, table[:, :2, :2])
        right = np.einsum("t,ta->a", weight, table[:, :2, MOVES])
        step = _solved(normal, right, free)
        if iteration == iterations or np.abs(step).max() < SETTLED_PX:
            break
        shift += step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-30))
    return _result(shift, table, power, weight, free)


def _changes(image: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the differences between rows, and between columns, where there are enough of them."""
    n_y, n_x = image.shape
    none = np.zeros(0, np.float32)
    return (
        np.diff(image, axis=0) if n_y >= FEWEST_PX else none,
        np.diff(image, axis=1) if n_x >= FEWEST_PX else none,
    )


def _solved(normal: Float64Array, right: Float64Array, free: BoolArray) -> Float64Array:
    step = np.zeros(right.size)
    kept = free & (np.diag(normal) > 0)
    if kept.any():
        step[kept] = np.linalg.pinv(normal[np.ix_(kept, kept)], rcond=1e-9, hermitian=True) @ right[kept]
    return step


def _tile_weights(
    table: Float64Array, counts: Float64Array, gains: Float64Array, *, largest_gain: float
) -> Float64Array:
    """Weight of each square, at most 1.

    It is less where the misfit is larger than in the squares that determine the shift, or where the
    gain is too large.

    A large gain can blow up a faint structure of the fixed image to the contrast of the frame, but
    it is not the same structure. Between two chemical states the fixed image, a mean over the
    energies, has hardly an edge where the frame has one.
    """
    weight = np.minimum(1, largest_gain / np.maximum(np.abs(gains), 1e-30)) ** 2
    weight[counts < MIN_PIXELS] = 0
    variance = table[:, MOVES, MOVES] / np.maximum(counts - LOCAL, 1)
    telling = weight * (table[:, 0, 0] + table[:, 1, 1])
    if not telling.sum() > 0:
        return np.zeros(counts.size)
    usual = _weighted_median(variance, telling)
    return np.asarray(weight * np.minimum(1, ROBUST * usual / np.maximum(variance, 1e-30)) ** 2)


def _weighted_median(values: Float64Array, weight: Float64Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _result(
    shift: Float64Array,
    table: Float64Array,
    power: Float64Array,
    weight: Float64Array,
    free: BoolArray,
) -> LocalFit:
    normal = np.einsum("t,tab->ab", weight, table[:, :MOVES, :MOVES])
    pulls = weight[:, None] * table[:, :MOVES, MOVES]
    error = np.full(MOVES, np.inf)
    if int((weight > 0).sum()) > MOVES + 1:
        error = _sandwich(normal, pulls, free)
    left, all_ = float(weight @ table[:, MOVES, MOVES]), float(weight @ power)
    residual = float(np.sqrt(left / all_)) if all_ > 0 else np.nan
    return LocalFit(shift, error, residual)


def _sandwich(normal: Float64Array, pulls: Float64Array, free: BoolArray) -> Float64Array:
    """Standard errors of the free parameters, from the pulls (n_tile, n) of the squares."""
    error = np.full(free.size, np.inf)
    part = normal[np.ix_(free, free)]
    if not (np.diag(part) > 0).all() or np.linalg.cond(part / np.sqrt(np.outer(*[np.diag(part)] * 2))) > 1e8:
        return error
    inverse = np.linalg.inv(part)
    n = int((np.abs(pulls).sum(axis=1) > 0).sum())
    meat = pulls[:, free].T @ pulls[:, free] * n / max(n - int(free.sum()), 1)
    error[free] = np.sqrt(np.diag(inverse @ meat @ inverse))
    return error


@njit(cache=True)
def _solve(matrix, columns, n, m):  # type: ignore[no-untyped-def]
    """Solve for m columns in place by Cholesky's method; the matrix (n, n) is overwritten."""
    for j in range(n):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] ** 2
        matrix[j, j] = np.sqrt(max(matrix[j, j], 1e-30))
        for i in range(j + 1, n):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]
    for c in range(m):
        for i in range(n):
            for k in range(i):
                columns[i, c] -= matrix[i, k] * columns[k, c]
            columns[i, c] /= matrix[i, i]


@parallel_kernel(element_ns=10, nogil=True)
def _tile_tables(moving, fixed, weights, dy, dx, tile_y, tile_x, table, counts, power, gains):  # type: ignore[no-untyped-def]
    """Products of both derivatives and the frame in each square.

    What the local gain and background explain is subtracted.
    """
    n_y, n_x = fixed.shape
    n_ty, n_tx = -(-n_y // tile_y), -(-n_x // tile_x)
    iy, ix = int(np.floor(-dy)), int(np.floor(-dx))
    for t in prange(n_ty * n_tx):
        y0, x0 = (t // n_tx) * tile_y, (t % n_tx) * tile_x
        y1, x1 = min(y0 + tile_y, n_y), min(x0 + tile_x, n_x)
        my, mx = (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2
        wy, wx, sy, sx = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
        keys_weights(-dy - iy, wy, sy)
        keys_weights(-dx - ix, wx, sx)
        size = (y1 - y0) * (x1 - x0)
        kept = np.empty((size, 6))  # y, x, fixed, its slopes, frame
        count, mean, square = 0, 0.0, 0.0
        for y in range(y0, y1):
            if n_y >= 4 and not (1 <= y + iy < n_y - 2):
                continue
            for x in range(x0, x1):
                if not weights[y, x] or (n_x >= 4 and not (1 <= x + ix < n_x - 2)):
                    continue
                v, gy, gx = 0.0, 0.0, 0.0
                for j in range(4):
                    a, b = 0.0, 0.0
                    yy = min(max(y + iy + j - 1, 0), n_y - 1)
                    for k in range(4):
                        p = fixed[yy, min(max(x + ix + k - 1, 0), n_x - 1)]
                        a += wx[k] * p
                        b += sx[k] * p
                    v += wy[j] * a
                    gy += sy[j] * a
                    gx += wy[j] * b
                row = kept[count]
                row[0], row[1], row[2], row[3], row[4], row[5] = y, x, v, gy, gx, moving[y, x]
                mean += v
                square += v * v
                count += 1
        counts[t], power[t], gains[t] = count, 0.0, 0.0
        table[t] = 0.0
        if count < 18:
            continue
        mean /= count
        scale = 1 / np.sqrt(max(square / count - mean * mean, 1e-20))
        local, normal, sides = np.empty(6), np.zeros((6, 6)), np.zeros((6, 3))
        level = 0.0
        for i in range(count):
            level += kept[i, 5] / count
        for i in range(count):
            _local(kept[i], my, mx, mean, scale, tile_y, tile_x, local)
            for a_ in range(6):
                sides[a_, 0] += local[a_] * (kept[i, 5] - level)
                for b_ in range(a_ + 1):
                    normal[a_, b_] += local[a_] * local[b_]
        for a_ in range(6):
            normal[a_, a_] += 1e-6 * count
        _solve(normal, sides, 6, 1)
        gain = np.empty(6)  # back substitution: the local gain and background themselves
        for a_ in range(5, -1, -1):
            gain[a_] = sides[a_, 0]
            for b_ in range(a_ + 1, 6):
                gain[a_] -= normal[b_, a_] * gain[b_]
            gain[a_] /= normal[a_, a_]
        gains[t] = gain[0] * scale
        sides[:] = 0.0
        total, move = np.zeros((3, 3)), np.empty(3)
        for i in range(count):
            _local(kept[i], my, mx, mean, scale, tile_y, tile_x, local)
            factor = (gain[0] + gain[1] * local[4] + gain[2] * local[5]) * scale
            # Content at r of the fixed image sits at r + d.
            move[0], move[1] = -factor * kept[i, 3], -factor * kept[i, 4]
            move[2] = kept[i, 5] - level
            power[t] += move[2] ** 2
            for a_ in range(3):
                for b_ in range(a_ + 1):
                    total[a_, b_] += move[a_] * move[b_]
                for b_ in range(6):
                    sides[b_, a_] += local[b_] * move[a_]
        for c in range(3):
            for a_ in range(6):
                for k in range(a_):
                    sides[a_, c] -= normal[a_, k] * sides[k, c]
                sides[a_, c] /= normal[a_, a_]
        for a_ in range(3):
            for b_ in range(a_ + 1):
                value = total[a_, b_]
                for k in range(6):
                    value -= sides[k, a_] * sides[k, b_]
                table[t, a_, b_] = value
                table[t, b_, a_] = value


@njit(cache=True)
def _local(row, my, mx, mean, scale, tile_y, tile_x, local):  # type: ignore[no-untyped-def]
    """Fixed image, its products with y and x, 1, y and x, all of order 1."""
    f = (row[2] - mean) * scale
    y, x = 2 * (row[0] - my) / tile_y, 2 * (row[1] - mx) / tile_x
    local[0], local[1], local[2] = f, f * y, f * x
    local[3], local[4], local[5] = 1.0, y, x
