"""Data of the threshold widget: classes, fractions with intervals, null run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, LabelArray
from oxytomo.errors import PipelineError, ShapeError
from oxytomo.io.stores import Store
from oxytomo.measure.thresholds import (
    FaceCounts,
    Fraction,
    RankArray,
    RankCounts,
    ThresholdCounts,
    classes_at,
    threshold_ranks,
)
from oxytomo.results.images import OpenedImage
from oxytomo.results.results import Results
from oxytomo.segment.classes import averaged_deviation

LARGEST_VOXELS = 512**3
"""Larger volumes are not classified in the window: it would hold several of them in memory."""

CONFIDENCE = 0.95
STEP, HIGHEST = 0.001, 0.5
"""Thresholds to choose from: 0.1 % to 50 % in steps of 0.1 %, and that of the results."""


@dataclass(frozen=True)
class ThresholdModel:
    """Ranks of the voxels of a sample and all counts; see :mod:`oxytomo.measure.thresholds`.

    Attributes
    ----------
    ranks : (n_z, n_y, n_x) int16
    counts : voxels and faces by rank
    start : number of the threshold that the results were made with
    voxel_nm : voxel size
    missing : sentences about what is not there, such as the noise replicates
    stated : 95 % interval of each fraction in ``phases.json``, at the threshold of the results
    """

    ranks: RankArray
    counts: ThresholdCounts
    start: int
    voxel_nm: float
    missing: Sequence[str]
    stated: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def classes(self, k: int, out: LabelArray) -> None:
        """Write the classes at threshold number ``k`` into ``out``."""
        classes_at(self.ranks, k, out)

    def fractions(self, k: int) -> dict[str, Fraction]:
        """Return the fractions of the classes at threshold number ``k`` with their intervals.

        At the threshold of the results the interval is that of the results, with all errors. At
        others it holds noise alone.
        """
        found = self.counts.fractions(k, confidence=CONFIDENCE)
        if k != self.start:
            return found
        return {name: (value, self.stated.get(name, noise)) for name, (value, noise) in found.items()}

    def rows(self, k: int) -> list[tuple[str, str, str]]:
        """Return per class its key, and its fraction in result and null run, as text."""
        own = self.fractions(k)
        null = self.counts.null_fractions(k, confidence=CONFIDENCE)
        return [(name, _words(*own[name]), _words(*null[name]) if name in null else "—") for name in own]


def load_threshold_model(image: OpenedImage) -> ThresholdModel:
    """Read deviation, particle, noise replicates and null runs of a composition.

    Takes seconds for 256³ voxels.

    Raises
    ------
    ShapeError
        When the volume is too large for a window.
    """
    deviation = next(c.levels.arrays[0] for c in image.channels if c.name == "tm_o_deviation")
    if deviation.size > LARGEST_VOXELS:
        raise ShapeError(
            image.path.name,
            expected=f"at most {LARGEST_VOXELS} voxels for live classes",
            got=" × ".join(map(str, deviation.shape)),
            fix="set composition: {threshold: …} in the configuration and run it; only the last stages are repeated",
        )
    particle = np.asarray(image.labels["particle"].arrays[0]) > 0
    voxel_nm = image.grid.scale_nm[-1]
    results = Results.of_folder(image.path.parent)
    facts, missing = _facts(results)
    width_px = float(facts.get("counted_voxel_nm") or voxel_nm) / voxel_nm
    thresholds, start = threshold_choices(float(image.record["threshold"]))

    def ranked(volume: FloatArray) -> RankArray:
        averaged = averaged_deviation(volume, particle, width_px=width_px) if width_px > 1 else volume
        return threshold_ranks(averaged, particle, thresholds)

    ranks = ranked(np.asarray(deviation))
    uncertainty, more = _uncertainty(results, particle)
    missing += more
    n = thresholds.size
    counts = ThresholdCounts(
        thresholds,
        RankCounts.of(ranks, n),
        FaceCounts.of(ranks, n),
        [RankCounts.of(ranked(volume), n) for volume in _volumes(uncertainty, "replicates")],
        [RankCounts.of(ranked(volume), n) for volume in _volumes(uncertainty, "null")],
    )
    if uncertainty is not None and len(counts.replicates) < 2:
        missing.append("No intervals: fewer than two noise replicates were drawn (uncertainty: replicates).")
    if uncertainty is not None and not counts.null:
        missing.append("No null run was made (uncertainty: null_replicates).")
    return ThresholdModel(ranks, counts, start, voxel_nm, missing, _stated(facts))


def _stated(facts: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of the table of the results, where it has them."""
    found = {}
    for name, entry in (facts.get("fractions") or {}).items():
        low_high = entry.get("ci95") if isinstance(entry, Mapping) else None
        if isinstance(low_high, list) and len(low_high) == 2 and all(isinstance(x, float) for x in low_high):
            found[name] = (low_high[0], low_high[1])
    return found


def threshold_choices(configured: float) -> tuple[Float64Array, int]:
    """Return the available thresholds, and the index of the threshold of the results."""
    grid = np.linspace(STEP, HIGHEST, round(HIGHEST / STEP))
    nearest = int(np.argmin(np.abs(grid - configured)))
    if abs(grid[nearest] - configured) < 1e-9:
        grid[nearest] = configured
        return grid, nearest
    thresholds: Float64Array = np.sort(np.append(grid, configured))
    return thresholds, int(np.searchsorted(thresholds, configured))


def _facts(results: Results) -> tuple[Mapping[str, Any], list[str]]:
    try:
        found = results.files.json("composition_measure")
    except PipelineError:
        found = None
    if found is not None:
        return found, []
    return {}, ["No phases.json beside the image: the deviation is taken as it is, voxel by voxel."]


def _uncertainty(results: Results, particle: BoolArray) -> tuple[Store | None, list[str]]:
    """Return the store of noise replicates and null runs, or why there is none that fits."""
    where = "stages/composition/uncertainty.zarr"
    reason = "is not there"
    try:
        store = results.files.store("composition_uncertainty")
    except PipelineError as error:
        store, reason = None, f"cannot be read ({error})"
    if store is None:
        return None, [
            f"No intervals and no null run: {where} {reason}. Keep the folder 'stages' beside the image."
        ]
    if store.array("null").shape[1:] != particle.shape:
        return None, [f"No intervals and no null run: {where} is of another grid. Run the workflow again."]
    return store, []


def _volumes(store: Store | None, name: str) -> Iterator[FloatArray]:
    """Read the volumes of a stack one after the other."""
    if store is not None:
        array = store.array(name)
        for index in range(array.shape[0]):
            yield np.asarray(array[index])


def _words(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{100 * value:.2f}"
    return f"{100 * value:.2f} ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})"
