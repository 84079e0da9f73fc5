"""Class fractions of the solid particle, their intervals from noise replicates, and the joint histogram."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from pipeline.arrays import BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from pipeline.segment.classes import CLASS_LABELS, classify_deviation


def class_fractions(phases: LabelArray, *, labels: Mapping[str, int]) -> dict[str, float]:
    """Return voxels of each class / voxels of all classes; NaN where there are no voxels at all.

    Parameters
    ----------
    phases : label array of any shape; labels that are not named do not count
    labels : name -> label
    """
    counts = np.bincount(phases.ravel(), minlength=max(labels.values()) + 1)
    total = int(sum(counts[label] for label in labels.values()))
    return {name: float(counts[label] / total) if total else float("nan") for name, label in labels.items()}


def replicate_fractions(
    deviations: FloatArray, particle: BoolArray, *, threshold: float
) -> dict[str, list[float]]:
    """Return the class fractions of each noise replicate.

    Parameters
    ----------
    deviations : (n, n_z, n_y, n_x) array of any float type, a deviation per replicate
    particle : (n_z, n_y, n_x) bool
    threshold : positive fraction

    Returns
    -------
    fractions : class name -> n fractions
    """
    each = [
        class_fractions(classify_deviation(one, particle, threshold=threshold), labels=CLASS_LABELS)
        for one in deviations
    ]
    return {name: [fractions[name] for fractions in each] for name in CLASS_LABELS}


def noise_interval(
    value: float, replicate_values: Sequence[float], *, confidence: float
) -> tuple[float, float] | None:
    """Return the interval of a fraction that noise explains, value ± t(n − 1) s, clipped to [0, 1].

    s is the standard deviation of the n replicates, t the quantile of Student's distribution with n − 1
    degrees of freedom, which pays for few replicates: 3.18 for n = 4 and 95 %.

    Parameters
    ----------
    value : the fraction from the measured data
    replicate_values : the same fraction from replicates
    confidence : 0.95 for a 95 % interval

    Returns
    -------
    interval : (low, high), or None with fewer than two finite replicates or without a value

    Notes
    -----
    A replicate adds noise to an estimate that is noisy already, and passes through the same reconstruction
    once more. Its fractions are shifted by both; their scatter is used here and not their mean. The
    interval therefore leaves the bias out: :func:`replicate_bias` estimates it, and the null run shows it
    for a uniform particle.
    """
    finite = [fraction for fraction in replicate_values if np.isfinite(fraction)]
    if len(finite) < 2 or not np.isfinite(value):
        return None
    half = float(stdtrit(len(finite) - 1, (1 + confidence) / 2)) * float(np.std(finite, ddof=1))
    return max(0.0, value - half), min(1.0, value + half)


def replicate_bias(value: float, replicate_values: Sequence[float]) -> float | None:
    """Return mean of the replicates − value, how far noise and reconstruction shift a fraction.

    To first order the value itself is shifted from the truth by as much. None without replicates.
    """
    finite = [fraction for fraction in replicate_values if np.isfinite(fraction)]
    return float(np.mean(finite)) - value if finite and np.isfinite(value) else None


def joint_histogram(
    tm: FloatArray, o: FloatArray, particle: BoolArray, *, bins: int, limits: tuple[float, float]
) -> tuple[IntArray, Float64Array]:
    """Count the voxels of the particle by their relative densities of TM and O.

    Parameters
    ----------
    tm, o : (n_z, n_y, n_x) array, relative densities
    particle : bool array of the same shape
    bins : number of bins of each axis
    limits : lowest and highest density of both axes; voxels beyond are not counted

    Returns
    -------
    counts : (bins, bins) int64, TM along the first axis and O along the second
    edges : (bins + 1,) float64, of both axes
    """
    inside = particle & np.isfinite(tm) & np.isfinite(o)
    counts, edges, _ = np.histogram2d(tm[inside], o[inside], bins=bins, range=(limits, limits))
    return counts.astype(np.int64), edges.astype(np.float64)
