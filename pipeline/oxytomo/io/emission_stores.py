"""Stores of the scattering branch: maps and their calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.io.records import Provenance
from oxytomo.io.stores import NamedArray, Store, write_store
from oxytomo.scattering.elastic import ElasticLight, ElasticLine
from oxytomo.scattering.feature import Calibrated
from oxytomo.scattering.maps import EmissionMap
from oxytomo.scattering.summary import BesideColumn, ComparedPair, MeasuredMap

_PLANE, _ROW = ("excitation", "emission"), ("excitation",)


def write_map(
    path: Path,
    one: EmissionMap,
    columns: Sequence[BesideColumn],
    provenance: Provenance,
    facts: Mapping[str, Any],
    *,
    scans: Sequence[EmissionMap],
) -> None:
    """Write the photons of a map with its flux, the yields beside it, and its scans if several."""
    arrays = _arrays(one, columns)
    if scans:
        arrays |= {
            "scans": NamedArray(np.stack([scan.photons for scan in scans]), ("scan", *_PLANE), "1"),
            "scan_flux": NamedArray(np.stack([scan.flux for scan in scans]), ("scan", *_ROW), "1"),
        }
    write_store(path, arrays, provenance=provenance, attributes=_facts(one, columns, facts))


def _arrays(one: EmissionMap, columns: Sequence[BesideColumn]) -> dict[str, NamedArray]:
    beside = np.stack([column.value for column in columns]) if columns else np.zeros((0, one.flux.size))
    return {
        "photons": NamedArray(one.photons, _PLANE, "1"),
        "intensity": NamedArray(one.intensity, _PLANE, "1"),
        "flux": NamedArray(one.flux, _ROW, "1"),
        "excitation_ev": NamedArray(one.excitation_ev, _ROW, "electronvolt"),
        "emission_ev": NamedArray(one.emission_ev, ("emission",), "electronvolt"),
        "columns": NamedArray(beside, ("column", *_ROW), "1"),
    }


def _facts(one: EmissionMap, columns: Sequence[BesideColumn], facts: Mapping[str, Any]) -> dict[str, Any]:
    names = {"columns": [column.name for column in columns], "depths": [c.depth for c in columns]}
    return {**facts, "flux_error": one.flux_error, **names}


def stored_map(store: Store) -> EmissionMap:
    """Return the map of a store."""
    return EmissionMap(
        store["photons"],
        store["flux"],
        store["excitation_ev"],
        store["emission_ev"],
        float(store.attributes["flux_error"]),
    )


def stored_columns(store: Store) -> list[BesideColumn]:
    """Return the yields beside a map."""
    facts, values = store.attributes, store["columns"]
    return [
        BesideColumn(str(name), str(depth), value)
        for name, depth, value in zip(facts["columns"], facts["depths"], values, strict=True)
    ]


def given_facts(offset_ev: float) -> dict[str, Any]:
    """Return the facts of a map whose emission offset the user gives."""
    unknown = float("nan")
    return {
        "elastic": False,
        "emission_offset_ev": offset_ev,
        "emission_offset_error_ev": unknown,
        "emission_slope": 0.0,
        "emission_slope_error": unknown,
        "fwhm_ev": unknown,
        "fwhm_error_ev": unknown,
        "elastic_excitations": 0,
        "scale_error_ev": 0.0,
    }


def line_facts(line: ElasticLine) -> dict[str, Any]:
    """Return the facts of a map whose elastic line was found."""
    return {
        "elastic": True,
        "emission_offset_ev": line.offset_ev,
        "emission_offset_error_ev": line.offset_error_ev,
        "emission_slope": line.slope,
        "emission_slope_error": line.slope_error,
        "fwhm_ev": line.fwhm_ev,
        "fwhm_error_ev": line.fwhm_error_ev,
        "elastic_excitations": int(line.rows.sum()),
        "scale_error_ev": line.offset_error_ev,
    }


def write_calibrated(
    path: Path,
    raw: Store,
    one: EmissionMap,
    provenance: Provenance,
    *,
    line: ElasticLine | None,
    light: ElasticLight | None,
    facts: Mapping[str, Any],
) -> None:
    """Write a map on its calibrated emission scale, with the photons of its elastic line."""
    columns = stored_columns(raw)
    nothing = np.zeros(one.photons.shape)
    arrays = _arrays(one, columns) | {
        "recorded_emission_ev": NamedArray(raw["emission_ev"], ("emission",), "electronvolt"),
        "elastic": NamedArray(nothing if light is None else light.photons, _PLANE, "1"),
        "elastic_error": NamedArray(
            np.zeros(one.flux.size) if light is None else light.relative_error, _ROW, "1"
        ),
        "elastic_rows": NamedArray(np.zeros(one.flux.size, bool) if line is None else line.rows, _ROW, "1"),
    }
    if "scans" in raw.names:
        arrays |= {
            "scans": NamedArray(raw["scans"], ("scan", *_PLANE), "1"),
            "scan_flux": NamedArray(raw["scan_flux"], ("scan", *_ROW), "1"),
        }
    own = {
        key: raw.attributes[key] for key in ("element", "scans", "remarks", "format", "has_flux", "invalid")
    }
    write_store(path, arrays, provenance=provenance, attributes=_facts(one, columns, {**own, **facts}))


def measured_map(name: str, store: Store) -> MeasuredMap:
    """Return a calibrated map with all that is known about it."""
    facts = store.attributes
    one = stored_map(store)
    scans = zip(store["scans"], store["scan_flux"], strict=True) if "scans" in store.names else ()
    found = Calibrated(
        one,
        float(facts["fwhm_ev"]),
        float(facts["scale_error_ev"]),
        tuple(replace(one, photons=photons, flux=flux) for photons, flux in scans),
    )
    line = ElasticLight(store["elastic"], store["elastic_error"]) if facts["elastic"] else None
    return MeasuredMap(
        name=name,
        element=str(facts["element"]),
        state=name.partition("_")[2],
        calibrated=found,
        elastic=line,
        columns=stored_columns(store),
        facts=dict(facts),
    )


def difference_arrays(pairs: Sequence[ComparedPair]) -> dict[str, NamedArray]:
    """Return the arrays of the differences, on the grids of the first maps."""
    arrays: dict[str, NamedArray] = {}
    for pair in pairs:
        found, one = pair.difference, pair.first.calibrated.map
        key = f"{pair.first.name}-{pair.second.name}"
        axes = (f"{key}.excitation", f"{key}.emission")
        arrays |= {
            f"{key}.difference": NamedArray(found.value, axes, "1"),
            f"{key}.error": NamedArray(found.error, axes, "1"),
            f"{key}.excitation_ev": NamedArray(one.excitation_ev, axes[:1], "electronvolt"),
            f"{key}.emission_ev": NamedArray(one.emission_ev, axes[1:], "electronvolt"),
        }
    return arrays
