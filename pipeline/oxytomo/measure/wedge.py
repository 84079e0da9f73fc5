"""What missing wedge, outline and resolution leave uncertain in the fractions of classes.

A limited tilt range does not measure detail along the directions of the missing wedge. A thin shell
whose normal lies there is lost, or blurred into the particle. The rim where the normal is measured
shows what the rest of the rim may be: this is a second reading of the fractions. The outline of the
particle is known to part of a voxel, and a shell counts with the layer of voxels at the surface.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, LabelArray
from oxytomo.segment.classes import CLASS_LABELS
from oxytomo.slabs import Field, fill, in_parts, new_field, read, slabs

REACH_PX = 8
"""Depth of the rim in which the two readings are compared, voxels."""
SMOOTH_PX = 2.0
LEAST_GAP_DEG = 10.0
STEEP = 0.5
"""A normal with a smaller part across the tilt axis is measured: detail along the axis is."""
OUTLINE_PX = 0.15
"""Error of the outline, voxels: the volume of simulated particles of 16 voxels' radius is 2 to
2.5 % too small, 0.11 to 0.13 voxel."""


@dataclass(frozen=True)
class Wedge:
    """Directions across the tilt axis that no projection holds, radians from x towards y."""

    middle: float
    half_width: float


def missing_wedge(tilt_deg: Float64Array) -> Wedge | None:
    """Return the largest gap in the measured directions; None where there is hardly any.

    ``tilt_deg`` is (n_tilt,). The projection at θ holds the direction (x, y) = (cos θ, sin θ).
    """
    angle = np.sort(np.mod(np.asarray(tilt_deg, np.float64), 180.0))
    gaps = np.diff(np.append(angle, angle[0] + 180.0))
    k = int(gaps.argmax())
    if gaps[k] < LEAST_GAP_DEG:
        return None
    return Wedge(float(np.deg2rad(angle[k] + gaps[k] / 2)), float(np.deg2rad(gaps[k] / 2)))


def unseen_normals(particle: Field, wedge: Wedge) -> Field:
    """Return where the outward normal of the particle lies in the missing wedge, bool.

    The normal is the gradient of the smoothed mask (n_z, n_y, n_x).
    """
    found = new_field(particle.shape, bool)

    def unseen(inside: BoolArray) -> BoolArray:
        smooth = scipy.ndimage.gaussian_filter(inside.astype(np.float32), SMOOTH_PX)
        along, y, x = np.gradient(smooth)
        across = np.hypot(y, x)
        # Directions, not vectors: opposite normals are alike.
        cosine = np.abs(x * np.cos(wedge.middle) + y * np.sin(wedge.middle))
        steep = across > STEEP * np.sqrt(across**2 + along**2)
        return np.asarray(steep & (cosine > np.cos(wedge.half_width) * across))

    fill(found, unseen, particle, halo=int(4 * SMOOTH_PX) + 2)
    return found


@dataclass(frozen=True)
class RimCounts:
    """Voxels by class: (REACH_PX layers, seen and unseen, n_class), and of the whole particle."""

    layers: Float64Array
    total: Float64Array


def rim_counts(phases: Field, depth_px: Field, unseen: Field) -> RimCounts:
    """Count the classes in layers of one voxel, where the normal of the surface is seen or not."""
    labels = list(CLASS_LABELS.values())
    layers, total = np.zeros((REACH_PX, 2, len(labels))), np.zeros(len(labels))
    for phase, depth, hidden in in_parts(phases, depth_px, unseen):
        layer = np.where(np.isfinite(depth), depth, REACH_PX).astype(np.int64)
        for k, label in enumerate(labels):
            own = phase == label
            total[k] += np.count_nonzero(own)
            near = own & (layer < REACH_PX)
            place = 2 * layer[near] + hidden[near]
            layers[:, :, k] += np.bincount(place, minlength=2 * REACH_PX).reshape(REACH_PX, 2)
    return RimCounts(layers, total)


def rim_like_the_seen(counts: RimCounts) -> dict[str, float]:
    """Return the fractions if the rim in the wedge is like the rim where its normal is measured.

    Layers without voxels on either side stay as they are.
    """
    seen, hidden = counts.layers[:, 0], counts.layers[:, 1]
    voxels = seen.sum(axis=1, keepdims=True)
    like = np.where(voxels > 0, seen / np.maximum(voxels, 1) * hidden.sum(axis=1, keepdims=True), hidden)
    return _shares(counts.total + (like - hidden).sum(axis=0))


def outline_moved(counts: RimCounts) -> list[dict[str, float]]:
    """Return the fractions with the outline moved out and in by :data:`OUTLINE_PX`.

    The voxels that are added, or lost, have the classes of the outermost layer.
    """
    surface = counts.layers[0].sum(axis=0)
    return [_shares(counts.total + step * surface) for step in (OUTLINE_PX, -OUTLINE_PX)]


def half_height_fractions(deviation: Field, particle: Field, *, threshold: float) -> dict[str, float]:
    """Return the fractions with the borders of classes at half of the height beside them.

    Blur moves the border of a strong, sharp domain outwards, because the threshold is less than
    half of its deviation, and that of a weak domain inwards. Where the deviation changes gradually,
    the threshold is right. The height is the largest deviation of that sign within two voxels.
    Voxels at the surface of the particle stay as they are: the border there is that of the
    particle.

    Parameters
    ----------
    deviation, particle : (n_z, n_y, n_x) deviation, NaN where unknown, and mask
    threshold : threshold of the classes
    """
    counts = np.zeros(len(CLASS_LABELS))
    names = list(CLASS_LABELS)
    for slab in slabs(particle.shape, halo=3):
        wide = np.asarray(read(deviation, slab.wide), np.float32)
        inside = read(particle, slab.wide).astype(bool) & np.isfinite(wide)
        wide = np.where(inside, wide, 0)
        below = scipy.ndimage.binary_erosion(inside)
        counts[names.index("target")] += np.count_nonzero(inside[slab.core])
        for name, sign in (("oxygen_poor", 1), ("oxygen_rich", -1)):
            height = _highest(np.maximum(sign * wide, 0))
            border = np.where(below, 0.5 * np.maximum(height, threshold), threshold)
            own = (inside & (height > threshold) & (sign * wide > border))[slab.core]
            counts[names.index(name)] += np.count_nonzero(own)
            counts[names.index("target")] -= np.count_nonzero(own)
    return _shares(counts)


def _highest(height: FloatArray) -> FloatArray:
    """Return the largest value within two voxels."""
    z, y, x = np.mgrid[-2:3, -2:3, -2:3]
    return np.asarray(scipy.ndimage.maximum_filter(height, footprint=z**2 + y**2 + x**2 <= 4), np.float32)


def _shares(voxels: LabelArray | Float64Array) -> dict[str, float]:
    whole = max(float(np.sum(voxels)), 1.0)
    return {name: float(n) / whole for name, n in zip(CLASS_LABELS, voxels, strict=True)}
