"""The particle as a taut skin would enclose it: cracks that are open to the outside belong to it."""

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from pipeline.arrays import BoolArray, FloatArray, LabelArray
from pipeline.errors import InputError
from pipeline.segment.particle import FACE_CONNECTIVITY, filled_particle

SMOOTHING_PX = 1.0
SEPARATION = 3.0
"""Solid and air must differ by this many times the spread within them; one Gaussian cut in two reaches 2.65."""
MOSTLY = 0.5
"""Share of the volume's faces that is solid from which the contrast must be inverted, or the field too narrow."""
SKIN_SMOOTHING_PX = 1.5


@dataclass(frozen=True)
class Envelope:
    """Where the particles are.

    Attributes
    ----------
    particle : (n_z, n_y, n_x) uint8, 1, 2 … inside each particle, largest first, 0 outside
    solid : bool, solid at half of the contrast
    depth_px : float32, distance to the skin, positive inside
    air_level, solid_level : grey values
    cut : particles that touch the edge of the volume
    """

    particle: LabelArray
    solid: BoolArray
    depth_px: FloatArray
    air_level: float
    solid_level: float
    cut: tuple[int, ...]


def find_envelope(
    volume: FloatArray, mask: LabelArray | None, *, bridge_px: float, smallest_share: float, separate: bool
) -> Envelope:
    """Find the particles: solid at half of the contrast, closed with a ball, holes filled.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) float32, bright solid in dark air
    mask : the user's particles instead, 0 outside
    bridge_px : radius of the ball; a mouth of a crack up to twice as wide is bridged
    smallest_share : particles smaller than this share of the largest are left out
    separate : divide touching particles at their necks

    Raises
    ------
    InputError
        No particle, inverted contrast, or nothing but void.
    """
    smooth: FloatArray = gaussian_filter(volume, SMOOTHING_PX, mode="nearest")
    air, solid_level = _levels(smooth)
    solid: BoolArray = smooth > 0.5 * (air + solid_level)
    if mask is None:
        _check_faces(solid)
        particle = _particles(solid, bridge_px, smallest_share, separate)
    else:
        particle = _users(mask, volume.shape)
    solid &= particle > 0
    if not solid.any():
        raise InputError(
            "particle",
            expected="solid in it",
            got="nothing but void",
            fix="check the mask, and that the solid is brighter than the air",
        )
    inside = particle > 0
    skin = _depth(inside)
    if mask is None:
        skin = gaussian_filter(skin, SKIN_SMOOTHING_PX, mode="nearest")
    return Envelope(particle, solid, skin, air, solid_level, _touching(particle))


def _depth(inside: BoolArray) -> FloatArray:
    """Return the distance to the skin, positive inside; inf everywhere where the mask covers the volume."""
    if inside.all():
        return np.full(inside.shape, np.inf, np.float32)
    within = edt.edt(np.ascontiguousarray(inside), black_border=False) - 0.5
    outside = edt.edt(np.ascontiguousarray(~inside), black_border=False) - 0.5
    depth: FloatArray = np.where(inside, within, -outside).astype(np.float32)
    return depth


def coarse_box(volume: FloatArray, mask: LabelArray | None, *, margin_px: int) -> tuple[slice, ...]:
    """Return the box around everything solid (or the mask) with a margin, so that air is not computed."""
    if mask is not None:
        found: BoolArray = mask > 0
        step = 1
    else:
        step = 4 if min(volume.shape) > 64 else 1
        coarse = volume[tuple(slice(0, n - n % step) for n in volume.shape)]
        for axis in range(coarse.ndim):
            if step > 1:
                starts = np.arange(0, coarse.shape[axis], step)
                coarse = (np.add.reduceat(coarse, starts, axis=axis) / step).astype(np.float32)
        air, solid = _levels(coarse)
        found = coarse > 0.5 * (air + solid)
    box = []
    for axis, n in enumerate(volume.shape):
        others = tuple(a for a in range(found.ndim) if a != axis)
        places = np.flatnonzero(found.any(axis=others))
        if not places.size:
            return tuple(slice(0, n) for n in volume.shape)
        low = max(0, int(places[0]) * step - margin_px)
        box.append(slice(low, min(n, (int(places[-1]) + 1) * step + margin_px)))
    return tuple(box)


