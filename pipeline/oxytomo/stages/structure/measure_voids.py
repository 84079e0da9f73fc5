"""Stage ``measure_voids``: pores, cracks and their network → tables, with intervals from noise."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import BoolArray, IntArray
from oxytomo.config import MeasureVoidsStage as Settings
from oxytomo.io.stores import read_store
from oxytomo.io.tables import write_csv, write_json
from oxytomo.measure.cracks import crack_table
from oxytomo.measure.networks import Network, void_network
from oxytomo.measure.pores import pore_table
from oxytomo.measure.totals import particle_totals, void_totals
from oxytomo.measure.void_numbers import cut_by_faces, mean_aperture, reaching_surface, void_sums
from oxytomo.measure.void_warnings import structure_warnings
from oxytomo.segment.regions import contacts
from oxytomo.segment.void_noise import Trial, noise_spread
from oxytomo.segment.voids import Voids
from oxytomo.stages.context import StageContext
from oxytomo.stages.structure.segment_voids import read_voids
from oxytomo.stages.structure.void_facts import CONTACT_PX, Measured, Table, void_facts


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``voids``, measure, write ``pores``, ``cracks`` and ``structure``."""
    store = read_store(inputs["voids"])
    voids, voxel_nm = read_voids(store), float(store.attributes["voxel_nm"])
    pores, cracks, network = _tables(voids, voxel_nm)
    spread = noise_spread(
        voids,
        partial(_numbers, voids, network),
        replicates=settings.replicates,
        rng=np.random.default_rng(settings.seed),
        false_cracks=settings.segment.false_cracks,
        false_discovery=settings.segment.false_discovery,
    )
    found = Measured(
        voids,
        particle_totals(voids.particle),
        void_totals(voids.void, voids.zone, voids.particle, n_voids=voids.n_pores + voids.sheets.count),
        pores,
        cracks,
        network,
        spread,
        settings.segment.bridge_px,
        voxel_nm,
    )
    content = void_facts(found, shells=settings.shells, beside=outputs["structure"])
    for name, table in (("pores", pores), ("cracks", cracks)):
        write_csv(outputs[name], _written(table))
    write_json(outputs["structure"], content)
    total = content["porosity"]["total"]["value"]
    context.log(f"porosity {100 * total:.2f} %, {voids.n_pores} pores, {voids.sheets.count} cracks")
    for sentence in structure_warnings(content):
        context.log(f"warning: {sentence}")


def _written(table: Table) -> dict[str, list[Any]]:
    """Return the columns as they are written: no number where there is none, ``open`` or not or unknown."""
    columns: dict[str, list[Any]] = {}
    for name, column in table.items():
        if name == "open":
            pairs = zip(column.tolist(), table["open_unknown"].tolist(), strict=True)
            columns[name] = ["unknown" if unknown else is_open for is_open, unknown in pairs]
        elif name != "open_unknown":
            known = np.where(np.isfinite(column), column, np.nan) if column.dtype.kind == "f" else column
            columns[name] = list(known)
    return columns


def _tables(voids: Voids, voxel_nm: float) -> tuple[Table, Table, Network]:
    """Return both tables with the columns that follow from the network."""
    sheets = voids.sheets
    pores = pore_table(voids, voxel_nm=voxel_nm)
    cracks = crack_table(sheets, voids.particle, voids.depth_px, voxel_nm=voxel_nm)
    if not voids.bounded:
        # Where the mask fills the volume the middle of the particle is not known either.
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
    return pores, cracks, network


def _numbers(voids: Voids, network: Network, trial: Trial) -> tuple[dict[str, float], dict[str, float]]:
    """Return the headline numbers of one repetition of the search: sums, and means and shares."""
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
    """Return the voids of a trial that go on, beyond the block that was searched, in marked voids of the whole volume."""
    on_edge = np.concatenate([[False], marked])[voids.instances[trial.box]]
    inner = tuple(slice(1 if n > 1 else 0, n - 1 if n > 1 else n) for n in on_edge.shape)
    on_edge[inner] = False
    found: IntArray = np.unique(trial.instances[on_edge]).astype(np.int64)
    return found[found > 0]
