"""Resources that a job requests, from the size of its data: memory, minutes, threads."""

import logging
from dataclasses import dataclass, field
from math import ceil

from oxytomo.config import ChemicalStateConfig, ProjectConfig
from oxytomo.config.plan import JOINT_STAGE, branch_config, sample_branches
from oxytomo.config.project import Branch
from oxytomo.errors import PipelineError
from oxytomo.run.costs import MB, Sizes, report_memory_mb
from oxytomo.run.needs import Needs, Shapes, branch_sizes, joint_needs, stage_needs, structure_shape

MEMORY_MARGIN = 1.5
"""Measured peaks are 0.7 to 1.5 times the estimates (docs/how-to/cluster.md)."""
WORKFLOW_MB = 300.0
"""Memory of Snakemake, which on a cluster runs twice within a job to start the stage."""
TIME_MARGIN = 4.0
"""Times are order-of-magnitude estimates, and nodes differ in speed."""
LEAST_MINUTES = 5
SECONDS_A_THREAD = 5.0
"""One more thread per this many core seconds; for less work a thread is not worth its start."""
MANY_THREADS = 16
SIDE_BY_SIDE = ("normalize", "measure", "export_composition")
"""Stages that run at the same time as others; if small, they leave the second thread to these."""
UNKNOWN = Needs(memory_bytes=4e9, disk_bytes=1e9, core_seconds=600.0)
"""Default for raw files that cannot be read yet; the stage reports the problem."""


@dataclass
class Requests:
    """Needs of the jobs of a project.

    Headers of raw files are read once per branch, on first use.
    """

    project: ProjectConfig
    _shapes: dict[tuple[str, Branch], Shapes | None] = field(default_factory=dict)

    def needs(self, sample: str, branch: Branch, stage: str) -> Needs:
        """Return the needs of one job of a stage."""
        shapes = self.shapes(sample, branch)
        if not shapes:
            return UNKNOWN
        config = branch_config(self.project, sample, branch)
        if stage == JOINT_STAGE:
            return joint_needs(config, shapes)
        found = stage_needs(config, branch, shapes)[stage]
        return Needs(found.memory_bytes, found.disk_bytes / found.jobs, found.core_seconds / found.jobs)

    def shapes(self, sample: str, branch: Branch) -> Shapes | None:
        """Return the shapes of the data of a branch, None if a file cannot be read."""
        key = (sample, branch)
        if key not in self._shapes:
            from oxytomo.stages.sources import branch_shapes

            # Libraries warn of damaged files; the stage that reads them reports the problem.
            logging.getLogger("tifffile").setLevel(logging.CRITICAL)
            config = branch_config(self.project, sample, branch)
            if isinstance(config, ChemicalStateConfig) and config.joint:
                return self.shapes(sample, "composition")
            try:
                self._shapes[key] = branch_shapes(config) or self._of_structure(sample)
            except PipelineError:
                self._shapes[key] = None
        return self._shapes[key]

    def _of_structure(self, sample: str) -> Shapes | None:
        """Return the shape of the volume of the structure branch, which mechanics reads."""
        shapes = self.shapes(sample, "structure")
        return None if not shapes else {"labels": structure_shape(shapes)}

    def memory_mb(self, sample: str, branch: Branch, stage: str, attempt: int) -> int:
        """Return the memory to request, with a margin; it is doubled at every further attempt."""
        return _raised(self.needs(sample, branch, stage).memory_bytes / MB, attempt)

    def minutes(self, sample: str, branch: Branch, stage: str, attempt: int) -> int:
        """Return the time to request, for one core.

        It is doubled at every further attempt.
        """
        seconds = self.needs(sample, branch, stage).core_seconds
        return (LEAST_MINUTES + ceil(TIME_MARGIN * seconds / 60)) * 2 ** (attempt - 1)

    def threads(self, sample: str, branch: Branch, stage: str) -> int:
        """Return the number of threads that suits the amount of work."""
        seconds = self.needs(sample, branch, stage).core_seconds
        least = 1 if stage in SIDE_BY_SIDE else 2
        return max(least, min(MANY_THREADS, int(seconds / SECONDS_A_THREAD)))

    def report_memory_mb(self, sample: str, attempt: int) -> int:
        """Return the memory to request for the report of a sample."""
        sizes: dict[str, Sizes] = {}
        for branch in sample_branches(self.project.samples[sample]):
            shapes = self.shapes(sample, branch)
            if not shapes:
                return _raised(UNKNOWN.memory_bytes / MB, attempt)
            sizes[branch] = branch_sizes(branch_config(self.project, sample, branch), shapes)
        return _raised(report_memory_mb(sizes), attempt)


def _raised(megabytes: float, attempt: int) -> int:
    """Return an estimate with its margin, doubled at every further attempt."""
    return ceil(WORKFLOW_MB + MEMORY_MARGIN * megabytes) * 2 ** (attempt - 1)
