"""Rays averaged over blocks of pixels, for the fit and the test of the model.

Single rays are too noisy to show a misfit of a percent. Blocks that contain a rim of the shadow are
left out, because there the mean of the optical density is not the optical density of the mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from oxytomo.arrays import BoolArray, Field, Float64Array, FloatArray, IntArray

BLOCK_PX = 4
"""Edge of a block, pixels. Its mean has a quarter of a pixel's noise."""
LEAST_DENSITY = 0.3
"""Blocks with a smaller mean optical density over the energies carry no information on the
sample."""
LARGEST_SPREAD = 0.12
"""A block contains a rim if the standard deviation of its optical density, noise subtracted,
exceeds this."""
TILTS_AT_ONCE = 16
MOST_RAYS = 20_000
"""Largest number of averaged rays: more add nothing to global terms, so an even subset of tilts is
taken."""


@dataclass(frozen=True)
class AveragedRays:
    """Rays averaged over blocks.

    Attributes
    ----------
    density, variance : (n_ray, n_energy) float64, optical density and its variance
    block : (n_ray, 3) int64, tilt, row and column of each block
    grid : tilts, rows and columns of blocks
    """

    density: Float64Array
    variance: Float64Array
    block: IntArray
    grid: tuple[int, int, int]

    def __len__(self) -> int:
        return int(self.density.shape[0])

    def on_grid(self, values: Float64Array) -> FloatArray:
        """Put one value per ray at its block: (tilt, row, column) float32, NaN elsewhere."""
        image = np.full(self.grid, np.nan, np.float32)
        image[tuple(self.block.T)] = values
        return image

    def some(self, most: int = MOST_RAYS) -> "AveragedRays":
        """Return at most this number of rays, evenly spread."""
        if len(self) <= most:
            return self
        keep = np.linspace(0, len(self) - 1, most).astype(np.int64)
        return AveragedRays(self.density[keep], self.variance[keep], self.block[keep], self.grid)


def averaged_rays(density: Field, variance: Field, tilts: Iterable[int] | None = None) -> AveragedRays:
    """Average rays over blocks of 4 × 4 pixels, weighted by the inverse variance.

    Parameters
    ----------
    density, variance : (n_energy, n_tilt, n_y, n_x) float32, NaN and inf where invalid; may lie on
        disk
    tilts : indices of the tilts to read; all if not given
    """
    n_tilt, n_y, n_x = density.shape[1:]
    rows, columns = n_y // BLOCK_PX, n_x // BLOCK_PX
    parts: list[tuple[Float64Array, Float64Array, IntArray]] = []
    for group in _groups(range(n_tilt) if tilts is None else sorted(map(int, tilts))):
        together = np.asarray(density[:, group]), np.asarray(variance[:, group])
        for place, tilt in enumerate(range(group.start, group.stop)):
            mean, error, fit = _of_tilt(together[0][:, place], together[1][:, place], rows, columns)
            y, x = np.nonzero(fit)
            block = np.column_stack([np.full(y.size, tilt), y, x]).astype(np.int64)
            parts.append((mean[:, y, x].T, error[:, y, x].T, block))
    values, variances, block = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return AveragedRays(values, variances, block, (n_tilt, rows, columns))


def _groups(tilts: Sequence[int]) -> Iterator[slice]:
    """Split increasing tilts into runs that are read together, as they are chunked in the store."""
    start = 0
    for i in range(1, len(tilts) + 1):
        if i == len(tilts) or tilts[i] != tilts[i - 1] + 1 or i - start == TILTS_AT_ONCE:
            yield slice(tilts[start], tilts[i - 1] + 1)
            start = i


def _of_tilt(
    density: FloatArray, variance: FloatArray, rows: int, columns: int
) -> tuple[Float64Array, Float64Array, BoolArray]:
    """Return mean and variance of blocks (n_energy, rows, columns), and which are usable."""
    n_energy = density.shape[0]
    mean, error = (np.zeros((n_energy, rows, columns)) for _ in range(2))
    spread, whole = np.zeros((n_energy, rows, columns)), np.zeros((rows, columns), bool)
    _averaged(density, variance, mean, error, spread, whole)
    fit = whole & (mean.mean(axis=0) > LEAST_DENSITY) & (spread.max(axis=0) < LARGEST_SPREAD**2)
    return mean, error, fit


@njit(cache=True, nogil=True)
def _averaged(density, variance, mean, error, spread, whole):  # type: ignore[no-untyped-def]
    """Weighted mean, its variance, and the variance beyond noise, of every whole block."""
    n_energy, rows, columns = mean.shape
    n = BLOCK_PX * BLOCK_PX
    for row in range(rows):
        for column in range(columns):
            top, left = row * BLOCK_PX, column * BLOCK_PX
            complete = True
            for e in range(n_energy):
                for y in range(top, top + BLOCK_PX):
                    for x in range(left, left + BLOCK_PX):
                        d, v = density[e, y, x], variance[e, y, x]
                        if not (np.isfinite(d) and np.isfinite(v) and v > 0):
                            complete = False
            whole[row, column] = complete
            if not complete:
                continue
            for e in range(n_energy):
                weights = weighted = plain = noise = 0.0
                for y in range(top, top + BLOCK_PX):
                    for x in range(left, left + BLOCK_PX):
                        d, v = np.float64(density[e, y, x]), np.float64(variance[e, y, x])
                        weights += 1.0 / v
                        weighted += d / v
                        plain += d
                        noise += v
                scatter = 0.0
                for y in range(top, top + BLOCK_PX):
                    for x in range(left, left + BLOCK_PX):
                        scatter += (np.float64(density[e, y, x]) - plain / n) ** 2
                mean[e, row, column] = weighted / weights
                error[e, row, column] = 1.0 / weights
                spread[e, row, column] = (scatter - noise) / n
