"""Frames of one angle at several distances from the sample, brought to one grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.align.energies import FixedFrames, register_energies
from oxytomo.align.register import fill_invalid
from oxytomo.align.resample import resample
from oxytomo.arrays import Field, Float64Array, FloatArray

SMOOTHING_PX = 1.5
"""Gaussian smoothing before distances are compared."""


def read_frames(series: Field, part: slice | list[int]) -> FloatArray:
    """Return some frames of a series, (n, n_y, n_x) float32, with gaps filled."""
    rows = range(part.start, part.stop) if isinstance(part, slice) else part
    return fill_invalid(np.stack([np.asarray(series[row]) for row in rows]))


@dataclass(frozen=True)
class DistanceGrid:
    """Resampling of the series of several distances to the grid of the largest magnification.

    Attributes
    ----------
    series : per distance (n_tilt, n_y, n_x), all of one shape
    scales : finest pixel size over that of each series
    look : gives comparable images of frames on the common grid, for the number of a series. Fringes
        differ from distance to distance, single-distance phase images do not.
    max_shift_px : largest shift searched; None: distances are not registered with each other
    """

    series: Sequence[Field]
    scales: Sequence[float]
    look: Callable[[FloatArray, int], FloatArray]
    max_shift_px: float | None

    def frames(self, part: slice | list[int]) -> tuple[FloatArray, Float64Array]:
        """Return some frames of all series on the common grid, and the shifts that were corrected.

        Returns
        -------
        frames : (n_series, n, n_y, n_x) float32
        shift_px : (n_series, n, 2) dy, dx in pixels of each series' own frames
        """
        raw = [read_frames(one, part) for one in self.series]
        n, count = len(raw[0]), len(raw)
        shifts = np.zeros((count, n, 2))
        if count == 1 or self.max_shift_px is None:
            return np.stack([self._moved(raw[i], i, shifts[i]) for i in range(count)]), shifts
        reference = int(np.argmin([1 / scale for scale in self.scales]))
        fixed = FixedFrames(
            self.look(self._moved(raw[reference], reference, shifts[reference]), reference), SMOOTHING_PX
        )
        for index in range(count):
            if index != reference:
                moving = self.look(self._moved(raw[index], index, shifts[index]), index)
                shifts[index] = register_energies(
                    moving, fixed, max_shift_px=self.max_shift_px, chemistry=False
                ).shifts
        shifts = shifts * np.asarray(self.scales)[:, None, None]
        return np.stack([self._moved(raw[i], i, shifts[i]) for i in range(count)]), shifts

    def _moved(self, frames: FloatArray, index: int, shift_px: Float64Array) -> FloatArray:
        """Return frames on the common grid; those already on it are returned as they are."""
        if self.scales[index] == 1 and not shift_px.any():
            return frames
        moved, _ = resample(
            frames,
            np.ones_like(frames),
            dy_px=shift_px[:, 0],
            dx_px=shift_px[:, 1],
            magnification=self.scales[index],
            rotation_deg=0.0,
            shape=(frames.shape[1], frames.shape[2]),
        )
        return fill_invalid(moved)
