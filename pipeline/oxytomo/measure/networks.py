"""How pores and cracks hang together: a graph of sheets and bodies."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from oxytomo.arrays import BoolArray, Float64Array, IntArray

SHORTEST_CONTACT = 3
"""Two voids touch if at least this number of pairs of their voxels is within reach."""


@dataclass(frozen=True)
class Network:
    """The graph of pores and cracks.

    Attributes
    ----------
    network : (n,) int64, 1 … for each void, numbered by falling volume
    open : (n,) bool, the network of a void reaches the surface
    unknown : (n,) bool, it does not, but is cut by the edge of the volume, beyond which it may
    n_contacts : (n,) int64, other voids that touch a void
    junctions : contacts of two cracks
    largest_share : volume of the largest network / volume of all; NaN without voids
    """

    network: IntArray
    open: BoolArray
    unknown: BoolArray
    n_contacts: IntArray
    junctions: int
    largest_share: float

    @property
    def count(self) -> int:
        """Number of networks."""
        return int(self.network.max(initial=0))


def void_network(
    pairs: IntArray,
    volume: Float64Array,
    touches_surface: BoolArray,
    cut: BoolArray | None = None,
    *,
    n_pores: int,
) -> Network:
    """Join voids that touch.

    A sheet is one node and so is a pore; a curve skeleton, which means nothing on sheets, is not
    used.

    Parameters
    ----------
    pairs : (m, 3) labels from 1 on and at how many voxels they touch, from
        :func:`oxytomo.segment.regions.contacts`
    volume, touches_surface, cut : (n,) of each void, pores first; cut are those that reach the edge
        of the volume (None: none)
    n_pores : number of pores
    """
    n = len(volume)
    edges = pairs[pairs[:, 2] >= SHORTEST_CONTACT, :2] - 1
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    count, member = connected_components(graph, directed=False) if n else (0, np.zeros(0, int))
    size = np.bincount(member, volume, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-size)] = np.arange(1, count + 1)
    reaches, goes_on = np.zeros(count, bool), np.zeros(count, bool)
    np.logical_or.at(reaches, member, touches_surface)
    if cut is not None:
        np.logical_or.at(goes_on, member, cut)
    return Network(
        rank[member],
        reaches[member],
        (goes_on & ~reaches)[member],
        np.bincount(edges.ravel(), minlength=n),
        int((edges >= n_pores).all(axis=1).sum()) if len(edges) else 0,
        float(size.max() / size.sum()) if n and size.sum() > 0 else float("nan"),
    )
