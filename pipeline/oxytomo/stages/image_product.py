"""The OME-Zarr image that a branch ends with: one way to write it for all stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oxytomo.config.stage_settings import ExportStage
from oxytomo.export.ngff import Channel, Label
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.stages.context import StageContext


def write_image_product(
    path: Path,
    channels: Sequence[Channel],
    labels: Sequence[Label],
    *,
    axes: tuple[str, ...],
    voxel_nm: float,
    kind: str,
    inputs: Mapping[str, Path],
    settings: ExportStage,
    context: StageContext,
    units: Mapping[str, str] | None = None,
    **facts: Any,
) -> None:
    """Write channels and labels of one shape with the settings of the export and their provenance.

    Parameters
    ----------
    axes : names of the axes, channels first
    voxel_nm : edge of a voxel or pixel, nm
    kind : the branch, for readers of the image
    inputs : files that the image was made from
    units : unit of each channel; None: no channel has one
    facts : what else a reader should know
    """
    write_image(
        path,
        channels,
        name=settings.sample,
        axes=axes,
        voxel_nm=voxel_nm,
        labels=labels,
        ngff=settings.ngff,
        chunk=settings.chunk,
        shard=settings.shard,
        levels=settings.levels,
        threads=context.threads,
        attributes=provenance_attributes(
            context.provenance(inputs),
            kind=kind,
            sample=settings.sample,
            units=dict.fromkeys((channel.name for channel in channels), "1") if units is None else units,
            **facts,
        ),
    )
    shape = " × ".join(str(n) for n in channels[0].data.shape)
    what = "voxels" if len(axes) > 3 else "pixels"
    context.log(f"{len(channels)} channels and {len(labels)} label images of {shape} {what}")
