"""From a volume to its particles, pores and cracks."""

from dataclasses import dataclass, replace
from typing import Any

import cc3d
import edt
import numpy as np
from scipy.ndimage import find_objects, gaussian_filter

from pipeline.arrays import BoolArray, FloatArray, LabelArray
from pipeline.errors import InputError
from pipeline.segment.envelope import coarse_box, find_envelope
from pipeline.segment.levels import calibrate, edge_blur
from pipeline.segment.regions import Labels, grow, paint_sheets
from pipeline.segment.sheets import SKIN_PX, Sheets, find_sheets

PORE, CRACK = 1, 2
"""Labels of ``voids``."""

BODY_SMOOTHING_PX = 1.0
BODY_LEVEL = 0.4
NOISE_MARGIN = 6.0
CORE_PX = 2.6
"""A body that holds a ball of this radius is a pore even where a crack runs into it."""
FLATNESS = 10.0
SMALLEST_AREA_PX = 20.0
"""A crack has an area of at least FLATNESS times its aperture squared, and of so many voxel faces."""
BLOB_PX, BLOB_FILL, BLOB_REACH_PX = (3, 10), 0.15, 5.0
"""A blob: its extent, the share of the cube of that extent that it fills, and how far its flanks reach."""
ZONES = 2.5
"""The void fraction is summed so many standard deviations of the blur around a void."""
MOSTLY_VOID = 0.97


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
    depth_px : float32, distance to the skin
    n_pores : number of pores
    sheets : crack surfaces
    calibration facts : noise, blur_px, void_level, solid_level, void_level_from
    pore_level : smoothed void fraction from which a pore counts
    cut : particles that touch the edge of the volume
    """

    particle: LabelArray
    void: FloatArray
    voids: LabelArray
    instances: Labels
    zone: Labels
    depth_px: FloatArray
    n_pores: int
    sheets: Sheets
    noise: float
    blur_px: float
    void_level: float
    solid_level: float
    void_level_from: str
    pore_level: float
    cut: tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """Pores and cracks in a void fraction; names as in :class:`Voids`."""

    bodies: BoolArray
    instances: Labels
    zone: Labels
    n_pores: int
    sheets: Sheets
    pore_level: float


def segment_voids(
    volume: FloatArray,
    mask: LabelArray | None,
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
    volume : (n_z, n_y, n_x) float32, bright solid in dark air; NaN counts as air. A slice has n_z = 1
    mask : the user's particles, 0 outside, or None
    blur_px : standard deviation of the blur, None to measure it at the skin
    bridge_px, smallest_share, separate : see :func:`pipeline.segment.envelope.find_envelope`
    false_cracks, false_discovery : see :func:`pipeline.segment.sheets.find_sheets`

    Raises
    ------
    InputError
        No particle, inverted contrast, nothing but void.

    Notes
    -----
    Voids thinner than the smallest claimable aperture, cracks wider than about ten voxels (they become pores)
    and cracks that run along the skin nearer than 6 voxels to it are not found.
    """
    finite = np.isfinite(volume)
    clean = volume if finite.all() else np.where(finite, volume, np.nanmin(volume[finite]))
    box = coarse_box(clean, mask, margin_px=int(bridge_px) + 12)
    clean, cut_mask = np.ascontiguousarray(clean[box]), None if mask is None else mask[box]
    envelope = find_envelope(
        clean, cut_mask, bridge_px=bridge_px, smallest_share=smallest_share, separate=separate
    )
    inside = envelope.particle > 0
    blur = edge_blur(clean, envelope, start_px=1.0) if blur_px is None else blur_px
    known: BoolArray = inside & ~envelope.solid
    for _ in range(2):
        calibration = calibrate(clean, envelope, known, blur_px=blur)
        found = find_voids(
            calibration.void,
            envelope.depth_px,
            blur_px=blur,
            false_cracks=false_cracks,
            false_discovery=false_discovery,
        )
        known = found.bodies | (_painted(found.sheets, inside.shape, 0.5) > 0)
    instances, zone, n_pores = found.instances, found.zone, found.n_pores
    share = float(calibration.void[inside & (zone > 0)].sum() / inside.sum())
    if share > MOSTLY_VOID:
        raise InputError(
            "particle",
            expected="solid in it",
            got=f"{100 * share:.0f} % void",
            fix="check the mask, and that the solid is brighter than the air",
        )
    voids = np.where(instances > n_pores, CRACK, np.where(instances > 0, PORE, 0)).astype(np.uint8)
    return _uncropped(
        Voids(
            envelope.particle,
            calibration.void,
            voids,
            instances,
            zone,
            envelope.depth_px,
            n_pores,
            found.sheets,
            calibration.noise,
            blur,
            calibration.void_level,
            calibration.solid_level,
            calibration.void_level_from,
            found.pore_level,
            envelope.cut,
        ),
        box,
        volume.shape,
    )


