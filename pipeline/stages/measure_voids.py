"""Stage ``measure_voids``: pores, cracks and their network → tables, with intervals from noise."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import Float64Array, IntArray, NumberArray
from pipeline.config import MeasureVoidsStage as Settings
from pipeline.io.scratch import scratch_fields
from pipeline.io.stores import read_store
from pipeline.io.tables import write_csv, write_json
from pipeline.measure.cracks import REACHES_PX, crack_table, weighted_quantiles
from pipeline.measure.networks import Network, void_network
from pipeline.measure.pores import TOUCHES_PX, pore_table
from pipeline.measure.structure import (
    DEFINITIONS,
    METHOD_SHARE,
    central_void,
    interval,
    porosity,
    void_shells,
)
from pipeline.measure.thickness import thickness_quantiles
from pipeline.measure.topology import euler_sweep, tortuosity
from pipeline.measure.totals import ParticleTotals, particle_totals, void_totals
from pipeline.measure.void_numbers import mean_aperture, reaching_surface, void_sums
from pipeline.segment.regions import contacts
from pipeline.segment.sheets import local_aperture
from pipeline.segment.void_noise import NoiseSpread, Trial, noise_spread
from pipeline.segment.voids import PORE, Voids
from pipeline.stages.context import StageContext
from pipeline.stages.segment_voids import read_voids

CONFIDENCE = 0.95
CONTACT_PX = 2
SURFACE_PX = 2.0
DEEP_PX = 5.0
APERTURE_BINS = 24
EULER_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)

Table = dict[str, NumberArray]


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``voids``, measure, write ``pores``, ``cracks`` and ``structure``."""
    store = read_store(inputs["voids"])
    voids, voxel_nm = read_voids(store), float(store.attributes["voxel_nm"])
    pores, cracks, network = _tables(voids, voxel_nm)
    totals = particle_totals(voids.particle)
    sums = void_totals(voids.void, voids.zone, voids.particle, n_voids=voids.n_pores + voids.sheets.count)
    spread = noise_spread(
        voids,
        partial(_numbers, voids, network),
        replicates=settings.replicates,
        rng=np.random.default_rng(settings.seed),
        false_cracks=settings.segment.false_cracks,
        false_discovery=settings.segment.false_discovery,
    )
    content = {
        "voxel_nm": voxel_nm,
        **_headline(voids, totals, sums, pores, cracks, network, spread, voxel_nm),
        "network": _network(voids, network, outputs["structure"]),
        "shells": void_shells(
            voids.void,
            voids.zone,
            voids.particle,
            voids.depth_px,
            n_pores=voids.n_pores,
            n_shells=settings.shells,
        ),
        "particles": [
            _particle(voids, totals, sums, pores, cracks, network, i, voxel_nm)
            for i in range(1, len(totals.volume_px))
        ],
        "calibration": {
            "noise": voids.noise,
            "contrast_to_noise": 1 / voids.noise if voids.noise > 0 else None,
            "blur_px": voids.blur_px,
            "void_level": voids.void_level,
            "void_level_from": voids.void_level_from,
            "solid_level": voids.solid_level,
            "pore_level": voids.pore_level,
            "smallest_aperture_nm": voids.sheets.smallest_aperture_px * voxel_nm,
        },
        "definitions": DEFINITIONS,
    }
    write_csv(outputs["pores"], {name: list(column) for name, column in pores.items()})
    write_csv(outputs["cracks"], {name: list(column) for name, column in cracks.items()})
    write_json(outputs["structure"], content)
    total = content["porosity"]["total"]["value"]
    context.log(f"porosity {100 * total:.2f} %, {voids.n_pores} pores, {voids.sheets.count} cracks")


def _tables(voids: Voids, voxel_nm: float) -> tuple[Table, Table, Network]:
    """Return both tables with the columns that follow from the network."""
    pores = pore_table(
        voids.void,
        voids.instances,
        voids.zone,
        voids.particle,
        voids.depth_px,
        n_pores=voids.n_pores,
        voxel_nm=voxel_nm,
    )
    sheets = voids.sheets
    cracks = crack_table(
        sheets.index,
        sheets.normal,
        sheets.sheet,
        sheets.area_px,
        sheets.aperture_px,
        sheets.inner,
        voids.particle,
        voids.depth_px,
        voxel_nm=voxel_nm,
    )
    network = void_network(
        contacts(voids.instances, CONTACT_PX),
        np.concatenate([pores["volume_nm3"], cracks["volume_nm3"]]),
        np.concatenate([pores["touches_surface"], cracks["touches_surface"]]),
        n_pores=voids.n_pores,
    )
    for table, rows in ((pores, slice(0, voids.n_pores)), (cracks, slice(voids.n_pores, None))):
        table["network"] = network.network[rows]
        table["open"] = network.open[rows]
        table["contacts"] = network.n_contacts[rows]
    return pores, cracks, network


