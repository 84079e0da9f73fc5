"""The particle inside a taut skin, including cracks that are open to the outside."""

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from oxytomo.arrays import BoolArray, FloatArray, LabelArray
from oxytomo.errors import InputError
from oxytomo.segment.bridging import second_bridging
from oxytomo.segment.components import FACES, Components, filled_bodies
from oxytomo.segment.distances import closed, distance_inside, near_squares
from oxytomo.segment.regions import grow
from oxytomo.segment.smoothing import gaussian
from oxytomo.slabs import Box, Field, faces, fill, new_field, on_grid, read, slabs

SMOOTHING_PX = 1.0
SMOOTHING_REACH = 4
SEPARATION = 3.0
"""Solid and air must differ by this many times the spread within them; a single Gaussian cut in two
reaches 2.65."""
RARE, DARKEST = 0.1, 0.1
"""If the dark share of the volume is this small, this many dark voxels determine the level of
void."""
MOSTLY = 0.5
"""Above this solid share of the volume's faces, the contrast must be inverted or the field too
narrow."""
SKIN_SMOOTHING_PX = 1.5
SKIN_REACH = 6
OUTSIDE_PX = 24.0
"""Larger distances outside the skin are clipped."""
LEVEL_VOXELS = 2e6
DIVIDED_VOXELS = 6e7
"""Larger volumes are divided at the necks of particles on every second, third … voxel."""


@dataclass(frozen=True)
class Envelope:
    """The particles and their skin.

    Attributes
    ----------
    particle : (n_z, n_y, n_x) uint8, 1, 2 … inside each particle, largest first, 0 outside
    solid : bool, solid at half of the contrast
    depth_px : float32, distance to the skin, positive inside; clipped at −24
    air_level, solid_level : grey values
    cut : particles that touch the edge of the volume
    more_px : additional voxels of each particle if openings twice as wide are bridged; none of a
        given mask
    masked : the particles are given by the user
    bounded : there is background outside the particles, so that there is a skin and a depth below
        it
    """

    particle: Field
    solid: Field
    depth_px: Field
    air_level: float
    solid_level: float
    cut: tuple[int, ...]
    more_px: tuple[int, ...]
    masked: bool
    bounded: bool


def find_envelope(
    volume: Field,
    mask: Field | None,
    *,
    bridge_px: float,
    smallest_share: float,
    separate: bool,
    particle: Field,
    depth_px: Field,
) -> Envelope:
    """Find the particles: solid at half of the contrast, closed with a ball, holes filled.

    Parameters
    ----------
    volume : (n_z, n_y, n_x) float32, bright solid in dark air
    mask : particles given by the user, 0 outside; None to find them
    bridge_px : radius of the ball; mouths of cracks up to twice as wide are bridged
    smallest_share : particles smaller than this share of the largest are left out
    separate : divide touching particles at their necks
    particle, depth_px : overwritten, see :class:`Envelope`

    Raises
    ------
    InputError
        If there is no particle, the contrast is inverted, or everything is void.
    """
    smooth = _smooth_sample(volume)
    air, solid_level = _levels(smooth)
    if mask is not None:
        air = _void_where_rare(smooth, air, solid_level)
    del smooth
    solid = new_field(volume.shape, np.bool_)
    fill(solid, lambda v: _smoothed(v) > 0.5 * (air + solid_level), volume, halo=SMOOTHING_REACH)
    if mask is None:
        _check_faces(solid)
        _find_particles(solid, particle, bridge_px, smallest_share, separate)
    else:
        fill(particle, lambda m: m, mask)
    found = False
    for slab in slabs(volume.shape):
        within = read(solid, slab.rows) & (read(particle, slab.rows) > 0)
        solid[slab.rows] = within
        found |= bool(within.any())
    if not found:
        raise InputError(
            "particle",
            expected="solid in it",
            got="nothing but void",
            fix="check the mask, and that the solid is brighter than the air",
        )
    bounded = _fill_depth(particle, depth_px, smooth=mask is None)
    more = second_bridging(solid, particle, bridge_px=bridge_px) if mask is None else ()
    cut, masked = _touching(particle), mask is not None
    return Envelope(particle, solid, depth_px, air, solid_level, cut, more, masked, bounded)


def _smoothed(values: FloatArray) -> FloatArray:
    smooth: FloatArray = gaussian(values, SMOOTHING_PX)
    return smooth


