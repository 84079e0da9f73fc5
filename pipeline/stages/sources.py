"""From a configured source to what the readers are asked for."""

from pathlib import Path

import numpy as np

from pipeline.config import AngleRamp, Source, VolumeSource, expand
from pipeline.io.readers import ReadRequest
from pipeline.io.volumes import VolumeRequest


def read_request(source: Source) -> ReadRequest:
    """Return the request for the readers that a configured source stands for."""
    angles = source.angles
    return ReadRequest(
        images=tuple(expand(source.images)),
        angles=(angles.start, angles.step)
        if isinstance(angles, AngleRamp)
        else (None if angles is None else Path(angles)),
        angles_range=source.angles_range,
        flat=tuple(expand(source.flat)),
        dark=tuple(expand(source.dark)),
        energy_ev=source.energy_ev,
        pixel_nm=source.pixel_nm,
        quantity=source.quantity,
        offset=source.offset,
        dataset=source.dataset,
    )


def volume_request(source: VolumeSource) -> VolumeRequest:
    """Return the request for the volume readers that a configured source stands for."""
    return VolumeRequest(
        images=tuple(expand(source.images)),
        dataset=source.dataset,
        shape=source.shape,
        dtype=None if source.dtype is None else np.dtype(source.dtype).newbyteorder(source.byte_order).str,
        header_bytes=source.header_bytes,
    )
