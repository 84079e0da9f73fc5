"""Depth below the particle's surface, and shells of equal volume from rim to centre."""

from collections.abc import Iterable, Sequence

import edt
import numpy as np

from pipeline.arrays import AnyArray, BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from pipeline.errors import InputError, ShapeError
from pipeline.segment.classes import CLASS_LABELS
from pipeline.segment.particle import filled_particle

Column = list[str] | Float64Array | IntArray | BoolArray
"""One column of a table."""


def depth_below_surface(particle: BoolArray, *, voxel_nm: float) -> FloatArray:
    """Return the Euclidean distance of each voxel's centre to the outer surface of the particle.

    The surface lies between a voxel of the particle and its neighbour outside, so that a voxel at the
    surface has the depth of half a voxel. Closed voids make no inner surface. Where the particle is cut by
    the edge of the volume, the edge is no surface.

    Parameters
    ----------
    particle : (n_z, n_y, n_x) or (n_y, n_x) bool
    voxel_nm : edge of a voxel

    Returns
    -------
    depth_nm : float32, NaN outside the solid

    Raises
    ------
    InputError
        When there is no background outside the particle.
    """
    filled = filled_particle(particle)
    if filled.all():
        raise InputError(
            "particle",
            expected="background around the particle",
            got="none that reaches the edge of the volume",
            fix="check the particle mask: the field of view must be wider than the particle",
        )
    distance_px = edt.edt(np.ascontiguousarray(filled), black_border=False)
    depth: FloatArray = np.where(particle, (distance_px - 0.5) * voxel_nm, np.nan).astype(np.float32)
    return depth


def shell_labels(depth_nm: FloatArray, *, n_shells: int) -> LabelArray:
    """Divide the solid by depth into shells of equal volume (in 2-D area), 1 at the rim to n at the centre.

    The limits are the depths whose share of the solid is nearest to 1/n, 2/n, …; voxels of the same depth
    stay together, so a shell is as equal as one layer of voxels allows. In a particle of few voxels a
    shell can be empty.

    Parameters
    ----------
    depth_nm : (n_z, n_y, n_x) or (n_y, n_x) array from :func:`depth_below_surface`, NaN outside the solid
    n_shells : number of shells, at most 255

    Returns
    -------
    shells : uint8, 0 outside the solid
    """
    solid = ~np.isnan(depth_nm)
    _, level_of_voxel, counts = np.unique(depth_nm[solid], return_inverse=True, return_counts=True)
    middle_share = (np.cumsum(counts) - counts / 2) / max(1, level_of_voxel.size)
    shell_of_level = np.minimum((middle_share * n_shells).astype(np.int64), n_shells - 1) + 1
    shells: LabelArray = np.zeros(depth_nm.shape, dtype=np.uint8)
    shells[solid] = shell_of_level[level_of_voxel]
    return shells


def shell_table(
    deviation: FloatArray,
    phases: LabelArray,
    shells: LabelArray,
    replicates: Sequence[FloatArray] | FloatArray | None,
    *,
    n_shells: int,
    depth_nm: FloatArray,
) -> dict[str, Column]:
    """Measure deviation and class fractions of each shell, from rim to centre.

    The standard error of a shell's mean is the standard deviation, over noise replicates, of that mean: it
    knows that the noise of neighbouring voxels is correlated. Without at least two replicates it is s/√n
    of the voxels, as if they were independent, which is too small; the column ``standard_error_from`` says
    which.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) or (n_y, n_x) array, NaN where unknown
    phases, shells : label arrays of the same shape; ``shells`` from :func:`shell_labels`
    replicates : n arrays, deviations of noise replicates of any float type, or None
    n_shells : number of shells
    depth_nm : from :func:`depth_below_surface`

    Returns
    -------
    table : columns ``shell`` (1 at the rim), ``shell_outer`` and ``shell_inner`` (nominal share of the
        solid's volume outside the shell's two limits, in percent: 0 to 20 for the first of five),
        ``depth_mean_nm``, ``n_voxels`` (with a deviation), ``mean_deviation``, ``standard_error``,
        ``standard_error_from``, ``standard_deviation`` (of the voxels) and the fraction of each class; NaN
        in an empty shell
    """
    if not deviation.shape == phases.shape == shells.shape == depth_nm.shape:
        raise ShapeError(
            "deviation, phases and shells",
            expected="one shape",
            got=f"{deviation.shape}, {phases.shape}, {shells.shape} and depth {depth_nm.shape}",
            fix="take them from the same reconstruction",
        )
    number = np.arange(1, n_shells + 1)
    known = (shells > 0) & np.isfinite(deviation)
    n_voxels, mean = _means(deviation, shells, known, n_shells)
    _, mean_square = _means((deviation - _spread(mean, shells)) ** 2, shells, known, n_shells)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation_sd = np.sqrt(mean_square * n_voxels / (n_voxels - 1.0))
        error = deviation_sd / np.sqrt(n_voxels)
    from_replicates = replicates is not None and len(replicates) >= 2
    if replicates is not None and from_replicates:
        error = replicate_errors(replicates, shells, n_shells=n_shells)
    return {
        "shell": number,
        "shell_outer": 100.0 * (number - 1) / n_shells,
        "shell_inner": 100.0 * number / n_shells,
        "depth_mean_nm": _means(depth_nm, shells, shells > 0, n_shells)[1],
        "n_voxels": n_voxels,
        "mean_deviation": mean,
        "standard_error": error,
        "standard_error_from": ["replicates" if from_replicates else "independent voxels"] * n_shells,
        "standard_deviation": deviation_sd,
        **_fractions(phases, shells, n_shells),
    }


def replicate_errors(replicates: Iterable[FloatArray], shells: LabelArray, *, n_shells: int) -> Float64Array:
    """Return the standard deviation over replicates of each shell's mean deviation.

    Parameters
    ----------
    replicates : n arrays of any float type, n at least 2
    shells : label array of the replicates' shape
    n_shells : number of shells

    Returns
    -------
    standard_error : (n_shells,) float64
    """
    means = []
    for one in replicates:
        value = one.astype(np.float32)
        means.append(_means(value, shells, (shells > 0) & np.isfinite(value), n_shells)[1])
    error: Float64Array = np.std(means, axis=0, ddof=1)
    return error


def _means(
    values: AnyArray, shells: LabelArray, where: BoolArray, n_shells: int
) -> tuple[IntArray, Float64Array]:
    """Return count and mean of ``values`` in each shell; the mean is NaN in an empty shell."""
    labels = shells[where]
    count = np.bincount(labels, minlength=n_shells + 1)[1:]
    total = np.bincount(labels, weights=values[where], minlength=n_shells + 1)[1:]
    with np.errstate(invalid="ignore"):
        mean: Float64Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return count, mean


def _spread(of_shell: Float64Array, shells: LabelArray) -> Float64Array:
    """Return the value of each voxel's shell."""
    spread: Float64Array = np.concatenate([[np.nan], of_shell])[shells]
    return spread


def _fractions(phases: LabelArray, shells: LabelArray, n_shells: int) -> dict[str, Column]:
    """Return the fraction of each class among the classified voxels of each shell."""
    classified = np.isin(phases, list(CLASS_LABELS.values())) & (shells > 0)
    return {
        name: _means((phases == label).astype(np.float32), shells, classified, n_shells)[1]
        for name, label in CLASS_LABELS.items()
    }