def _open_shares(
    voids: Voids, volume: Float64Array, pores: Table, cracks: Table, voxel_nm: float
) -> list[float]:
    """Return the open share of the voids where contacts and skin are a voxel nearer, and a voxel farther, than the rule says.

    Whether a void is open hangs on gaps that are hardly wider than a voxel; noise alone does not tell how much that moves.
    """
    shares = []
    for margin_px in (-1, 1):
        touches = np.concatenate(
            [
                pores["least_depth_nm"] < (TOUCHES_PX + margin_px) * voxel_nm,
                cracks["least_depth_nm"] <= (REACHES_PX + margin_px) * voxel_nm,
            ]
        )
        pairs = contacts(voids.instances, CONTACT_PX + margin_px)
        is_open = void_network(pairs, volume, touches, n_pores=voids.n_pores).open
        shares.append(float(volume[is_open].sum() / volume.sum()))
    return shares


def _numbers(voids: Voids, network: Network, trial: Trial) -> tuple[dict[str, float], dict[str, float]]:
    """Return the headline numbers of one repetition of the search: sums, and means and shares."""
    sheets = trial.sheets
    touches = reaching_surface(
        trial.instances, trial.depth_px, sheets.index, sheets.sheet, n_pores=trial.n_pores
    )
    touches[_leaving(voids, network, trial) - 1] = True
    pairs = contacts(trial.instances, CONTACT_PX)
    sums = void_sums(trial.void, trial.zone, pairs, touches, n_pores=trial.n_pores)
    sums["area"] = float(sheets.area_px.sum())
    share = sums["open"] / sums["total"] if sums["total"] > 0 else float("nan")
    mean = mean_aperture(sheets.aperture_px, sheets.area_px, sheets.inner)
    return sums, {"open_fraction": share, "mean_aperture": mean}


def _leaving(voids: Voids, network: Network, trial: Trial) -> IntArray:
    """Return the voids of a trial that go on, beyond the block that was searched, in a network open in the whole volume."""
    is_open = np.concatenate([[False], network.open])[voids.instances[trial.box]]
    inner = tuple(slice(1 if n > 1 else 0, n - 1 if n > 1 else n) for n in is_open.shape)
    is_open[inner] = False
    found: IntArray = np.unique(trial.instances[is_open]).astype(np.int64)
    return found[found > 0]


def _headline(
    voids: Voids,
    totals: ParticleTotals,
    sums: Float64Array,
    pores: Table,
    cracks: Table,
    network: Network,
    spread: NoiseSpread | None,
    voxel_nm: float,
) -> dict[str, Any]:
    """Return porosity, pores and cracks of all particles together, with intervals."""
    parts = porosity(sums, totals.volume_px, network.open, n_pores=voids.n_pores, label=None)
    volume = int(totals.volume_px[1:].sum())
    sheets, area = voids.sheets, float(cracks["area_nm2"].sum())
    weights, apertures = cracks["area_nm2"], cracks["aperture_nm"]
    low, median, high = weighted_quantiles(apertures, weights, (0.1, 0.5, 0.9))
    share = parts["open"] / parts["total"] if parts["total"] > 0 else None
    opened = _interval(spread, "open_fraction", share, most=1.0)
    if share is not None and opened["ci95"] is not None:
        by_rule = _open_shares(voids, np.maximum(sums.sum(axis=0)[1:], 0), pores, cracks, voxel_nm)
        low, high = opened["ci95"]
        opened["ci95"] = (min(low, *by_rule), max(high, *by_rule))
    mean = mean_aperture(sheets.aperture_px, sheets.area_px, sheets.inner) * voxel_nm
    return {
        "particle_volume_nm3": volume * voxel_nm**3,
        "cut_by_field_of_view": list(voids.cut),
        "porosity": {
            name: {"value": value, **_interval(spread, name, value, unit=1 / volume)}
            for name, value in parts.items()
        },
        "open_fraction": share,
        **_named("open_fraction", opened),
        "pores": {
            "count": voids.n_pores,
            **_named("count", _interval(spread, "n_pores", voids.n_pores)),
            "number_density_per_um3": voids.n_pores / (volume * voxel_nm**3 / 1e9),
            "median_equivalent_diameter_nm": _median(pores["equivalent_diameter_nm"]),
            "median_sphericity": _median(pores["sphericity"]),
            "local_thickness_nm": _thickness(voids, voxel_nm),
            "median_nearest_neighbour_nm": _median(pores["nearest_neighbour_nm"]),
        },
        "cracks": {
            "count": sheets.count,
            **_named("count", _interval(spread, "n_cracks", sheets.count)),
            "area_nm2": {"value": area, **_interval(spread, "area", area, unit=voxel_nm**2)},
            "area_per_volume_per_um": area / (volume * voxel_nm**3) * 1e3,
            "aperture_nm": {"p10": low, "median": median, "p90": high},
            "mean_aperture_nm": {
                "value": mean,
                **_interval(spread, "mean_aperture", mean, unit=voxel_nm),
            },
            "aperture_distribution": _apertures(voids, voxel_nm),
            "angle_to_radius_deg": _mean(cracks["angle_to_radius_deg"], weights),
            "open_area_share": _mean(cracks["open"].astype(float), weights),
        },
    }


