"""Run a branch in this process from a configuration, as the workflow does."""

import io
from contextlib import redirect_stderr
from pathlib import Path

from oxytomo.config import Branch, load_config
from oxytomo.config.plan import FOLDERS, branch_config, branch_stages, stage_jobs, stage_settings
from oxytomo.config.stage_files import stage_inputs, stage_outputs
from oxytomo.stages.context import StageContext
from oxytomo.stages.registry import STAGES


def run_branch(configuration: Path, branch: Branch, *, sample: str = "particle", first: str = "") -> str:
    """Run the stages of a branch from one on, below ``results`` beside the configuration; the log."""
    project, results = load_config(configuration), configuration.parent / "results"
    config = branch_config(project, sample, branch)
    said = io.StringIO()
    names = branch_stages(config, branch)
    for stage in names[names.index(first) if first else 0 :]:
        row = STAGES[stage]
        for job in stage_jobs(config, stage) if stage in FOLDERS else ("",):
            outputs = {
                key: results / sample / name.format(job=job)
                for key, name in stage_outputs(stage, branch).items()
            }
            for path in outputs.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            inputs = {
                key: results / path for key, path in stage_inputs(project, sample, branch, stage, job).items()
            }
            spec = stage_settings(project, sample, branch, stage, job or None)
            context = StageContext(stage, row.version, 1, spec)
            with redirect_stderr(said):
                row.load().run(inputs, outputs, row.settings_model().model_validate(spec), context)
    return said.getvalue()
