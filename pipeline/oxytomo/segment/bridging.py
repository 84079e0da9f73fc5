"""Additional volume inside a skin that bridges openings twice as wide.

It shows the effect of the choice of the bridging length.
"""

import numpy as np

from oxytomo.arrays import BoolArray, LabelArray
from oxytomo.segment.components import filled_bodies
from oxytomo.segment.distances import closed
from oxytomo.slabs import (
    Box,
    Field,
    fill,
    in_parts,
    largest,
    new_field,
    on_grid,
    read,
    slabs,
    window,
)

SECOND = 2.0
"""Ratio of the second bridging length to the first."""
COARSE_RADIUS = 4.0
"""Bodies are compared on every second, third … voxel, as long as the first ball has this radius in
such voxels."""


def second_bridging(solid: Field, particle: Field, *, bridge_px: float) -> tuple[int, ...]:
    """Return the additional volume of each particle, in voxels, closed with twice the radius.

    Both skins are computed on the same grid, so that its steps cancel in the difference. Other
    particles are left out.

    Parameters
    ----------
    solid : (n_z, n_y, n_x) bool, the solid inside the particles
    particle : uint8, 1, 2 … inside each particle
    bridge_px : radius of the ball with which the particles were closed
    """
    step = max(1, int(bridge_px / COARSE_RADIUS))
    shape = tuple(-(-n // step) for n in solid.shape)
    own, labels = new_field(shape, np.bool_), new_field(shape, np.uint8)
    row = 0
    for slab in slabs(solid.shape):
        part = on_grid(read(solid, slab.rows), slab.rows, step)
        rows = slice(row, row + part.shape[0])
        own[rows] = part
        labels[rows] = on_grid(read(particle, slab.rows), slab.rows, step)
        row = rows.stop
    voxels = step ** (3 if solid.shape[0] > 1 else 2)
    return tuple(
        voxels * _more(own, labels, label, bridge_px / step) for label in range(1, largest(particle) + 1)
    )


def _more(solid: Field, particle: Field, label: int, radius_px: float) -> int:
    """Return the voxels that the ball of twice the radius adds to one particle."""
    box = _box(particle, label)
    if box is None:
        return 0
    own, labels = window(solid, box), window(particle, box)
    bodies = []
    for radius in (radius_px, SECOND * radius_px):
        body = new_field(tuple(s.stop - s.start for s in box), np.bool_)

        def bridged(inside: BoolArray, owner: LabelArray, radius: float = radius) -> BoolArray:
            return closed(inside & (owner == label), radius)

        fill(body, bridged, own, labels, halo=2 * int(np.ceil(radius)) + 3)
        bodies.append(filled_bodies(body))
    return sum(
        int((far & ~near & ((owner == label) | (owner == 0))).sum())
        for near, far, owner in in_parts(*bodies, labels)
    )


def _box(particle: Field, label: int) -> Box | None:
    """Return the box around a particle and one voxel outside, None without such voxels."""
    found = [np.zeros(n, bool) for n in particle.shape]
    for slab in slabs(particle.shape):
        inside = read(particle, slab.rows) == label
        found[0][slab.rows] = inside.any(axis=(1, 2))
        found[1] |= inside.any(axis=(0, 2))
        found[2] |= inside.any(axis=(0, 1))
    if not found[0].any():
        return None
    ends = [(int(places[0]), int(places[-1])) for places in map(np.flatnonzero, found)]
    return tuple(
        slice(max(0, low - 1), min(n, high + 2)) for (low, high), n in zip(ends, particle.shape, strict=True)
    )
