"""Segmentations of voids as stores."""

from pathlib import Path
from typing import Any

from oxytomo.io.records import Provenance
from oxytomo.io.stores import NamedArray, Store, write_store
from oxytomo.segment.sheets import Sheets
from oxytomo.segment.voids import TYPES, Voids

_SHEETS = ("index", "normal", "sheet", "area_px", "aperture_px", "inner")


def write_voids(path: Path, voids: Voids, *, voxel_nm: float, provenance: Provenance) -> None:
    """Write a segmentation as a store."""
    plain, sheets = voids.__dict__, voids.sheets.__dict__
    axes = ("z", "y", "x")
    units = {"depth_px": "voxel"}
    arrays = {name: NamedArray(plain[name], axes, units.get(name, "1")) for name in TYPES}
    for name in _SHEETS:
        array = sheets[name]
        arrays[f"sheet_{name}"] = NamedArray(array, ("ridge", "component")[: array.ndim], "voxel")
    facts = {k: v for k, v in plain.items() if k not in (*TYPES, "sheets")}
    write_store(
        path,
        arrays,
        provenance=provenance,
        attributes={
            "voxel_nm": voxel_nm,
            **facts,
            "sheets": {k: v for k, v in sheets.items() if k not in _SHEETS},
        },
    )


def read_voids(store: Store) -> Voids:
    """Return the segmentation in a store; its volumes are read on access."""
    facts = {k: v for k, v in store.attributes.items() if k not in ("voxel_nm", "sheets")}
    facts["cut"], facts["more_px"] = tuple(facts["cut"]), tuple(facts["more_px"])
    ridges: dict[str, Any] = {name: store[f"sheet_{name}"] for name in _SHEETS}
    volumes: dict[str, Any] = {name: store.field(name) for name in TYPES}
    return Voids(**volumes, sheets=Sheets(**ridges, **store.attributes["sheets"]), **facts)
