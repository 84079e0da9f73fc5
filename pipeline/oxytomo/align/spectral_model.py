"""Shifts against a low-rank model of a stack: a few images whose weights change with energy.

A stack of N chemical states and a background has rank N + 1: every frame is a sum of the same few
images. Frames are registered to that sum, so their contrast may change from place to place with the
chemistry. A shift that follows the weights themselves is not determined by the model: to first
order it looks like another image. Those few directions are taken from shifts that were found
without the model (:mod:`oxytomo.align.local`), with their errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.align.local import FEWEST_PX
from oxytomo.align.parallel import map_frames
from oxytomo.arrays import BoolArray, Float64Array, FloatArray

MOST_COMPONENTS = 4
CLEAR = 3.0
"""A component counts when its singular value exceeds this many times the median of all."""
FEWEST_FRAMES = 4.0
"""A component shared by at most this many frames (participation ratio) is a misfit of these frames,
not a chemical state."""
ROUNDS, SETTLED_PX = 6, 2e-3
SAMPLED_PIXELS = 100_000
"""Number of pixels that the strengths are found from."""
CONTRADICTION = 9.0
"""Squared distance per direction, in standard errors, above which shifts and steps contradict each
other."""
COMMON_ERROR_PX = 0.04
"""Standard deviation over the frames of the part of model-free shifts that follows the spectra,
seen on phantoms."""
BLOCK_PX = 8
"""Errors are from the scatter between blocks of this many pixels, which count as independent."""


@dataclass(frozen=True)
class ModelShifts:
    """Shifts against the model.

    Attributes
    ----------
    shift_px, error_px : (n, 2) (dy, dx) and standard errors
    residual : (n,) rms misfit in units of the frame's standard deviation
    components : number of images in the model
    """

    shift_px: Float64Array
    error_px: Float64Array
    residual: Float64Array
    components: int


def model_shifts(
    frames: Sequence[FloatArray],
    weights: BoolArray,
    start: Float64Array,
    start_error: Float64Array,
    order: np.ndarray,
) -> ModelShifts:
    """Refine the shifts of all frames against their common model, together with the model.

    Parameters
    ----------
    frames : n of (n_y, n_x) float32, smoothed, no NaN
    weights : (n_y, n_x) bool, pixels that count
    start, start_error : (n, 2) shifts found without the model, px, and standard errors; they
        determine the directions that the model leaves free
    order : (n,) of the frames in time
    """
    shifts = start.copy()
    n = len(frames)
    error, residual = np.full((n, 2), np.inf), np.full(n, np.nan)
    strength, previous = np.ones((n, 1)), np.inf
    for _ in range(ROUNDS):
        course = _courses(frames, weights, shifts)
        images = _images(frames, course, shifts)
        steps, error, residual, strength = _steps(frames, images, weights, shifts)
        shifts = shifts + np.clip(steps, -1, 1)
        size = float(np.sqrt(np.median(steps**2)))
        if size < SETTLED_PX or size > 0.9 * previous:
            break
        previous = size
    opened, doubt = _open_directions(shifts, start, (error, start_error), strength, order)
    return ModelShifts(shifts + opened, np.hypot(error, doubt), residual, strength.shape[1])


def moved_back(frame: FloatArray, shift: Float64Array) -> FloatArray:
    """Move the content of a frame back by its shift (dy, dx); for registration only."""
    moved: FloatArray = scipy.ndimage.shift(frame, -shift, order=3, mode="nearest")
    return moved


def _courses(frames: Sequence[FloatArray], weights: BoolArray, shifts: Float64Array) -> Float64Array:
    """Return the weights of the components over the energies, (n, n_component), orthonormal."""
    chosen = np.flatnonzero(weights.ravel())
    chosen = chosen[:: -(-chosen.size // SAMPLED_PIXELS)]

    def sampled(frame: FloatArray, shift: Float64Array) -> Float64Array:
        values = moved_back(frame, shift).ravel()[chosen].astype(np.float64)
        return np.asarray(values - values.mean())

    table = np.array(map_frames(sampled, frames, shifts))
    power, vectors = np.linalg.eigh(table @ table.T)
    strength = np.sqrt(np.maximum(power[::-1], 0))
    vectors = vectors[:, ::-1]
    clear = (strength > CLEAR * np.median(strength)) & (1 / (vectors**4).sum(axis=0) > FEWEST_FRAMES)
    clear[0] = True
    return vectors[:, clear][:, : min(MOST_COMPONENTS, max(1, len(frames) // 4))]


def _images(frames: Sequence[FloatArray], course: Float64Array, shifts: Float64Array) -> Float64Array:
    """Return the images of the components, (n_component, n_y, n_x)."""
    images = np.zeros((course.shape[1], *frames[0].shape))
    for frame, shift, row in zip(frames, shifts, course, strict=True):
        moved = moved_back(frame, shift)
        for image, share in zip(images, row, strict=True):
            image += share * moved
    return images


def _steps(
    frames: Sequence[FloatArray], images: Float64Array, weights: BoolArray, shifts: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """One step of every frame: change of the shift and its error (n, 2), residual, strengths.

    The residual is (n,), the strengths are (n, n_component).
    """
    slopes = np.stack([_slopes(image) for image in images])[:, :, weights]
    columns = np.concatenate([images[:, weights], np.ones((1, int(weights.sum())))])
    basis, mixing = np.linalg.qr(columns.T)
    blocks = _blocks(weights)

    def step(frame: FloatArray, shift: Float64Array) -> tuple[Float64Array, ...]:
        values = moved_back(frame, shift)[weights].astype(np.float64)
        projected = basis.T @ values
        strength = np.linalg.lstsq(mixing, projected, rcond=1e-10)[0][:-1]
        left = values - basis @ projected
        slope = -np.tensordot(strength, slopes, axes=1)
        slope -= (slope @ basis) @ basis.T
        normal = slope @ slope.T
        inverse = np.linalg.pinv(normal, rcond=1e-9, hermitian=True)
        change = inverse @ (slope @ left)
        rest = left - change @ slope
        pulls = np.stack([np.bincount(blocks, weights=one * rest) for one in slope])
        error = np.sqrt(np.diag(inverse @ (pulls @ pulls.T) @ inverse))
        error[np.diag(normal) <= 1e-12 * max(float(values @ values), 1e-30)] = np.inf
        return change, error, np.sqrt(np.mean(left**2)) / max(float(values.std()), 1e-30), strength

    change, error, residual, strength = zip(*map_frames(step, frames, shifts), strict=True)
    return np.array(change), np.array(error), np.array(residual), np.array(strength)


def _slopes(image: Float64Array) -> Float64Array:
    """Return the derivatives along y and x: (2, n_y, n_x).

    They are 0 along a side that is too short to determine a shift.
    """
    return np.stack(
        [
            np.gradient(image, axis=i) if image.shape[i] >= FEWEST_PX else np.zeros_like(image)
            for i in range(2)
        ]
    )


def _blocks(weights: BoolArray) -> np.ndarray:
    rows, columns = np.nonzero(weights)
    return (rows // BLOCK_PX) * (weights.shape[1] // BLOCK_PX + 1) + columns // BLOCK_PX


def _open_directions(
    shifts: Float64Array,
    start: Float64Array,
    errors: tuple[Float64Array, Float64Array],
    strength: Float64Array,
    order: np.ndarray,
) -> tuple[Float64Array, Float64Array]:
    """Return the correction of the shifts along the directions that the model leaves free.

    Its error is returned, too.

    These directions are a common shift, and shifts in proportion to the weight of a component over
    that of the strongest. Two sources determine them: shifts found without the model, and the steps
    from frame to frame, which do not follow the spectra where the sample moves by itself. Where the
    two contradict each other, only the first counts.

    Parameters
    ----------
    shifts, start : (n, 2) against the model, and found without it
    errors : standard errors of both, px
    strength : (n, n_component)
    order : (n,) in time
    """
    first = strength[:, :1]
    ratio = strength[:, 1:] / np.where(np.abs(first) > 1e-12, first, np.inf)
    columns = np.concatenate([np.ones((len(shifts), 1)), ratio], axis=1)
    found, doubt = np.zeros_like(shifts), np.zeros_like(shifts)
    for axis in range(2):
        b, precision = _told(start[:, axis] - shifts[:, axis], errors[1][:, axis], columns)
        if columns.shape[1] > 1:
            by_steps, sure = _from_steps(
                shifts[order, axis], errors[0][order, axis], columns[order], len(columns)
            )
            away = (by_steps - b)[1:]
            both = np.linalg.pinv(precision, hermitian=True)[1:, 1:] + np.linalg.pinv(
                sure[1:, 1:], hermitian=True
            )
            if away @ np.linalg.pinv(both, hermitian=True) @ away < CONTRADICTION * away.size:
                total = precision + sure
                b = np.linalg.pinv(total, rcond=1e-12, hermitian=True) @ (precision @ b + sure @ by_steps)
                precision = total
        found[:, axis] = columns @ b
        inverse = np.linalg.pinv(precision, rcond=1e-12, hermitian=True)
        doubt[:, axis] = np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", columns, inverse, columns), 0))
    return found, doubt


def _told(
    away: Float64Array, error: Float64Array, columns: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Fit the columns to what is missing (n,).

    Returns coefficients and their precision, which is lower where the fit scatters more.
    """
    known = np.isfinite(error) & (error > 0)
    weight = np.where(known, 1 / np.where(known, error, 1) ** 2, 0)
    target = np.where(known, away, 0)
    precision = columns.T @ (columns * weight[:, None])
    b = np.linalg.pinv(precision, rcond=1e-12, hermitian=True) @ (columns.T @ (weight * target))
    freedom = max(int(known.sum()) - columns.shape[1], 1)
    scatter = float(weight @ (target - columns @ b) ** 2) / freedom
    covariance = np.linalg.pinv(precision, rcond=1e-12, hermitian=True) * max(scatter, 1.0)
    covariance[1:, 1:] += np.diag((COMMON_ERROR_PX / np.maximum(columns[:, 1:].std(axis=0), 1e-12)) ** 2)
    return b, np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)


