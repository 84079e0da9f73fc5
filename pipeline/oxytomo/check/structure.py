"""Check a phase-contrast scan before a run."""

from collections.abc import Iterator, Mapping

import numpy as np

from oxytomo.check.series import SeriesFacts, with_values
from oxytomo.config import StructureConfig, VolumeSource
from oxytomo.errors import InputError, PipelineError
from oxytomo.preprocess.plausible import VOXEL_TOLERANCE, looked_at


def volume_facts(place: str, source: VolumeSource, voxel_nm: float, warnings: list[str]) -> SeriesFacts:
    """Open a volume in the same way as its stage, check some slices, and add warnings."""
    from oxytomo.io.volumes import read_volume
    from oxytomo.stages.sources import volume_request

    volume = read_volume(volume_request(source))
    recorded = volume.voxel_nm
    if recorded is not None and abs(recorded / voxel_nm - 1) > VOXEL_TOLERANCE:
        warnings.append(
            f"{place}: voxels of {voxel_nm:g} nm are used (voxel_nm); the file says {recorded:g} nm"
        )
    n_z, n_y, n_x = (int(side) for side in volume.values.shape)
    facts = SeriesFacts(
        place=place,
        shape=(n_z, n_y, n_x),
        tilt_deg=(),
        energy_ev=float("nan"),
        pixel_nm=voxel_nm,
        quantity="volume",
        n_flat=0,
    )
    return with_values(facts, [np.asarray(volume.values[z : z + 1])[0] for z in looked_at(n_z)])


def mask_problems(facts: Mapping[str, SeriesFacts]) -> Iterator[PipelineError]:
    """Yield an error for a mask with another shape than its volume."""
    volume, mask = facts.get("volume"), facts.get("mask")
    if volume is not None and mask is not None and volume.shape != mask.shape:
        yield InputError(
            mask.place,
            expected=f"a mask of {' × '.join(map(str, volume.shape))} voxels as the volume",
            got=" × ".join(map(str, mask.shape)),
            fix="give the mask of this volume",
        )


def scan_problems(config: StructureConfig, facts: Mapping[str, SeriesFacts]) -> Iterator[PipelineError]:
    """Yield contradictions between voxel size, distances and energy."""
    from oxytomo.phase.scan import check_pixel, expected_pixels_nm

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
