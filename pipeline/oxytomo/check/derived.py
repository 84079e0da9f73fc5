"""Check the branches that work on the results of another branch: they have no series of their own."""

from collections.abc import Mapping

from oxytomo.check.mechanics import check_mechanics
from oxytomo.check.series import SeriesFacts
from oxytomo.config import ChemicalStateConfig, MechanicsConfig, ProjectConfig
from oxytomo.config.plan import branch_config
from oxytomo.errors import PipelineError
from oxytomo.run.needs import Needs, stage_needs


def check_derived(
    project: ProjectConfig, sample: str, config: MechanicsConfig | ChemicalStateConfig, *, look: bool
) -> tuple[Mapping[str, SeriesFacts], list[PipelineError], Mapping[str, Needs]]:
    """Return facts of given labels, what is wrong with such a branch, and its needs."""
    if isinstance(config, MechanicsConfig):
        return check_mechanics(project, sample, config, look=look)
    from oxytomo.stages.sources import branch_shapes

    try:
        shapes = branch_shapes(branch_config(project, sample, "composition"))
    except PipelineError:
        return {}, [], {}  # the check of the composition says it
    return {}, [], stage_needs(config, "chemical_state", shapes)