def _from_steps(
    shifts: Float64Array, error: Float64Array, columns: Float64Array, n: int
) -> tuple[Float64Array, Float64Array]:
    """Fit minus the columns' steps, and a steady drift, to the steps of the shifts in time.

    Returns coefficients and precision.
    """
    steps = np.diff(shifts)
    design = np.concatenate([np.diff(columns[:, 1:], axis=0), np.ones((n - 1, 1))], axis=1)
    noise = error[1:] ** 2 + error[:-1] ** 2
    noise = np.where(np.isfinite(noise), noise, 1.0)
    spread, b = 1.4826**2 * float(np.median(np.abs(steps - np.median(steps)))) ** 2, np.zeros(design.shape[1])
    robust = np.ones(n - 1)
    for _ in range(10):
        weight = robust / (noise + spread)
        normal = design.T @ (design * weight[:, None])
        b = -np.linalg.pinv(normal, rcond=1e-12, hermitian=True) @ (design.T @ (weight * steps))
        left = steps + design @ b
        # Scale of the steps for which the median of the scaled squares is that of a normal
        # distribution.
        spread = max(float(np.median(left**2)) / 0.4549 - float(np.median(noise)), 0.0)
        robust = np.minimum(1, 3 / np.maximum(np.abs(left) / np.sqrt(noise + spread), 1e-9))
    full = columns.shape[1]
    inverse = np.linalg.pinv(normal, rcond=1e-12, hermitian=True)[: full - 1, : full - 1]
    precision = np.zeros((full, full))
    precision[1:, 1:] = np.linalg.pinv(inverse, hermitian=True)
    return np.concatenate([[0.0], b[: full - 1]]), precision
