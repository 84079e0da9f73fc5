"""Stage ``report``: one self-contained HTML page per sample from its available results."""

from pathlib import Path

from oxytomo.config.stage_settings import ReportStage as Settings
from oxytomo.results.places import find_results
from oxytomo.results.results import Results
from oxytomo.stages.context import StageContext
from oxytomo.view.sample_page import write_page


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read the results in the folder ``results`` (or single stores by key), write ``report``."""
    paths = dict(inputs)
    folder = paths.pop("results", None)
    if folder is not None:
        paths = find_results(folder) | paths
    results = Results(paths, folder=folder, name=settings.sample)
    size = write_page(results, outputs["report"], branches=settings.branches)
    context.log(f"{len(paths)} results, {size / 1e6:.1f} MB")
