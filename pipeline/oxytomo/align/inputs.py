"""Input of an alignment: series of the same tilts, each tilt once, without blank frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from oxytomo.align.frames import (
    FEATURELESS,
    Repeat,
    blank_and_copied,
    cut_side,
    first_of_each_tilt,
    one_by_one,
    radiation_damage,
    signal_to_noise,
    spread,
)
from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray
from oxytomo.errors import InputError, ShapeError
from oxytomo.slabs import Field, reordered

SAME_TILT_DEG = 0.01
NOISE_FRAMES, NOISE_PIXELS = 4, 16_000_000
"""Number of pixels, and of frames, whose median is the noise of a series."""
ALIKE = 0.5
"""Repeated exposures of one tilt correlate by more than this; otherwise the angles are wrong."""


@dataclass(frozen=True)
class NormalizedSeries:
    """One normalised series as it was recorded.

    Attributes
    ----------
    name : name of the series
    value, variance : (n_frame, n_y, n_x) float32, NaN and inf where invalid; in memory or in a
        store
    tilt_deg : (n_frame,) degrees
    acquisition_index : (n_frame,) number of each frame in its file
    """

    name: str
    value: Field
    variance: Field
    tilt_deg: Float64Array
    acquisition_index: IntArray


def _frames_of(
    series: Sequence[NormalizedSeries], rows: Sequence[IntArray], in_memory_bytes: int
) -> list[Field]:
    """Return the frames in use of each series.

    They are held in memory where all are small, because they are read many times.
    """
    fields = [_rows_of(one.value, own) for one, own in zip(series, rows, strict=True)]
    small = sum(math.prod(one.shape) * one.dtype.itemsize for one in fields) <= in_memory_bytes
    return [np.asarray(one[:]) for one in fields] if small else fields


def _rows_of(frames: Field, rows: IntArray) -> Field:
    return frames if np.array_equal(rows, np.arange(frames.shape[0])) else reordered(frames, rows)


@dataclass(frozen=True)
class AlignInputs:
    """The series of a branch, on common tilts.

    Attributes
    ----------
    series : as they were recorded
    rows : per series the indices of the frames in use, by ascending tilt
    values : per series (n_tilt, n_y, n_x) float32, in memory or in the store
    noise : per series the median standard deviation of a pixel
    tilt_deg : (n_tilt,) ascending
    acquisition_order : (n_tilt,) number of the frame in the file of the first series
    left_out : (frame number, tilt, reason) of every tilt that is left out
    copies : pairs of indices into ``tilt_deg`` whose frames are identical in some series
    repeats : per series what changed in repeated exposures
    averaged : each series is the mean of all its frames
    """

    series: Sequence[NormalizedSeries]
    rows: Sequence[IntArray]
    values: Sequence[Field]
    noise: Sequence[float]
    tilt_deg: Float64Array
    acquisition_order: IntArray
    left_out: list[tuple[int, float, str]] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    repeats: dict[str, list[Repeat]] = field(default_factory=dict)
    averaged: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Size of a frame, (n_y, n_x)."""
        _, n_y, n_x = self.series[0].value.shape
        return n_y, n_x

    @property
    def names(self) -> list[str]:
        """Names of the series."""
        return [one.name for one in self.series]

    @cached_property
    def signal_to_noise(self) -> Float64Array:
        """Standard deviation of all pixels of each series over its noise: (n_series,)."""
        return np.array([spread(v) / n for v, n in zip(self.values, self.noise, strict=True)])

    @property
    def best(self) -> int:
        """Index of the series with the largest signal-to-noise ratio."""
        return int(self.signal_to_noise.argmax())

    def frames(self, series: int, used: BoolArray) -> tuple[Field, Field]:
        """Value and variance of the frames in use of one series, as recorded."""
        one, rows = self.series[series], self.rows[series]
        if self.averaged:
            return _average(one)
        return _rows_of(one.value, rows[used]), _rows_of(one.variance, rows[used])


