"""Flat and dark frames: their means, and the assignment of flats to frames."""

from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import Float64Array, FloatArray, IntArray, TiltSeries
from oxytomo.errors import InputError


def mean_dark(dark: FloatArray | None, shape: tuple[int, int]) -> FloatArray:
    """Average the dark frames, (n_y, n_x) float32; zero where none were taken."""
    return (
        np.zeros(shape, np.float32)
        if dark is None
        else dark.mean(axis=0, dtype=np.float64).astype(np.float32)
    )


@dataclass(frozen=True)
class Flats:
    """Flat field as a function of time.

    Attributes
    ----------
    means : (n_group, n_y, n_x) float32, counts above the dark level, of flats taken together
    counts : (n_group,) number of flats in each group
    earlier, later : (n_frame,) groups before and after each frame
    share : (n_frame,) weight of the later group
    """

    means: FloatArray
    counts: FloatArray
    earlier: IntArray
    later: IntArray
    share: FloatArray

    def of_frame(self, i: int) -> tuple[FloatArray, FloatArray]:
        """Return the flat field of a frame and its variance in counts², (n_y, n_x) float32."""
        a, b, share = self.earlier[i], self.later[i], self.share[i]
        flat = self.means[a] if share == 0 else (1 - share) * self.means[a] + share * self.means[b]
        per_flat = (1 - share) ** 2 / self.counts[a] + share**2 / self.counts[b]
        return flat, np.maximum(flat, 1) * per_flat


def flats_in_time(series: TiltSeries, dark: FloatArray, *, flat_field: str) -> Flats:
    """Average the flats, all or in groups, and assign groups to frames."""
    if series.flat is None:
        raise InputError(
            "flat field",
            expected="frames without the sample",
            got="none in the file",
            fix="give them as `flat:`, or set `quantity:` if the data are normalised already",
        )
    exposure = relative_to_mean(series.flat_exposure_s) * relative_to_mean(series.flat_ring_current_ma)
    flats = (series.flat - dark) / np.broadcast_to(exposure, (series.flat.shape[0],))[:, None, None].astype(
        np.float32
    )
    n, n_frame = flats.shape[0], series.n_frames
    first, never = np.zeros(n_frame, np.int64), np.zeros(n_frame, np.float32)
    if flat_field == "mean" or n == 1 or series.flat_position is None:
        mean = flats.mean(axis=0, dtype=np.float64).astype(np.float32)[None]
        return Flats(mean, np.full(1, n, np.float32), first, first, never)
    position = series.flat_position
    frames = np.arange(n_frame, dtype=np.float64)
    groups = np.unique(position)
    means = np.stack([flats[position == g].mean(axis=0) for g in groups])
    counts = np.array([(position == g).sum() for g in groups], np.float32)
    if flat_field == "nearest" or groups.size == 1:
        nearest = np.abs(frames[:, None] - groups).argmin(axis=1)
        return Flats(means, counts, nearest, nearest, never)
    right = np.clip(np.searchsorted(groups, frames), 1, groups.size - 1)
    share = np.clip((frames - groups[right - 1]) / (groups[right] - groups[right - 1]), 0, 1)
    return Flats(means, counts, right - 1, right, share.astype(np.float32))


def require_light(flats: Flats, series: TiltSeries) -> None:
    """Refuse flats in which more than half of the pixels are not above the dark level."""
    if np.isfinite(flats.means).all() and (flats.means <= 0).mean() <= 0.5:
        return
    bad = int((~np.isfinite(flats.means) | (flats.means <= 0)).sum())
    raise InputError(
        "flat field",
        expected="positive counts above the dark level",
        got=f"{bad} of {flats.means.size} pixels are not finite or not above the dark level",
        fix="give 'offset: 32768' where 16-bit counts were stored as signed numbers"
        if (flats.means < 0).mean() > 0.5 and (series.flat is not None and series.flat.min() < 0)
        else "check that flat and dark frames are not swapped or empty",
    )


def relative_to_mean(values: Float64Array | None) -> Float64Array:
    """Values relative to 1; a missing record is 1 for all."""
    if values is None:
        return np.ones(1)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise InputError(
            "exposure or ring current",
            expected="positive numbers for every frame",
            got=f"{int((~(values > 0)).sum())} that are not",
            fix="remove the record from the file if it is not to be trusted",
        )
    return values
