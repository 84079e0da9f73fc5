"""Content of ``structure.json``, from the segmentation and its measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.arrays import Float64Array, IntArray, NumberArray
from oxytomo.measure.cracks import REACHES_PX, weighted_quantiles
from oxytomo.measure.networks import Network, void_network
from oxytomo.measure.pores import TOUCHES_PX
from oxytomo.measure.structure import (
    DEFINITIONS,
    METHOD_SHARE,
    bridged_farther,
    central_void,
    interval,
    porosity,
    void_shells,
    widened,
)
from oxytomo.measure.thickness import thickness_quantiles
from oxytomo.measure.topology import euler_sweep, tortuosity
from oxytomo.measure.totals import ParticleTotals, particle_totals, void_totals
from oxytomo.measure.void_numbers import mean_aperture
from oxytomo.measure.void_tables import CONTACT_PX, VoidTables
from oxytomo.segment.bridging import SECOND
from oxytomo.segment.regions import contacts
from oxytomo.segment.sheets import local_aperture
from oxytomo.segment.void_noise import NoiseSpread
from oxytomo.segment.voids import PORE, Voids
from oxytomo.slabs import mapped

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
SURFACE_PX = 2.0
DEEP_PX = 5.0
APERTURE_BINS = 24
EULER_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class MeasuredVoids:
    """A segmentation and its measurements.

    Attributes
    ----------
    voids : the segmentation
    totals, sums : particles, and void fractions by particle and void
    pores, cracks : tables, with the columns ``cut``, ``open`` and ``open_unknown``
    network : connectivity of the voids
    spread : effect of noise, None without replicates
    bridge_px : radius of the ball that closed the particles
    voxel_nm : edge of a voxel, nm
    """

    voids: Voids
    totals: ParticleTotals
    sums: Float64Array
    pores: pd.DataFrame
    cracks: pd.DataFrame
    network: Network
    spread: NoiseSpread | None
    bridge_px: float
    voxel_nm: float

    @classmethod
    def of(
        cls,
        voids: Voids,
        tables: VoidTables,
        spread: NoiseSpread | None,
        *,
        bridge_px: float,
        voxel_nm: float,
    ) -> MeasuredVoids:
        """Sum up a segmentation whose pores and cracks are measured."""
        n_voids = voids.n_pores + voids.sheets.count
        return cls(
            voids=voids,
            totals=particle_totals(voids.particle),
            sums=void_totals(voids.void, voids.zone, voids.particle, n_voids=n_voids),
            pores=tables.pores,
            cracks=tables.cracks,
            network=tables.network,
            spread=spread,
            bridge_px=bridge_px,
            voxel_nm=voxel_nm,
        )

    @property
    def volume_px(self) -> int:
        """Voxels inside the skins of all particles."""
        return int(self.totals.volume_px[1:].sum())

    def porosity(self, label: int | None = None) -> dict[str, float]:
        """Return porosity and its parts, of one particle or of all."""
        return porosity(
            self.sums,
            self.totals.volume_px,
            self.network.open,
            self.network.unknown,
            n_pores=self.voids.n_pores,
            label=label,
        )


def void_facts(found: MeasuredVoids, *, shells: int) -> dict[str, Any]:
    """Return the content of ``structure.json``.

    Parameters
    ----------
    found : the segmentation and its measurements
    shells : number of shells of equal volume
    """
    voids = found.voids
    return {
        "voxel_nm": found.voxel_nm,
        "skin": _skin(found),
        **_headline(found),
        "network": _network(voids, found.network),
        "shells": void_shells(
            voids.void,
            voids.zone,
            voids.particle,
            voids.depth_px,
            n_pores=voids.n_pores,
            n_shells=shells,
        ),
        "particles": [_particle(found, i) for i in range(1, len(found.totals.volume_px))],
        "calibration": {
            "noise": voids.noise,
            "contrast_to_noise": 1 / voids.noise if voids.noise > 0 else None,
            "blur_px": voids.blur_px,
            "void_level": voids.void_level,
            "void_level_from": voids.void_level_from,
            "solid_level": voids.solid_level,
            "pore_level": voids.pore_level,
            "smallest_aperture_nm": voids.sheets.smallest_aperture_px * found.voxel_nm,
        },
        "definitions": DEFINITIONS,
    }


def _skin(found: MeasuredVoids) -> dict[str, Any]:
    """Return the source of the skin, and the change with twice the bridging length."""
    voids, voxel_nm = found.voids, found.voxel_nm
    if not voids.more_px:
        source = "mask" if voids.bounded else "no skin in the volume"
        return {"from": source, "bridge_nm": None, "second_bridging": None}
    more = sum(voids.more_px)
    return {
        "from": "bridging",
        "bridge_nm": found.bridge_px * voxel_nm,
        "second_bridging": {
            "bridge_nm": SECOND * found.bridge_px * voxel_nm,
            "particle_volume_nm3": (found.volume_px + more) * voxel_nm**3,
            "porosity": bridged_farther(found.porosity(), found.volume_px, more)["total"],
        },
    }


def _headline(found: MeasuredVoids) -> dict[str, Any]:
    """Return porosity, pores and cracks of all particles together, with intervals."""
    voids, volume, voxel_nm = found.voids, found.volume_px, found.voxel_nm
    parts = found.porosity()
    second = bridged_farther(parts, volume, sum(voids.more_px))
    share = _open_share(found, parts)
    opened = _interval(found.spread, "open_fraction", share, most=1.0)
    if share is not None and opened["ci95"] is not None:
        by_rule = _open_shares(found)
        low, high = opened["ci95"]
        limits = (min(low, *by_rule), max(high, *by_rule))
        opened["ci95"] = widened(limits, share, _open_share(found, second) or share, most=1.0)
    return {
        "particle_volume_nm3": volume * voxel_nm**3,
        "cut_by_field_of_view": list(voids.cut),
        "porosity": {name: _part(found, name, parts, second) for name in parts},
        "open_fraction": share,
        **_named("open_fraction", opened),
        "pores": _pores(found),
        "cracks": _cracks(found),
    }


def _part(
    found: MeasuredVoids, name: str, parts: dict[str, float], second: dict[str, float]
) -> dict[str, Any]:
    """Return one part of the porosity with its interval, including the second bridging length."""
    if name == "open" and not found.voids.bounded:
        return {"value": None, "ci95": None}
    value = parts[name]
    limits = _interval(found.spread, name, value, unit=1 / found.volume_px, most=1.0)
    limits["ci95"] = widened(limits["ci95"], value, second[name], most=1.0)
    return {"value": value, **limits}


def _open_share(found: MeasuredVoids, parts: dict[str, float]) -> float | None:
    """Return the open share of the voids whose state is known, None without such voids."""
    known = parts["open"] + parts["closed"]
    return parts["open"] / known if found.voids.bounded and known > 0 else None


def _open_shares(found: MeasuredVoids) -> list[float]:
    """Return the open shares for contacts and skin one voxel nearer and one voxel further away.

    Whether a void is open depends on gaps hardly wider than a voxel; noise alone does not show how
    much this matters. Voids of unknown state count once as closed and once as open.
    """
    voids, pores, cracks, voxel_nm = found.voids, found.pores, found.cracks, found.voxel_nm
    volume = np.maximum(found.sums.sum(axis=0)[1:], 0)
    cut = np.concatenate([pores["cut"], cracks["cut"]])
    shares = []
    for margin_px in (-1, 0, 1):
        touches = np.concatenate(
            [
                pores["least_depth_nm"] < (TOUCHES_PX + margin_px) * voxel_nm,
                cracks["least_depth_nm"] <= (REACHES_PX + margin_px) * voxel_nm,
            ]
        )
        pairs = contacts(voids.instances, CONTACT_PX + margin_px)
        network = void_network(pairs, volume, touches, cut, n_pores=voids.n_pores)
        for is_open in (network.open, network.open | network.unknown):
            shares.append(float(volume[is_open].sum() / volume.sum()))
    return shares


def _pores(found: MeasuredVoids) -> dict[str, Any]:
    """Return numbers and sizes of the pores; pores cut by the faces of the volume have no size."""
    voids, voxel_nm = found.voids, found.voxel_nm
    whole = {name: column[~found.pores["cut"]] for name, column in found.pores.items()}
    return {
        "count": voids.n_pores,
        **_named("count", _interval(found.spread, "n_pores", voids.n_pores)),
        "cut": int(found.pores["cut"].sum()),
        "number_density_per_um3": voids.n_pores / (found.volume_px * voxel_nm**3 / 1e9),
        "median_equivalent_diameter_nm": _median(whole["equivalent_diameter_nm"]),
        "median_sphericity": _median(whole["sphericity"]),
        "local_thickness_nm": _thickness(voids, whole["pore"].astype(np.int64), voxel_nm),
        "median_nearest_neighbour_nm": _median(whole["nearest_neighbour_nm"]),
    }


def _cracks(found: MeasuredVoids) -> dict[str, Any]:
    """Return numbers, areas and apertures of the cracks."""
    sheets, cracks, spread, voxel_nm = found.voids.sheets, found.cracks, found.spread, found.voxel_nm
    weights = cracks["area_nm2"].to_numpy()
    area = float(weights.sum())
    p10, median, p90 = weighted_quantiles(cracks["aperture_nm"], weights, (0.1, 0.5, 0.9))
    mean = mean_aperture(sheets.aperture_px, sheets.area_px, sheets.inner) * voxel_nm
    known = ~cracks["open_unknown"]
    return {
        "count": sheets.count,
        **_named("count", _interval(spread, "n_cracks", sheets.count)),
        "cut": int(cracks["cut"].sum()),
        "area_nm2": {"value": area, **_interval(spread, "area", area, unit=voxel_nm**2)},
        "area_per_volume_per_um": area / (found.volume_px * voxel_nm**3) * 1e3,
        "aperture_nm": {"p10": p10, "median": median, "p90": p90},
        "mean_aperture_nm": {"value": mean, **_interval(spread, "mean_aperture", mean, unit=voxel_nm)},
        "aperture_distribution": _apertures(found.voids, voxel_nm),
        "angle_to_radius_deg": _mean(cracks["angle_to_radius_deg"], weights),
        "open_area_share": _mean(cracks["open"][known].astype(float), weights[known]),
    }


def _particle(found: MeasuredVoids, label: int) -> dict[str, Any]:
    """Return the numbers of one particle."""
    voids, pores, cracks, voxel_nm = found.voids, found.pores, found.cracks, found.voxel_nm
    parts: dict[str, float | None] = {**found.porosity(label)}
    central = None
    if voids.bounded:
        central = central_void(pores, found.totals, label, voxel_nm=voxel_nm)
    else:
        parts["open"] = None
    return {
        "particle": label,
        "volume_nm3": int(found.totals.volume_px[label]) * voxel_nm**3,
        "cut_by_field_of_view": label in voids.cut,
        "porosity": parts,
        "pores": int((pores["particle"] == label).sum()),
        "cracks": int((cracks["particle"] == label).sum()),
        "crack_area_nm2": float(cracks.loc[cracks["particle"] == label, "area_nm2"].to_numpy().sum()),
        "central_void": central,
    }


def _network(voids: Voids, network: Network) -> dict[str, Any]:
    tortuous = tortuosity(voids.instances, voids.depth_px, surface_px=SURFACE_PX, deep_px=DEEP_PX)
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
    """Return the interval of a number and its noise bias, in ``unit``."""
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
    """Return the parts of an interval as ``<number>_ci95`` and ``<number>_noise_bias``."""
    return {f"{number}_{part}": value for part, value in interval.items()}


def _thickness(voids: Voids, numbers: IntArray, voxel_nm: float) -> dict[str, float] | None:
    """Return quantiles of the local thickness over the voxels of some pores."""
    label = np.zeros(voids.n_pores + voids.sheets.count + 1, np.uint8)
    label[numbers] = PORE
    chosen = mapped(voids.instances, lambda i: label[i], np.uint8)
    found = thickness_quantiles(chosen, PORE, (0.1, 0.5, 0.9))
    if found is None:
        return None
    return dict(zip(("p10", "median", "p90"), (v * voxel_nm for v in found), strict=True))


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
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
