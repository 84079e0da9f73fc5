"""Run the stages of the composition branch in this process, for small simulated particles.

Use ``oxytomo run`` for measured data: it resumes, distributes jobs and checks. Here only the stores
are kept.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from oxytomo.config import ProjectConfig
from oxytomo.config.plan import branch_config, branch_sources, stage_settings
from oxytomo.stages.context import StageContext
from oxytomo.stages.registry import STAGES

CHAIN = ("align", "decompose", "reconstruct", "uncertainty", "classify", "measure")
"""The stages after ``normalize``, in the order in which they run."""


def run_composition(
    project: ProjectConfig, sample: str, folder: Path, *, threads: int, stages: Sequence[str] = CHAIN
) -> dict[str, str]:
    """Run the composition branch of one sample in a folder; return the log of each stage.

    Parameters
    ----------
    project, sample : the configuration and the sample's name
    folder : existing folder for the stores (``<stage>.zarr``) and the tables
    threads : threads a stage may use
    stages : stages to run, from :data:`CHAIN`
    """
    series = {name: folder / f"normalize_{name}.zarr" for name in _series(project, sample)}
    said = {}
    for name, store in series.items():
        spec = stage_settings(project, sample, "composition", "normalize", name)
        said[f"normalize {name}"] = _run("normalize", spec, {}, {"store": store}, threads)
    for stage in stages:
        row = STAGES[stage]
        written = {**row.products, **({"store": row.store} if row.store else {})}
        outputs = {key: folder / name for key, name in written.items()}
        spec = stage_settings(project, sample, "composition", stage)
        said[stage] = _run(stage, spec, dict(_wanted(stage, series, folder)), outputs, threads)
    return said


def _series(project: ProjectConfig, sample: str) -> list[str]:
    return list(branch_sources(branch_config(project, sample, "composition")))


def _wanted(stage: str, series: dict[str, Path], folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the inputs of a stage by name, from the existing stores."""
    for key, name in STAGES[stage].inputs.items():
        if name == "normalize/*":
            yield from series.items()
        elif (store := folder / f"{name}.zarr").is_dir():
            yield key, store


def _run(
    stage: str, spec: dict[str, Any], inputs: dict[str, Path], outputs: dict[str, Path], threads: int
) -> str:
    """Run one stage; returns its log."""
    module = STAGES[stage].load()
    said = io.StringIO()
    context = StageContext(
        stage=stage, version=STAGES[stage].version, threads=threads, settings_json=spec, label=stage
    )
    with redirect_stderr(said):
        module.run(inputs, outputs, STAGES[stage].settings_model().model_validate(spec), context)
    return said.getvalue()
