"""Stage ``segment_voids``: particles, void fraction, pores and cracks from a volume."""

from pathlib import Path

from oxytomo.config import expand
from oxytomo.config.stage_settings import SegmentVoidsStage as Settings
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import read_store
from oxytomo.io.void_stores import write_voids
from oxytomo.io.volumes import read_volume
from oxytomo.segment.given_mask import given_particles
from oxytomo.segment.voids import segment_voids
from oxytomo.slabs import largest
from oxytomo.stages.context import StageContext
from oxytomo.stages.progress import counted
from oxytomo.stages.sources import volume_request


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``volume`` and the user's mask, if any, segment, and write ``store``."""
    stored, mask = read_store(inputs["volume"]), settings.mask
    files = {f"mask_{i}": path for i, path in enumerate(expand(mask.images) if mask else ())}
    with scratch_fields(outputs["store"]):
        voids = segment_voids(
            stored.field("volume"),
            given_particles(read_volume(volume_request(mask)).values) if mask else None,
            blur_px=settings.blur_px,
            bridge_px=settings.bridge_px,
            false_cracks=settings.false_cracks,
            false_discovery=settings.false_discovery,
            smallest_share=settings.largest_share,
            separate=settings.separate,
        )
        for label in voids.cut:
            context.log(
                f"warning: particle {label} is cut by the field of view; its numbers are of the visible part"
            )
        context.log(
            f"{counted(largest(voids.particle), 'particle')}, {counted(voids.n_pores, 'pore')}, "
            f"{counted(voids.sheets.count, 'crack')}; the noise is {100 * voids.noise:.0f} % of the contrast, "
            f"the blur {voids.blur_px:.2f} voxels"
        )
        write_voids(
            outputs["store"],
            voids,
            voxel_nm=float(stored.attributes["voxel_nm"]),
            provenance=context.provenance(inputs | files),
        )
