"""One alignment of all series, estimated or given, and the frames resampled with it once."""

from dataclasses import dataclass, replace

import numpy as np

from oxytomo.align.air_level import common_air_levels
from oxytomo.align.frame_quality import Frames, alignment_warnings, judge_frames, verdict_of
from oxytomo.align.inputs import AlignInputs, require_structure
from oxytomo.align.matching import TiltAlignment, misfit_of
from oxytomo.align.parallel import frame_groups
from oxytomo.align.resample import resample, turned, turned_shifts
from oxytomo.align.series import (
    Alignment,
    Solution,
    align_series,
    look,
    mean_of_series,
    require_better,
    shifted,
)
from oxytomo.align.spectral_shifts import shifts_between_energies
from oxytomo.align.starts import background_free
from oxytomo.align.tilts import TILT_SMOOTHING_PX, AlignOptions, Progress, TiltSolution
from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.reconstruct.fbp import filtered_backprojection
from oxytomo.reconstruct.geometry import TiltGeometry
from oxytomo.slabs import Field, new_field

MAX_PICTURES = 8
"""Number of frames shown in the report, of those that are left out or look bad."""


@dataclass(frozen=True)
class Given:
    """Shifts from a table: the solution, and (n_tilt,) the tilts that it uses."""

    solution: Solution
    kept: BoolArray


@dataclass(frozen=True)
class JudgedAlignment:
    """An alignment, the frames that it uses, and what a user must know about both.

    Attributes
    ----------
    inputs : the series
    found : the alignment, estimated or given
    frames : what became of the frames
    warnings : sentences
    verdict : one sentence that says whether to trust the alignment
    """

    inputs: AlignInputs
    found: Alignment
    frames: Frames
    warnings: list[str]
    verdict: str

    @property
    def of_used(self) -> Solution:
        """Solution for the frames in use."""
        solution, used = self.found.solution, self.frames.used
        return Solution(
            solution.dy_px[:, used], solution.dx_px[:, used], solution.magnification, solution.axis_tilt_deg
        )


@dataclass(frozen=True)
class Resampled:
    """Aligned frames, (n_series, n_used, n_y, n_x) float32.

    ``moved`` names the series that were moved to make their spectra agree, with the shift in px
    rms. ``levelled`` says how much air level was subtracted, as optical density rms. Both are empty
    where nothing was done.
    """

    value: Field
    variance: Field
    moved: str
    levelled: str = ""


def align_inputs(
    inputs: AlignInputs,
    recorded: Float64Array,
    given: Given | None,
    *,
    options: AlignOptions,
    exclude_misfits: bool,
    name: str,
    progress: Progress,
) -> JudgedAlignment:
    """Estimate the alignment of all series, or take a given one, and judge its frames.

    Parameters
    ----------
    inputs : the series
    recorded : (n_series,) recorded raw pixels per output pixel
    given : shifts from a table, None to estimate them
    options : what may move
    exclude_misfits : leave out frames that do not fit the other frames
    name : subject of error messages
    """
    if given is None:
        found, kept = _found(inputs, recorded, options, name, progress), np.ones(inputs.tilt_deg.size, bool)
    else:
        found, kept = _judged(inputs, given.solution, progress), given.kept
    frames = judge_frames(inputs, found, kept, exclude_misfits=exclude_misfits)
    warnings = alignment_warnings(inputs, found, frames, recorded, estimated=options.estimate_magnification)
    return JudgedAlignment(inputs, found, frames, warnings, verdict_of(inputs, found, frames))


def _found(
    inputs: AlignInputs, recorded: Float64Array, options: AlignOptions, name: str, progress: Progress
) -> Alignment:
    """Estimate the alignment, and raise where it makes the misfit larger."""
    if inputs.tilt_deg.size > 1:
        require_structure(inputs.values[inputs.best], inputs.noise[inputs.best], inputs.acquisition_order)
    found = align_series(
        inputs.names,
        inputs.values,
        inputs.signal_to_noise,
        tilt_deg=inputs.tilt_deg,
        acquisition_order=inputs.acquisition_order,
        magnification=recorded,
        options=options,
        progress=progress,
    )
    if options.tilts and inputs.tilt_deg.size > 1:
        require_better(found.tilts.misfit_before, found.tilts.misfit_after, name)
    return found


def _judged(inputs: AlignInputs, given: Solution, progress: Progress) -> Alignment:
    """Judge a given table of shifts in the same way as an estimate."""
    best, n_tilt = inputs.best, inputs.tilt_deg.size
    own = look(inputs.values[best], float(given.magnification[best]))
    driver = mean_of_series([own], np.zeros((1, n_tilt, 2)), np.ones(1))
    shifts = np.stack([given.dy_px[best], given.dx_px[best]], axis=1) / given.magnification[best]
    shifts = turned_shifts(shifts, -given.axis_tilt_deg)
    unknown = np.full(n_tilt, np.nan)
    if n_tilt > 1:
        clean = turned(background_free(driver.frames), given.axis_tilt_deg, np.zeros((n_tilt, 2)))
        report = progress("judge the shifts given")
        as_recorded = np.zeros_like(shifts)
        as_recorded[:, 1] = np.median(shifts[:, 1])
        moved = [driver.binning.shifts(one) for one in (as_recorded, shifts)]
        before, _ = misfit_of(clean, inputs.tilt_deg, moved[0], sigma_px=TILT_SMOOTHING_PX)
        report(1, 2)
        after, innovation = misfit_of(clean, inputs.tilt_deg, moved[1], sigma_px=TILT_SMOOTHING_PX)
        report(2, 2)
    else:
        before = after = innovation = unknown
    tilts = TiltSolution(
        replace(TiltAlignment.still(shifts), innovation=innovation),
        given.axis_tilt_deg,
        np.nan,
        np.nan,
        before,
        after,
        "given",
        {},
    )
    return Alignment(given, best, [None] * len(inputs.names), tilts, driver)


