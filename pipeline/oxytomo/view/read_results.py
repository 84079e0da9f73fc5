"""Read the results of a sample for its report: stage stores and tables, whichever of them are there."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from oxytomo.arrays import FloatArray
from oxytomo.config import Branch, CompositionConfig
from oxytomo.config.plan import JOINT_STORE
from oxytomo.errors import PipelineError, StoreError
from oxytomo.io.integrity import check_unaltered
from oxytomo.io.plain_files import MOST_TABLE_BYTES, check_no_links, printable, read_json_object
from oxytomo.io.stores import Store, read_store
from oxytomo.io.tables import read_csv
from oxytomo.slabs import plane
from oxytomo.view.report import Record, record_of
from oxytomo.view.results import Alignment, ArealDensity, Branches, Composition, Structure, Tomogram

STORES: Mapping[Branch, tuple[str, ...]] = {
    "composition": ("align", "decompose", "reconstruct", "uncertainty", "classify"),
    "areal_density": ("align", "decompose"),
    "tomogram": ("align", "reconstruct"),
    "oxidation": ("measure",),
    "structure": ("volume", "voids"),
}
UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, StopIteration)
"""What code raises that meets other numbers than it was written for."""
ELEMENT_STORES = ("normalize", "register", "fit")
"""Folders, below that of a branch, with one store per series or element."""
TABLES: Mapping[str, str] = {
    "composition_measure": "phases.json",
    "shells": "composition_shells.csv",
    "domains": "domains.csv",
    "oxidation_summary": "oxidation.json",
    "oxidation_shells": "oxidation_shells.csv",
    "oxidation_profiles": "oxidation_profiles.csv",
    "structure_measure": "structure.json",
    "pores": "pores.csv",
    "cracks": "cracks.csv",
    "branches": "branches.json",
    "void_distances": "voids_and_domains.csv",
    "void_neighbourhoods": "void_neighbourhoods.csv",
    "branches_register": f"stages/{JOINT_STORE}",
}


def find_results(folder: Path) -> dict[str, Path]:
    """Return what is in the folder of a sample: stores as ``<branch>_<store>``, and tables.

    Raises
    ------
    StoreError
        When one of them is a link, or behind one: it would be of other results.
    """
    found = {}
    for branch, names in STORES.items():
        stages = folder / "stages" / branch
        for kind in ELEMENT_STORES:
            for store in sorted((stages / kind).glob("*.zarr")):
                found[f"{branch}_{kind}_{store.stem}"] = store
        found.update({f"{branch}_{name}": stages / f"{name}.zarr" for name in names})
    found.update({key: folder / name for key, name in TABLES.items()})
    there = {key: path for key, path in found.items() if os.path.lexists(path)}
    for path in there.values():
        check_no_links(folder, path)
    return there


@contextmanager
def numbers_of(paths: Mapping[str, Path], branch: str) -> Iterator[None]:
    """Turn what the numbers of a branch lack, or hold in another form, into one line; nothing of it is shown then.

    Raises
    ------
    StoreError
        Names the files of the branch in which it must be.
    """
    try:
        yield
    except PipelineError:
        raise
    except UNFIT as error:
        own = [path for key, path in paths.items() if key.startswith(branch)]
        named = sorted(own, key=lambda path: path.suffix == ".zarr")  # tables first
        raise StoreError(
            printable(named[0] if named else branch),
            expected=f"the numbers of the branch {branch} as this version writes them",
            got=f"something else there or in its stores ({type(error).__name__}: {printable(error)[:80]})",
            fix="run the sample again, or leave it out; if this version has run it, please report this line",
        ) from error


def check_all_unaltered(paths: Mapping[str, Path]) -> None:
    """Refuse tables and stores that were changed after their stage wrote them."""
    for path in paths.values():
        check_unaltered(path)


def read_composition(paths: Mapping[str, Path]) -> Composition | None:
    """Return the results of the composition branch, None before its volumes are reconstructed."""
    reconstructed = _store(paths, "composition_reconstruct")
    if reconstructed is None:
        return None
    facts = reconstructed.attributes
    elements = [str(name) for name in facts["elements"]]
    uncertainty, classified = _store(paths, "composition_uncertainty"), _store(paths, "composition_classify")
    decomposed = _store(paths, "composition_decompose")
    phases_json = read_json(paths["composition_measure"]) if "composition_measure" in paths else None
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
        shells=read_columns(paths["shells"]) if "shells" in paths else None,
        domains=read_columns(paths["domains"]) if "domains" in paths else None,
        stripe_effect=float(decomposed.attributes.get("stripe_effect_on_tm_o", 0.0)) if decomposed else 0.0,
        negative_rays=(decomposed.attributes.get("negative_rays") or {}) if decomposed else {},
        chi_square=_chi_square(decomposed),
        alignment=_alignment(_store(paths, "composition_align")),
    )


def _chi_square(decomposed: Store | None) -> FloatArray | None:
    """Return the map of the model's test, where there is one."""
    if decomposed is None or "chi_square" not in decomposed.names:
        return None
    return decomposed["chi_square"]