def _smooth_sample(volume: Field) -> FloatArray:
    """Return the smoothed volume on a coarse grid."""
    step = max(1, round((np.prod(volume.shape) / LEVEL_VOXELS) ** (1 / 3)))
    found = []
    for slab in slabs(volume.shape, halo=SMOOTHING_REACH):
        found.append(on_grid(_smoothed(read(volume, slab.wide))[slab.core], slab.rows, step))
    return np.concatenate(found)


def _fill_depth(particle: Field, depth_px: Field, *, smooth: bool) -> bool:
    """Compute the distance to the skin, positive inside, and return whether there is a skin.

    Without a skin the distance is inf everywhere.
    """
    inside = new_field(particle.shape, np.bool_)
    fill(inside, lambda p: p > 0, particle)
    plain = new_field(particle.shape, np.float32)
    distance_inside(inside, plain)
    if np.isinf(read(plain, slice(0, 1))).all():
        fill(depth_px, lambda p: p, plain)
        return False

    def signed(within: FloatArray, own: BoolArray) -> FloatArray:
        squares = near_squares(own, int(OUTSIDE_PX + 1) ** 2)
        outside = np.minimum(np.sqrt(squares, dtype=np.float32) - np.float32(0.5), np.float32(OUTSIDE_PX))
        return np.where(own, within - 0.5, -outside).astype(np.float32)

    def skin(within: FloatArray, own: BoolArray) -> FloatArray:
        found: FloatArray = gaussian(signed(within, own), SKIN_SMOOTHING_PX)
        return found

    reach = int(OUTSIDE_PX) + 1
    if smooth:
        fill(depth_px, skin, plain, inside, halo=reach + SKIN_REACH)
    else:
        fill(depth_px, signed, plain, inside, halo=reach)
    return True


