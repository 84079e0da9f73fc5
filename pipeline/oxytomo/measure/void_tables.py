"""Pores and cracks as tables, their network, and the numbers counted in noise trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.arrays import BoolArray, IntArray
from oxytomo.measure.cracks import crack_table
from oxytomo.measure.networks import Network, void_network
from oxytomo.measure.pores import pore_table
from oxytomo.measure.void_numbers import cut_by_faces, mean_aperture, reaching_surface, void_sums
from oxytomo.segment.regions import contacts
from oxytomo.segment.void_noise import Trial
from oxytomo.segment.voids import Voids

if TYPE_CHECKING:
    import pandas as pd

CONTACT_PX = 2
"""Voids touch if they are within this number of voxels of each other."""


@dataclass(frozen=True)
class VoidTables:
    """One row per pore, one per crack, and the network of both.

    The columns ``network``, ``open``, ``open_unknown``, ``contacts`` and ``cut`` of the tables
    follow from the network; the others are those of :func:`oxytomo.measure.pores.pore_table` and
    :func:`oxytomo.measure.cracks.crack_table`.
    """

    pores: pd.DataFrame
    cracks: pd.DataFrame
    network: Network


def void_tables(voids: Voids, *, voxel_nm: float) -> VoidTables:
    """Measure each pore and crack, and their connectivity.

    Parameters
    ----------
    voids : the segmentation
    voxel_nm : edge of a voxel, nm
    """
    sheets = voids.sheets
    pores = pore_table(voids, voxel_nm=voxel_nm)
    cracks = crack_table(sheets, voids.particle, voids.depth_px, voxel_nm=voxel_nm)
    if not voids.bounded:
        # Where the mask fills the volume, the middle of the particle is unknown, too.
        cracks["angle_to_radius_deg"] = np.full(sheets.count, np.nan)
    cut = cut_by_faces(voids.instances, n_voids=voids.n_pores + sheets.count)
    network = void_network(
        contacts(voids.instances, CONTACT_PX),
        np.concatenate([pores["volume_nm3"], cracks["volume_nm3"]]),
        np.concatenate([pores["touches_surface"], cracks["touches_surface"]]),
        cut,
        n_pores=voids.n_pores,
    )
    for table, rows in ((pores, slice(0, voids.n_pores)), (cracks, slice(voids.n_pores, None))):
        table["network"] = network.network[rows]
        table["open"] = network.open[rows]
        table["open_unknown"] = network.unknown[rows]
        table["contacts"] = network.n_contacts[rows]
        table["cut"] = cut[rows]
    return VoidTables(pores, cracks, network)


def written_columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns as written: ``open`` is True, False or unknown."""
    columns: dict[str, list[Any]] = {}
    for name, column in table.items():
        if name == "open":
            pairs = zip(column.tolist(), table["open_unknown"].tolist(), strict=True)
            columns[name] = ["unknown" if unknown else is_open for is_open, unknown in pairs]
        elif name != "open_unknown":
            known = np.where(np.isfinite(column), column, np.nan) if column.dtype.kind == "f" else column
            columns[name] = list(known)
    return columns


def trial_numbers(voids: Voids, network: Network, trial: Trial) -> tuple[dict[str, float], dict[str, float]]:
    """Return the main numbers of one repetition of the search: sums, means and shares.

    Parameters
    ----------
    voids, network : of the whole volume; voids cut by the trial block may reach the surface in it
    trial : one search in a block of the volume
    """
    sheets = trial.sheets
    touches = reaching_surface(
        trial.instances, trial.depth_px, sheets.index, sheets.sheet, n_pores=trial.n_pores
    )
    touches[_leaving(voids, network.open, trial) - 1] = True
    cut = np.zeros(touches.size, bool)
    cut[_leaving(voids, network.unknown, trial) - 1] = True
    pairs = contacts(trial.instances, CONTACT_PX)
    sums = void_sums(trial.void, trial.zone, pairs, touches, cut, n_pores=trial.n_pores)
    sums["area"] = float(sheets.area_px.sum())
    known = sums["open"] + sums["closed"]
    share = sums["open"] / known if known > 0 else float("nan")
    mean = mean_aperture(sheets.aperture_px, sheets.area_px, sheets.inner)
    return sums, {"open_fraction": share, "mean_aperture": mean}


def _leaving(voids: Voids, marked: BoolArray, trial: Trial) -> IntArray:
    """Return the voids of a trial that continue in marked voids beyond its block."""
    on_edge = np.concatenate([[False], marked])[voids.instances[trial.box]]
    inner = tuple(slice(1 if n > 1 else 0, n - 1 if n > 1 else n) for n in on_edge.shape)
    on_edge[inner] = False
    found: IntArray = np.unique(trial.instances[on_edge]).astype(np.int64)
    return found[found > 0]
