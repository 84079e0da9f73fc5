"""Alignment of the tilts of one series: first guesses, axis and its in-plane tilt, matching."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from oxytomo.align.axis import find_axis
from oxytomo.align.axis_tilt import axis_tilt
from oxytomo.align.binning import Binning
from oxytomo.align.frames import cut_frames
from oxytomo.align.matching import TiltAlignment, coarse_binning, match_projections, misfit_of
from oxytomo.align.resample import turned, turned_shifts
from oxytomo.align.starts import background_free, centre_of_mass_shifts, vertical_shifts, walked_shifts
from oxytomo.arrays import Float64Array, FloatArray, IntArray

TILT_SMOOTHING_PX = 1.0
"""Gaussian smoothing before tilts are compared: wider than the noise, narrower than the edge."""
SIRT_ITERATIONS = 20
COMPARED_COLUMNS = 80
"""First guesses are compared on frames that are binned as long as they keep this many columns."""
FINE_ROUNDS = 2
"""Rounds of projection matching at full resolution after those with binned frames."""
LEAN_SIGMA, MIN_LEAN_DEG = 3.0, 0.02
"""The in-plane tilt of the axis is corrected when it exceeds this many standard errors and this
many degrees."""
MANY_CUT = 0.2
"""The axis tilt is not estimated when more than this share of the frames is cut: it needs a
particle within the field."""

Progress = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class AlignOptions:
    """What may move, and how far; see the settings of the same names."""

    tilts: bool
    energies: bool
    max_shift_px: float
    iterations: int
    axis_column: float | None
    axis_tilt_deg: float | None
    estimate_magnification: bool


@dataclass(frozen=True)
class TiltSolution:
    """Positions of the tilts of a series, and how well the alignment fits.

    Attributes
    ----------
    alignment : shifts, in frames rotated back by ``applied_axis_tilt_deg``
    applied_axis_tilt_deg : in-plane tilt of the axis that is corrected, degrees
    axis_tilt_deg, axis_tilt_error_deg : its estimate, corrected or not, and standard error; NaN
        where it was not estimated
    misfit_before, misfit_after : (n_tilt,) residual of the frames as recorded (about the best axis)
        and aligned, each against a fresh reconstruction; NaN for a single tilt
    start : name of the first guess that was refined
    starts : median misfit of every first guess
    """

    alignment: TiltAlignment
    applied_axis_tilt_deg: float
    axis_tilt_deg: float
    axis_tilt_error_deg: float
    misfit_before: Float64Array
    misfit_after: Float64Array
    start: str
    starts: dict[str, float]


@dataclass(frozen=True)
class Driver:
    """Frames that the tilts are aligned by: the mean of all series on the reference series.

    They are not yet moved between the tilts.

    Attributes
    ----------
    frames : (n_tilt, m_y, m_x) float32
    binning : binning of these frames
    """

    frames: FloatArray
    binning: Binning


def align_tilts(
    driver: Driver,
    tilt_deg: Float64Array,
    acquisition_order: IntArray,
    options: AlignOptions,
    progress: Progress,
) -> TiltSolution:
    """Shifts between the tilts, the axis and its in-plane tilt, misfit before and after.

    All are in pixels that are not binned.

    Parameters
    ----------
    driver : the frames that the tilts are aligned by; other parameters as in :func:`align_series`
    """
    binning = driver.binning
    binned_options = replace(
        options,
        max_shift_px=options.max_shift_px / binning.factor,
        axis_column=None if options.axis_column is None else binning.column(options.axis_column),
    )
    size = binning.factor

    def told(label: str) -> Callable[[int, int], None]:
        return progress(label if size == 1 else f"{label} (frames averaged over {size} × {size} pixels)")

    still = binning.shifts(np.zeros(2))
    found = _align_driver(driver.frames, tilt_deg, acquisition_order, binned_options, told, still)
    alignment = found.alignment
    return replace(
        found,
        alignment=replace(
            alignment,
            shifts=binning.undone(alignment.shifts),
            precision_px=alignment.precision_px * size,
            last_move_px=alignment.last_move_px * size,
        ),
    )


def _align_driver(
    driver: FloatArray,
    tilt_deg: Float64Array,
    acquisition_order: IntArray,
    options: AlignOptions,
    progress: Progress,
    still: Float64Array,
) -> TiltSolution:
    """Align frames (n_tilt, n_y, n_x), all in their own pixels.

    ``still`` (dy, dx) is the shift of a frame that is not moved.
    """
    n_tilt = tilt_deg.size
    if n_tilt == 1:
        unknown = np.full(1, np.nan)
        return TiltSolution(TiltAlignment.still(still[None]), 0.0, np.nan, np.nan, unknown, unknown, "", {})
    clean = background_free(driver)
    offset = None if options.axis_column is None else options.axis_column - (driver.shape[2] - 1) / 2
    if options.tilts:
        guesses = _first_guesses(clean, tilt_deg, acquisition_order, options.max_shift_px, offset, still[0])
    else:
        offset = _axis_offset(clean, tilt_deg, options, progress) if offset is None else offset
        guesses = {"as recorded": np.tile([still[0], offset], (n_tilt, 1))}
    binning = coarse_binning(driver.shape[1:])
    tried, compared = _compared(clean, tilt_deg, guesses, progress("compare first guesses"))
    starts = {name: float(np.nanmedian(residual)) for name, residual in tried.items()}
    before = tried["as recorded"]
    if compared.factor != binning.factor:
        shifts = binning.shifts(guesses["as recorded"])
        before = misfit_of(binning.of(clean), tilt_deg, shifts, sigma_px=TILT_SMOOTHING_PX)[0]
    best = min(starts, key=lambda name: (name == "as recorded" and options.tilts, starts[name]))
    lean, estimate, error = _lean(clean, tilt_deg, guesses[best], options)
    start = turned_shifts(guesses[best], -lean)
    frames = clean if lean == 0 else turned(clean, lean, np.zeros((n_tilt, 2)))
    del clean  # as large as the series
    if options.tilts and options.iterations:
        found = _matched(frames, tilt_deg, start, options, progress)
    else:
        found = TiltAlignment.still(start)
    after, innovation = misfit_of(
        binning.of(frames), tilt_deg, binning.shifts(found.shifts), sigma_px=TILT_SMOOTHING_PX
    )
    if not np.isfinite(found.innovation).any():
        found = replace(found, innovation=innovation)
    return TiltSolution(found, lean, estimate, error, before, after, best, starts)


def _compared(
    clean: FloatArray,
    tilt_deg: Float64Array,
    guesses: dict[str, Float64Array],
    report: Callable[[int, int], None],
) -> tuple[dict[str, Float64Array], Binning]:
    """Return the misfits of each first guess, and the binning: few pixels tell guesses apart."""
    binning, tried = coarse_binning(clean.shape[1:], COMPARED_COLUMNS), dict[str, Float64Array]()
    small = binning.of(clean)
    for name, shifts in guesses.items():
        tried[name] = misfit_of(small, tilt_deg, binning.shifts(shifts), sigma_px=TILT_SMOOTHING_PX)[0]
        report(len(tried), len(guesses))
    return tried, binning


def _matched(
    frames: FloatArray,
    tilt_deg: Float64Array,
    start: Float64Array,
    options: AlignOptions,
    progress: Progress,
) -> TiltAlignment:
    """Match projections; large frames are binned first.

    A few rounds at full resolution then refine the result of the binned frames.
    """
    rounds, binning = options.iterations, coarse_binning(frames.shape[1:])

    def match(which: FloatArray, begin: Float64Array, rounds: int, bin_px: int, label: str) -> TiltAlignment:
        return match_projections(
            which,
            tilt_deg,
            begin,
            rounds=rounds,
            sirt_iterations=SIRT_ITERATIONS,
            max_shift_px=options.max_shift_px / bin_px,
            sigma_px=TILT_SMOOTHING_PX,
            on_iteration=progress(label),
        )

    if binning.factor > 1:
        label = f"match projections, {binning.factor} × {binning.factor} pixels together"
        coarse = match(binning.of(frames), binning.shifts(start), rounds, binning.factor, label)
        start, rounds = binning.undone(coarse.shifts), min(rounds, FINE_ROUNDS)
    return match(frames, start, rounds, 1, "match projections")


def _first_guesses(
    clean: FloatArray,
    tilt_deg: Float64Array,
    acquisition_order: IntArray,
    max_shift_px: float,
    axis_offset: float | None,
    still_dy: float,
) -> dict[str, Float64Array]:
    """Shifts as recorded, from the centre of mass, and from neighbour to neighbour.

    The dy are relative to that of a frame that is not moved.
    """
    mass = np.zeros((tilt_deg.size, 2))
    mass[:, 0] = vertical_shifts(clean, max_shift_px=max_shift_px, rounds=4)
    mass[:, 1] = centre_of_mass_shifts(turned(clean, 0.0, mass), tilt_deg)
    walked = walked_shifts(clean, tilt_deg, acquisition_order, max_shift_px=max_shift_px)
    recorded = np.zeros_like(mass)
    recorded[:, 1] = np.median(mass[:, 1]) if axis_offset is None else axis_offset
    if axis_offset is not None:
        for guess in (mass, walked):
            guess[:, 1] += axis_offset - np.median(guess[:, 1])
    for guess in (recorded, mass, walked):
        guess[:, 0] += still_dy
    return {"as recorded": recorded, "centre of mass": mass, "neighbour to neighbour": walked}


def _axis_offset(
    clean: FloatArray, tilt_deg: Float64Array, options: AlignOptions, progress: Progress
) -> float:
    """Offset of the tilt axis from the middle column, for frames that do not move."""
    column, _, _ = find_axis(
        clean,
        tilt_deg,
        max_shift_px=options.max_shift_px,
        iterations=12,
        on_iteration=progress("find the tilt axis"),
    )
    return column - (clean.shape[2] - 1) / 2


def _lean(
    clean: FloatArray, tilt_deg: Float64Array, shifts: Float64Array, options: AlignOptions
) -> tuple[float, float, float]:
    """In-plane tilt of the axis to correct, its estimate, and the standard error.

    All are in degrees.
    """
    if options.axis_tilt_deg is not None:
        return options.axis_tilt_deg, np.nan, np.nan
    if cut_frames(clean).mean() > MANY_CUT or tilt_deg.size < 10:
        return 0.0, np.nan, np.nan
    estimate, error = axis_tilt(clean, tilt_deg, shifts, np.ones(tilt_deg.size))
    certain = abs(estimate) > max(LEAN_SIGMA * error, MIN_LEAN_DEG)
    return (estimate if certain else 0.0), estimate, error