def coarse_box(volume: Field, mask: Field | None, *, margin_px: int) -> Box:
    """Return the box around all solid (or the mask) with a margin, to leave out air."""
    if mask is not None:
        step = 1
        found: list[BoolArray] = [np.zeros(n, bool) for n in mask.shape]
        for slab in slabs(mask.shape):
            part = read(mask, slab.rows) > 0
            found[0][slab.rows] = part.any(axis=(1, 2))
            found[1] |= part.any(axis=(0, 2))
            found[2] |= part.any(axis=(0, 1))
    else:
        step = 4 if min(volume.shape) > 64 else 1
        coarse = _binned_mean(volume, step)
        air, solid = _levels(coarse)
        above = coarse > 0.5 * (air + solid)
        found = [np.asarray(above.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = []
    for places, n in zip(map(np.flatnonzero, found), volume.shape, strict=True):
        if not places.size:
            return tuple(slice(0, n) for n in volume.shape)
        low = max(0, int(places[0]) * step - margin_px)
        box.append(slice(low, min(n, (int(places[-1]) + 1) * step + margin_px)))
    return tuple(box)


def _binned_mean(volume: Field, step: int) -> FloatArray:
    """Return the mean over cubes of ``step`` voxels; the remainder at the ends is cropped."""
    n_z, n_y, n_x = (n - n % step for n in volume.shape)
    found = []
    for slab in slabs((n_z, n_y, n_x)):
        coarse = read(volume, slab.rows)[:, :n_y, :n_x]
        for axis in range(3 if step > 1 else 0):
            starts = np.arange(0, coarse.shape[axis], step)
            coarse = (np.add.reduceat(coarse, starts, axis=axis) / step).astype(np.float32)
        found.append(coarse)
    return np.concatenate(found)


def _levels(smooth: FloatArray) -> tuple[float, float]:
    """Return the grey values of air and solid; refuse a volume of one kind."""
    step = max(1, round((smooth.size / LEVEL_VOXELS) ** (1 / 3)))
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


def _void_where_rare(smooth: FloatArray, air: float, solid_level: float) -> float:
    """Return the grey value of air, from the darkest voxels if a mask leaves hardly any air.

    The median of a few dark voxels would be that of the blurred walls of voids.
    """
    dark = smooth[smooth < 0.5 * (air + solid_level)]
    if not dark.size or dark.size > RARE * smooth.size:
        return air
    n = max(int(DARKEST * dark.size), 1)
    return float(np.partition(dark, n - 1)[:n].mean())


def _check_faces(solid: Field) -> None:
    """Refuse a volume whose faces are mostly solid."""
    sides = faces(solid)
    share = sum(int(side.sum()) for side in sides) / sum(side.size for side in sides)
    if share > MOSTLY:
        raise InputError(
            "volume",
            expected="a bright particle with dark air around it",
            got=f"bright voxels on {100 * share:.0f} % of the volume's faces",
            fix="invert the contrast; where the sample fills the field of view give a mask that covers it",
        )


def _find_particles(
    solid: Field, particle: Field, bridge_px: float, smallest_share: float, separate: bool
) -> None:
    """Fill in the closed and filled particles, largest first."""
    kept, bridged = new_field(solid.shape, np.bool_), new_field(solid.shape, np.bool_)
    pieces = Components(lambda rows: solid[rows], solid.shape, connectivity=FACES)
    sizes = pieces.sizes()
    # Specks of noise must not be bridged to; true fragments within reach of a particle are added
    # again.
    large = sizes >= max(0.001 * sizes.max(), 8)
    for rows, labels in pieces:
        kept[rows] = large[labels]
    fill(bridged, lambda k: closed(k, bridge_px), kept, halo=2 * int(np.ceil(bridge_px)) + 3)
    del kept
    whole = filled_bodies(bridged)
    parts = new_field(solid.shape, np.int32)
    if separate:
        _divide(whole, parts)
    else:
        for rows, labels in Components(lambda rows: whole[rows], solid.shape, connectivity=FACES):
            parts[rows] = labels
    rank = _ranks(parts, smallest_share)
    fill(particle, lambda p: rank[p], parts)


def _ranks(parts: Field, smallest_share: float) -> LabelArray:
    """Return the number of each part by size, 0 for parts that are left out."""
    counts = np.zeros(1, np.int64)
    for slab in slabs(parts.shape):
        found = np.bincount(read(parts, slab.rows).ravel(), minlength=counts.size)
        found[: counts.size] += counts
        counts = found
    counts[0] = 0
    order = [i for i in np.argsort(-counts) if counts[i] > smallest_share * counts.max()][:255]
    rank = np.zeros(counts.size, np.uint8)
    for number, label in enumerate(order, start=1):
        rank[label] = number
    return rank


def _divide(whole: Field, parts: Field) -> None:
    """Divide at necks narrower than 0.7 of both bodies, by a watershed of the distance."""
    step = int(np.ceil((float(np.prod(whole.shape)) / DIVIDED_VOXELS) ** (1 / 3)))
    coarse = np.concatenate([on_grid(read(whole, s.rows), s.rows, step) for s in slabs(whole.shape)])
    labels = _divided(coarse)
    for slab in slabs(whole.shape, halo=2 * step):
        place = np.arange(slab.wide.start, slab.wide.stop) // step
        near = labels[place]
        for axis in (1, 2):
            near = np.take(near, np.arange(whole.shape[axis]) // step, axis)
        inside = read(whole, slab.wide)
        # On a coarser grid, voxels between its last voxel and the skin belong to their nearest
        # label.
        parts[slab.rows] = grow(np.where(inside, near, 0).astype(np.int32), inside, step - 1)[slab.core]


def _divided(closed_: BoolArray) -> "np.ndarray[tuple[int, ...], np.dtype[np.int32]]":
    found = edt.edt(np.ascontiguousarray(closed_), black_border=False)
    markers = np.zeros(closed_.shape, np.int32)
    bodies = cc3d.connected_components(closed_, connectivity=FACES)
    top = np.zeros(int(bodies.max()) + 1)
    np.maximum.at(top, bodies.ravel(), found.ravel())
    for share in (0.8, 0.65, 0.5, 0.35):
        cores = cc3d.connected_components(found > share * top[bodies], connectivity=26)
        new = np.setdiff1d(np.unique(cores), np.unique(cores[markers > 0]))
        for core in new[new > 0]:
            markers[cores == core] = markers.max() + 1
    labels: np.ndarray[tuple[int, ...], np.dtype[np.int32]] = watershed(-found, markers, mask=closed_)
    return labels


def _touching(particle: Field) -> tuple[int, ...]:
    found = np.unique(np.concatenate([face.ravel() for face in faces(particle)]))
    return tuple(int(label) for label in found if label)
