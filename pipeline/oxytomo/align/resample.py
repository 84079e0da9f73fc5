"""One resampling of the raw pixels by magnification, shift and in-plane rotation together."""

import numpy as np
import scipy.ndimage
from numba import njit, prange

from oxytomo.align.parallel import stack_frames
from oxytomo.align.splines import read_at
from oxytomo.arrays import Float64Array, FloatArray
from oxytomo.threads import parallel_kernel

LOBES = 3


def resample(
    value: FloatArray,
    variance: FloatArray,
    *,
    dy_px: Float64Array,
    dx_px: Float64Array,
    magnification: float,
    rotation_deg: float,
    shape: tuple[int, int],
) -> tuple[FloatArray, FloatArray]:
    """Resample frames to the common grid by cubic convolution over 6 × 6 pixels.

    The output pixel (y, x), measured from the middle of the frame, is read at ``R (y, x) ·
    magnification + (dy, dx)`` in the raw frame, also measured from its middle. Content at +dy, +dx
    in the raw frame moves to its true place.

    Parameters
    ----------
    value, variance : (n_tilt, n_y, n_x) float32; NaN and inf where invalid
    dy_px, dx_px : (n_tilt,) shift of the content in the raw frame, raw pixels
    magnification : raw pixels per output pixel (output pixel size / raw pixel size)
    rotation_deg : in-plane angle of the tilt axis, positive towards +x for increasing row
    shape : (n_y, n_x) of the output

    Returns
    -------
    value, variance : (n_tilt, *shape) float32. NaN and inf where the kernel's inner 2 × 2 pixels or
        more than a tenth of its weight is invalid or outside. The variance is that of the noise at
        low spatial frequency (Σ w v), as sums over rays and voxels see it. Single output pixels are
        a little less noisy and correlated with their neighbours.

    References
    ----------
    Keys, IEEE Trans. Acoust. Speech Signal Process. 29, 1153 (1981), fourth-order kernel. It is
    exact for quadratic (in fact cubic) images, so a sub-pixel shift neither moves nor dims an edge
    that the detector resolves.
    """
    out_value = np.empty((value.shape[0], *shape), np.float32)
    out_variance = np.empty_like(out_value)
    angle = np.deg2rad(rotation_deg)
    _resample(
        value,
        variance,
        np.asarray(dy_px, np.float64),
        np.asarray(dx_px, np.float64),
        float(magnification),
        float(np.cos(angle)),
        float(np.sin(angle)),
        out_value,
        out_variance,
    )
    return out_value, out_variance


def turned(frames: FloatArray, axis_tilt_deg: float, shifts: Float64Array) -> FloatArray:
    """Rotate frames back about their middle, then move their content back by its shift.

    Interpolates with cubic splines; for registration and display only.

    Parameters
    ----------
    frames : (n, n_y, n_x) float32 without NaN
    axis_tilt_deg : in-plane angle of the tilt axis, as ``rotation_deg`` in :func:`resample`
    shifts : (n, 2) (dy, dx) in the rotated frames, px
    """
    matrix = _turn(axis_tilt_deg)
    middle = (np.array(frames.shape[1:]) - 1) / 2
    offset = middle - matrix @ middle

    def move(frame: FloatArray, shift: Float64Array) -> FloatArray:
        if axis_tilt_deg == 0:
            moved: FloatArray = read_at(frame, shift)
        else:
            moved = scipy.ndimage.affine_transform(
                frame, matrix, offset + matrix @ shift, order=3, mode="nearest"
            )
        return moved

    return stack_frames(move, frames, shifts)


def turned_shifts(shifts: Float64Array, angle_deg: float) -> Float64Array:
    """Convert shifts (..., 2) of frames to frames that are rotated by ``angle_deg``.

    The angle is positive towards +x for increasing row.
    """
    moved: Float64Array = shifts @ _turn(angle_deg).T
    return moved


def _turn(angle_deg: float) -> Float64Array:
    """Matrix that takes (y, x) to ``(y cos − x sin, y sin + x cos)``."""
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[cos, -sin], [sin, cos]])


@njit(cache=True)
def _keys(distance, weights):  # type: ignore[no-untyped-def]
    """Keys' fourth-order cubic convolution: weights of six samples.

    The point lies ``distance`` past the third sample.
    """
    for j in range(2 * LOBES):
        d = abs(j - (LOBES - 1) - distance)
        if d < 1:
            weights[j] = (4 / 3 * d - 7 / 3) * d * d + 1
        elif d < 2:
            weights[j] = ((-7 / 12 * d + 3) * d - 59 / 12) * d + 15 / 6
        elif d < 3:
            weights[j] = ((1 / 12 * d - 2 / 3) * d + 21 / 12) * d - 3 / 2
        else:
            weights[j] = 0.0


