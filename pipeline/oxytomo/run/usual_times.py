"""What part of its estimated time a stage usually takes."""

from collections.abc import Mapping

USUAL_SHARE: Mapping[str, float] = {
    "normalize": 0.4,
    "align": 1.0,
    "decompose": 1.0,
    "reconstruct": 0.2,
    "reconstruct_part": 0.2,
    "reconstruct_refine": 0.2,
    "uncertainty": 0.1,
    "replicate": 0.2,
    "reconstruct_states": 0.2,
    "uncertainty_states": 0.1,
    "classify": 0.3,
    "measure": 0.6,
    "export_composition": 0.4,
    "segment_voids": 1.0,
    "measure_voids": 1.0,
    "measure_oxidation": 0.2,
}
"""Share of an estimated time that a run usually takes, from the logs of runs on 96³ with 66 tilts
and on 131 × 128 × 160: solvers work on the particle only, stop early, and solve replicates
together. The estimates themselves are for particles that fill the field."""
OTHER_SHARE = 0.5
"""The same for stages that are not listed."""
PAGE_S = 5.0
"""Seconds of a report or a comparison."""


def usual_seconds(stage: str, seconds: float) -> float:
    """Return the core seconds that a stage usually takes of its estimated ones."""
    return USUAL_SHARE.get(stage, OTHER_SHARE) * seconds
