"""Parts of a particle for mechanics: one particle of a volume, its cracks cut, and averaging."""

from dataclasses import dataclass, replace
from itertools import combinations, product

import cc3d
import edt
import numpy as np
from scipy.ndimage import find_objects

from oxytomo.arrays import BoolArray, Float64Array, FloatArray, IntArray, LabelArray
from oxytomo.errors import InputError
from oxytomo.mechanics.solid import CRACK, LEAST_SHARE, SOLID, VOID, Solid, solid_of_labels

NEAR = (1.5, 2.5)
"""Distances of voxel centres from the nearest void voxel, in voxels, at which stress beside a void
is read: one to two voxels off its surface. Values in surface voxels are up to a quarter low."""
FULL = 0.999
"""Least share of solid of a voxel whose stress is read."""


@dataclass(frozen=True)
class Parts:
    """One particle, cropped.

    Attributes
    ----------
    labels : (n_z, n_y, n_x) uint8: 0 outside, 1 solid, 2 void, 3 crack
    void_share : (n_z, n_y, n_x) float32, share of void in each voxel; None: whole voxels
    voids : (n_z, n_y, n_x) int32, number of the pore of each void voxel, 0 elsewhere
    voxel_um : edge of a voxel, µm
    start : (3,) first voxel in the whole volume, in voxels of ``voxel_um``
    """

    labels: LabelArray
    void_share: FloatArray | None
    voids: IntArray
    voxel_um: float
    start: tuple[int, int, int]

    @property
    def radius_um(self) -> float:
        """Radius of the sphere with the volume of the particle, voids included, µm."""
        volume = float(np.count_nonzero(self.labels)) * self.voxel_um**3
        return float(np.cbrt(3 * volume / (4 * np.pi)))

    def solid(self) -> Solid:
        """Return the solid that carries stress and lithium."""
        return solid_of_labels(self.labels, voxel_um=self.voxel_um, void_share=self.void_share)

    def filled(self) -> "Parts":
        """Return the same particle without voids and cracks."""
        inside = (self.labels > 0).astype(np.uint8)
        share = self.void_share
        if share is not None:
            share = np.where((self.voids > 0) | (self._near_outside() == 0), np.float32(0), share)
        return replace(self, labels=inside, void_share=share, voids=np.zeros_like(self.voids))

    def _near_outside(self) -> LabelArray:
        """Return 1 for voxels within three voxels of the outside, else 0."""
        return (distance_to(self.labels == 0, border=True) <= 3).astype(np.uint8)


