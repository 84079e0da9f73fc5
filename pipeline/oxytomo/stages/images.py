"""Writing the OME-Zarr image of a branch, as all export stages do it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oxytomo.config.stage_settings import ExportStage
from oxytomo.export.ngff import Channel, Label
from oxytomo.export.ome_zarr import write_image
from oxytomo.export.record import provenance_attributes
from oxytomo.stages.context import StageContext


def write_branch_image(
    path: Path,
    channels: Sequence[Channel],
    labels: Sequence[Label] = (),
    *,
    context: StageContext,
    inputs: Mapping[str, Path],
    settings: ExportStage,
    axes: tuple[str, ...],
    voxel_nm: float,
    kind: str,
    **facts: Any,
) -> None:
    """Write channels and labels with their provenance.

    Parameters
    ----------
    path : the image
    channels, labels : its content
    context, inputs, settings : of the stage
    axes : names of the axes, the slowest first
    voxel_nm : edge of a voxel
    kind : name of the branch
    facts : further attributes, such as the units of the channels
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
            context.provenance(inputs), kind=kind, sample=settings.sample, **facts
        ),
    )