def common_tilts(
    series: Sequence[NormalizedSeries],
    exclude_frames: Sequence[int],
    exclude_tilts_deg: Sequence[float],
    *,
    in_memory_bytes: int,
) -> AlignInputs:
    """Keep the first exposure of each tilt, without the frames that are excluded or unusable.

    Parameters
    ----------
    series : of the same tilts
    exclude_frames : numbers of frames to leave out, as in the file of the first series
    exclude_tilts_deg : tilts to leave out, degrees
    in_memory_bytes : frames of at most this size in total are held in memory
    """
    names = [one.name for one in series]
    _require_one_size(series)
    tilts = [np.asarray(one.tilt_deg, np.float64) for one in series]
    orders = [one.acquisition_index for one in series]
    firsts = [first_of_each_tilt(t, o) for t, o in zip(tilts, orders, strict=True)]
    repeats = {
        one.name: _repeats(one, pairs) for one, (_, pairs) in zip(series, firsts, strict=True) if pairs
    }
    tilt_deg = _shared_tilts(names, [t[first] for t, (first, _) in zip(tilts, firsts, strict=True)])
    frame = orders[0][firsts[0][0]]
    keep, left_out = _excluded(exclude_frames, exclude_tilts_deg, frame, tilt_deg)
    blank, copies = np.zeros(tilt_deg.size, bool), set()
    for value in _frames_of(series, [first for first, _ in firsts], in_memory_bytes):
        without, twice = blank_and_copied(value)
        blank |= without
        copies |= set(twice)
    left_out += [(int(frame[t]), float(tilt_deg[t]), "blank") for t in np.flatnonzero(blank & keep)]
    keep &= ~blank
    if keep.sum() < 3:
        raise InputError(
            names[0],
            expected="at least 3 tilts with the sample in them",
            got=f"{int(keep.sum())} of {tilt_deg.size} after leaving out "
            + ", ".join(f"frame {n} ({reason})" for n, _, reason in left_out[:6]),
            fix="look at the raw frames with `oxytomo inspect`, or exclude fewer",
        )
    require_whole_field(names[0], series[0].value, tilts[0])
    place = np.cumsum(keep) - 1
    rows = [first[keep] for first, _ in firsts]
    return AlignInputs(
        series,
        rows,
        _frames_of(series, rows, in_memory_bytes),
        [_median_noise(one.variance) for one in series],
        tilt_deg[keep],
        frame[keep],
        left_out,
        sorted((int(place[a]), int(place[b])) for a, b in copies if keep[a] and keep[b]),
        repeats,
    )


def single_tilt(series: Sequence[NormalizedSeries]) -> AlignInputs:
    """Average the frames of each series, which all show one view."""
    _require_one_size(series)
    means = [_average(one) for one in series]
    one = np.zeros(1, np.int64)
    return AlignInputs(
        series,
        [one] * len(series),
        [value for value, _ in means],
        [_median_noise(variance) for _, variance in means],
        np.zeros(1),
        one,
        averaged=True,
    )


def require_structure(series: Field, noise: float, frames: IntArray) -> None:
    """Raise where the frames show nothing above the noise."""
    ratio = signal_to_noise(series, noise)
    poor = ratio < FEATURELESS
    if poor.mean() > 0.5:
        raise InputError(
            f"frames {frame_list(frames[poor])}",
            expected=f"structure at least {FEATURELESS:g} times above the noise of 5 × 5 pixels",
            got=f"{float(np.median(ratio)):.2g} times, at the median",
            fix="check that the particle is in the field, and that flat and dark frames are the right ones",
        )


def require_whole_field(name: str, frames: Field, tilt_deg: Float64Array) -> None:
    """Raise where each frame of a full turn shows only one half of the sample."""
    side = cut_side(frames, tilt_deg)
    if side is not None:
        raise InputError(
            name,
            expected="frames with the whole sample in them",
            got=f"a turn of {np.ptp(tilt_deg):.0f}° in which the sample is always cut at the {side} side: "
            "half acquisition, with the axis near that side",
            fix="join opposite frames into wide ones before (e.g. algotom), and give these over 180°",
        )


def frame_list(frames: Sequence[int] | IntArray, most: int = 8) -> str:
    """Return frame numbers as text, shortened where there are many."""
    shown = ", ".join(str(int(n)) for n in list(frames)[:most])
    return shown + (f" and {len(frames) - most} more" if len(frames) > most else "")


def _require_one_size(series: Sequence[NormalizedSeries]) -> None:
    shapes = {one.name: one.value.shape[1:] for one in series}
    if len(set(shapes.values())) > 1:
        raise ShapeError(
            "series",
            expected="frames of one size",
            got=", ".join(f"{name} {y} × {x}" for name, (y, x) in shapes.items()),
            fix="crop or bin the series to the same camera region",
        )