def read_areal_density(paths: Mapping[str, Path]) -> ArealDensity | None:
    """Return the results of the areal-density branch, None where there are none."""
    decomposed = _store(paths, "areal_density_decompose")
    if decomposed is None:
        return None
    elements = [str(name) for name in decomposed.attributes["elements"]]
    rows, columns = np.triu_indices(len(elements))
    variance = decomposed["covariance"][:, 0][rows == columns]
    aligned = _store(paths, "areal_density_align")
    return ArealDensity(
        pixel_nm=float(decomposed.attributes["pixel_nm"]),
        elements=elements,
        maps=decomposed["areal"][:, 0],
        sigma=np.sqrt(np.where(np.isfinite(variance), variance, np.nan)).astype(np.float32),
        series=[str(name) for name in aligned.attributes["series"]] if aligned else (),
        optical_density=aligned["value"][:, 0] if aligned else None,
        negative_rays=decomposed.attributes.get("negative_rays") or {},
        alignment=_alignment(aligned),
    )


def read_tomogram(paths: Mapping[str, Path]) -> Tomogram | None:
    """Return the results of the tomogram branch, None where there are none."""
    reconstructed, aligned = _store(paths, "tomogram_reconstruct"), _store(paths, "tomogram_align")
    if reconstructed is None:
        return None
    return Tomogram(
        voxel_nm=float(reconstructed.attributes["pixel_nm"]),
        volume=reconstructed.field("volume"),
        unit=reconstructed.unit("volume"),
        algorithm=_text(reconstructed.attributes.get("algorithm", "an unnamed algorithm")),
        alignment=_alignment(aligned),
    )


def read_structure(paths: Mapping[str, Path]) -> Structure | None:
    """Return the results of the structure branch, None before its voids are measured."""
    volume, segmented = _store(paths, "structure_volume"), _store(paths, "structure_voids")
    if volume is None or segmented is None or "structure_measure" not in paths:
        return None
    return Structure(
        voxel_nm=float(volume.attributes["voxel_nm"]),
        volume=volume.field("volume"),
        particle=segmented.field("particle"),
        voids=segmented.field("voids"),
        facts=read_json(paths["structure_measure"]),
        pores=read_columns(paths["pores"]) if "pores" in paths else {},
        cracks=read_columns(paths["cracks"]) if "cracks" in paths else {},
    )


def read_branches(paths: Mapping[str, Path]) -> Branches | None:
    """Return composition and structure registered to each other, None where they are not."""
    placed, composition = _store(paths, "branches_register"), _store(paths, "composition_reconstruct")
    if placed is None or composition is None or "branches" not in paths:
        return None
    return Branches(
        voxel_nm=float(composition.attributes["pixel_nm"]),
        deviation=composition.field("deviation"),
        particle=composition.field("particle"),
        voids=placed.field("voids"),
        facts=read_json(paths["branches"]),
        distances=read_columns(paths["void_distances"]) if "void_distances" in paths else {},
        neighbourhoods=read_columns(paths["void_neighbourhoods"]) if "void_neighbourhoods" in paths else {},
    )


def read_records(paths: Mapping[str, Path]) -> list[Record]:
    """Return the provenance of every store."""
    stores = {key: read_store(path) for key, path in paths.items() if path.suffix == ".zarr"}
    return [record_of(key.replace("_", " "), store.provenance, store.digest) for key, store in stores.items()]


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON table."""
    return read_json_object(path, MOST_TABLE_BYTES)


def read_columns(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a CSV table; columns of numbers as numbers, an empty cell as NaN."""
    return {name: _numbers(cells) for name, cells in read_csv(path).items()}


def _numbers(cells: list[str]) -> list[Any]:
    try:
        return [float(cell) if cell else float("nan") for cell in cells]
    except ValueError:
        return cells


def _store(paths: Mapping[str, Path], key: str) -> Store | None:
    return read_store(paths[key]) if key in paths else None


def _text(value: object) -> str:
    return str(value).replace("_", " ")


def read_alignment(paths: Mapping[str, Path], branch: Branch) -> Alignment | None:
    """Return the alignment of a branch, None before it is done."""
    return _alignment(_store(paths, f"{branch}_align"))


def _alignment(store: Store | None) -> Alignment | None:
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
