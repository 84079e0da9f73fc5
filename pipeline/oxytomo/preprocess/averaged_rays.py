"""Rays averaged over blocks of pixels, for the fit and the test of the model.

Single rays are too noisy to show a misfit of a percent. Blocks that contain a rim of the shadow are
left out, because there the mean of the optical density is not the optical density of the mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from oxytomo.arrays import AnyArray, Field, Float64Array, FloatArray, IntArray

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
) -> tuple[Float64Array, Float64Array, FloatArray]:
    """Return mean and variance of blocks (n_energy, rows, columns), and which are usable."""
    n_energy = density.shape[0]

    def blocks(image: AnyArray) -> Float64Array:
        cut = image[..., : rows * BLOCK_PX, : columns * BLOCK_PX].astype(np.float64)
        return cut.reshape(*image.shape[:-2], rows, BLOCK_PX, columns, BLOCK_PX)

    valid = np.asarray((np.isfinite(density) & np.isfinite(variance) & (variance > 0)).all(axis=0))
    weight = blocks(np.where(valid, 1 / np.where(valid, variance, 1), 0))
    value = blocks(np.where(valid, density, 0))
    total = np.maximum(weight.sum(axis=(2, 4)), 1e-30)
    mean = (weight * value).sum(axis=(2, 4)) / total
    spread = value.var(axis=(2, 4)) - blocks(np.where(valid, variance, 0)).mean(axis=(2, 4))
    whole = blocks(valid).all(axis=(1, 3))
    fit = whole & (mean.mean(axis=0) > LEAST_DENSITY) & (spread.max(axis=0) < LARGEST_SPREAD**2)
    return mean.reshape(n_energy, rows, columns), 1 / total, fit
