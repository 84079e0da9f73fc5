"""Particles, pores and cracks of a volume."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oxytomo.arrays import FloatArray
from oxytomo.errors import InputError
from oxytomo.segment.bodies import BODY, CROSSED, HALF, find_bodies, told_apart
from oxytomo.segment.bodies import PORE as PORE_BIT
from oxytomo.segment.components import CORNERS, Components
from oxytomo.segment.envelope import OUTSIDE_PX, Envelope, coarse_box, find_envelope
from oxytomo.segment.levels import Calibration, calibrate, edge_blur
from oxytomo.segment.regions import grow
from oxytomo.segment.sheets import Sheets, find_sheets, painted
from oxytomo.slabs import Field, fill, mapped, new_field, read, slabs, window

PORE, CRACK = 1, 2
"""Labels of ``voids``."""

ZONES = 2.5
"""The void fraction is summed up to this multiple of the blur (standard deviation) from a void."""
REST_STEPS = 6
"""Largest distance of voxels of a crossed body from a sheet or a pore, about."""
MOSTLY_VOID = 0.97
TYPES = {
    "particle": np.uint8,
    "void": np.float32,
    "voids": np.uint8,
    "instances": np.int32,
    "zone": np.int32,
    "depth_px": np.float32,
}
"""The volumes of a segmentation."""


@dataclass(frozen=True)
class Voids:
    """Particles, pores and cracks of a volume.

    Attributes
    ----------
    particle : (n_z, n_y, n_x) uint8, 1, 2 … in each particle, voids included
    void : float32, void fraction
    voids : uint8, PORE or CRACK
    instances : int32, pores 1 … n_pores, then the sheets of ``sheets`` from n_pores + 1 on
    zone : int32, like ``instances``, grown to where blur spreads a void's volume
    depth_px : float32, distance to the skin, positive inside; clipped at −24
    n_pores : number of pores
    sheets : crack surfaces
    calibration facts : noise, blur_px, void_level, solid_level, void_level_from
    pore_level : smoothed void fraction above which a pore counts
    cut : particles that touch the edge of the volume
    more_px, bounded : see :class:`oxytomo.segment.envelope.Envelope`
    """

    particle: Any
    void: Any
    voids: Any
    instances: Any
    zone: Any
    depth_px: Any
    n_pores: int
    sheets: Sheets
    noise: float
    blur_px: float
    void_level: float
    solid_level: float
    void_level_from: str
    pore_level: float
    cut: tuple[int, ...]
    more_px: tuple[int, ...] = ()
    bounded: bool = True


@dataclass(frozen=True)
class Found:
    """Pores and cracks in a void fraction: bits of bodies, sheets, level of the pores."""

    bits: Field
    sheets: Sheets
    pore_level: float


def segment_voids(
    volume: Field,
    mask: Field | None,
    *,
    blur_px: float | None,
    bridge_px: float,
    false_cracks: float,
    false_discovery: float,
    smallest_share: float,
    separate: bool,
) -> Voids:
    """Segment a volume.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) float32, bright solid in dark air; NaN counts as air. A slice has n_z =
        1
    mask : particles given by the user, 0 outside, or None
    blur_px : standard deviation of the blur, None to measure it at the skin
    bridge_px, smallest_share, separate : see :func:`oxytomo.segment.envelope.find_envelope`
    false_cracks, false_discovery : see :func:`oxytomo.segment.sheets.find_sheets`

    Raises
    ------
    InputError
        If there is no particle, the contrast is inverted, or everything is void.

    Notes
    -----
    Not found are voids thinner than the smallest claimable aperture, and cracks that run along the
    skin nearer than 6 voxels to it. Cracks wider than about ten voxels become pores.
    """
    _check_mask(mask, volume.shape)
    whole_grey = _finite(volume)
    box = coarse_box(whole_grey, mask, margin_px=int(bridge_px) + 12)
    whole = {name: new_field(volume.shape, dtype) for name, dtype in TYPES.items()}
    for slab in slabs(volume.shape):
        whole["depth_px"][slab.rows] = np.float32(-OUTSIDE_PX)
    part = {name: window(field, box) for name, field in whole.items()}
    grey = window(whole_grey, box)
    envelope = find_envelope(
        grey,
        None if mask is None else window(mask, box),
        bridge_px=bridge_px,
        smallest_share=smallest_share,
        separate=separate,
        particle=part["particle"],
        depth_px=part["depth_px"],
    )
    blur = edge_blur(grey, envelope, start_px=1.0) if blur_px is None else blur_px
    calibration, found = _calibrated_voids(
        grey, envelope, part, blur_px=blur, false_cracks=false_cracks, false_discovery=false_discovery
    )
    n_pores = label_voids(found, part["depth_px"], part["instances"], part["zone"], blur_px=blur)
    _check_solid(part["void"], part["zone"], part["particle"])
    fill(part["voids"], lambda i: _kinds(i, n_pores), part["instances"])
    start = np.array([s.start for s in box], np.int64)
    return Voids(
        **whole,
        n_pores=n_pores,
        sheets=replace(found.sheets, index=found.sheets.index + start),
        noise=calibration.noise,
        blur_px=blur,
        void_level=calibration.void_level,
        solid_level=calibration.solid_level,
        void_level_from=calibration.void_level_from,
        pore_level=found.pore_level,
        cut=envelope.cut,
        more_px=envelope.more_px,
        bounded=envelope.bounded,
    )


def _calibrated_voids(
    grey: Field,
    envelope: Envelope,
    part: Mapping[str, Field],
    *,
    blur_px: float,
    false_cracks: float,
    false_discovery: float,
) -> tuple[Calibration, Found]:
    """Calibrate grey values and find voids twice, the second time with the first voids known.

    Fills ``part["void"]``.
    """
    known = new_field(grey.shape, np.bool_)
    fill(known, lambda p, s: (p > 0) & ~s, part["particle"], envelope.solid)
    bits = new_field(grey.shape, np.uint8)
    for _ in range(2):
        calibration = calibrate(grey, envelope, known, part["void"], blur_px=blur_px)
        found = find_voids(
            part["void"],
            part["depth_px"],
            bits,
            blur_px=blur_px,
            false_cracks=false_cracks,
            false_discovery=false_discovery,
        )
        for slab in slabs(grey.shape):
            body = (bits[slab.rows] & BODY) > 0
            known[slab.rows] = body | (painted(found.sheets, grey.shape, slab.rows, 0.5) > 0)
    return calibration, found


def find_voids(
    void: Field, depth_px: Field, bits: Field, *, blur_px: float, false_cracks: float, false_discovery: float
) -> Found:
    """Find pores and cracks in a void fraction.

    Fills ``bits``, other parameters as in :func:`segment_voids`.
    """
    sheets = find_sheets(
        void, depth_px, blur_px=blur_px, false_cracks=false_cracks, false_discovery=false_discovery
    )
    level = find_bodies(void, depth_px, bits)
    return Found(bits, told_apart(bits, sheets), level)


def label_voids(found: Found, depth_px: Field, instances: Field, zone: Field, *, blur_px: float) -> int:
    """Write numbers of pores and sheets (a pore where both are) and their zones.

    Returns the number of pores.
    """
    bits, shape = found.bits, found.bits.shape
    pores = Components(lambda rows: (bits[rows] & PORE_BIT) > 0, shape, connectivity=CORNERS)
    for rows, labels in pores:
        sheet = painted(found.sheets, shape, rows, 0.0)
        crack = (sheet > 0) & (labels == 0) & (depth_px[rows] > 0)
        labels[crack] = sheet[crack] + pores.count
        zone[rows] = labels
    # Other voxels with more than half void, in a body that a sheet crosses, belong to the nearest
    # sheet or pore.
    fill(
        instances,
        lambda i, b, d: grow(i, ((b & (HALF | CROSSED)) == (HALF | CROSSED)) & (d > 0), REST_STEPS),
        zone,
        bits,
        depth_px,
        halo=REST_STEPS + 1,
    )
    steps = int(np.ceil(ZONES * blur_px))
    fill(zone, lambda i, d: grow(i, d > -1.0, steps), instances, depth_px, halo=steps + 1)
    return pores.count


def _kinds(instances: NDArray[np.int32], n_pores: int) -> NDArray[np.uint8]:
    return np.where(instances > n_pores, CRACK, np.where(instances > 0, PORE, 0)).astype(np.uint8)


def _check_solid(void: Field, zone: Field, particle: Field) -> None:
    """Refuse a particle that consists of void only."""
    total, volume = 0.0, 0
    for slab in slabs(void.shape):
        inside = read(particle, slab.rows) > 0
        total += float(read(void, slab.rows)[inside & (read(zone, slab.rows) > 0)].sum(dtype=np.float64))
        volume += int(inside.sum())
    if total > MOSTLY_VOID * volume:
        raise InputError(
            "particle",
            expected="solid in it",
            got=f"{100 * total / volume:.0f} % void",
            fix="check the mask, and that the solid is brighter than the air",
        )


def _check_mask(mask: Field | None, shape: tuple[int, ...]) -> None:
    if mask is None:
        return
    if mask.shape != shape:
        raise InputError(
            "mask", expected=f"the shape {shape} of the volume", got=f"{mask.shape}", fix="resample the mask"
        )
    if not any(read(mask, slab.rows).any() for slab in slabs(shape)):
        raise InputError("mask", expected="voxels above 0", got="none", fix="mark the particle with 1")


def _finite(volume: Field) -> Field:
    """Return a volume as float32 with NaN replaced by the lowest value."""
    lowest = np.inf
    for slab in slabs(volume.shape):
        values = np.asarray(volume[slab.rows])
        lowest = min(lowest, float(np.min(values, where=np.isfinite(values), initial=np.inf)))

    def filled(values: FloatArray) -> FloatArray:
        values = np.asarray(values, np.float32)
        return np.where(np.isfinite(values), values, np.float32(lowest))

    return mapped(volume, filled, np.float32)