def one_particle(labels: LabelArray, *, wanted: int | None, voxel_um: float) -> Parts:
    """Return one particle of a labelled volume.

    Particles are bodies of voxels that are not outside and that share a face. They are numbered by
    size, the largest is 1.

    Parameters
    ----------
    labels : (n_z, n_y, n_x) uint8: 0 outside, 1 solid, 2 void, 3 crack
    wanted : number of the particle; None: the largest
    voxel_um : edge of a voxel, µm

    Raises
    ------
    InputError
        If a label is unknown, there is no such particle, or the field of view cuts it.
    """
    check_labels(labels)
    bodies = cc3d.connected_components(labels > 0, connectivity=6)
    sizes = np.bincount(bodies.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    number = wanted or 1
    if number > len(order):
        raise InputError(
            "particle",
            expected=f"a number from 1 to {len(order)}" if len(order) else "voxels above 0",
            got=str(number) if len(order) else "none",
            fix="1 is the largest particle" if len(order) else "give the labels of a particle",
        )
    own = bodies == order[number - 1]
    refuse_cut(own)
    box = find_objects(own.astype(np.uint8))[0]
    kept = np.where(own[box], labels[box], 0).astype(np.uint8)
    pores = cc3d.connected_components(kept == VOID, connectivity=26).astype(np.int32)
    z, y, x = (one.start for one in box)
    return Parts(kept, None, pores, voxel_um, (z, y, x))


def check_labels(labels: LabelArray) -> None:
    """Refuse labels of another meaning, a slice, or no solid."""
    known = np.unique(labels)
    if labels.ndim != 3 or min(labels.shape) < 3:
        raise InputError(
            "labels",
            expected="a volume",
            got=f"{' × '.join(map(str, labels.shape))} voxels",
            fix="the stress of a slice is not that of a particle: give the whole particle",
        )
    strange = known[~np.isin(known, (0, SOLID, VOID, CRACK))]
    if strange.size or SOLID not in known:
        raise InputError(
            "labels",
            expected="0 outside, 1 solid, 2 void, 3 crack, with some solid",
            got=", ".join(f"{value:g}" for value in known[:8]),
            fix="write the labels with these numbers",
        )


def refuse_cut(particle: BoolArray) -> None:
    """Refuse a particle that touches the faces of its volume."""
    faces = [particle.take((0, -1), axis) for axis in range(3)]
    if any(face.any() for face in faces):
        raise InputError(
            "particle",
            expected="a whole particle, with at least one voxel outside around it",
            got="a particle that the field of view cuts",
            fix="pad the volume if the particle is whole, or choose another with particle:; "
            "the cut would count as a free surface",
        )


def six_connected(cracks: BoolArray, void_share: FloatArray | None) -> BoolArray:
    """Thicken sheets of voxels that touch only at edges or corners, so that every link is a face.

    For each pair of crack voxels that share an edge or a corner, one or two voxels between them are
    added, those with most void. A sheet that is cut in this way lets no stress through.
    """
    grown = cracks.copy()
    prefer = np.zeros(cracks.shape, np.float32) if void_share is None else void_share
    steps = [s for s in product((-1, 0, 1), repeat=3) if sum(map(abs, s)) > 1 and s > (0, 0, 0)]
    for step in sorted(steps, key=lambda s: -sum(map(abs, s))):
        first, second = _pair(cracks.shape, step)
        both = grown[first] & grown[second]
        axes = [axis for axis in range(3) if step[axis]]
        between = [_moved(first, step, those) for n in range(1, len(axes)) for those in combinations(axes, n)]
        open_pairs = both.copy()
        if len(axes) == 2:
            for box in between:
                open_pairs &= ~grown[box]
            left, right = between
            chosen = prefer[left] >= prefer[right]
            grown[left] |= open_pairs & chosen
            grown[right] |= open_pairs & ~chosen
        else:
            one, two = between[0], between[3]  # first axis, then the first two axes
            for a, b in _corner_ways(between):
                open_pairs &= ~(grown[a] & grown[b])
            grown[one] |= open_pairs
            grown[two] |= open_pairs
    return grown


Box = tuple[slice, ...]


def _pair(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[Box, Box]:
    low = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape, strict=True))
    high = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, shape, strict=True))
    return low, high


def _moved(box: Box, step: tuple[int, ...], axes: tuple[int, ...]) -> Box:
    return tuple(
        slice(one.start + s, one.stop + s) if axis in axes else one
        for axis, (one, s) in enumerate(zip(box, step, strict=True))
    )


def _corner_ways(between: list[Box]) -> list[tuple[Box, Box]]:
    """Return the six ways over two voxels from a corner to the opposite one."""
    a, b, c, ab, ac, bc = between
    return [(a, ab), (a, ac), (b, ab), (b, bc), (c, ac), (c, bc)]


def averaging(parts_shape: tuple[int, ...], *, max_voxels: float) -> int:
    """Return the edge of the blocks that bring a volume below a number of voxels."""
    return max(1, int(np.ceil(np.cbrt(np.prod(parts_shape, dtype=np.float64) / max_voxels))))


