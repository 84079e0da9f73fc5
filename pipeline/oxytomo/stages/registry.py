"""One row per stage: all that is declared of it. Raise the version when the numbers of a stage change.

The rules of the workflow, the plan of a run, its costs and the groups of jobs on a cluster follow from these rows.
The table is plain data, below everything else, so that ``oxytomo.config`` can plan with it.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

STRUCTURE = "structure"


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow; its module is ``oxytomo.stages.<room>.<name>``.

    Attributes
    ----------
    name, room, version : of the stage
    settings : name of its model in ``oxytomo.config``
    branches : the branches that run it, its own first; none: the whole sample, or all samples
    routes : in the branch ``structure``, the ways in that need it; none: all
    jobs : what it has a job for: each raw series or element, each part of a particle, each replicate
    part_of : the stage whose work its jobs do, where that is shared out
    for_mode : needed only where the reference is the particle's own mode
    raw : raw files that its settings name: of its series or volume, references, a mask
    inputs : by key, the stores below ``stages/<branch>/`` that it reads, without their ending: ``{job}`` is that of the same
        job, a star all of a folder; ``structure:voids`` is one of another branch, ``pristine:reconstruct`` of another
        sample, a name with an ending a product. What a sample does not have is left out
    store : its store below ``stages/<branch>/``, one for each ``{job}``; empty where all that it writes are products
    products : by key, what it leaves in the folder of the sample; in a branch that is not its own, beside its store
    beside : what it leaves without an output of its own
    cost : name of the function in ``oxytomo.run.costs``, None for that of its own name, empty where its rule says what it
        needs
    threads : how many it asks for; None: by its cost
    group : stages of one group, which take seconds, share a job on a cluster
    package, extra : an optional package that it needs, and the extra that installs it; it is left out without
    """

    name: str
    room: str
    version: int
    settings: str
    cost: str | None = None
    branches: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    jobs: Literal["", "series", "parts", "replicates"] = ""
    part_of: str = ""
    for_mode: bool = False
    raw: Literal["", "source", "references", "mask"] = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    products: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    threads: int | None = None
    group: str = ""
    package: str = ""
    extra: str = ""

    def settings_model(self) -> Any:
        """Import the model of its settings."""
        return getattr(importlib.import_module("oxytomo.config.stage_settings"), self.settings)

    def load(self) -> ModuleType:
        """Import the module of the stage, with its ``run``."""
        return importlib.import_module(f"oxytomo.stages.{self.room}.{self.name}")

    @property
    def short_name(self) -> str:
        """How logs and messages name it: a stage with several jobs by the folder of their stores."""
        return self.store.split("/")[0] if self.jobs else self.name


_COMPOSITION, _OXIDATION, _STRUCTURE = ("composition",), ("oxidation",), (STRUCTURE,)
_PROJECTED = ("projections", "phase_maps")

# fmt: off
_ROWS = (
    Stage("normalize", "shared", version=5),
    Stage("align", "composition", version=8),
    Stage("decompose", "composition", version=3),
    Stage("reconstruct", "composition", version=7),
    Stage("reconstruct_prepare", "composition", version=2),
    Stage("reconstruct_part", "composition", version=2),
    Stage("reconstruct_join", "composition", version=2),
    Stage("reconstruct_refine", "composition", version=2),
    Stage("reconstruct_tomogram", "shared", version=3),
    Stage("replicate", "composition", version=2),
    Stage("uncertainty", "composition", version=8),
    Stage("classify", "composition", version=5),
    Stage("measure", "composition", version=7),
    Stage("normalize_stack", "oxidation", version=2),
    Stage("register_stack", "oxidation", version=3),
    Stage("fit_valence", "oxidation", version=3),
    Stage("measure_oxidation", "oxidation", version=2),
    Stage("export_oxidation", "oxidation", version=2),
    Stage("export_composition", "composition", version=1),
    Stage("export_areal_density", "composition", version=1),
    Stage("export_tomogram", "shared", version=1),
    Stage("retrieve_phase", "structure", version=1),
    Stage("reconstruct_structure", "structure", version=3),
    Stage("read_volume", "structure", version=2),
    Stage("segment_voids", "structure", version=5),
    Stage("measure_voids", "structure", version=6),
    Stage("export_structure", "structure", version=1),
    Stage("export_meshes", "structure", version=2),
    Stage("register_branches", "shared", version=3),
    Stage("report", "shared", version=7),
    Stage("comparison", "shared", version=1),
)
# fmt: on
STAGES: dict[str, Stage] = {stage.name: stage for stage in _ROWS}


def stage_spec(stage: str, settings: dict[str, Any]) -> str:
    """Return the JSON text that a stage is called with; it changes when the stage has to run again."""
    return json.dumps({"version": STAGES[stage].version, "settings": settings}, sort_keys=True)
