"""Depth below the particle's surface, and shells of equal volume from rim to centre."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, stdtrit

from oxytomo.arrays import AnyArray, BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.errors import InputError, ShapeError
from oxytomo.measure.tables import table
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.segment.components import filled_bodies
from oxytomo.segment.distances import distance_inside
from oxytomo.slabs import Field, fill, in_parts, new_field

if TYPE_CHECKING:
    import pandas as pd

"""One column of a table."""

REPLICATE_SCALE = 2.3
"""Factor between the errors of the deviation and the scatter of its replicates, which scatter less
than a regularised estimate does around the truth. It is that of the standard errors of voxels
(``SIGMA_SCALE`` of ``oxytomo.composition.noise``)."""


def depth_below_surface(particle: Any, *, voxel_nm: float) -> Any:
    """Return the Euclidean distance of each voxel's centre to the outer surface of the particle.

    The surface lies between a voxel of the particle and its neighbour outside, so a voxel at the
    surface has a depth of half a voxel. Closed voids have no inner surface. Where the particle is
    cut by the edge of the volume, the edge is not a surface.

    Parameters
    ----------
    particle : (n_z, n_y, n_x) field or (n_y, n_x) array, bool
    voxel_nm : edge of a voxel, nm

    Returns
    -------
    depth_nm : float32, NaN outside the solid

    Raises
    ------
    InputError
        When there is no background outside the particle.
    """
    if len(particle.shape) == 2:
        return depth_below_surface(particle[None], voxel_nm=voxel_nm)[0]
    filled = filled_bodies(particle)
    if all(part.all() for (part,) in in_parts(filled)):
        raise InputError(
            "particle",
            expected="background around the particle",
            got="none that reaches the edge of the volume",
            fix="check the particle mask: the field of view must be wider than the particle",
        )
    depth = new_field(particle.shape, np.float32)
    distance_inside(filled, depth)

    def below(inside: BoolArray, distance_px: FloatArray) -> FloatArray:
        return np.where(inside, (distance_px - 0.5) * voxel_nm, np.nan).astype(np.float32)

    fill(depth, below, particle, depth)
    return depth


def shell_labels(depth_nm: Field, *, n_shells: int) -> Any:
    """Divide the solid by depth into shells of equal volume, from rim (1) to centre (n).

    In two dimensions the shells have equal area.

    The limits are the depths whose share of the solid is nearest to 1/n, 2/n, … Voxels of the same
    depth stay together, so the shells are as equal as one layer of voxels allows. In a particle of
    few voxels a shell can be empty.

    Parameters
    ----------
    depth_nm : (n_z, n_y, n_x) or (n_y, n_x) field from :func:`depth_below_surface`, NaN outside the
        solid
    n_shells : number of shells, at most 255

    Returns
    -------
    shells : uint8, 0 outside the solid
    """
    levels, counts = _levels(depth_nm)
    middle_share = (np.cumsum(counts) - counts / 2) / max(1, int(counts.sum()))
    shell_of_level = np.minimum((middle_share * n_shells).astype(np.int64), n_shells - 1) + 1

    def labels(depth: FloatArray) -> LabelArray:
        solid = ~np.isnan(depth)
        found: LabelArray = np.zeros(depth.shape, np.uint8)
        found[solid] = shell_of_level[np.searchsorted(levels, depth[solid])]
        return found

    shells = new_field(depth_nm.shape, np.uint8)
    fill(shells, labels, depth_nm)
    return shells


def _levels(depth_nm: Field) -> tuple[FloatArray, IntArray]:
    """Return the distinct depths and the number of voxels of each."""
    levels, counts = np.zeros(0, np.float32), np.zeros(0, np.int64)
    for (depth,) in in_parts(depth_nm):
        found, times = np.unique(depth[~np.isnan(depth)], return_counts=True)
        levels, place = np.unique(np.concatenate([levels, found]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, times]), minlength=levels.size).astype(np.int64)
    return levels, counts


def shell_table(
    deviation: Field,
    phases: Field,
    shells: Field,
    replicates: Sequence[Field] | FloatArray | None,
    *,
    n_shells: int,
    depth_nm: Field,
) -> pd.DataFrame:
    """Measure deviation and class fractions of each shell, from rim to centre.

    The standard error of a shell's mean comes from the noise replicates (:func:`replicate_errors`).
    They include the correlation of the noise of neighbouring voxels, and the loss in the
    reconstruction. With fewer than two replicates it is unknown (NaN), and the column
    ``standard_error_from`` says "none": s/√n of the voxels, as if they were independent, would be
    far too small for a regularised volume.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) or (n_y, n_x) field, NaN where unknown
    phases, shells : fields of labels of the same shape; ``shells`` from :func:`shell_labels`
    replicates : n fields, deviations of noise replicates of any float type, or None
    n_shells : number of shells
    depth_nm : from :func:`depth_below_surface`

    Returns
    -------
    table : one row per shell: ``shell`` (1 at the rim, int64), ``shell_outer`` and ``shell_inner``
        (nominal share of the solid's volume outside the shell's two limits, in percent: 0 to 20 for
        the first of five), ``depth_mean_nm``, ``n_voxels`` (with a deviation, int64),
        ``mean_deviation``, ``standard_error``, ``standard_error_from`` (text),
        ``standard_deviation`` (of the voxels) and the fraction of each class (float64, NaN in an
        empty shell)
    """
    if not deviation.shape == phases.shape == shells.shape == depth_nm.shape:
        raise ShapeError(
            "deviation, phases and shells",
            expected="one shape",
            got=f"{deviation.shape}, {phases.shape}, {shells.shape} and depth {depth_nm.shape}",
            fix="take them from the same reconstruction",
        )
    number = np.arange(1, n_shells + 1)
    n_voxels, mean = _means(shells, n_shells, np.asarray, deviation)
    own = np.concatenate([[np.nan], mean])
    _, mean_square = _means(shells, n_shells, lambda d, s: (d - own[s]) ** 2, deviation, shells)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation_sd = np.sqrt(mean_square * n_voxels / (n_voxels - 1.0))
    from_replicates = replicates is not None and len(replicates) >= 2
    error = np.full(n_shells, np.nan)
    if replicates is not None and from_replicates:
        error = replicate_errors(replicates, shells, mean, n_shells=n_shells)
    return table(
        {
            "shell": number,
            "shell_outer": 100.0 * (number - 1) / n_shells,
            "shell_inner": 100.0 * number / n_shells,
            "depth_mean_nm": _means(shells, n_shells, np.asarray, depth_nm)[1],
            "n_voxels": n_voxels,
            "mean_deviation": mean,
            "standard_error": error,
            "standard_error_from": ["replicates" if from_replicates else "none"] * n_shells,
            "standard_deviation": deviation_sd,
            **_fractions(phases, shells, n_shells),
        }
    )


def replicate_errors(
    replicates: Iterable[Field], shells: Field, measured: Float64Array, *, n_shells: int
) -> Float64Array:
    """Return the standard error of each shell's mean deviation, ``2.3 sqrt((t s)² + b²)``.

    ``s`` is the standard deviation of the mean over the replicates. From few replicates it is
    poorly known: ``t`` is the quantile of Student's distribution for n − 1 degrees of freedom with
    the same coverage as one standard deviation of the normal distribution (1.84 for two, 1.20 for
    four, 1 for many). ``b`` is the replicate bias, the mean over the replicates minus the measured
    mean: the effect of the reconstruction on a known composition. The factor is
    :data:`REPLICATE_SCALE`.

    Parameters
    ----------
    replicates : n fields of any float type, n at least 2
    shells : labels of the replicates' shape
    measured : (n_shells,) float64, mean deviation of each shell in the measurement
    n_shells : number of shells

    Returns
    -------
    standard_error : (n_shells,) float64
    """
    means = np.array([_means(shells, n_shells, _single, one)[1] for one in replicates])
    scatter = float(stdtrit(len(means) - 1, ndtr(1.0))) * np.std(means, axis=0, ddof=1)
    error: Float64Array = REPLICATE_SCALE * np.hypot(scatter, means.mean(axis=0) - measured)
    return error


def mean_deviations(
    deviation: Field, labels: Field, replicates: Sequence[Field], *, n: int
) -> tuple[Float64Array, Float64Array]:
    """Return the mean deviation of each labelled set of voxels, and its standard error.

    Parameters
    ----------
    deviation : field of any shape, NaN where unknown
    labels : 1 to n in the sets, 0 elsewhere, of the same shape
    replicates : deviations of noise replicates of the same shape
    n : number of sets

    Returns
    -------
    mean : (n,) float64, NaN for a set without a known deviation
    standard_error : (n,) float64 from :func:`replicate_errors`; NaN with fewer than two replicates
    """
    mean = _means(labels, n, np.asarray, deviation)[1]
    if len(replicates) < 2:
        return mean, np.full(n, np.nan)
    return mean, replicate_errors(replicates, labels, mean, n_shells=n)


def _single(values: AnyArray) -> FloatArray:
    return values.astype(np.float32)


def _means(
    shells: Field, n_shells: int, function: Callable[..., AnyArray], *fields: Field
) -> tuple[IntArray, Float64Array]:
    """Return the count and the mean, in each shell, of the finite values of a function of fields.

    The mean is NaN in an empty shell.
    """
    count, total = np.zeros(n_shells + 1, np.int64), np.zeros(n_shells + 1)
    for labels, *parts in in_parts(shells, *fields):
        values = function(*parts)
        where = (labels > 0) & np.isfinite(values)
        count += np.bincount(labels[where], minlength=n_shells + 1)
        total += np.bincount(labels[where], weights=values[where], minlength=n_shells + 1)
    with np.errstate(invalid="ignore"):
        mean: Float64Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return count[1:], mean[1:]


def _fractions(phases: Field, shells: Field, n_shells: int) -> dict[str, Float64Array]:
    """Return the fraction of each class among the classified voxels of each shell."""
    found: dict[str, Float64Array] = {}
    for name, label in CLASS_LABELS.items():

        def member(part: LabelArray, label: int = label) -> FloatArray:
            return np.where(np.isin(part, list(CLASS_LABELS.values())), part == label, np.nan)

        found[name] = _means(shells, n_shells, member, phases)[1]
    return found