def find_voids(
    void: FloatArray, depth_px: FloatArray, *, blur_px: float, false_cracks: float, false_discovery: float
) -> Found:
    """Find pores and cracks in a void fraction; parameters as in :func:`segment_voids`."""
    sheets = find_sheets(
        void, depth_px, blur_px=blur_px, false_cracks=false_cracks, false_discovery=false_discovery
    )
    bodies, half, level = _bodies(void, depth_px)
    pores, sheets = _told_apart(bodies, half, sheets)
    instances, n_pores = _instances(pores, sheets, depth_px > 0)
    zone = grow(instances, depth_px > -1.0, int(np.ceil(ZONES * blur_px)))
    return Found(bodies, instances, zone, n_pores, sheets, level)


def _bodies(void: FloatArray, depth_px: FloatArray) -> tuple[BoolArray, BoolArray, float]:
    """Return the voids wide enough to be seen without a model, by hysteresis.

    The second array holds their voxels above BODY_LEVEL, for questions of thickness; the number is the upper
    level, which is above the noise and above everything that the sign-flipped image shows away from voids.
    """
    smooth = gaussian_filter(void, BODY_SMOOTHING_PX, mode="nearest")
    deep = depth_px > SKIN_PX
    quiet = smooth[deep & (smooth < 0.25)]
    if not quiet.size:
        nothing = np.zeros(smooth.shape, bool)
        return nothing, nothing, 1.0
    sigma = 1.4826 * float(np.median(np.abs(quiet)))
    high = float(np.clip(max(NOISE_MARGIN * sigma, 1.15 * float(-quiet.min()), 0.12), 0.0, 0.6))
    low = min(BODY_LEVEL, high)
    above: BoolArray = (smooth > low) & (depth_px > 0.5)
    pieces = cc3d.connected_components(above, connectivity=26)
    found = np.zeros(int(pieces.max()) + 1, bool)
    found[np.unique(pieces[deep & (smooth > high)])] = True
    found[0] = False
    bodies: BoolArray = found[pieces]
    return bodies, bodies & (smooth > BODY_LEVEL), high


def _painted(sheets: Sheets, shape: tuple[int, ...], extra_px: float) -> Labels:
    """Return the sheets with their mean aperture and ``extra_px`` on both sides."""
    half = (_mean_aperture(sheets)[sheets.sheet] / 2 + extra_px).astype(np.float32)
    z, y, x = shape
    return paint_sheets((z, y, x), sheets.index, sheets.normal, sheets.sheet, half)


def _mean_aperture(sheets: Sheets) -> FloatArray:
    """Return the area-weighted mean aperture of each sheet, by its number; entry 0 is no sheet."""
    area = np.bincount(sheets.sheet, sheets.area_px, minlength=sheets.count + 1)
    volume = np.bincount(sheets.sheet, sheets.area_px * sheets.aperture_px, minlength=sheets.count + 1)
    mean: FloatArray = np.maximum(volume / np.maximum(area, 1e-6), 0).astype(np.float32)
    return mean


