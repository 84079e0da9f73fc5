"""How pores and cracks hang together: a graph of sheets and bodies, ways to the surface, Euler number."""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import euler_number

from pipeline.arrays import BoolArray, Float64Array, FloatArray, IntArray

SHORTEST_CONTACT = 3
"""Two voids touch where so many pairs of their voxels are within reach."""


@dataclass(frozen=True)
class Network:
    """The graph of pores and cracks.

    Attributes
    ----------
    network : (n,) int64, 1 … for each void, numbered by falling volume
    open : (n,) bool, the network of a void reaches the surface
    n_contacts : (n,) int64, other voids that touch a void
    junctions : contacts of two cracks
    largest_share : volume of the largest network / volume of all; NaN without voids
    """

    network: IntArray
    open: BoolArray
    n_contacts: IntArray
    junctions: int
    largest_share: float

    @property
    def count(self) -> int:
        """Number of networks."""
        return int(self.network.max(initial=0))


def void_network(
    pairs: IntArray, volume: Float64Array, touches_surface: BoolArray, *, n_pores: int
) -> Network:
    """Join voids that touch.

    A sheet is one node and so is a pore; a curve skeleton, which means nothing on sheets, is not used.

    Parameters
    ----------
    pairs : (m, 2) labels from 1 on, one row per pair of voxels, from :func:`pipeline.segment.regions.contacts`
    volume, touches_surface : (n,) of each void, pores first
    n_pores : number of pores
    """
    n = len(volume)
    unique, times = np.unique(pairs, axis=0, return_counts=True)
    edges = unique[times >= SHORTEST_CONTACT] - 1
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    count, member = connected_components(graph, directed=False) if n else (0, np.zeros(0, int))
    size = np.bincount(member, volume, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-size)] = np.arange(1, count + 1)
    reaches = np.zeros(count, bool)
    np.logical_or.at(reaches, member, touches_surface)
    return Network(
        rank[member],
        reaches[member],
        np.bincount(edges.ravel(), minlength=n),
        int((edges >= n_pores).all(axis=1).sum()) if len(edges) else 0,
        float(size.max() / size.sum()) if n and size.sum() > 0 else float("nan"),
    )


@numba.njit(cache=True)
def way_to_surface(void: BoolArray, start: BoolArray) -> FloatArray:
    """Return the length of the shortest way through voids (26 neighbours) from ``start``, inf where there is none."""
    n_z, n_y, n_x = void.shape
    way = np.full(void.shape, np.inf, np.float32)
    queue = np.empty(void.size + 1, np.int64)
    queued = np.zeros(void.shape, np.bool_)
    head, tail, size = 0, 0, void.size + 1
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                if void[z, y, x] and start[z, y, x]:
                    way[z, y, x] = 0
                    queue[tail] = (z * n_y + y) * n_x + x
                    tail += 1
    while head != tail:
        place = queue[head]
        head = (head + 1) % size
        z, y, x = place // (n_y * n_x), place // n_x % n_y, place % n_x
        queued[z, y, x] = False
        for a in range(max(z - 1, 0), min(z + 2, n_z)):
            for b in range(max(y - 1, 0), min(y + 2, n_y)):
                for c in range(max(x - 1, 0), min(x + 2, n_x)):
                    if void[a, b, c]:
                        step = np.float32(np.sqrt((a - z) ** 2 + (b - y) ** 2 + (c - x) ** 2))
                        if way[z, y, x] + step < way[a, b, c] - np.float32(1e-3):
                            way[a, b, c] = way[z, y, x] + step
                            if not queued[a, b, c]:
                                queued[a, b, c] = True
                                queue[tail] = (a * n_y + b) * n_x + c
                                tail = (tail + 1) % size
    return way


def tortuosity(void: BoolArray, depth_px: FloatArray, *, surface_px: float, deep_px: float) -> float:
    """Return the mean of way to the surface through voids / straight way, over open voids deeper than ``deep_px``.

    Ways along voxels are up to 8 % longer than straight ones in unlucky directions. NaN without such voids.
    """
    way = way_to_surface(void, depth_px <= surface_px)
    deep = np.isfinite(way) & (depth_px > deep_px)
    if not deep.any():
        return float("nan")
    return float(np.mean((way[deep] + surface_px) / depth_px[deep]))


def euler_sweep(void: FloatArray, where: BoolArray, levels: tuple[float, ...]) -> dict[str, int]:
    """Return the Euler number of the voids (26-connected) for several thresholds of the void fraction.

    Objects − tunnels + cavities. It depends on the threshold more than on the sample: one value alone says
    nothing.
    """
    flat = void.shape[0] == 1
    numbers = {}
    for level in levels:
        mask = (void > level) & where
        numbers[f"{level:g}"] = int(euler_number(mask[0] if flat else mask, connectivity=2 if flat else 3))
    return numbers
