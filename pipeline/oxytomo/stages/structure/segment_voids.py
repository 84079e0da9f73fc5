"""Stage ``segment_voids``: a volume → particles, void fraction, pores, cracks."""

from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray, LabelArray
from oxytomo.config import SegmentVoidsStage as Settings
from oxytomo.config import expand
from oxytomo.io.scratch import scratch_fields
from oxytomo.io.stores import NamedArray, Store, read_store, write_store
from oxytomo.io.volumes import read_volume
from oxytomo.segment.sheets import Sheets
from oxytomo.segment.voids import TYPES, Voids, segment_voids
from oxytomo.slabs import Allocate, Field, fill, largest
from oxytomo.stages.context import StageContext
from oxytomo.stages.sources import volume_request

_SHEETS = ("index", "normal", "sheet", "area_px", "aperture_px", "inner")


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read ``volume`` and the user's mask where there is one, segment, write ``store``."""
    stored = read_store(inputs["volume"])
    given = [] if settings.mask is None else expand(settings.mask.images)
    files = {f"mask_{i}": path for i, path in enumerate(given)}
    with scratch_fields(outputs["store"]) as allocate:
        voids = segment_voids(
            stored.field("volume"),
            _mask(settings, allocate),
            blur_px=settings.blur_px,
            bridge_px=settings.bridge_px,
            false_cracks=settings.false_cracks,
            false_discovery=settings.false_discovery,
            smallest_share=settings.largest_share,
            separate=settings.separate,
            allocate=allocate,
        )
        for label in voids.cut:
            context.log(
                f"warning: particle {label} is cut by the field of view; its numbers are of the visible part"
            )
        context.log(
            f"{largest(voids.particle)} particles, {voids.n_pores} pores, {voids.sheets.count} cracks; noise "
            f"{voids.noise:.3f} of the contrast, blur {voids.blur_px:.2f} voxels"
        )
        write_voids(outputs["store"], voids, float(stored.attributes["voxel_nm"]), context, inputs | files)


def _mask(settings: Settings, allocate: Allocate) -> Field | None:
    if settings.mask is None:
        return None
    given = read_volume(volume_request(settings.mask)).values
    mask = allocate(given.shape, np.uint8)
    fill(mask, _labels, given)
    return mask


def _labels(values: FloatArray) -> LabelArray:
    labels: LabelArray = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return labels


def write_voids(
    path: Path, voids: Voids, voxel_nm: float, context: StageContext, inputs: dict[str, Path]
) -> None:
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
        provenance=context.provenance(inputs),
        attributes={
            "voxel_nm": voxel_nm,
            **facts,
            "sheets": {k: v for k, v in sheets.items() if k not in _SHEETS},
        },
    )


def read_voids(store: Store) -> Voids:
    """Return the segmentation in a store; its volumes are read when they are needed."""
    facts = {k: v for k, v in store.attributes.items() if k not in ("voxel_nm", "sheets")}
    facts["cut"], facts["more_px"] = tuple(facts["cut"]), tuple(facts["more_px"])
    ridges: dict[str, Any] = {name: store[f"sheet_{name}"] for name in _SHEETS}
    volumes: dict[str, Any] = {name: store.field(name) for name in TYPES}
    return Voids(**volumes, sheets=Sheets(**ridges, **store.attributes["sheets"]), **facts)
