"""The quick look at a scan: larger pixels, few iterations, no replicates."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray, TiltSeries
from oxytomo.config import ProjectConfig, Source
from oxytomo.config.plan import branch_config, branch_series, sample_branches
from oxytomo.config.project import Branch
from oxytomo.io.readers import read_tilt_series
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.preprocess.binning import bin_frames
from oxytomo.stages.sources import read_request

LARGEST_PX = 64
"""The longer side of a binned frame at most."""
MOST_TILTS = 60
"""Of more tilts every second, third … is taken."""
QUICK: Mapping[str, Mapping[str, Any]] = {
    "composition": {
        "align": {"iterations": 3},
        "reconstruct": {"iterations": 40, "element_iterations": 20},
        "uncertainty": {"replicates": 0, "null_replicates": 0},
    },
    "tomogram": {"align": {"iterations": 3}, "reconstruct": {"algorithm": "fbp"}},
}
"""Settings of the quick look, by branch."""
LOOKED_AT: tuple[Branch, ...] = ("composition", "tomogram", "areal_density", "oxidation")
"""Branches with a quick look; stacks through an edge are not binned."""


def binning_of(frame: tuple[int, int]) -> int:
    """Return the binning of frames of so many rows and columns."""
    return max(1, math.ceil(max(frame) / LARGEST_PX))


def write_quick_look(
    project: ProjectConfig, sample: str, folder: Path, results: Path
) -> dict[str, Any] | None:
    """Write the binned raw files of a sample and return its configuration for the quick look.

    Parameters
    ----------
    project : the complete configuration
    sample : name of the sample
    folder : folder for the binned files; an earlier one is replaced
    results : results folder of the quick looks

    Returns
    -------
    Configuration as JSON types; None if the sample has no branch with a quick look.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    branches: dict[str, Any] = {}
    for branch in sample_branches(project.samples[sample]):
        if branch not in LOOKED_AT:
            continue
        config = branch_config(project, sample, branch)
        content = config.model_dump(mode="json", exclude_unset=True)
        if branch != "oxidation":
            for name, source in branch_series(config).items():
                _put(content, name, str(_binned(source, folder / f"{branch}_{name}.h5")))
        branches[branch] = content | {key: dict(value) for key, value in QUICK.get(branch, {}).items()}
    return {"results": str(results), "samples": {sample: branches}} if branches else None


def _put(content: dict[str, Any], series: str, path: str) -> None:
    """Replace the source of a series in the configuration of a branch."""
    element, _, side = series.partition("_")
    if series == "signal":
        content["source"] = path
    elif side:
        content["edges"][element][side] = path
    else:
        content["elements"][element] = {"images": path, "quantity": "signal"}


def _binned(source: Source, path: Path) -> Path:
    """Write one series with larger pixels and fewer tilts; return the path."""
    series = read_tilt_series(read_request(source))
    factor = binning_of((series.frames.shape[1], series.frames.shape[2]))
    step = max(1, math.ceil(series.n_frames / MOST_TILTS))
    write_data_exchange(path, binned_series(series, factor=factor, step=step))
    return path


def binned_series(series: TiltSeries, *, factor: int, step: int) -> TiltSeries:
    """Return every ``step``-th frame of a series with larger pixels; a variance is left out."""
    taken = np.arange(0, series.n_frames, step)

    def smaller(frames: FloatArray | None) -> FloatArray | None:
        return None if frames is None else bin_frames(frames, factor=factor, quantity=series.quantity)

    frames = np.concatenate([bin_frames(series.frames[int(one)][None], factor=factor, quantity=series.quantity)
                             for one in taken])  # fmt: skip
    flat_position = None if series.flat_position is None else series.flat_position / step
    return replace(
        series,
        frames=frames,
        tilt_deg=series.tilt_deg[taken],
        energy_ev=series.energy_ev[taken],
        pixel_nm=series.pixel_nm[taken] * factor,
        flat=smaller(series.flat),
        dark=smaller(series.dark),
        exposure_s=None if series.exposure_s is None else series.exposure_s[taken],
        ring_current_ma=None if series.ring_current_ma is None else series.ring_current_ma[taken],
        flat_position=flat_position,
        variance=None,
    )
