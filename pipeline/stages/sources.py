"""From a configured source to what the readers are asked for."""

from pathlib import Path

from pipeline.config import AngleRamp, Source, expand
from pipeline.io.readers import ReadRequest


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
