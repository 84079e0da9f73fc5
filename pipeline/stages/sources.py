"""From a configured source to what the readers are asked for."""

from pathlib import Path

import numpy as np

from pipeline.config import AngleRamp, Source, StackSource, VolumeSource, expand
from pipeline.io.readers import ReadRequest
from pipeline.io.readers.spectral import SpectralStack, read_spectral_stack
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


def open_stack(source: StackSource) -> SpectralStack:
    """Return the raw stack that a configured source stands for; its frames are read when asked for."""
    request = ReadRequest(
        images=tuple(expand(source.images)),
        flat=tuple(expand(source.flat)),
        dark=tuple(expand(source.dark)),
        pixel_nm=source.pixel_nm,
        quantity=source.quantity,
        offset=source.offset,
        dataset=source.dataset,
    )
    energies = None if source.energies is None else Path(source.energies)
    return read_spectral_stack(request, energies=energies, energy_unit=source.energy_unit)


def volume_request(source: VolumeSource) -> VolumeRequest:
    """Return the request for the volume readers that a configured source stands for."""
    return VolumeRequest(
        images=tuple(expand(source.images)),
        dataset=source.dataset,
        shape=source.shape,
        dtype=None if source.dtype is None else np.dtype(source.dtype).newbyteorder(source.byte_order).str,
        header_bytes=source.header_bytes,
    )