def resample_inputs(
    judged: JudgedAlignment, progress: Progress, *, by_spectra: bool, one_air: bool
) -> tuple[JudgedAlignment, Resampled]:
    """Resample the raw pixels of the frames in use, once, with all corrections composed.

    Parameters
    ----------
    judged : the alignment
    by_spectra : move the energies until their spectra agree, where the shifts exceed their errors
    one_air : set the air that all energies share to 0, where it differs from 0 by more than its
        error

    Returns
    -------
    The alignment, with these shifts where they were significant, and its frames
    """
    inputs, used = judged.inputs, judged.frames.used
    value, variance = _resampled(inputs, judged.found.solution, used, progress)
    moved = shifts_between_energies(value, variance, progress("compare spectra")) if by_spectra else None
    if moved is None:
        return judged, Resampled(value, variance, "", _levelled(inputs, value, variance) if one_air else "")
    rms = np.sqrt(np.mean(np.sum(moved.shift_px**2, axis=2), axis=1))
    named = ", ".join(f"{name} {size:.3f}" for name, size in zip(inputs.names, rms, strict=True) if size > 0)
    solution = shifted(judged.found.solution, moved.shift_px, used)
    value, variance = _resampled(inputs, solution, used, progress)
    levelled = _levelled(inputs, value, variance) if one_air else ""
    moved_alignment = replace(judged, found=replace(judged.found, solution=solution))
    return moved_alignment, Resampled(value, variance, named, levelled)


def _levelled(inputs: AlignInputs, value: Field, variance: Field) -> str:
    """Subtract the air level that all energies share; the text says how large it was."""
    levels = common_air_levels(value, variance)
    if levels is None:
        return ""
    for e, of_energy in enumerate(levels):
        for t, level in enumerate(of_energy):
            value[e, t] = np.asarray(value[e, t]) - np.float32(level)
    rms = np.sqrt(np.mean(levels**2, axis=1))
    return ", ".join(f"{name} {size:.4f}" for name, size in zip(inputs.names, rms, strict=True))


def _resampled(
    inputs: AlignInputs, solution: Solution, used: BoolArray, progress: Progress
) -> tuple[Field, Field]:
    shape = (len(inputs.names), int(used.sum()), *inputs.shape)
    value, variance = new_field(shape, np.float32), new_field(shape, np.float32)
    report = progress("resample")
    for e in range(shape[0]):
        raw, noise = inputs.frames(e, used)
        for group in frame_groups(shape[1:]):
            value[e, group], variance[e, group] = resample(
                np.asarray(raw[group]),
                np.asarray(noise[group]),
                dy_px=solution.dy_px[e, used][group],
                dx_px=solution.dx_px[e, used][group],
                magnification=float(solution.magnification[e]),
                rotation_deg=solution.axis_tilt_deg,
                shape=inputs.shape,
            )
            report(e * shape[1] + group.stop, shape[0] * shape[1])
    return value, variance


@dataclass(frozen=True)
class Pictures:
    """What a report shows of an alignment.

    Attributes
    ----------
    row : (2, n_used, n_x) one detector row at all tilts, as recorded and aligned
    slice : (2, n_x, n_x) float32, the slice reconstructed from that row
    shown, numbers : (n_shown, n_y, n_x) frames that are left out or look bad, and their numbers
    """

    row: FloatArray
    slice: FloatArray
    shown: FloatArray
    numbers: IntArray


def pictures_of(judged: JudgedAlignment) -> Pictures | None:
    """Return one detector row at all tilts and its slice, before and after.

    None for a single tilt.
    """
    inputs, tilts, used = judged.inputs, judged.found.tilts, judged.frames.used
    if inputs.tilt_deg.size == 1:
        return None
    driver = judged.found.driver
    clean = background_free(driver.frames)
    turn_deg, shifts = tilts.applied_axis_tilt_deg, driver.binning.shifts(tilts.alignment.shifts)
    after = turned(clean, turn_deg, shifts)
    before = turned(clean, 0.0, np.broadcast_to(np.median(shifts, axis=0), shifts.shape))
    row = int(after.std(axis=2).mean(axis=0).argmax())
    rows = np.stack([before[used, row], after[used, row]])
    geometry = TiltGeometry.square(inputs.tilt_deg[used], rows.shape[2])
    slices = np.stack([filtered_backprojection(r[:, None, :].copy(), geometry)[0] for r in rows])
    shown = np.flatnonzero(~used | judged.frames.suspicious)[:MAX_PICTURES]
    return Pictures(rows, slices.astype(np.float32), clean[shown], inputs.acquisition_order[shown])