def _told_apart(bodies: BoolArray, half: BoolArray, sheets: Sheets) -> tuple[BoolArray, Sheets]:
    """Return the compact part of the bodies, and the sheets that are no part of it."""
    core = _opened(half, CORE_PX)
    sheets = _kept(sheets, core, _near_blobs(bodies))
    painted = _painted(sheets, bodies.shape, 1.5)
    pieces = cc3d.connected_components(bodies, connectivity=26)
    touched = np.zeros(int(pieces.max()) + 1, bool)
    touched[np.unique(pieces[painted > 0])] = True
    touched[0] = False
    thick = touched[pieces]
    pores: BoolArray = bodies & ~thick
    if thick.any():
        widest = float(_mean_aperture(sheets).max(initial=0))
        pores |= _opened(thick & half, max(CORE_PX, widest / 2 + 1.0))
    return pores, sheets


def _near_blobs(bodies: BoolArray) -> BoolArray:
    """Return the surroundings of small round bodies, whose flanks together with noise look like small plates."""
    pieces = cc3d.connected_components(bodies, connectivity=26, out_dtype=np.uint32)
    boxes = find_objects(pieces.astype(np.int32))
    sizes = np.bincount(pieces.ravel())
    round_ = np.zeros(len(sizes), bool)
    for label, box in enumerate(boxes, start=1):
        extent = max(s.stop - s.start for s in box)
        room = extent ** (3 if bodies.shape[0] > 1 else 2)
        round_[label] = BLOB_PX[0] <= extent <= BLOB_PX[1] and sizes[label] >= BLOB_FILL * room
    blobs = round_[pieces]
    if not blobs.any():
        return blobs
    near: BoolArray = edt.edt(np.ascontiguousarray(~blobs), black_border=False) <= BLOB_REACH_PX
    return near


def _kept(sheets: Sheets, core: BoolArray, blobs: BoolArray) -> Sheets:
    """Drop sheets that run inside compact bodies or beside blobs, and those too small or too thick for a crack."""
    count = sheets.count
    beside = np.bincount(sheets.sheet, blobs[tuple(sheets.index.T)] * sheets.area_px, minlength=count + 1)
    area = np.bincount(sheets.sheet, sheets.area_px, minlength=count + 1)
    inside = np.bincount(sheets.sheet, core[tuple(sheets.index.T)] * sheets.area_px, minlength=count + 1)
    flat = area >= np.maximum(SMALLEST_AREA_PX, FLATNESS * _mean_aperture(sheets) ** 2)
    good = flat & (inside < 0.5 * area) & (area - beside >= SMALLEST_AREA_PX)
    good[0] = False
    number = np.cumsum(good) * good
    rows = good[sheets.sheet]
    return replace(
        sheets,
        index=sheets.index[rows],
        normal=sheets.normal[rows],
        sheet=number[sheets.sheet[rows]],
        area_px=sheets.area_px[rows],
        aperture_px=sheets.aperture_px[rows],
        inner=sheets.inner[rows],
    )


def _opened(mask: BoolArray, radius_px: float) -> BoolArray:
    """Open with a ball."""
    core = edt.edt(np.ascontiguousarray(mask), black_border=False) > radius_px
    if not core.any():
        return core
    opened: BoolArray = (edt.edt(np.ascontiguousarray(~core), black_border=False) <= radius_px + 0.5) & mask
    return opened


def _instances(pores: BoolArray, sheets: Sheets, inside: BoolArray) -> tuple[Labels, int]:
    """Number pores and sheets in one label image; where both are, the pore wins."""
    labels = cc3d.connected_components(pores, connectivity=26, out_dtype=np.uint32).astype(np.int32)
    n_pores = int(labels.max())
    painted = _painted(sheets, pores.shape, 0.0)
    crack = (painted > 0) & ~pores & inside
    labels[crack] = painted[crack] + n_pores
    return labels, n_pores


def _uncropped(voids: Voids, box: tuple[slice, ...], shape: tuple[int, ...]) -> Voids:
    """Put everything back into the frame of the whole volume."""
    if all(s.start == 0 and s.stop == n for s, n in zip(box, shape, strict=True)):
        return voids
    whole: dict[str, Any] = {}
    for name in ("particle", "void", "voids", "instances", "zone", "depth_px"):
        part = getattr(voids, name)
        full = np.full(shape, -np.inf if name == "depth_px" else 0, part.dtype)
        full[box] = part
        whole[name] = full
    start = np.array([s.start for s in box], np.int64)
    return replace(voids, sheets=replace(voids.sheets, index=voids.sheets.index + start), **whole)
