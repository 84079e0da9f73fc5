"""Fast check, without Snakemake, of whether anything changed since the last complete run.

At the end of a run the configuration, the versions of the stages, and size and time of every raw
file and product are noted. If all of these are the same, there is nothing to do. If anything
differs, Snakemake decides.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from oxytomo import __version__
from oxytomo.config import ProjectConfig, expand
from oxytomo.config.plan import project_products, raw_files
from oxytomo.io.atomic import complete_or_absent, record_file
from oxytomo.io.finished import MARKER, finished_products
from oxytomo.io.plain_files import read_json_object
from oxytomo.run.results_folder import lost_stores, sample_stores, to_make_again
from oxytomo.stages.registry import STAGES

NOTE = ".oxytomo.unchanged.json"
"""File in a results folder: its state at the end of the last successful run."""


def note_unchanged(folder: Path, project: ProjectConfig) -> None:
    """Record the state at the end of a complete run."""
    with complete_or_absent(folder / NOTE) as partial:
        partial.write_text(json.dumps(_state(folder, project)) + "\n", encoding="utf-8")


def is_unchanged(folder: Path, project: ProjectConfig) -> bool:
    """Return True if all products exist and nothing that they depend on has changed.

    Stage stores that were deleted with their records may be missing; a run would not repeat them.
    """
    try:
        noted = read_json_object(folder / NOTE)
        state = _state(folder, project)
        if (folder / NOTE).is_symlink() or not _all_there(state["products"]):
            return False
        stores = noted.pop("stores")
        kept = {name: found for name, found in state.pop("stores").items() if found is not None}
        if noted != state or any(stores.get(name) != found for name, found in kept.items()):
            return False
        return not lost_stores(folder, project) and not to_make_again(folder, project)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _all_there(products: dict[str, Any]) -> bool:
    return all(found is not None for found in products.values())


def _state(folder: Path, project: ProjectConfig) -> dict[str, Any]:
    """Return the inputs and the products of a run, as JSON types."""
    settings = project.model_dump(mode="json", exclude={"results", "plan"})
    versions = {name: stage.version for name, stage in STAGES.items()}
    text = json.dumps([settings, versions, __version__, sorted(project_products(project))], sort_keys=True)
    raw = {path for sample in raw_files(project).values() for paths in sample.values() for path in paths}
    return {
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "raw": {path: _mark(Path(path)) for path in sorted(_files(raw))},
        "products": {name: _mark(folder / name) for name in project_products(project)},
        "finished": {
            name: _mark(folder / name)
            for products in finished_products(folder).values()
            for name in products
            if ".zarr" not in name
        },
        "stores": {name: _store_mark(folder / name) for name in sample_stores(project)},
        "marker": (folder / MARKER).is_file(),
    }


def _files(paths: set[str]) -> set[str]:
    """Return the files of paths: matches of patterns, and files in folders."""
    found: set[str] = set()
    for path in expand(tuple(sorted(paths))):
        inside = [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path]
        found |= {str(one) for one in inside}
    return found


def _mark(path: Path) -> list[int] | None:
    """Return size and time of a file, or the times of a folder and its metadata.

    None if it is missing.
    """
    try:
        state = path.stat()
        if not path.is_dir():
            return [state.st_size, state.st_mtime_ns]
        heads = [path / name for name in ("zarr.json", ".zattrs") if (path / name).is_file()]
        return [0, state.st_mtime_ns, *(head.stat().st_mtime_ns for head in heads)]
    except OSError:
        return None


def _store_mark(store: Path) -> list[int] | None:
    """Return the state of a store and its record; None if both were deleted."""
    own, record = _mark(store), _mark(record_file(store))
    return None if own is None and record is None else [*(own or [0]), *(record or [0])]
