"""Which frames of a series are usable: finds blank, copied, repeated and cut frames."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.align.parallel import frame_groups
from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.slabs import Field

FEATURELESS = 2.0
"""Below this contrast-to-noise ratio of a smoothed frame there is nothing to align."""
BLANK_CONTRAST, BLANK_VALID = 0.2, 0.3
"""A frame is blank below this share of its neighbours' contrast, or below this share of valid
pixels."""
CUT_LEVEL = 0.1
"""A frame is cut when its outermost columns at one side carry more than this share of the
particle's level."""
SAME_TILT_DEG = 1e-3
HALF_LEVEL, NEARLY_ALL = 0.5, 0.9
"""Half acquisition: level of the sample's middle near one side, and share of the frames that show
it."""
FULL_TURN_DEG, FEW_FOR_TURN, FRAMES_LOOKED_AT, MARGIN_PX = 330.0, 20, 72, 3


@dataclass(frozen=True)
class Repeat:
    """A tilt that was recorded more than once, and what changed in between.

    Attributes
    ----------
    tilt_deg : the angle
    after_frames : number of frames between the first and the repeated exposure
    change : relative change of the frame's total optical density
    change_error : its standard error from counting noise
    """

    tilt_deg: float
    after_frames: int
    change: float
    change_error: float


def one_by_one(frames: Field) -> Iterator[FloatArray]:
    """Iterate over the frames of a series, which are read in groups."""
    for group in frame_groups(frames.shape):
        yield from np.asarray(frames[group])


def spread(frames: Field) -> float:
    """Standard deviation of all valid pixels of a series; 0 where there are none."""
    count, total, squares = 0, 0.0, 0.0
    for frame in one_by_one(frames):
        valid = frame[np.isfinite(frame)].astype(np.float64)
        count, total, squares = count + valid.size, total + float(valid.sum()), squares + float(valid @ valid)
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0))) if count else 0.0


def first_of_each_tilt(
    tilt_deg: Float64Array, acquisition_order: IntArray
) -> tuple[IntArray, list[tuple[int, int]]]:
    """Indices of the first recorded frame of each tilt, by angle, and pairs (first, repeat).

    Parameters
    ----------
    tilt_deg : (n,) ascending
    acquisition_order : (n,) when each frame was recorded
    """
    group = np.concatenate([[0], np.cumsum(np.diff(tilt_deg) > SAME_TILT_DEG)])
    first, pairs = [], []
    for g in range(int(group[-1]) + 1):
        members = np.flatnonzero(group == g)
        members = members[np.argsort(acquisition_order[members], kind="stable")]
        first.append(int(members[0]))
        pairs += [(int(members[0]), int(m)) for m in members[1:]]
    return np.array(first), pairs


def radiation_damage(
    value: Field,
    variance: Field,
    tilt_deg: Float64Array,
    acquisition_order: IntArray,
    pairs: Sequence[tuple[int, int]],
) -> list[Repeat]:
    """Compare repeated exposures of a tilt with the first one.

    A specimen that loses mass under the beam shows up here.

    Parameters
    ----------
    value, variance : (n, n_y, n_x) float32, air at 0; NaN and inf where invalid
    pairs : (first, repeat) of each repeated tilt
    """
    found = []
    for first, again in pairs:
        views = value[first], value[again]
        both = np.isfinite(views[0]) & np.isfinite(views[1])
        before, after = (float(view[both].sum(dtype=np.float64)) for view in views)
        error = np.sqrt(sum(float(variance[i][both].sum(dtype=np.float64)) for i in (first, again)))
        scale = before if abs(before) > 1e-12 else np.nan
        gap = int(abs(acquisition_order[again] - acquisition_order[first]))
        found.append(Repeat(float(tilt_deg[first]), gap, (after - before) / scale, error / abs(scale)))
    return found


