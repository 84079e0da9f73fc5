"""Stores of the composition branch as the numerical functions take them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import Field, FloatArray
from oxytomo.composition.amounts import Amounts
from oxytomo.composition.averaging import AveragedRepeats, averaged
from oxytomo.composition.column_densities import ColumnDensities
from oxytomo.composition.result import Composition, mode_of
from oxytomo.errors import StoreError
from oxytomo.io.scratch import IN_MEMORY_BYTES
from oxytomo.io.stores import NamedArray, Provenance, Store, read_store, write_store
from oxytomo.measure.composition import ClassifiedParticle, particle_box
from oxytomo.slabs import mapped, sampled, window
from oxytomo.units import NM_PER_UM

VOLUME = ("z", "y", "x")


def column_densities(store: Store, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> ColumnDensities:
    """Return the element sinograms of a decomposed store; larger ones than that stay on disk."""

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


def write_amounts(
    path: Path, found: Amounts, aligned: Store, *, attributes: Mapping[str, Any], provenance: Provenance
) -> None:
    """Write the amounts in every ray, and what they keep of the aligned store."""
    rays = ("tilt", "y", "x")
    arrays = {
        "areal": NamedArray(found.areal, ("element", *rays), "micrometer"),
        "covariance": NamedArray(found.covariance, ("pair", *rays), "micrometer^2"),
        "tilt_deg": NamedArray(aligned["tilt_deg"], ("tilt",), "degree"),
    }
    if found.chi_square is not None:
        arrays["chi_square"] = NamedArray(found.chi_square, rays, "1")
    write_store(
        path,
        arrays,
        provenance=provenance,
        attributes={
            **attributes,
            "atoms": found.atoms.tolist(),
            "pixel_nm": float(aligned.attributes["pixel_nm"]),
            "invalid": aligned.attributes["invalid"],
            "n_pixels": aligned.attributes["n_pixels"],
            "model": found.record,
        },
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
    """Return the TM/O, relative to the formula, that deviations refer to.

    None for the particle's own mode.

    Parameters
    ----------
    reference : ``mode``, ``nominal`` or ``pristine``
    inputs : with the store of another sample, ``pristine``, where that is the reference
    """
    if reference == "mode":
        return None
    if reference == "nominal":
        return 1.0
    pristine = read_store(inputs["pristine"])
    inside = sampled(pristine.field("deviation"), pristine.field("particle"))
    return float(pristine.attributes["reference_tm_o"]) * (1 + mode_of(inside))


def stored_composition(store: Store) -> Composition:
    """Return a reconstructed composition of which slices are read when they are needed."""
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
    """Write a composition beside what it keeps of the store that it was made from."""
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


def classified_particle(
    reconstructed: Store, classified: Store, uncertainty: Store | None
) -> ClassifiedParticle:
    """Return a classified particle in its box.

    Slices are read when they are needed, replicates averaged as it was.
    """
    box = particle_box(reconstructed.field("particle"))
    particle = mapped(window(reconstructed.field("particle"), box), np.asarray, np.bool_)
    voxel_nm = float(reconstructed.attributes["pixel_nm"])
    width_px = float(classified.attributes["voxel_nm"]) / voxel_nm

    def counted(deviation: Field) -> Field:
        return deviation if width_px <= 1 else averaged(deviation, particle, width_px)

    replicates: Sequence[Field] = ()
    null: Sequence[Field] = ()
    if uncertainty is not None:
        replicates, null = (
            AveragedRepeats(uncertainty.field(name), box, counted) for name in ("replicates", "null")
        )
    error = {} if uncertainty is None else uncertainty.attributes
    return ClassifiedParticle(
        box=box,
        particle=particle,
        deviation=counted(window(reconstructed.field("deviation"), box)),
        phases=window(classified.field("phases"), box),
        confident=window(classified.field("phases_confident"), box),
        replicates=replicates,
        null=null,
        voxel_nm=voxel_nm,
        threshold=float(classified.attributes["threshold"]),
        systematic=error["systematic"] if replicates else 0.0,
        skin_oxygen_px=error["skin_oxygen_px"] if replicates else 0.0,
        noise=error["noise"] if replicates else None,
    )


def invalid_rays(decomposed: Store) -> dict[str, Any]:
    """Return the number of rays without a solution, and of invalid pixels per series."""
    attributes = decomposed.attributes
    return {
        "unsolved": attributes["unsolved_rays"],
        "n_rays": attributes["n_rays"],
        "by_series": attributes["invalid"],
    }