def _particle(
    voids: Voids,
    totals: ParticleTotals,
    sums: Float64Array,
    pores: Table,
    cracks: Table,
    network: Network,
    label: int,
    voxel_nm: float,
) -> dict[str, Any]:
    """Return the numbers of one particle."""
    parts = porosity(sums, totals.volume_px, network.open, n_pores=voids.n_pores, label=label)
    return {
        "particle": label,
        "volume_nm3": int(totals.volume_px[label]) * voxel_nm**3,
        "cut_by_field_of_view": label in voids.cut,
        "porosity": parts,
        "pores": int((pores["particle"] == label).sum()),
        "cracks": int((cracks["particle"] == label).sum()),
        "crack_area_nm2": float(cracks["area_nm2"][cracks["particle"] == label].sum()),
        "central_void": central_void(pores, totals, label, voxel_nm=voxel_nm),
    }


def _network(voids: Voids, network: Network, beside: Path) -> dict[str, Any]:
    with scratch_fields(beside) as allocate:
        tortuous = tortuosity(
            voids.instances, voids.depth_px, surface_px=SURFACE_PX, deep_px=DEEP_PX, allocate=allocate
        )
    return {
        "networks": network.count,
        "junctions": network.junctions,
        "largest_share": network.largest_share,
        "isolated_pores": int((network.n_contacts[: voids.n_pores] == 0).sum()),
        "tortuosity": tortuous,
        "euler_number": euler_sweep(voids.void, voids.zone, EULER_LEVELS),
    }


def _interval(
    spread: NoiseSpread | None, name: str, value: float | None, *, unit: float = 1.0, most: float = np.inf
) -> dict[str, Any]:
    """Return the interval of a number and what as much noise again adds to it, in its ``unit``."""
    if spread is None or value is None or not np.isfinite(spread.spread[name]):
        return {"ci95": None}
    error, bias = spread.spread[name] * unit, spread.bias[name] * unit
    limits = interval(
        value,
        error,
        bias,
        spread.replicates,
        confidence=CONFIDENCE,
        most=most,
        method_share=METHOD_SHARE.get(name, 0.0),
    )
    return {"ci95": limits, "noise_bias": bias}


def _named(number: str, interval: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of an interval as ``<number>_ci95`` and ``<number>_noise_bias``, beside a plain number."""
    return {f"{number}_{part}": value for part, value in interval.items()}


def _thickness(voids: Voids, voxel_nm: float) -> dict[str, float] | None:
    """Return quantiles of the local thickness over the voxels of pores."""
    found = thickness_quantiles(voids.voids, PORE, (0.1, 0.5, 0.9))
    return (
        None
        if found is None
        else dict(zip(("p10", "median", "p90"), (v * voxel_nm for v in found), strict=True))
    )


def _apertures(voids: Voids, voxel_nm: float) -> dict[str, list[float]] | None:
    """Return the area of the cracks by local aperture, None without cracks."""
    sheets = voids.sheets
    if not sheets.inner.any():
        return None
    aperture = local_aperture(sheets, voids.void.shape)[sheets.inner] * voxel_nm
    area = sheets.area_px[sheets.inner] * voxel_nm**2
    found, edges = np.histogram(
        aperture, APERTURE_BINS, (0, max(float(aperture.max()), voxel_nm)), weights=area
    )
    return {"edges_nm": edges.tolist(), "area_nm2": found.tolist()}


def _median(values: NumberArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _mean(values: NumberArray, weights: NumberArray) -> float:
    return float(np.average(values, weights=weights)) if len(values) else float("nan")