@njit(cache=True, nogil=True)
def _columns(dx, scale, n_x, at, weights):  # type: ignore[no-untyped-def]
    """First sample and six weights of each output column of each frame, without a rotation."""
    n_t, m_x = at.shape
    one = np.empty(2 * LOBES)
    for t in range(n_t):
        for column in range(m_x):
            place = (column - (m_x - 1) / 2) * scale + dx[t] + (n_x - 1) / 2
            low = int(np.floor(place))
            _keys(place - low, one)
            at[t, column] = low - (LOBES - 1)
            for k in range(2 * LOBES):
                weights[t, k, column] = one[k]


@njit(cache=True, nogil=True)
def _row(frame, noise, y, at, weights, values, variances):  # type: ignore[no-untyped-def]
    """Sum one output row along columns first; NaN where this does not hold (rim, invalid pixels).

    The kernel is separable without a rotation. Invalid pixels make the sums NaN or infinite.
    """
    n_y, n_x = frame.shape
    iy, wy = int(np.floor(y)), np.empty(2 * LOBES)
    first = iy - (LOBES - 1)
    values[:] = np.nan
    if first < 0 or first + 2 * LOBES > n_y:
        return
    _keys(y - iy, wy)
    line, of_noise = np.zeros(n_x), np.zeros(n_x)
    for j in range(2 * LOBES):
        for x in range(n_x):
            line[x] += wy[j] * frame[first + j, x]
            of_noise[x] += wy[j] * noise[first + j, x]
    for column in range(at.size):
        i = at[column]
        if i >= 0 and i + 2 * LOBES <= n_x:
            total, v, weight = 0.0, 0.0, 0.0
            for k in range(2 * LOBES):
                total += weights[k, column] * line[i + k]
                v += weights[k, column] * of_noise[i + k]
                weight += weights[k, column]
            weight *= wy[0] + wy[1] + wy[2] + wy[3] + wy[4] + wy[5]
            if np.isfinite(total) and np.isfinite(v):
                values[column], variances[column] = total / weight, max(v / weight, 1e-12)


@parallel_kernel(element_ns=100, nogil=True)
def _resample(value, variance, dy, dx, scale, cos, sin, out_value, out_variance):  # type: ignore[no-untyped-def]
    n_t, n_y, n_x = value.shape
    m_y, m_x = out_value.shape[1:]
    straight = sin == 0.0 and cos == 1.0
    at, weights = np.empty((n_t, m_x), np.int64), np.empty((n_t, 2 * LOBES, m_x))
    if straight:
        _columns(dx, scale, n_x, at, weights)
    for job in prange(n_t * m_y):
        t, row = job // m_y, job % m_y
        y = (row - (m_y - 1) / 2) * scale
        values, variances = np.full(m_x, np.nan), np.empty(m_x)
        if straight:
            _row(value[t], variance[t], y + dy[t] + (n_y - 1) / 2, at[t], weights[t], values, variances)
        wy, wx = np.empty(2 * LOBES), np.empty(2 * LOBES)
        for column in range(m_x):
            if np.isfinite(values[column]):
                out_value[t, row, column] = values[column]
                out_variance[t, row, column] = variances[column]
                continue
            x = (column - (m_x - 1) / 2) * scale
            source_y = y * cos - x * sin + dy[t] + (n_y - 1) / 2
            source_x = y * sin + x * cos + dx[t] + (n_x - 1) / 2
            out_value[t, row, column], out_variance[t, row, column] = _pixel(
                value[t], variance[t], source_y, source_x, wy, wx
            )


@njit(cache=True, nogil=True)
def _pixel(value, variance, source_y, source_x, wy, wx):  # type: ignore[no-untyped-def]
    """Value and variance of one output pixel; NaN and inf where too much of the kernel is lost."""
    n_y, n_x = value.shape
    iy, ix = int(np.floor(source_y)), int(np.floor(source_x))
    _keys(source_y - iy, wy)
    _keys(source_x - ix, wx)
    total, v, weight, lost = 0.0, 0.0, 0.0, 0.0
    bad = False
    for j in range(2 * LOBES):
        yy = iy + j - (LOBES - 1)
        for k in range(2 * LOBES):
            xx = ix + k - (LOBES - 1)
            w = wy[j] * wx[k]
            if w == 0.0:
                continue
            if 0 <= yy < n_y and 0 <= xx < n_x and np.isfinite(value[yy, xx]):
                total += w * value[yy, xx]
                v += w * variance[yy, xx]
                weight += w
            else:
                lost += abs(w)
                if LOBES - 1 <= j <= LOBES and LOBES - 1 <= k <= LOBES and abs(w) > 0.05:
                    bad = True
    if bad or lost > 0.1 or weight <= 0:
        return np.nan, np.inf
    return total / weight, max(v / weight, 1e-12)
