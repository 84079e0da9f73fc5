"""Estimates of memory, disk space and time of the stages of a branch, before they run."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oxytomo.config import (
    ArealDensityConfig,
    ChemicalStateConfig,
    CompositionConfig,
    DeviationSettings,
    MechanicsConfig,
    OxidationConfig,
    ScatteringConfig,
    StructureConfig,
    TomogramConfig,
)
from oxytomo.config.plan import FOLDERS, JOINT_STAGE, branch_stages, stage_jobs
from oxytomo.config.project import Branch
from oxytomo.config.quantities import BranchConfig
from oxytomo.errors import StoreError
from oxytomo.run.costs import COSTS, MB, Sizes
from oxytomo.run.usual_times import usual_seconds

FLOAT_BYTES = 4
FIRST_LOOK = 20
"""Iterations of the first reconstruction of the whole field."""

Shapes = Mapping[str, tuple[int, int, int]]
"""Per series of a branch (n_frame, n_y, n_x); per volume (n_z, n_y, n_x)."""


@dataclass(frozen=True)
class Needs:
    """Needs of a stage or a branch: largest memory of a job, new files, core seconds.

    ``jobs`` is the number of jobs of a stage; disk and times are totals of all jobs.
    ``core_seconds`` is for a particle that fills the field, ``usual_seconds`` what runs take.
    """

    memory_bytes: float
    disk_bytes: float
    core_seconds: float
    jobs: int = 1
    usual_seconds: float = 0.0

    def describe(self, cores: int) -> str:
        """Return one readable line."""
        minutes = self.usual_seconds / cores / 60
        time = f"{minutes:.0f} min" if minutes >= 2 else "2 min or less"
        return (
            f"about {in_bytes(self.memory_bytes)} of memory, {in_bytes(self.disk_bytes)} of disk, "
            f"{time} on {cores} core{'s' if cores > 1 else ''}"
        )


def stage_needs(config: BranchConfig, branch: Branch, shapes: Shapes) -> dict[str, Needs]:
    """Estimate the needs of every stage of a branch, in order, from the shapes of its data."""
    sizes = branch_sizes(config, shapes)
    needs = {}
    for stage in branch_stages(config, branch):
        jobs = len(stage_jobs(config, stage)) if stage in FOLDERS else 1
        needs[stage] = _needs(stage, sizes, jobs)
    return needs


def joint_needs(composition: BranchConfig, shapes: Shapes) -> Needs:
    """Estimate the needs of registering the structure to a composition of given shapes."""
    return _needs(JOINT_STAGE, branch_sizes(composition, shapes), 1)


def _needs(stage: str, sizes: Sizes, jobs: int) -> Needs:
    memory, disk, seconds = COSTS[stage](sizes)
    return Needs(memory * MB, jobs * disk * MB, jobs * seconds, jobs, jobs * usual_seconds(stage, seconds))


def total_needs(stages: Mapping[str, Needs], only: Collection[str] | None = None) -> Needs:
    """Return the total needs of a branch, or of ``only`` some of its stages."""
    needs = [need for stage, need in stages.items() if only is None or stage in only]
    return Needs(
        max((need.memory_bytes for need in needs), default=0.0),
        1.1 * sum(need.disk_bytes for need in needs),
        sum(need.core_seconds for need in needs),
        usual_seconds=sum(need.usual_seconds for need in needs),
    )


def branch_sizes(config: BranchConfig, shapes: Shapes) -> Sizes:
    """Return the data sizes that determine the costs of the stages of a branch."""
    frames, rows, columns = (max(shape[axis] for shape in shapes.values()) for axis in range(3))
    deep = columns
    if isinstance(config, StructureConfig) and config.volume is not None:
        frames, (rows, deep, columns) = 0, shapes["volume"]
    if isinstance(config, MechanicsConfig):
        frames, (rows, deep, columns) = 0, next(iter(shapes.values()))
    flat = isinstance(config, OxidationConfig | ArealDensityConfig | ScatteringConfig)
    voxels = 0 if flat else rows * deep * columns
    return Sizes(
        series=max(n * y * x for n, y, x in shapes.values()) * FLOAT_BYTES / MB if frames else 0.0,
        stack_frame=rows * columns * FLOAT_BYTES / MB if flat else 0.0,
        n_series=len(shapes),
        volume=voxels * FLOAT_BYTES / MB,
        area=0.0 if flat else deep * columns * FLOAT_BYTES / MB,
        elements=_solved_for(config),
        repeats=config.uncertainty.replicates + config.uncertainty.null_replicates
        if isinstance(config, CompositionConfig | ChemicalStateConfig)
        else 0,
        passes=_passes(config),
        rows=rows,
        parts=config.parts if isinstance(config, CompositionConfig) else 1,
        projections=float(frames * voxels),
        solved=min(voxels, config.max_voxels) * FLOAT_BYTES / MB
        if isinstance(config, MechanicsConfig)
        else 0.0,
        total_variation=isinstance(config, TomogramConfig) and config.reconstruct.algorithm == "tv",
    )


def _solved_for(config: BranchConfig) -> int:
    """Return the number of sinograms of a job: elements, or components of one element."""
    if isinstance(config, ChemicalStateConfig):
        return max(len(config.spectra_of(element)) for element in config.measured)
    if isinstance(config, CompositionConfig):
        return len(config.measured) + sum(len(config.spectra_of(element)) for element in config.with_states)
    return len(config.measured) if isinstance(config, ArealDensityConfig) else 0


def structure_shape(shapes: Shapes) -> tuple[int, int, int]:
    """Return the shape of the volume of a structure branch from the shapes of its data."""
    if "volume" in shapes:
        return shapes["volume"]
    rows, columns = (max(shape[axis] for shape in shapes.values()) for axis in (1, 2))
    return rows, columns, columns


def _passes(config: BranchConfig) -> dict[str, float]:
    """Return the number of forward and back projections of every ray of one volume, by stage."""
    if isinstance(config, OxidationConfig | ArealDensityConfig | MechanicsConfig | ScatteringConfig):
        return {}
    if isinstance(config, StructureConfig):
        rounds = config.reconstruct.iterations if config.reconstruct.align_tilts else 0
        return {"reconstruct_structure": 1.0 + 2.0 * rounds}
    joint = isinstance(config, ChemicalStateConfig) and config.joint
    passes: dict[str, float] = {} if joint else {"align": 2 * config.align.iterations * config.align.tilts}
    if isinstance(config, TomogramConfig):
        tomogram = config.reconstruct
        passes["reconstruct_tomogram"] = 1 if tomogram.algorithm == "fbp" else 2 * tomogram.iterations
        return passes
    repeats = config.uncertainty.replicates + config.uncertainty.null_replicates
    if isinstance(config, ChemicalStateConfig):
        deviation, density = 2.0 * config.reconstruct.iterations, 2.0 * config.reconstruct.element_iterations
        own = {"reconstruct_states": 2 * deviation + (1 + _solved_for(config)) * density}
        return passes | own | {"uncertainty_states": repeats * (deviation + density)}
    chosen, elements = config.reconstruct, len(config.measured)
    if isinstance(chosen, DeviationSettings):
        deviation, oxygen = 2.0 * chosen.iterations, 2.0 * chosen.element_iterations
        whole = {
            "reconstruct": deviation + elements * oxygen,
            "uncertainty": repeats * (deviation + oxygen),
        }
        return passes | (_shared_passes(whole, deviation, repeats) if config.parts > 1 else whole)
    ratio = float(elements if chosen.algorithm == "fbp" else 2 * elements * chosen.iterations)
    return passes | {"reconstruct": ratio, "uncertainty": repeats * ratio}


def _shared_passes(whole: Mapping[str, float], deviation: float, repeats: int) -> dict[str, float]:
    """Return the passes of the jobs of a divided particle, for parts as if each were the whole."""
    return {
        "reconstruct_prepare": 2.0 * FIRST_LOOK,
        "reconstruct_part": whole["reconstruct"],
        "reconstruct_refine": deviation,
        "replicate": whole["uncertainty"] / max(repeats, 1),
    }


def check_disk(folder: Path, needs: Sequence[Needs]) -> None:
    """Refuse a results folder with too little free disk space."""
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
    """Return a size with a suitable unit: ``1.2 MB``, ``3.4 GB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
