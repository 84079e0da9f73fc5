"""Version of each stage; raise it whenever the numbers of that stage change, and it runs again."""

import json
from typing import Any

STAGE_VERSIONS: dict[str, int] = {
    "normalize": 5,
    "align": 7,
    "decompose": 3,
    "reconstruct": 7,
    "reconstruct_prepare": 2,
    "reconstruct_part": 2,
    "reconstruct_join": 2,
    "reconstruct_refine": 2,
    "reconstruct_tomogram": 3,
    "replicate": 2,
    "uncertainty": 8,
    "classify": 5,
    "measure": 7,
    "normalize_stack": 2,
    "register_stack": 3,
    "fit_valence": 3,
    "measure_oxidation": 2,
    "export_oxidation": 2,
    "export_composition": 1,
    "export_areal_density": 1,
    "export_tomogram": 1,
    "retrieve_phase": 1,
    "reconstruct_structure": 3,
    "read_volume": 2,
    "segment_voids": 5,
    "measure_voids": 6,
    "export_structure": 1,
    "export_meshes": 2,
    "register_branches": 3,
    "report": 7,
    "comparison": 1,
}


def stage_spec(stage: str, settings: dict[str, Any]) -> str:
    """Return the JSON text that a stage is called with; it changes when the stage has to run again."""
    return json.dumps({"version": STAGE_VERSIONS[stage], "settings": settings}, sort_keys=True)
