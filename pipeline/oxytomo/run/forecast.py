"""The jobs of samples without any results, known without asking Snakemake.

All their stages run. Snakemake needs seconds to start and some 0.1 s per sample, so that a dry run
asks it only about samples with results.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from oxytomo.config import ProjectConfig
from oxytomo.config.plan import (
    FOLDERS,
    JOINT_STAGE,
    branch_config,
    branch_stages,
    comparison_products,
    sample_branches,
    sample_products,
    stage_jobs,
)
from oxytomo.run.results_folder import lost_stores
from oxytomo.stages.registry import STAGES

REASON = "Missing output files"
"""The reason that Snakemake gives for such a job."""

Job = dict[str, str]
"""Planned job: rule, sample, reason."""


@dataclass(frozen=True)
class Forecast:
    """What is known of a run.

    Attributes
    ----------
    jobs : of the samples without results, and their comparison with others
    new : names of these samples
    targets : files of the other samples that Snakemake has to judge, relative to the results folder
    """

    jobs: tuple[Job, ...]
    new: frozenset[str]
    targets: tuple[str, ...]

    def with_planned(self, planned: Collection[Job]) -> list[Job]:
        """Return all jobs, with those that Snakemake plans for the other samples."""
        return [*(job for job in planned if job["sample"] not in self.new), *self.jobs]


def forecast(project: ProjectConfig, folder: Path) -> Forecast:
    """Return the jobs that are certain, and the files that only Snakemake can judge."""
    new = frozenset(name for name in project.samples if not os.path.lexists(folder / name))
    jobs = [job for name in project.samples if name in new for job in sample_jobs(project, name)]
    targets = [
        f"{name}/{product}"
        for name, sample in project.samples.items()
        if name not in new
        for product in sample_products(sample)
    ]
    if targets:
        targets += lost_stores(folder, project)
    compared = {name for members in project.groups.values() for name in members}
    if project.groups and new & compared:
        jobs.append({"rule": "comparison", "sample": "", "reason": REASON})
    elif project.groups:
        targets += comparison_products(project)
    return Forecast(tuple(jobs), new, tuple(targets))


def sample_jobs(project: ProjectConfig, sample: str) -> Iterator[Job]:
    """Yield all jobs of a sample."""
    for branch in sample_branches(project.samples[sample]):
        config = branch_config(project, sample, branch)
        for stage in branch_stages(config, branch):
            row = STAGES[stage]
            shared = branch == row.branches[0] or (row.jobs and len(row.branches) > 1)
            rule = stage if shared else f"{stage}_{branch}"
            for _ in stage_jobs(config, stage) if stage in FOLDERS else ("",):
                yield {"rule": rule, "sample": sample, "reason": REASON}
    if project.samples[sample].register_branches is not None:
        yield {"rule": JOINT_STAGE, "sample": sample, "reason": REASON}
    yield {"rule": "report", "sample": sample, "reason": REASON}
