"""Stores of the composition branch as input of the numerical functions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from oxytomo.arrays import Field, FloatArray
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.result import Composition, mode_of
from oxytomo.errors import StoreError
from oxytomo.io.scratch import IN_MEMORY_BYTES
from oxytomo.io.stores import NamedArray, Provenance, Store, read_store, write_store
from oxytomo.slabs import sampled
from oxytomo.units import NM_PER_UM

VOLUME = ("z", "y", "x")


def column_densities(store: Store, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> ColumnDensities:
    """Return the element sinograms of a decomposed store; large ones stay on disk."""

    def array(name: str) -> Field:
        stored = store.array(name)
        return store[name] if stored.nbytes <= in_memory_bytes else stored

    return ColumnDensities(
        areal=array("areal"),
        covariance=array("covariance"),
        tilt_deg=store["tilt_deg"],
        atoms=np.array(store.attributes["atoms"], np.float64),
        pixel_um=float(store.attributes["pixel_nm"]) / NM_PER_UM,
    )


def only_tilt(store: Store, name: str) -> FloatArray:
    """Return the maps of an array that has one tilt, without the axis of tilts."""
    stored = store[name]
    if stored.shape[1] != 1:
        raise StoreError(
            str(store.path),
            expected=f"one tilt in {name!r}",
            got=f"{stored.shape[1]} tilts",
            fix="use the branch composition or tomogram for tilt series",
        )
    maps: FloatArray = stored[:, 0].astype(np.float32, copy=False)
    return maps


def reference_of(reference: str, inputs: Mapping[str, Path]) -> float | None:
    """Return the TM/O that deviations refer to, relative to the formula.

    It is None for the particle's own mode.

    Parameters
    ----------
    reference : ``mode``, ``nominal`` or ``pristine``
    inputs : stores, including that of another sample, ``pristine``, if that is the reference
    """
    if reference == "mode":
        return None
    if reference == "nominal":
        return 1.0
    pristine = read_store(inputs["pristine"])
    inside = sampled(pristine.field("deviation"), pristine.field("particle"))
    return float(pristine.attributes["reference_tm_o"]) * (1 + mode_of(inside))


def stored_composition(store: Store) -> Composition:
    """Return a reconstructed composition whose slices are read on access."""
    return Composition(
        elements=store.field("elements"),
        difference=store.field("difference"),
        deviation=store.field("deviation"),
        particle=store.field("particle"),
        total=store.field("total"),
        reference_tm_o=float(store.attributes["reference_tm_o"]),
    )


def write_composition(
    path: Path, result: Composition, decomposed: Store, *, method: str, provenance: Provenance
) -> None:
    """Write a composition with the parts that it keeps of the store it was made from."""
    tilt_deg = decomposed["tilt_deg"]
    write_store(
        path,
        {
            "elements": NamedArray(result.elements, ("element", *VOLUME), "1"),
            "total": NamedArray(result.total, VOLUME, "1"),
            "difference": NamedArray(result.difference, VOLUME, "1"),
            "deviation": NamedArray(result.deviation, VOLUME, "1"),
            "particle": NamedArray(result.particle, VOLUME, "1"),
        },
        provenance=provenance,
        attributes={
            "elements": decomposed.attributes["elements"],
            "atoms": decomposed.attributes["atoms"],
            "pixel_nm": decomposed.attributes["pixel_nm"],
            "n_tilt": int(tilt_deg.size),
            "tilt_range_deg": [float(tilt_deg.min()), float(tilt_deg.max())],
            "reference_tm_o": result.reference_tm_o,
            "solver": result.record | {"method": method},
        },
    )
