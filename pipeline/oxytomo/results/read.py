"""Read the results of each branch from the existing stage stores and tables."""

from typing import TYPE_CHECKING, Any

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.config import CompositionConfig
from oxytomo.io.stores import Store
from oxytomo.results.columns import TABLE_TYPES
from oxytomo.results.files import Files
from oxytomo.results.fractions import fractions_of
from oxytomo.results.records import (
    Alignment,
    ArealDensity,
    Composition,
    Joint,
    Mechanics,
    Structure,
    Tomogram,
)
from oxytomo.results.tables import empty_table
from oxytomo.slabs import plane

if TYPE_CHECKING:
    import pandas as pd


def read_composition(files: Files) -> Composition | None:
    """Return the results of the composition branch, None before its volumes are reconstructed."""
    reconstructed = files.store("composition_reconstruct")
    if reconstructed is None:
        return None
    facts = reconstructed.attributes
    elements = [str(name) for name in facts["elements"]]
    uncertainty, classified = files.store("composition_uncertainty"), files.store("composition_classify")
    decomposed = files.store("composition_decompose")
    phases_json = files.json("composition_measure")
    fractions_of(phases_json)
    threshold = (classified.attributes if classified else phases_json or {}).get(
        "threshold", CompositionConfig.model_fields["threshold"].default
    )
    n_null = uncertainty.array("null").shape[0] if uncertainty else 0
    return Composition(
        voxel_nm=float(facts["pixel_nm"]),
        threshold=float(threshold),
        reference_tm_o=float(facts["reference_tm_o"]),
        method=_text((facts.get("solver") or {}).get("method", "")),
        elements=elements,
        atoms=[float(value) for value in facts.get("atoms") or [1.0] * len(elements)],
        densities=reconstructed.field("elements"),
        deviation=reconstructed.field("deviation"),
        particle=reconstructed.field("particle"),
        sigma=uncertainty.field("deviation_sigma") if uncertainty else None,
        null=plane(uncertainty.field("null"), 0) if uncertainty and n_null else None,
        phases=classified.field("phases") if classified else None,
        confident=classified.field("phases_confident") if classified else None,
        phases_json=phases_json,
        shells=files.table("shells"),
        domains=files.table("domains"),
        stripe_effect=float(decomposed.attributes.get("stripe_effect_on_tm_o", 0.0)) if decomposed else 0.0,
        negative_rays=(decomposed.attributes.get("negative_rays") or {}) if decomposed else {},
        chi_square=_chi_square(decomposed),
        alignment=read_alignment(files, "composition"),
    )


def _chi_square(decomposed: Store | None) -> FloatArray | None:
    """Return the map of the model test, if there is one."""
    if decomposed is None or "chi_square" not in decomposed.names:
        return None
    return decomposed["chi_square"]


def read_areal_density(files: Files) -> ArealDensity | None:
    """Return the results of the areal-density branch, None if there are none."""
    decomposed = files.store("areal_density_decompose")
    if decomposed is None:
        return None
    elements = [str(name) for name in decomposed.attributes["elements"]]
    rows, columns = np.triu_indices(len(elements))
    variance = decomposed["covariance"][:, 0][rows == columns]
    aligned = files.store("areal_density_align")
    return ArealDensity(
        pixel_nm=float(decomposed.attributes["pixel_nm"]),
        elements=elements,
        maps=decomposed["areal"][:, 0],
        sigma=np.sqrt(np.where(np.isfinite(variance), variance, np.nan)).astype(np.float32),
        series=[str(name) for name in aligned.attributes["series"]] if aligned else (),
        optical_density=aligned["value"][:, 0] if aligned else None,
        negative_rays=decomposed.attributes.get("negative_rays") or {},
        above_edge_ev=decomposed.attributes.get("above_edge_ev") or {},
        alignment=read_alignment(files, "areal_density"),
    )


