"""Classes, fractions and intervals at many thresholds at once, from ranks of the voxels.

The rank of a voxel is the number of thresholds that its deviation exceeds, with the sign of the
deviation. At threshold number k a voxel is oxygen-poor if its rank is above k, and oxygen-rich if
it is below −k, exactly as in :func:`oxytomo.segment.classes.classify_deviation`. Counts of ranks
therefore hold the fractions at all thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import (
    OUTSIDE,
    OXYGEN_POOR,
    OXYGEN_RICH,
    TARGET,
    BoolArray,
    Float64Array,
    FloatArray,
    IntArray,
    LabelArray,
)
from oxytomo.measure.fractions import interval_of_share, scatter_interval
from oxytomo.segment.classes import CLASS_LABELS

NO_RANK = np.int16(-32768)
"""Rank of voxels outside the particle or without a deviation."""

RankArray = NDArray[np.int16]

Fraction = tuple[float, tuple[float, float] | None]
"""A fraction and its interval, None where unknown."""


def threshold_ranks(deviation: FloatArray, particle: BoolArray, thresholds: Float64Array) -> RankArray:
    """Return the rank of each voxel, int16, see the module; ``NO_RANK`` without a deviation.

    Parameters
    ----------
    deviation : (n_z, n_y, n_x) array of any float type
    particle : bool array of the same shape
    thresholds : (n,) positive fractions, increasing, n < 32768; compared in single precision, as
        the classes are
    """
    ranks: RankArray = np.full(deviation.shape, NO_RANK, np.int16)
    known = particle & ~np.isnan(deviation)
    values = deviation[known].astype(np.float32)
    count = np.searchsorted(thresholds.astype(np.float32), np.abs(values), side="left").astype(np.int16)
    ranks[known] = np.where(values < 0, -count, count)
    return ranks


@dataclass(frozen=True)
class RankCounts:
    """Voxels by rank: ``counts[n + rank]`` for ranks from −n to n."""

    counts: IntArray

    @classmethod
    def of(cls, ranks: RankArray, n_thresholds: int) -> "RankCounts":
        """Count the ranks of a volume."""
        known = ranks[ranks != NO_RANK].astype(np.int64)
        return cls(np.bincount(known + n_thresholds, minlength=2 * n_thresholds + 1))

    @property
    def total(self) -> int:
        """Return the number of classified voxels."""
        return int(self.counts.sum())

    def fractions(self, k: int) -> dict[str, float]:
        """Return the class fractions at threshold number ``k``; NaN without voxels."""
        n = self.counts.size // 2
        poor, rich = int(self.counts[n + k + 1 :].sum()), int(self.counts[: n - k].sum())
        numbers = {"target": self.total - poor - rich, "oxygen_poor": poor, "oxygen_rich": rich}
        return {name: numbers[name] / self.total if self.total else float("nan") for name in CLASS_LABELS}


@dataclass(frozen=True)
class FaceCounts:
    """Faces between classified voxels by the ranks on both sides, each like :class:`RankCounts`.

    Attributes
    ----------
    largest, smallest : by the larger and the smaller of the two ranks
    largest_size, smallest_size : by the larger and the smaller of their magnitudes
    """

    largest: IntArray
    smallest: IntArray
    largest_size: IntArray
    smallest_size: IntArray

    @classmethod
    def of(cls, ranks: RankArray, n_thresholds: int) -> "FaceCounts":
        """Count the faces of a volume."""
        counts = np.zeros((4, 2 * n_thresholds + 1), np.int64)
        for axis in range(ranks.ndim):
            ahead = np.moveaxis(ranks, axis, 0)
            _count_faces(ahead[1:], ahead[:-1], counts)
        return cls(*counts)

    def faces(self, k: int) -> dict[str, int]:
        """Return the faces between each class and others at threshold number ``k``."""
        n = self.largest.size // 2
        above, below = slice(n + k + 1, None), slice(None, n - k)
        return {
            "target": int(self.largest_size[above].sum() - self.smallest_size[above].sum()),
            "oxygen_poor": int(self.largest[above].sum() - self.smallest[above].sum()),
            "oxygen_rich": int(self.smallest[below].sum() - self.largest[below].sum()),
        }


@dataclass(frozen=True)
class ThresholdCounts:
    """Counts for the fractions of a sample at any of the thresholds.

    Attributes
    ----------
    thresholds : (n,) fractions
    own, faces : counts of the measured deviation
    replicates, null : one entry per noise replicate and null run
    """

    thresholds: Float64Array
    own: RankCounts
    faces: FaceCounts
    replicates: Sequence[RankCounts]
    null: Sequence[RankCounts]

    def fractions(self, k: int, *, confidence: float) -> dict[str, Fraction]:
        """Return each class's fraction with its interval.

        See :func:`oxytomo.measure.fractions.fraction_interval`.
        """
        each = [replicate.fractions(k) for replicate in self.replicates]
        faces, total = self.faces.faces(k), self.own.total
        return {
            name: (
                value,
                interval_of_share(
                    value,
                    [fractions[name] for fractions in each],
                    border=faces[name] / max(1, total),
                    n_classified=total,
                    confidence=confidence,
                ),
            )
            for name, value in self.own.fractions(k).items()
        }

    def null_fractions(self, k: int, *, confidence: float) -> Mapping[str, Fraction]:
        """Return mean and interval of the null runs; empty without null runs."""
        each = [run.fractions(k) for run in self.null]
        values = {name: [fractions[name] for fractions in each] for name in CLASS_LABELS if each}
        return {
            name: (float(np.mean(found)), scatter_interval(found, confidence=confidence))
            for name, found in values.items()
        }


def classes_at(ranks: RankArray, k: int, out: LabelArray) -> None:
    """Write the classes at threshold number ``k`` into ``out``, uint8 of the shape of ``ranks``.

    Both are C-contiguous.
    """
    _write_classes(ranks.reshape(-1), np.int16(k), out.reshape(-1))


@numba.njit(cache=True)
def _write_classes(ranks: RankArray, k: int, out: LabelArray) -> None:
    for i in range(ranks.size):
        rank = ranks[i]
        label = OXYGEN_POOR if rank > k else (OXYGEN_RICH if rank < -k else TARGET)
        out[i] = OUTSIDE if rank == NO_RANK else label


@numba.njit(cache=True)
def _count_faces(ahead: RankArray, behind: RankArray, counts: IntArray) -> None:
    n = counts.shape[1] // 2
    for i in range(ahead.shape[0]):
        for j in range(ahead.shape[1]):
            for k in range(ahead.shape[2]):
                a, b = np.int64(ahead[i, j, k]), np.int64(behind[i, j, k])
                if a == NO_RANK or b == NO_RANK:
                    continue
                counts[0, n + max(a, b)] += 1
                counts[1, n + min(a, b)] += 1
                counts[2, n + max(abs(a), abs(b))] += 1
                counts[3, n + min(abs(a), abs(b))] += 1
