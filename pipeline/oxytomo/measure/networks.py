"""Connectivity of pores and cracks: a graph of sheets and bodies."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from oxytomo.arrays import BoolArray, Float64Array, IntArray

SHORTEST_CONTACT = 3
"""Two voids touch if at least this many pairs of their voxels are within reach."""


@dataclass(frozen=True)
class Network:
    """The graph of pores and cracks.

    Attributes
    ----------
    network : (n,) int64, number of the network of each void, from 1 by decreasing volume
    open : (n,) bool, the network of the void reaches the surface
    unknown : (n,) bool, it does not, but is cut by the edge of the volume and may do so beyond it
    n_contacts : (n,) int64, number of other voids that touch a void
    junctions : number of contacts between two cracks
    largest_share : volume of the largest network over the volume of all; NaN without voids
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

    Each sheet and each pore is one node. A curve skeleton is not used, because it has no meaning on
    sheets.

    Parameters
    ----------
    pairs : (m, 3) two labels, from 1, and the number of voxels at which they touch, from
        :func:`oxytomo.segment.regions.contacts`
    volume, touches_surface, cut : (n,) of each void, pores first; cut voids reach the edge of the
        volume (None: none)
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
