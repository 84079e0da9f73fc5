"""How much memory, disk and time a branch will take, before it runs."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import (
    ArealDensityConfig,
    CompositionConfig,
    DeviationSettings,
    TomogramConfig,
)
from pipeline.errors import StoreError

FLOAT_BYTES = 4
UPDATES_PER_S = 5e8
"""Ray–voxel updates of the projector in a second on one core, a cautious figure."""
STARTUP_S = 5.0
"""Starting Python and compiled code, for each stage."""
FIXED_MEMORY_BYTES = 4e8


@dataclass(frozen=True)
class Needs:
    """What a branch takes: largest memory of a stage, new files, core seconds."""

    memory_bytes: float
    disk_bytes: float
    core_seconds: float

    def describe(self, cores: int) -> str:
        """Return one line for people."""
        minutes = self.core_seconds / cores / 60
        time = f"{minutes:.0f} min" if minutes >= 2 else "2 min or less"
        return (
            f"about {in_bytes(self.memory_bytes)} of memory, {in_bytes(self.disk_bytes)} of disk, "
            f"{time} on {cores} core{'s' if cores > 1 else ''}"
        )


def branch_needs(
    config: CompositionConfig | ArealDensityConfig | TomogramConfig,
    shapes: Mapping[str, tuple[int, int, int]],
) -> Needs:
    """Estimate the needs of a branch from the shapes of its series.

    Parameters
    ----------
    config : settings of the branch
    shapes : per series (n_frame, n_y, n_x)
    """
    n_tilt = max(shape[0] for shape in shapes.values())
    rows, columns = (max(shape[axis] for shape in shapes.values()) for axis in (1, 2))
    frames = n_tilt * rows * columns * FLOAT_BYTES
    voxels = rows * columns**2
    volume = voxels * FLOAT_BYTES
    one_pass = n_tilt * voxels / UPDATES_PER_S
    n_series = len(shapes)
    # normalize and align each keep a value and a variance of every series.
    stores: float = 4 * n_series * frames
    if isinstance(config, ArealDensityConfig):
        return Needs(FIXED_MEMORY_BYTES + 3 * stores, 2 * stores, 4 * STARTUP_S + n_series * 2)
    passes: float = 2 * config.align.iterations * config.align.tilts
    if isinstance(config, TomogramConfig):
        passes += 1 if config.reconstruct.algorithm == "fbp" else 2 * config.reconstruct.iterations
        memory = FIXED_MEMORY_BYTES + max(stores, 6 * volume + 4 * frames)
        return Needs(memory, stores + 4 * volume, 5 * STARTUP_S + passes * one_pass)
    n_elements = len(config.measured)
    passes += _composition_passes(config, n_elements)
    pairs = n_elements * (n_elements + 1) / 2
    replicates = config.uncertainty.replicates + config.uncertainty.null_replicates
    stores += (n_elements + pairs) * frames + (n_elements + 3 + replicates / 2 + 2) * volume
    memory = FIXED_MEMORY_BYTES + max(
        3 * n_series * frames,
        2 * (n_elements + pairs) * frames + (22 + 2 * n_elements + 1.5 * replicates) * volume,
    )
    return Needs(memory, 1.3 * stores, (8 + n_series) * STARTUP_S + passes * one_pass)


def _composition_passes(config: CompositionConfig, n_elements: int) -> float:
    """Return how often every ray of one volume is projected, forward or back."""
    solver = config.reconstruct
    repeats = config.uncertainty.replicates + config.uncertainty.null_replicates
    if isinstance(solver, DeviationSettings):
        deviation, oxygen = 2 * solver.iterations, 2 * solver.element_iterations
        return deviation + n_elements * oxygen + repeats * (deviation + oxygen)
    once = n_elements if solver.algorithm == "fbp" else 2 * n_elements * solver.iterations
    return once * (1 + repeats)


def check_disk(folder: Path, needs: Sequence[Needs]) -> None:
    """Refuse a results folder whose file system has too little space left."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    wanted = sum(need.disk_bytes for need in needs)
    if free < wanted:
        raise StoreError(
            str(folder),
            expected=f"{in_bytes(wanted)} of free disk space",
            got=in_bytes(free),
            fix="free disk space, or choose another 'results' folder",
        )


def in_bytes(count: float) -> str:
    """Return a size as people read it: ``1.2 MB``, ``3.4 GB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
