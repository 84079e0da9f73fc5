"""Which frames of a series can be used: blank, copied, repeated and cut ones are found before anything is aligned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from pipeline.arrays import BoolArray, Float64Array, FloatArray, IntArray

FEATURELESS = 2.0
"""Below this ratio of a frame's smoothed contrast to its noise there is nothing to align."""
BLANK_CONTRAST, BLANK_VALID = 0.2, 0.3
"""A frame is blank below this share of its neighbours' contrast, or below this share of valid pixels."""
CUT_LEVEL = 0.1
"""A frame is cut when its outermost columns at one side carry more than this share of the particle's level."""
SAME_TILT_DEG = 1e-3


@dataclass(frozen=True)
class Repeat:
    """A tilt that was recorded more than once, and what changed meanwhile.

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


def first_of_each_tilt(
    tilt_deg: Float64Array, acquisition_order: IntArray
) -> tuple[IntArray, list[tuple[int, int]]]:
    """Indices of the first recorded frame of each tilt, by angle, and the pairs (first, repeat) beside them.

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
    value: FloatArray,
    variance: FloatArray,
    tilt_deg: Float64Array,
    acquisition_order: IntArray,
    pairs: Sequence[tuple[int, int]],
) -> list[Repeat]:
    """Compare repeated exposures of a tilt with the first: a specimen that loses mass under the beam shows here.

    Parameters
    ----------
    value, variance : (n, n_y, n_x) float32, air at 0; NaN and inf where invalid
    pairs : (first, repeat) of each repeated tilt
    """
    found = []
    for first, again in pairs:
        both = np.isfinite(value[first]) & np.isfinite(value[again])
        before, after = (float(value[i][both].sum(dtype=np.float64)) for i in (first, again))
        error = np.sqrt(
            float(variance[first][both].sum(dtype=np.float64) + variance[again][both].sum(dtype=np.float64))
        )
        scale = before if abs(before) > 1e-12 else np.nan
        gap = int(abs(acquisition_order[again] - acquisition_order[first]))
        found.append(Repeat(float(tilt_deg[first]), gap, (after - before) / scale, error / abs(scale)))
    return found


def signal_to_noise(frames: FloatArray, variance: FloatArray) -> Float64Array:
    """Contrast of each frame over 5 × 5 pixels against its noise there: (n,); 0 without valid pixels."""
    found = np.zeros(len(frames))
    for i, (frame, noise) in enumerate(zip(frames, variance, strict=True)):
        valid = np.isfinite(frame)
        if valid.sum() < 64:
            continue
        mean = scipy.ndimage.uniform_filter(np.where(valid, frame, np.median(frame[valid])), 5)
        expected = float(np.sqrt(np.median(noise[valid]))) / 5
        found[i] = float(np.std(mean[valid])) / max(expected, 1e-12)
    return found


def blank_frames(frames: FloatArray) -> BoolArray:
    """Frames without the sample or without light, judged against the other frames of the series: (n,)."""
    valid = np.isfinite(frames)
    share = valid.mean(axis=(1, 2))
    contrast = np.array(
        [
            np.std(scipy.ndimage.uniform_filter(np.where(v, f, 0), 5)) if v.any() else 0.0
            for f, v in zip(frames, valid, strict=True)
        ]
    )
    return (share < BLANK_VALID * np.median(share)) | (contrast < BLANK_CONTRAST * np.median(contrast))


def copied_frames(frames: FloatArray) -> list[tuple[int, int]]:
    """Pairs of frames that are identical in every valid pixel; noise never repeats, so one of them is a copy."""
    seen: dict[bytes, int] = {}
    pairs = []
    for i, frame in enumerate(frames):
        if not np.isfinite(frame).any():
            continue
        key = np.ascontiguousarray(frame).tobytes()
        if key in seen:
            pairs.append((seen[key], i))
        else:
            seen[key] = i
    return pairs


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
