"""Effect of noise on the numbers of pores and cracks: searches with as much noise added again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from oxytomo.arrays import BoolArray, FloatArray
from oxytomo.segment.regions import Labels
from oxytomo.segment.sheets import Sheets
from oxytomo.segment.voids import Voids, find_voids, label_voids
from oxytomo.slabs import slabs

BLOCK_PX = 160
"""Larger particles are sampled in a block of this edge; noise is local, so the variance of a sum
grows with the volume."""
NEIGHBOUR_SIGMAS_PX = (0.0, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5)


@dataclass(frozen=True)
class Trial:
    """Result of one search in the sampled block.

    Names as in :class:`oxytomo.segment.voids.Voids`.
    """

    void: FloatArray
    depth_px: FloatArray
    instances: Labels
    zone: Labels
    n_pores: int
    sheets: Sheets
    box: tuple[slice, ...]


Numbers = Callable[[Trial], tuple[Mapping[str, float], Mapping[str, float]]]
"""Numbers of a trial: sums over the voids (volumes, areas, numbers), and means and shares."""


@dataclass(frozen=True)
class NoiseSpread:
    """Standard deviations due to noise, from replicates of the search.

    Attributes
    ----------
    replicates : number of replicates
    spread, bias : standard deviation of each number, and mean of the replicates minus the value
        without added noise
    share : share of the voids that was sampled
    """

    replicates: int
    spread: Mapping[str, float]
    bias: Mapping[str, float]
    share: float


def noise_spread(
    voids: Voids,
    numbers: Numbers,
    *,
    replicates: int,
    rng: np.random.Generator,
    false_cracks: float,
    false_discovery: float,
) -> NoiseSpread | None:
    """Search again with noise of the measured strength and correlation added.

    None without replicates.

    The variance of a sum grows with the sampled volume; that of a mean falls with it.

    Parameters
    ----------
    voids : the segmentation
    numbers : function that counts the numbers of a trial
    replicates : number of repetitions
    rng : random numbers
    false_cracks, false_discovery : as in the segmentation
    """
    if replicates < 2:
        return None
    box, share = _block(voids)
    void, depth = (np.ascontiguousarray(field[box]) for field in (voids.void, voids.depth_px))
    clear: BoolArray = (depth > 4) & (voids.zone[box] == 0)
    sigma_px = noise_correlation(void, clear)

    def searched(values: FloatArray) -> tuple[Mapping[str, float], Mapping[str, float]]:
        found = find_voids(
            values,
            depth,
            np.zeros(values.shape, np.uint8),
            blur_px=voids.blur_px,
            false_cracks=false_cracks,
            false_discovery=false_discovery,
        )
        instances, zone = np.zeros(values.shape, np.int32), np.zeros(values.shape, np.int32)
        n_pores = label_voids(found, depth, instances, zone, blur_px=voids.blur_px)
        return numbers(Trial(values, depth, instances, zone, n_pores, found.sheets, box))

    value = searched(void)
    inside = depth > -3 * voids.blur_px
    trials = []
    for _ in range(replicates):
        noise = rng.standard_normal(void.shape, np.float32)
        if sigma_px:
            noise = gaussian_filter(noise, sigma_px)
            noise /= noise.std()
        trials.append(searched(np.where(inside, void + np.float32(voids.noise) * noise, void)))
    spread: dict[str, float] = {}
    bias: dict[str, float] = {}
    for kind, factors in enumerate(((1 / np.sqrt(share), 1 / share), (np.sqrt(share), 1.0))):
        for name, without in value[kind].items():
            found = np.array([trial[kind][name] for trial in trials])
            spread[name] = float(found.std(ddof=1) * factors[0])
            bias[name] = float((found.mean() - without) * factors[1])
    return NoiseSpread(replicates, spread, bias, share)


def _block(voids: Voids) -> tuple[tuple[slice, ...], float]:
    """Return a box around the particles, or the block of it with most voids per volume."""
    shape = voids.particle.shape
    inside, weight = ([np.zeros(n, np.int64) for n in shape] for _ in range(2))
    for slab in slabs(shape):
        for counts, part in ((inside, voids.particle[slab.rows] > 0), (weight, voids.zone[slab.rows] > 0)):
            plane = part.sum(axis=0)
            counts[0][slab.rows] = part.sum(axis=(1, 2))
            counts[1] += plane.sum(axis=1)
            counts[2] += plane.sum(axis=0)
    box = []
    for own, voids_there in zip(inside, weight, strict=True):
        n, places = own.size, np.flatnonzero(own)
        low, high = max(0, int(places[0]) - 8), min(n, int(places[-1]) + 9)
        if high - low > 1.25 * BLOCK_PX:
            some = voids_there.any()
            middle = int(np.average(np.arange(n), weights=voids_there)) if some else (low + high) // 2
            low = min(max(low, middle - BLOCK_PX // 2), high - BLOCK_PX)
            high = low + BLOCK_PX
        box.append(slice(low, high))
    found = tuple(box)
    # The sums are over voids, so their share of the zone scales the variance.
    whole = int(weight[0].sum())
    part = int((voids.zone[found] > 0).sum())
    share = part / whole if whole else float((voids.particle[found] > 0).sum() / inside[0].sum())
    return found, max(share, 1e-3)


def noise_correlation(void: FloatArray, clear: BoolArray) -> float:
    """Return the width of the Gaussian that gives white noise the measured correlation along x."""
    pair = clear[..., 1:] & clear[..., :-1]
    if pair.sum() < 1000:
        return 0.0
    first, second = void[..., 1:][pair], void[..., :-1][pair]
    measured = float(np.corrcoef(first, second)[0, 1])
    expected = [np.exp(-1 / (4 * s * s)) if s else 0.0 for s in NEIGHBOUR_SIGMAS_PX]
    return NEIGHBOUR_SIGMAS_PX[int(np.abs(np.array(expected) - measured).argmin())]
