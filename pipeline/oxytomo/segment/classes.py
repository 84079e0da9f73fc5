"""Composition classes: target, oxygen-poor and oxygen-rich, from the deviation of TM/O."""

from statistics import NormalDist

import numpy as np
import scipy.ndimage

from oxytomo.arrays import (
    OUTSIDE,
    OXYGEN_POOR,
    OXYGEN_RICH,
    TARGET,
    UNDECIDED,
    AnyArray,
    BoolArray,
    FloatArray,
    LabelArray,
)
from oxytomo.errors import ShapeError

CLASS_LABELS = {"target": TARGET, "oxygen_poor": OXYGEN_POOR, "oxygen_rich": OXYGEN_RICH}
"""Classes of ``phases`` by name."""

CONFIDENT_LABELS = {**CLASS_LABELS, "undecided": UNDECIDED}
"""Classes of ``phases_confident`` by name."""


def classify_deviation(deviation: FloatArray, particle: BoolArray, *, threshold: float) -> LabelArray:
    """Label each voxel by its deviation from the reference TM/O.

    Oxygen-poor: deviation > +threshold (too much transition metal); oxygen-rich: deviation <
    −threshold; target: everything between, both limits included. A voxel of the particle without a
    deviation (NaN) belongs to no class and is labelled outside here; :func:`classify_confident`
    labels it undecided.

    Parameters
    ----------
    deviation : (..., n_z, n_y, n_x) or (..., n_y, n_x) array, (TM/O) / reference − 1; of any float
        type
    particle : bool array with the last axes of ``deviation``
    threshold : positive fraction, 0.05 for 5 %

    Returns
    -------
    phases : uint8, like ``deviation``: OUTSIDE, TARGET, OXYGEN_POOR or OXYGEN_RICH
    """
    _check_shapes(deviation, particle)
    value = deviation.astype(np.float32, copy=False)
    phases: LabelArray = np.where(particle & ~np.isnan(value), np.uint8(TARGET), np.uint8(OUTSIDE))
    phases[(value > threshold) & particle] = OXYGEN_POOR
    phases[(value < -threshold) & particle] = OXYGEN_RICH
    return phases


def classify_confident(
    deviation: FloatArray, sigma: FloatArray, particle: BoolArray, *, threshold: float, confidence: float
) -> LabelArray:
    """Label each voxel whose class is certain in spite of its noise; the others are undecided.

    With z(p) the quantile of the normal distribution, oxygen-poor needs deviation − z(c) σ >
    threshold, oxygen-rich needs deviation + z(c) σ < −threshold, and target, which has two sides,
    needs abs(deviation) + z((1 + c)/2) σ ≤ threshold. For Gaussian noise each class is then right
    with probability c or more.

    Parameters
    ----------
    deviation, sigma : (n_z, n_y, n_x) or (n_y, n_x) array, the deviation and its standard deviation
    particle : bool array of the same shape
    threshold : positive fraction
    confidence : c, between 0.5 and 1

    Returns
    -------
    phases_confident : uint8, like ``deviation``; a voxel of the particle without deviation or σ
        (NaN) is UNDECIDED
    """
    _check_shapes(deviation, particle)
    _check_shapes(sigma, particle)
    one_sided = NormalDist().inv_cdf(confidence) * sigma
    two_sided = NormalDist().inv_cdf((1 + confidence) / 2) * sigma
    phases: LabelArray = np.where(particle, np.uint8(UNDECIDED), np.uint8(OUTSIDE))
    phases[(np.abs(deviation) + two_sided <= threshold) & particle] = TARGET
    phases[(deviation - one_sided > threshold) & particle] = OXYGEN_POOR
    phases[(deviation + one_sided < -threshold) & particle] = OXYGEN_RICH
    return phases


def averaged_deviation(deviation: FloatArray, particle: BoolArray, *, width_px: float) -> FloatArray:
    """Average the deviation over a cube around every voxel, within the particle.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) array of any float type, NaN where unknown
    particle : bool array of the same shape
    width_px : edge of the cube in voxels, may be fractional; up to 1 changes nothing

    Returns
    -------
    float32 like ``deviation``, NaN where it was NaN or outside
    """
    _check_shapes(deviation, particle)
    value = deviation.astype(np.float32)
    if width_px <= 1:
        return value
    known = particle & np.isfinite(value)
    taps = _box(width_px)
    total, count = np.where(known, value, np.float32(0)), known.astype(np.float32)
    for axis in range(value.ndim):
        total, count = (
            scipy.ndimage.correlate1d(a, taps, axis=axis, mode="constant") for a in (total, count)
        )
    mean: FloatArray = np.where(known, total / np.where(known, count, 1), np.float32(np.nan)).astype(
        np.float32
    )
    return mean


def _box(width: float) -> FloatArray:
    """Weights of a box of any width around a sample: whole samples, and parts of the two ends."""
    reach = int(np.ceil((width - 1) / 2))
    taps = np.ones(2 * reach + 1, np.float32)
    taps[[0, -1]] = (width - (2 * reach - 1)) / 2
    return taps


def lone_skin_voxels(phases: LabelArray, particle: BoolArray) -> BoolArray:
    """Return voxels at the surface that share no face with another voxel of their class.

    At the surface the densities of TM and O fall off over a voxel or two, and their quotient is
    unreliable: an isolated voxel there is an artefact of the division. Faces at the edge of the
    array are unknown and are ignored.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) or (n_y, n_x) uint8 from :func:`classify_deviation`
    particle : bool array of the same shape
    """
    classified = np.isin(phases, list(CLASS_LABELS.values()))
    alone, at_surface = classified.copy(), np.zeros(phases.shape, bool)
    for axis in range(phases.ndim):
        low, high = [slice(None)] * phases.ndim, [slice(None)] * phases.ndim
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        for here, there in ((tuple(low), tuple(high)), (tuple(high), tuple(low))):
            alone[here] &= phases[here] != phases[there]
            at_surface[here] |= ~particle[there]
    lone: BoolArray = alone & at_surface & particle
    return lone


def _check_shapes(values: AnyArray, particle: BoolArray) -> None:
    if values.shape[-particle.ndim :] != particle.shape:
        raise ShapeError(
            "deviation and particle",
            expected=f"the shape {particle.shape} of the particle",
            got=f"{values.shape}",
            fix="take both from the same reconstruction",
        )
