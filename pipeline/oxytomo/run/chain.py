"""The stages of a composition one after the other in this process, for small simulated particles.

``oxytomo run`` is the way for measured data: it resumes, shares out and checks. Here nothing is kept but the stores.
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
TABLES = {
    "align": {"table": "alignment.csv"},
    "measure": {"phases": "phases.json", "domains": "domains.csv", "shells": "composition_shells.csv"},
}
"""What they write beside their stores, by the name of the output."""


def run_composition(
    project: ProjectConfig, sample: str, folder: Path, *, threads: int, stages: Sequence[str] = CHAIN
) -> dict[str, str]:
    """Run the composition branch of one sample into a folder; returns what each stage had to say.

    Parameters
    ----------
    project, sample : the configuration and the sample's name
    folder : existing folder for the stores (``<stage>.zarr``) and the tables
    threads : threads a stage may use
    stages : how far to go, of :data:`CHAIN`
    """
    series = {name: folder / f"normalize_{name}.zarr" for name in _series(project, sample)}
    said = {}
    for name, store in series.items():
        spec = stage_settings(project, sample, "composition", "normalize", name)
        said[f"normalize {name}"] = _run("normalize", spec, {}, {"store": store}, threads)
    stores: dict[str, Path] = dict(series)
    for stage in stages:
        outputs = {key: folder / name for key, name in TABLES.get(stage, {}).items()}
        if stage != "measure":
            outputs["store"] = folder / f"{stage}.zarr"
        inputs = {key: stores[key] for key in _wanted(stage, series)}
        spec = stage_settings(project, sample, "composition", stage)
        said[stage] = _run(stage, spec, inputs, outputs, threads)
        stores[stage] = outputs.get("store", folder)
    return said


def _series(project: ProjectConfig, sample: str) -> list[str]:
    return list(branch_sources(branch_config(project, sample, "composition")))


def _wanted(stage: str, series: dict[str, Path]) -> Iterator[str]:
    """Yield the stores that a stage reads, by the names of its inputs."""
    needs = {
        "align": tuple(series),
        "decompose": ("align",),
        "reconstruct": ("decompose",),
        "uncertainty": ("decompose", "reconstruct"),
        "classify": ("reconstruct", "uncertainty"),
        "measure": ("decompose", "reconstruct", "uncertainty", "classify"),
    }
    yield from needs[stage]


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
        module.run(inputs, outputs, module.Settings.model_validate(spec), context)
    return said.getvalue()