def _shared_tilts(names: Sequence[str], tilts: Sequence[Float64Array]) -> Float64Array:
    """Tilts that all series share; raises where they differ or are too few."""
    first = tilts[0]
    for name, other in zip(names, tilts, strict=True):
        if other.size != first.size or np.abs(other - first).max() > SAME_TILT_DEG:
            mirrored = other.size == first.size and np.abs(other + first[::-1]).max() <= SAME_TILT_DEG
            raise InputError(
                name,
                expected=f"the tilt angles of {names[0]} ({first.size} from {first.min():g}° to {first.max():g}°)",
                got=f"{other.size} from {other.min():g}° to {other.max():g}°",
                fix="reverse the sign of the angles of one of the two"
                if mirrored
                else "give series of the same tilts, or cut them to the common ones",
            )
    if first.size < 3:
        raise InputError(
            names[0],
            expected="at least 3 tilt angles for a volume",
            got=str(first.size),
            fix="use the areal_density branch for a single projection",
        )
    return first


def _repeats(series: NormalizedSeries, pairs: Sequence[tuple[int, int]]) -> list[Repeat]:
    """What changed in repeated exposures; raises where they do not show the same view."""
    value, tilt_deg, order = series.value, series.tilt_deg, series.acquisition_index
    unlike = [pair for pair in pairs if _correlation(value[pair[0]], value[pair[1]]) < ALIKE]
    if unlike:
        shown = ", ".join(f"{order[a]} and {order[b]} at {tilt_deg[a]:g}°" for a, b in unlike[:4])
        raise InputError(
            series.name,
            expected="every tilt angle once, or repeated exposures that show the same view",
            got=f"different views with one angle: frames {shown}",
            fix="check the angle table: the sign of the angles may be lost",
        )
    return radiation_damage(value, series.variance, tilt_deg, order, pairs)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 16 or a[both].std() == 0 or b[both].std() == 0:
        return 0.0
    return float(np.corrcoef(a[both], b[both])[0, 1])


def _excluded(
    frames: Sequence[int], tilts_deg: Sequence[float], frame: IntArray, tilt_deg: Float64Array
) -> tuple[BoolArray, list[tuple[int, float, str]]]:
    """Tilts that remain after the user's lists, and those that are left out with the reason."""
    drop = np.isin(frame, frames)
    for angle in tilts_deg:
        drop |= np.abs(tilt_deg - angle) < SAME_TILT_DEG
    unknown = [n for n in frames if n not in frame]
    unknown_tilts = [a for a in tilts_deg if np.abs(tilt_deg - a).min() >= SAME_TILT_DEG]
    if unknown or unknown_tilts:
        raise InputError(
            "align.exclude_frames" if unknown else "align.exclude_tilts_deg",
            expected=f"frame numbers from {frame.min()} to {frame.max()}"
            if unknown
            else "tilt angles of the series",
            got=", ".join(str(n) for n in unknown) or ", ".join(f"{a:g}°" for a in unknown_tilts),
            fix="frames are counted from 0 in the order of acquisition; see the column `frame` of alignment.csv",
        )
    return ~drop, [(int(frame[t]), float(tilt_deg[t]), "excluded by the user") for t in np.flatnonzero(drop)]


def _median_noise(variance: Field) -> float:
    """Median standard deviation of the valid pixels; of a large series, in some frames only."""
    n, n_y, n_x = variance.shape
    chosen = np.unique(
        np.linspace(0, n - 1, min(n, max(NOISE_FRAMES, NOISE_PIXELS // (n_y * n_x)))).astype(int)
    )
    frames = reordered(variance, chosen)[:]
    known = frames[np.isfinite(frames)]
    return float(np.sqrt(np.median(known))) if known.size else 1.0


def _average(series: NormalizedSeries) -> tuple[FloatArray, FloatArray]:
    """Mean of all frames of a series as one frame, and its variance: (1, n_y, n_x) each."""
    values, variances = series.value, series.variance
    count, total, noise = np.zeros((3, 1, *values.shape[1:]))
    for value, variance in zip(one_by_one(values), one_by_one(variances), strict=True):
        valid = np.isfinite(value)
        count[0] += valid
        total[0] += np.where(valid, value, 0)
        noise[0] += np.where(valid, variance, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, error = total / count, noise / count**2
    return (
        np.where(count > 0, mean, np.nan).astype(np.float32),
        np.where(count > 0, error, np.inf).astype(np.float32),
    )