def _levels(smooth: FloatArray) -> tuple[float, float]:
    """Return the grey values of air and solid; refuses a volume of one kind."""
    step = max(1, round((smooth.size / 2e6) ** (1 / 3)))
    sample = smooth[:: min(step, smooth.shape[0]), ::step, ::step]
    sample = sample[np.isfinite(sample)]
    if sample.size and sample.min() < sample.max():
        cut = threshold_otsu(sample)
        low, high = sample[sample <= cut], sample[sample > cut]
        spread = np.sqrt((low.var() * low.size + high.var() * high.size) / sample.size)
        if high.mean() - low.mean() > SEPARATION * spread:
            return float(np.median(low)), float(np.median(high))
    raise InputError(
        "volume",
        expected="solid that stands out of air",
        got="grey values of one kind",
        fix="check that the volume holds a particle and air around it",
    )


def _check_faces(solid: BoolArray) -> None:
    """Refuse a volume whose faces are mostly solid."""
    faces = [solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1]]
    if solid.shape[0] > 1:
        faces += [solid[0], solid[-1]]
    share = sum(int(face.sum()) for face in faces) / sum(face.size for face in faces)
    if share > MOSTLY:
        raise InputError(
            "volume",
            expected="a bright particle with dark air around it",
            got=f"bright voxels on {100 * share:.0f} % of the volume's faces",
            fix="invert the contrast; where the sample fills the field of view give a mask that covers it",
        )


def _particles(solid: BoolArray, bridge_px: float, smallest_share: float, separate: bool) -> LabelArray:
    """Return the closed and filled particles, largest first."""
    connectivity = FACE_CONNECTIVITY[3]
    pieces = cc3d.connected_components(solid, connectivity=connectivity)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    # Dust of noise must not be bridged to; true fragments within reach of a particle come back with it.
    kept = (sizes >= max(0.001 * sizes.max(), 8))[pieces]
    closed = _closing(kept, bridge_px)
    # The only slice of a two-dimensional image is no way out for its voids.
    closed = filled_particle(closed[0])[None] if len(closed) == 1 else filled_particle(closed)
    labels = _divided(closed) if separate else cc3d.connected_components(closed, connectivity=connectivity)
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    order = [i for i in np.argsort(-counts) if counts[i] > smallest_share * counts.max()][:255]
    new = np.zeros(counts.size, np.uint8)
    for rank, label in enumerate(order, start=1):
        new[label] = rank
    particle: LabelArray = new[labels]
    return particle


def _closing(mask: BoolArray, radius_px: float) -> BoolArray:
    """Close with a ball: everything that no ball of this radius outside can reach."""
    pad = int(radius_px) + 2
    flat = mask.shape[0] == 1
    wide = np.pad(mask, [(0, 0) if flat else (pad, pad), (pad, pad), (pad, pad)])
    grown = edt.edt(np.ascontiguousarray(~wide), black_border=False) < radius_px
    shrunk = edt.edt(np.ascontiguousarray(grown), black_border=False) > radius_px
    inner = slice(None) if flat else slice(pad, -pad)
    closed: BoolArray = shrunk[inner, pad:-pad, pad:-pad] | mask
    return closed


def _divided(closed: BoolArray) -> "np.ndarray[tuple[int, ...], np.dtype[np.int32]]":
    """Divide at necks narrower than 0.7 of both bodies: watershed of the distance from its high plateaus."""
    distance = edt.edt(np.ascontiguousarray(closed), black_border=False)
    markers = np.zeros(closed.shape, np.int32)
    bodies = cc3d.connected_components(closed, connectivity=FACE_CONNECTIVITY[3])
    top = np.zeros(int(bodies.max()) + 1)
    np.maximum.at(top, bodies.ravel(), distance.ravel())
    for share in (0.8, 0.65, 0.5, 0.35):
        cores = cc3d.connected_components(distance > share * top[bodies], connectivity=26)
        new = np.setdiff1d(np.unique(cores), np.unique(cores[markers > 0]))
        for core in new[new > 0]:
            markers[cores == core] = markers.max() + 1
    labels: np.ndarray[tuple[int, ...], np.dtype[np.int32]] = watershed(-distance, markers, mask=closed)
    return labels


def _users(mask: LabelArray, shape: tuple[int, ...]) -> LabelArray:
    if mask.shape != shape:
        raise InputError(
            "mask", expected=f"the shape {shape} of the volume", got=f"{mask.shape}", fix="resample the mask"
        )
    if not mask.any():
        raise InputError("mask", expected="voxels above 0", got="none", fix="mark the particle with 1")
    return mask


def _touching(particle: LabelArray) -> tuple[int, ...]:
    faces = [particle[:, 0], particle[:, -1], particle[:, :, 0], particle[:, :, -1]]
    if particle.shape[0] > 1:
        faces += [particle[0], particle[-1]]
    found = np.unique(np.concatenate([face.ravel() for face in faces]))
    return tuple(int(label) for label in found if label)