def averaged(parts: Parts, factor: int) -> Parts:
    """Average blocks of voxels; a block with a crack voxel is cut again.

    The blocks are those of the whole volume, so that a later average fits, too.
    """
    if factor == 1:
        return parts
    first = [start % factor for start in parts.start]
    pads = [
        (before, -(before + size) % factor) for before, size in zip(first, parts.labels.shape, strict=True)
    ]
    labels = np.pad(parts.labels, pads)
    void = None if parts.void_share is None else np.pad(parts.void_share, pads)
    solid = np.isin(labels, (SOLID, VOID)) * (
        (labels == SOLID) if void is None else 1 - np.clip(void, 0.0, 1.0)
    )
    solid = solid + (labels == CRACK)  # the block is cut as a whole
    share = _blocks(solid.astype(np.float32), factor).mean((1, 3, 5), dtype=np.float32)
    hollow = _blocks(labels == VOID, factor).mean((1, 3, 5), dtype=np.float32)
    outside = _blocks(labels == 0, factor).mean((1, 3, 5), dtype=np.float32)
    crack: BoolArray = np.asarray(_blocks(labels == CRACK, factor).any((1, 3, 5)))
    kind = np.where(hollow >= outside, VOID, 0)
    kind = np.where((share > LEAST_SHARE) & (share >= hollow), SOLID, kind)
    kind = np.where((share > LEAST_SHARE) & (kind == 0), SOLID, kind)
    void_share = (1 - share).astype(np.float32)
    kind = np.where(six_connected(crack, void_share), CRACK, kind).astype(np.uint8)
    voids = _blocks(np.pad(parts.voids, pads), factor).max((1, 3, 5)) * (kind == VOID)
    z, y, x = (start // factor for start in parts.start)
    return Parts(kind, void_share, voids.astype(np.int32), parts.voxel_um * factor, (z, y, x))


def _blocks(values: np.ndarray, factor: int) -> np.ndarray:
    n_z, n_y, n_x = (size // factor for size in values.shape)
    return values.reshape(n_z, factor, n_y, factor, n_x, factor)


def centre_of(parts: Parts, solid: Solid) -> Float64Array:
    """Return the centre of mass of the particle, voids included, in voxels of the padded grid."""
    inside = parts.labels > 0
    total = np.count_nonzero(inside)
    means = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        weight = np.count_nonzero(inside, axis=others)
        means.append((weight * np.arange(weight.size)).sum() / total)
    return np.array(means) + np.array(solid.offset)


def distance_to(empty: BoolArray, *, border: bool = False) -> FloatArray:
    """Return the distance of each voxel to the nearest one of ``empty``, in voxels, float32.

    With ``border`` there are such voxels around the volume; without any the distance is infinite.
    """
    full = ~empty
    if border:
        return edt.edt(np.pad(full, 1), black_border=False)[1:-1, 1:-1, 1:-1]
    found: FloatArray = edt.edt(full, black_border=False)
    return found


def beside_voids(parts: Parts, solid: Solid, near: tuple[float, float] = NEAR) -> BoolArray:
    """Return the voxels of full solid one to two voxels off a pore, on the padded grid.

    Voxels that are as near to a crack or to the outer surface are left out. ``near`` gives other
    distances of voxel centres from the nearest void voxel.
    """
    found = np.zeros(solid.share.shape, bool)
    hollow = parts.voids > 0
    if hollow.any():
        distance = distance_to(hollow)
        found[solid.inside] = (distance >= near[0]) & (distance < near[1])
        found &= ~_near_other(parts, solid)
    return found & (solid.share > FULL)


def interior(parts: Parts, solid: Solid) -> BoolArray:
    """Return the voxels of full solid that are at least 1.5 voxels off every surface, padded."""
    return distance_to(solid.share <= FULL) > NEAR[0]


def _near_other(parts: Parts, solid: Solid) -> BoolArray:
    other = np.ones(solid.share.shape, bool)
    other[solid.inside] = (parts.labels == 0) | (parts.labels == CRACK)
    return distance_to(other) < NEAR[0]