def signal_to_noise(frames: Field, noise: float) -> Float64Array:
    """Contrast of each frame over 5 × 5 pixels against its noise there: (n,).

    0 without valid pixels.

    Parameters
    ----------
    frames : (n, n_y, n_x) float32, NaN where invalid
    noise : standard deviation of a pixel
    """
    found = np.zeros(frames.shape[0])
    for i, frame in enumerate(one_by_one(frames)):
        valid = np.isfinite(frame)
        if valid.sum() < 64:
            continue
        mean = scipy.ndimage.uniform_filter(np.where(valid, frame, np.median(frame[valid])), 5)
        found[i] = float(np.std(mean[valid])) / max(noise / 5, 1e-12)
    return found


def blank_and_copied(frames: Field) -> tuple[BoolArray, list[tuple[int, int]]]:
    """Find frames that show nothing of the sample, and frames that occur twice.

    The series is read only once.

    Returns
    -------
    blank : (n,) frames without sample or without light, compared with the other frames of the
        series
    copies : pairs of frames that are identical in every valid pixel; noise never repeats, so one of
        the two is a copy
    """
    share, contrast = np.zeros((2, frames.shape[0]))
    seen: dict[bytes, int] = {}
    copies = []
    for i, frame in enumerate(one_by_one(frames)):
        valid = np.isfinite(frame)
        share[i] = valid.mean()
        if not valid.any():
            continue
        contrast[i] = np.std(scipy.ndimage.uniform_filter(np.where(valid, frame, 0), 5))
        key = hashlib.blake2b(frame.tobytes(), digest_size=32).digest()
        if key in seen:
            copies.append((seen[key], i))
        seen.setdefault(key, i)
    blank = (share < BLANK_VALID * np.median(share)) | (contrast < BLANK_CONTRAST * np.median(contrast))
    return blank, copies


def cut_frames(frames: FloatArray) -> BoolArray:
    """Frames whose particle reaches the left or right margin of the field: (n,).

    Parameters
    ----------
    frames : (n, n_y, n_x) float32, air at 0, no NaN
    """
    level = np.percentile(frames, 98, axis=(1, 2))
    sides = np.stack([frames[:, :, :3].mean(axis=2), frames[:, :, -3:].mean(axis=2)], axis=1)
    smooth = scipy.ndimage.uniform_filter1d(sides, 9, axis=2)
    reached = smooth.max(axis=(1, 2))
    return reached > CUT_LEVEL * np.maximum(level, 1e-12)


def cut_side(frames: Field, tilt_deg: Float64Array) -> str | None:
    """Side at which a full turn shows the sample cut in nearly every frame, and never at the other.

    A sample that fits the field, or is too wide for it, reaches both sides in turn during the
    rotation. A sample that always reaches the same side rotates about an axis near that side, so
    each frame shows one half of it (half acquisition).

    Parameters
    ----------
    frames : (n, n_y, n_x) float32 optical density, phase or signal, NaN where invalid
    tilt_deg : (n,) degrees

    Returns
    -------
    side : "left", "right", or None where the scan is not a full turn or the sample fits
    """
    n, _, n_x = frames.shape
    if n < FEW_FOR_TURN or np.ptp(tilt_deg) < FULL_TURN_DEG or n_x < 4 * MARGIN_PX:
        return None
    chosen = np.unique(np.linspace(0, n - 1, min(n, FRAMES_LOOKED_AT)).round().astype(int))
    cut = np.zeros((chosen.size, 2), bool)
    for place, i in enumerate(chosen.tolist()):
        frame = np.asarray(frames[i], np.float64)
        if not np.isfinite(frame).any(axis=0).all():
            return None
        columns = np.nanmean(frame, axis=0)
        sides = np.array([columns[:MARGIN_PX].mean(), columns[-MARGIN_PX:].mean()])
        height = np.percentile(columns, 98) - sides.min()
        cut[place] = sides - sides.min() > HALF_LEVEL * max(height, 1e-12)
    share = cut.mean(axis=0)
    for side, other, name in ((0, 1, "left"), (1, 0, "right")):
        if share[side] > NEARLY_ALL and share[other] < 1 - NEARLY_ALL:
            return name
    return None
