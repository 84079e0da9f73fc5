"""Which frames an alignment uses, which look bad, and what a user must know about them."""

from dataclasses import dataclass

import numpy as np

from oxytomo.align.frames import cut_frames
from oxytomo.align.inputs import AlignInputs, frame_list
from oxytomo.align.matching import TRUSTED, misfit_ratio
from oxytomo.align.series import Alignment
from oxytomo.align.starts import background_free
from oxytomo.arrays import BoolArray, Float64Array
from oxytomo.errors import InputError

MAGNIFICATION_DOUBT = 0.02
"""Largest difference between estimated and recorded magnification that composition alone explains.
On simulated particles a skin, clumps of carbon and a point spread mimic up to 1.7 %. A larger
difference raises a warning."""
DAMAGE_SIGMA = 3.0


@dataclass(frozen=True)
class Frames:
    """What happened to the frames: which are used, which are left out and why, which look bad.

    Attributes
    ----------
    used : (n_tilt,) bool
    left_out : frame number, tilt in degrees, reason
    suspicious : (n_tilt,) bool, used but worse than the others
    """

    used: BoolArray
    left_out: list[tuple[int, float, str]]
    suspicious: BoolArray


def judge_frames(inputs: AlignInputs, found: Alignment, kept: BoolArray, *, exclude_misfits: bool) -> Frames:
    """Leave out copies and gross misfits, and mark frames that look bad.

    Parameters
    ----------
    inputs, found : the series and their alignment
    kept : (n_tilt,) tilts that a given table of shifts uses
    exclude_misfits : leave out frames whose misfit is far above that of their neighbours
    """
    left_out, used = list(inputs.left_out), kept.copy()

    def leave_out(tilt: int, reason: str) -> None:
        if used[tilt]:
            used[tilt] = False
            left_out.append((int(inputs.acquisition_order[tilt]), float(inputs.tilt_deg[tilt]), reason))

    for tilt in np.flatnonzero(~kept):
        left_out.append(
            (int(inputs.acquisition_order[tilt]), float(inputs.tilt_deg[tilt]), "not used in the table given")
        )
    misfit = found.tilts.alignment.innovation
    for a, b in inputs.copies:
        worse, other = (a, b) if not misfit[a] < misfit[b] else (b, a)
        leave_out(worse, f"a copy of frame {inputs.acquisition_order[other]}")
    suspicious = np.zeros(used.size, bool)
    if used.size > 1 and np.isfinite(misfit).any():
        ratio = misfit_ratio(misfit)
        if exclude_misfits:
            for tilt in np.flatnonzero(used & (ratio > 2 * TRUSTED)):
                leave_out(int(tilt), f"misfit {ratio[tilt]:.1f} times that of its neighbours")
        suspicious = used & (ratio > TRUSTED)
    if used.size > 1 and used.sum() < max(3, used.size / 2):
        raise InputError(
            f"frames {frame_list([n for n, _, _ in left_out])}",
            expected="at least half of the frames to be usable",
            got=f"{int(used.sum())} of {used.size}",
            fix="look at the raw frames, or set align.bad_frames: keep",
        )
    return Frames(used, left_out, suspicious)


def alignment_warnings(
    inputs: AlignInputs, found: Alignment, frames: Frames, recorded: Float64Array, *, estimated: bool
) -> list[str]:
    """Return what a user must know about the frames, as sentences.

    Parameters
    ----------
    recorded : (n_series,) recorded raw pixels per output pixel
    estimated : the magnification is estimated, not recorded
    """
    return [
        *_frames_left_out(inputs, frames),
        *_frames_cut(inputs, found, frames),
        *([] if estimated else _magnifications(inputs, found, recorded)),
        *_damage(inputs),
    ]


def _frames_left_out(inputs: AlignInputs, frames: Frames) -> list[str]:
    lines = []
    for reason in dict.fromkeys(reason for _, _, reason in frames.left_out):
        which = [(n, tilt) for n, tilt, why in frames.left_out if why == reason]
        lines.append(f"Left out, {reason}: frame{'s' * (len(which) > 1)} {_with_tilts(which)}.")
    if frames.suspicious.any():
        shown = _with_tilts(_numbered(inputs, frames.suspicious))
        lines.append(f"These frames fit the others badly: {shown}; exclude them if they look wrong.")
    return lines


def _frames_cut(inputs: AlignInputs, found: Alignment, frames: Frames) -> list[str]:
    if inputs.tilt_deg.size == 1:
        return []
    cut = cut_frames(background_free(found.driver.frames)) & frames.used
    if not cut.any():
        return []
    which = _numbered(inputs, cut)
    return [
        f"Something reaches the left or right margin of the field in {len(which)} of {cut.size} frames "
        f"({_with_tilts(which)}): a particle that leaves the field biases its volume."
    ]


def _magnifications(inputs: AlignInputs, found: Alignment, recorded: Float64Array) -> list[str]:
    lines = []
    scales = found.solution.magnification / recorded
    for name, registered, scale in zip(inputs.names, found.energies, scales, strict=True):
        if registered is None:
            continue
        off = scale * registered.magnification - 1
        if abs(off) > MAGNIFICATION_DOUBT:
            lines.append(
                f"{name} seems magnified by {100 * off:+.2f} % against the recorded pixel size: check the record, "
                "or set align.magnification: estimated."
            )
    return lines


def _damage(inputs: AlignInputs) -> list[str]:
    return [
        f"{name}: the optical density at {repeat.tilt_deg:g}° changed by {100 * repeat.change:+.2f} ± "
        f"{100 * repeat.change_error:.2f} % within {repeat.after_frames} frames: radiation damage?"
        for name, repeats in inputs.repeats.items()
        for repeat in repeats
        if abs(repeat.change) > DAMAGE_SIGMA * repeat.change_error
    ]


def verdict_of(inputs: AlignInputs, found: Alignment, frames: Frames) -> str:
    """Return one sentence that says whether to trust the alignment."""
    if inputs.tilt_deg.size == 1:
        return "Energies registered; a single tilt has nothing else to align."
    tilts = found.tilts
    was, now = (100 * float(np.nanmedian(m)) for m in (tilts.misfit_before, tilts.misfit_after))
    text = f"Frames differ from one common volume by {now:.1f} % of their contrast ({was:.1f} % as recorded)"
    precision = tilts.alignment.precision_px
    if np.isfinite(precision).all():
        down, across = precision
        text += f"; shifts found from two halves of the rows agree within {down:.3f} px down and {across:.3f} px across (rms)"
    if (size := found.driver.binning.factor) > 1:
        text += f"; so large a series is aligned on {size} × {size} pixels averaged"
    bad = inputs.acquisition_order[frames.suspicious]
    verb = "looks" if bad.size == 1 else "look"
    text += (
        f"; frame{'s' * (bad.size > 1)} {frame_list(bad)} {verb} bad."
        if bad.size
        else "; no frame looks bad."
    )
    return text


def _numbered(inputs: AlignInputs, tilts: BoolArray) -> list[tuple[int, float]]:
    """Return the numbers and angles of some frames as text."""
    return [(int(inputs.acquisition_order[t]), float(inputs.tilt_deg[t])) for t in np.flatnonzero(tilts)]


def _with_tilts(which: list[tuple[int, float]], most: int = 6) -> str:
    shown = ", ".join(f"{n} ({tilt:g}°)" for n, tilt in which[:most])
    return shown + (f" and {len(which) - most} more" if len(which) > most else "")
