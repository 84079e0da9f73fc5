"""The rotation axis of a scan, and frames moved onto a perfect rotation about it."""

from dataclasses import dataclass

import numpy as np

from oxytomo.align.axis import axis_from_pairs, find_axis, opposite_pairs
from oxytomo.align.binning import Binning
from oxytomo.align.parallel import frame_groups
from oxytomo.align.register import fill_invalid
from oxytomo.align.resample import resample
from oxytomo.align.series import Solution, compose, mean_of_series
from oxytomo.align.tilts import AlignOptions, Progress, align_tilts
from oxytomo.arrays import Float64Array, IntArray
from oxytomo.slabs import Field, new_field

PAIRS = 32
"""Largest number of pairs of opposite frames that are compared for the axis."""
AXIS_TILTS, AXIS_COLUMNS, AXIS_ITERATIONS = 180, 256, 12
"""Without pairs: number of angles, of binned columns, and of iterations of the search for the
axis."""
SMOOTHING_PX = 1.5
AXIS_SPREAD_PX = 0.5
"""A warning is given when the pairs disagree by more than this (median absolute deviation)."""


@dataclass(frozen=True)
class RotationAxis:
    """The detector column of the rotation axis, how it was found, and a text on it."""

    column: float
    how: str
    remarks: tuple[str, ...] = ()

    @classmethod
    def in_the_middle(cls, n_columns: int, how: str) -> "RotationAxis":
        """Return the axis of frames that were moved onto it."""
        return cls((n_columns - 1) / 2, how)


@dataclass(frozen=True)
class RotationOptions:
    """How the axis is found; see the settings of the same names."""

    max_shift_px: float
    axis_column: float | None
    iterations: int


def rotation_axis(
    frames: Field, tilt_deg: Float64Array, options: RotationOptions, progress: Progress
) -> RotationAxis:
    """Find the column of the rotation axis: given, from opposite frames, or by the best fit.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32; only some of them are read
    tilt_deg : (n_tilt,) degrees
    options : the given column, or the largest distance from the middle
    progress : reports the progress of the search
    """
    if options.axis_column is not None:
        return RotationAxis(options.axis_column, "given")
    pairs = opposite_pairs(tilt_deg)
    if len(pairs):
        return _from_pairs(frames, pairs[_spread(len(pairs), PAIRS)], options.max_shift_px)
    tilts = _spread(tilt_deg.size, AXIS_TILTS)
    shape = (int(frames.shape[1]), int(frames.shape[2]))
    binning = Binning(shape, max(1, shape[1] // AXIS_COLUMNS))
    column, _, misfit = find_axis(
        np.concatenate([binning.of(np.asarray(frames[int(t)])[None]) for t in tilts]),
        tilt_deg[tilts],
        max_shift_px=options.max_shift_px / binning.factor,
        iterations=AXIS_ITERATIONS,
        on_iteration=progress("find the rotation axis"),
    )
    how = f"no pair of opposite frames; misfit {misfit.min():.4f} of the data"
    return RotationAxis(binning.column_undone(column), how)


def _spread(n: int, most: int) -> IntArray:
    """Return at most this many numbers below n, spread evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _from_pairs(frames: Field, pairs: IntArray, max_shift_px: float) -> RotationAxis:
    """Take the median column over pairs (n, 2) of opposite frames."""
    first, opposite = (np.stack([np.asarray(frames[int(t)]) for t in part]) for part in pairs.T)
    columns, residual = axis_from_pairs(first, opposite, max_shift_px=max_shift_px, sigma_px=SMOOTHING_PX)
    axis = float(np.median(columns))
    spread = float(np.median(np.abs(columns - axis)))
    how = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''} of opposite frames, residual {np.median(residual):.3f}"
    text = f"pairs of opposite frames disagree about the rotation axis by {spread:.2f} px: the frames move"
    return RotationAxis(axis, how, (text,) if spread > AXIS_SPREAD_PX else ())


def on_rotation(
    frames: Field, tilt_deg: Float64Array, options: RotationOptions, *, progress: Progress
) -> tuple[Field, str]:
    """Move frames onto a perfect rotation about the middle column.

    Parameters
    ----------
    frames : (n_tilt, n_y, n_x) float32, NaN where invalid
    tilt_deg : (n_tilt,) degrees
    options : the axis where it is given, and the largest shift of a frame
    progress : reports the progress of the alignment

    Returns
    -------
    moved : (n_tilt, n_y, n_x) float32, gaps filled
    text : how far the frames were moved
    """
    chosen = AlignOptions(
        tilts=True,
        energies=False,
        max_shift_px=options.max_shift_px,
        iterations=options.iterations,
        axis_column=options.axis_column,
        axis_tilt_deg=None,
        estimate_magnification=False,
    )
    still = np.zeros((1, tilt_deg.size, 2))
    driver = mean_of_series([frames], still, np.ones(1))
    found = align_tilts(driver, tilt_deg, np.arange(tilt_deg.size), chosen, progress)
    place = compose(still, found.alignment.shifts, found.applied_axis_tilt_deg, np.ones(1))
    text = (
        f"frames moved by {np.std(found.alignment.shifts, axis=0).round(2).tolist()} px rms (y, x), axis leans by "
        f"{found.applied_axis_tilt_deg:.2f} degrees; misfit {np.nanmedian(found.misfit_before):.4f} of the contrast before, "
        f"{np.nanmedian(found.misfit_after):.4f} after"
    )
    return _moved(frames, place), text


def _moved(frames: Field, place: Solution) -> Field:
    """Resample the frames of one series in groups."""
    moved = new_field(frames.shape, np.float32)
    for group in frame_groups(frames.shape):
        clean = fill_invalid(np.asarray(frames[group]))
        part, _ = resample(
            clean,
            np.ones_like(clean),
            dy_px=place.dy_px[0, group],
            dx_px=place.dx_px[0, group],
            magnification=1.0,
            rotation_deg=place.axis_tilt_deg,
            shape=(frames.shape[1], frames.shape[2]),
        )
        moved[group] = fill_invalid(part)
    return moved
