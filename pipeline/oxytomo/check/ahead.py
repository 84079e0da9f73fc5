"""HDF5 files of the next samples are walked while one sample is checked."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from oxytomo.config import ProjectConfig, Source, source_files
from oxytomo.config.plan import branch_config, branch_sources, sample_branches
from oxytomo.errors import PipelineError

AHEAD = 4
"""Number of samples whose files are walked ahead; what is known of a file is kept for thousands."""
ENDINGS = (".h5", ".hdf5", ".hdf", ".nxs", ".cxi")


@contextmanager
def walked_ahead(project: ProjectConfig) -> Iterator[Iterator[tuple[str, Any]]]:
    """Give the samples of a project in order, and walk the files of those that follow.

    The guarded walk of a file is in another process and takes about as long as the rest of its
    check. Faults are not reported here: the check meets them again.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:

        def samples() -> Iterator[tuple[str, Any]]:
            names = list(project.samples)
            for name in names[:AHEAD]:
                pool.submit(_walk, project, name)
            for place, name in enumerate(names):
                for later in names[place + AHEAD : place + AHEAD + 1]:
                    pool.submit(_walk, project, later)
                yield name, project.samples[name]

        try:
            yield samples()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _walk(project: ProjectConfig, sample: str) -> None:
    from oxytomo.io.readers.guard import check_structure

    for branch in sample_branches(project.samples[sample]):
        sources: Mapping[str, Any] = branch_sources(branch_config(project, sample, branch))
        for source in sources.values():
            files = source_files(source) if isinstance(source, Source) else ()
            for path in files:
                if path.suffix.lower() in ENDINGS:
                    with suppress(PipelineError, OSError):
                        check_structure(path)
