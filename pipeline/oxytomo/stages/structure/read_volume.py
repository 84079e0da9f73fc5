"""Stage ``read_volume``: convert a reconstructed volume to float32 with its voxel size."""

from pathlib import Path

from oxytomo.config import expand
from oxytomo.config.stage_settings import ReadVolumeStage as Settings
from oxytomo.io.stores import NamedArray, write_store
from oxytomo.io.volumes import read_volume
from oxytomo.preprocess.plausible import VOXEL_TOLERANCE
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import volume_request


def run(
    _inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext
) -> None:
    """Read the raw files of the settings and write."""
    raw = {f"raw_{i}": path for i, path in enumerate(expand(settings.source.images))}
    volume = read_volume(volume_request(settings.source))
    recorded = volume.voxel_nm
    if recorded is not None and abs(recorded / settings.voxel_nm - 1) > VOXEL_TOLERANCE:
        context.log(
            f"warning: the file says voxels of {recorded:g} nm, the configuration {settings.voxel_nm:g} nm, "
            "which is used"
        )
    context.log(f"{volume.format}, {' × '.join(str(side) for side in volume.values.shape)} voxels")
    write_store(
        outputs["store"],
        {"volume": NamedArray(volume.values, ("z", "y", "x"), "1")},
        provenance=context.provenance(raw),
        attributes={
            "voxel_nm": settings.voxel_nm,
            "recorded_voxel_nm": recorded,
            "format": volume.format,
        },
    )
