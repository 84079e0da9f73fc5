"""What can be wrong with a phase-contrast scan before any work is done."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import StructureConfig
from pipeline.errors import InputError, PipelineError

if TYPE_CHECKING:
    from pipeline.stages.check_series import SeriesFacts


def scan_problems(config: StructureConfig, facts: Mapping[str, "SeriesFacts"]) -> Iterator[PipelineError]:
    """Yield what contradicts voxel size, distances and energy."""
    from pipeline.stages.phase_scan import check_pixel, expected_pixels_nm

    places = config.projections or ()
    expected = expected_pixels_nm(places, config.voxel_nm) if places else (config.voxel_nm,) * len(facts)
    for fact, pixel_nm in zip(facts.values(), expected, strict=True):
        try:
            check_pixel(fact.place, np.array([fact.pixel_nm]), pixel_nm)
        except PipelineError as problem:
            yield problem
    unknown = [fact.place for fact in facts.values() if not np.isfinite(fact.energy_ev)]
    if len(unknown) == len(facts) and any(place.sample_detector_mm for place in places):
        yield InputError(
            unknown[0], expected="a photon energy", got="none in the file", fix="give 'energy_ev:'"
        )
