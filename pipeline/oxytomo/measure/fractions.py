"""Fractions of classes, their intervals from noise replicates, and the joint histogram."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.segment.classes import CLASS_LABELS, classify_deviation
from oxytomo.slabs import Field, in_parts, read, slabs

BORDER_PX = 0.1
"""Error of the class borders that :func:`fraction_interval` assumes, voxels."""

MISSED_VOXELS = 113
"""A ball with a radius of three voxels: total variation can remove one."""

QUANTILES = {0.68: 0.56, 0.95: 1.42}
"""Quantiles of :func:`fraction_interval`, from 80 simulated acquisitions (3·10³ to 10⁵ photons,
with and without a rim)."""


def class_fractions(phases: Field, *, labels: Mapping[str, int]) -> dict[str, float]:
    """Return voxels of each class / voxels of all classes; NaN where there are no voxels at all.

    Parameters
    ----------
    phases : labels, of any shape; labels without a name do not count
    labels : name -> label
    """
    return _shares((part for (part,) in in_parts(phases)), labels)


def _shares(parts: Iterable[LabelArray], labels: Mapping[str, int]) -> dict[str, float]:
    """Return the share of each label among the named ones, over all parts of a volume."""
    counts = dict.fromkeys(labels, 0)
    for part in parts:
        for name, label in labels.items():
            counts[name] += int(np.count_nonzero(part == label))
    total = sum(counts.values())
    return {name: count / total if total else float("nan") for name, count in counts.items()}


def replicate_fractions(
    deviations: Iterable[Field], particle: Field, *, threshold: float
) -> dict[str, list[float]]:
    """Return the class fractions of each noise replicate.

    Parameters
    ----------
    deviations : n fields (n_z, n_y, n_x) of any float type, a deviation per replicate
    particle : (n_z, n_y, n_x) field of bool
    threshold : threshold of the deviation, positive

    Returns
    -------
    fractions : class name -> n fractions
    """
    each = [
        _shares(
            (classify_deviation(*parts, threshold=threshold) for parts in in_parts(one, particle)),
            CLASS_LABELS,
        )
        for one in deviations
    ]
    return {name: [fractions[name] for fractions in each] for name in CLASS_LABELS}


def fraction_interval(
    value: float, replicate_values: Sequence[float], phases: Field, label: int, *, confidence: float
) -> tuple[float, float] | None:
    """Return the interval of a class fraction, clipped to [0, 1].

    Four errors contribute to a fraction: noise (s, the standard deviation of the replicates); the
    loss of domains in the reconstruction (b, :func:`replicate_bias`; a replicate of a regularised
    estimate shows its size, not its sign); a shift of borders by part of a voxel (a, ``BORDER_PX``
    times the :func:`border_share`); and a small domain that leaves no trace (m, ``MISSED_VOXELS``
    over the voxels of all classes). The interval is ``value ± QUANTILES[confidence] · sqrt(s² + b²
    + a² + m²)``.

    Parameters
    ----------
    value : the fraction from the measured data
    replicate_values : the same fraction from replicates
    phases, label : labels that the fraction was counted from, and the label of its class
    confidence : 0.68 or 0.95

    Returns
    -------
    interval : (low, high), or None with fewer than two finite replicates or without a value

    Notes
    -----
    ``QUANTILES`` are quantiles of |value − truth| over the square root, among simulated
    acquisitions with known truth (split conformal prediction: Lei et al., J. Am. Stat. Assoc. 113,
    1094, 2018). The interval holds for particles like these;
    ``benchmarks/uncertainty_calibration.py`` measures its coverage on others.
    """
    return interval_of_share(
        value,
        replicate_values,
        border=border_share(phases, label),
        n_classified=n_classified(phases),
        confidence=confidence,
    )


def interval_of_share(
    value: float, replicate_values: Sequence[float], *, border: float, n_classified: int, confidence: float
) -> tuple[float, float] | None:
    """Return the interval of :func:`fraction_interval` from :func:`border_share`.

    The number of classified voxels is given.
    """
    finite = [fraction for fraction in replicate_values if np.isfinite(fraction)]
    bias = replicate_bias(value, finite)
    if len(finite) < 2 or bias is None:
        return None
    half = QUANTILES[confidence] * _spread(finite, bias, border, n_classified)
    return max(0.0, value - half), min(1.0, value + half)


def fraction_spread(replicate_values: Sequence[float], bias: float, phases: Field, label: int) -> float:
    """Return ``sqrt(s² + b² + a² + m²)``, see :func:`fraction_interval`."""
    return _spread(replicate_values, bias, border_share(phases, label), n_classified(phases))


def n_classified(phases: Field) -> int:
    """Return the number of voxels that belong to a class."""
    return sum(int(np.count_nonzero(_classified(part))) for (part,) in in_parts(phases))


def _classified(phases: LabelArray) -> BoolArray:
    return np.isin(phases, list(CLASS_LABELS.values()))


def _spread(replicate_values: Sequence[float], bias: float, border: float, n_classified: int) -> float:
    scatter = float(np.std(replicate_values, ddof=1))
    parts = (scatter, bias, BORDER_PX * border, MISSED_VOXELS / max(1, n_classified))
    return float(np.sqrt(np.sum(np.square(parts))))


def scatter_interval(values: Sequence[float], *, confidence: float) -> tuple[float, float] | None:
    """Return the interval of one further run: mean ± t(n − 1) s (Student), clipped to [0, 1].

    None for fewer than two.
    """
    if len(values) < 2:
        return None
    mean, half = float(np.mean(values)), float(np.std(values, ddof=1))
    half *= float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    return max(0.0, mean - half), min(1.0, mean + half)


def border_share(phases: Field, label: int) -> float:
    """Return the number of faces of a class to other classes per classified voxel, 1/voxel.

    Multiplied by a shift of the border in voxels, it is the change of the class's fraction.

    Parameters
    ----------
    phases : (n_z, n_y, n_x) or (n_y, n_x) labels; faces towards unclassified voxels do not count
    label : label of the class
    """
    faces = total = 0
    for slab in slabs(phases.shape):
        wide = read(phases, slice(slab.rows.start, min(slab.rows.stop + 1, phases.shape[0])))
        n_rows = slab.rows.stop - slab.rows.start
        faces += _faces(wide, label, 0)
        faces += sum(_faces(wide[:n_rows], label, axis) for axis in range(1, wide.ndim))
        total += int(np.count_nonzero(_classified(wide[:n_rows])))
    return faces / max(1, total)


def _faces(phases: LabelArray, label: int, axis: int) -> int:
    """Count the faces across an axis between voxels of a class and other classified voxels."""
    line = np.moveaxis(phases, axis, 0)
    own, classified = line == label, _classified(line)
    return int(np.count_nonzero((own[1:] != own[:-1]) & classified[1:] & classified[:-1]))


def replicate_bias(value: float, replicate_values: Sequence[float]) -> float | None:
    """Return mean of the replicates − value: the shift of a fraction by noise and reconstruction.

    A regularised estimate may lose less than the measurement did, or more, so only the size counts,
    not the sign. None without replicates.
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