def read_tomogram(files: Files) -> Tomogram | None:
    """Return the results of the tomogram branch, None if there are none."""
    reconstructed = files.store("tomogram_reconstruct")
    if reconstructed is None:
        return None
    return Tomogram(
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        volume=reconstructed.field("volume"),
        unit=reconstructed.unit("volume"),
        algorithm=_text(reconstructed.attributes.get("algorithm", "an unnamed algorithm")),
        alignment=read_alignment(files, "tomogram"),
    )


def read_structure(files: Files) -> Structure | None:
    """Return the results of the structure branch, None before its voids are measured."""
    volume, segmented = files.store("structure_volume"), files.store("structure_voids")
    facts = files.json("structure_measure")
    if volume is None or segmented is None or facts is None:
        return None
    return Structure(
        voxel_nm=float(volume.attributes["voxel_nm"]),
        volume=volume.field("volume"),
        particle=segmented.field("particle"),
        voids=segmented.field("voids"),
        facts=facts,
        pores=files.table("pores"),
        cracks=files.table("cracks"),
    )


def read_mechanics(files: Files) -> Mechanics | None:
    """Return the results of the mechanics branch, None before its stress is measured."""
    from oxytomo.mechanics.solving import NAMES  # brings Numba

    lithium, solved = files.store("mechanics_lithiate"), files.store("mechanics_solve_stress")
    facts = files.json("mechanics_measure")
    if lithium is None or solved is None or facts is None:
        return None

    def scalars(before: str) -> dict[str, Any]:
        return {name: solved.field(f"{before}{name}") for name in NAMES if f"{before}{name}" in solved.names}

    return Mechanics(
        voxel_nm=float(facts["voxel_nm"]),
        labels=lithium.field("labels"),
        amplitude_mpa=float(facts["shown"]["amplitude_mpa"]),
        stress=scalars(""),
        without_voids=scalars("filled_"),
        facts=facts,
        voids=_table(files, "stress_voids"),
        fronts=_table(files, "crack_fronts"),
        shells=_table(files, "stress_shells"),
        times=_table(files, "stress_time"),
    )


def read_joint(files: Files) -> Joint | None:
    """Return the registered composition and structure, None without a registration."""
    placed, composition = files.store("branches_register"), files.store("composition_reconstruct")
    facts = files.json("branches")
    if placed is None or composition is None or facts is None:
        return None
    return Joint(
        voxel_nm=float(composition.attributes["pixel_nm"]),
        deviation=composition.field("deviation"),
        particle=composition.field("particle"),
        voids=placed.field("voids"),
        facts=facts,
        distances=_table(files, "void_distances"),
        neighbourhoods=_table(files, "void_neighbourhoods"),
        stress=files.table("stress_domains"),
    )


def read_alignment(files: Files, branch: str) -> Alignment | None:
    """Return the alignment of a branch, None before it is done."""
    store = files.store(f"{branch}_align")
    if store is None:
        return None

    def optional(name: str) -> Any:
        return store[name] if name in store.names else None

    facts = store.attributes
    limit = store.provenance.settings.get("max_shift_px")
    return Alignment(
        tilt_deg=store["tilt_deg"],
        dy_px=store["dy_px"],
        dx_px=store["dx_px"],
        residual=optional("residual"),
        residual_as_recorded=optional("residual_as_recorded"),
        frames=store["frame"].tolist() if "frame" in store.names else (),
        rows=optional("row"),
        slices=optional("slice"),
        shown=optional("shown_frames"),
        shown_numbers=store["shown_frame_numbers"].tolist() if "shown_frame_numbers" in store.names else (),
        series=[str(name) for name in facts["series"]],
        pixel_nm=float(facts["pixel_nm"]),
        max_shift_px=None if limit is None else float(limit),
        quality=facts.get("quality") or {},
        invalid=facts.get("invalid") or {},
        n_pixels=facts.get("n_pixels") or {},
    )


def _table(files: Files, key: str) -> "pd.DataFrame":
    """Return a table; without rows if it is missing."""
    found = files.table(key)
    return empty_table(TABLE_TYPES[key]) if found is None else found


def _text(value: object) -> str:
    return str(value).replace("_", " ")
