"""One row per stage: its name, its room and its version. Raise the version when the numbers of a stage change."""

import importlib
import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow; its module is ``oxytomo.stages.<room>.<name>``."""

    name: str
    room: str
    version: int

    def load(self) -> ModuleType:
        """Import the module of the stage, with its ``Settings`` and ``run``."""
        return importlib.import_module(f"oxytomo.stages.{self.room}.{self.name}")


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
STAGES: dict[str, Stage] = {stage.name: stage for stage in _ROWS}


def stage_spec(stage: str, settings: dict[str, Any]) -> str:
    """Return the JSON text that a stage is called with; it changes when the stage has to run again."""
    return json.dumps({"version": STAGES[stage].version, "settings": settings}, sort_keys=True)
