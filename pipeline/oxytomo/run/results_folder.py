"""Checks of the results folder: write access, and the same raw files."""

import json
import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path

from oxytomo.config import ProjectConfig
from oxytomo.config.plan import (
    CHARGE_BALANCE,
    COMPARISON_TABLES,
    JOINT_STAGE,
    JOINT_STORE,
    branch_config,
    branch_stores,
    project_products,
    raw_files,
    sample_branches,
    stage_settings,
)
from oxytomo.errors import StoreError
from oxytomo.io.atomic import record_file
from oxytomo.io.finished import MARKER, finished_products, products_of
from oxytomo.io.plain_files import read_json_object
from oxytomo.io.ways_out import a_way_out, refuse_links_below
from oxytomo.stages.registry import STAGES

RawFiles = Mapping[str, Mapping[str, list[str]]]
"""Sample → ``branch/series`` → absolute paths."""


def check_writable(folder: Path) -> None:
    """Create the folder and write a first byte, so that errors appear before the run."""
    probe = folder / f".oxytomo-write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(probe, b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            str(folder),
            expected="a results folder that may be written",
            got=(error.strerror or str(error)).lower(),
            fix="choose another 'results' folder, or free disk space",
        ) from error


def check_same_sources(folder: Path, project: ProjectConfig) -> RawFiles:
    """Refuse a results folder that holds a sample of the same name made from other raw files.

    Files that were moved or renamed are the same: their digests are in the records of the stores.

    Returns
    -------
    New content of the marker: the samples in the folder and those of ``project``.
    """
    recorded = _read_marker(folder / MARKER)
    wanted = raw_files(project)
    for sample, series in wanted.items():
        if not (folder / sample).exists():
            continue
        for name, paths in series.items():
            before = recorded.get(sample, {}).get(name, paths)
            if before != paths and not _only_moved(folder / sample, name, before, paths):
                raise StoreError(
                    str(folder / sample),
                    expected=f"{name} made from {', '.join(paths[:1])}",
                    got=f"the results folder of another configuration, made from {', '.join(before[:1])}",
                    fix=f"choose another 'results' folder, rename the sample, or delete {folder / sample}",
                )
    kept = {name: series for name, series in recorded.items() if (folder / name).exists()}
    return kept | {name: {**kept.get(name, {}), **series} for name, series in wanted.items()}


def _only_moved(sample: Path, series: str, before: list[str], now: list[str]) -> bool:
    """Return True if the files of a series have the content of those it was made from."""
    from oxytomo.io.provenance import raw_record

    if len(before) != len(now):
        return False
    known: dict[str, str] = {}
    stores = (sample / "stages" / series.split("/")[0]).rglob("zarr.json")
    for record in (raw_record(store.parent) for store in stores if store.parent.suffix == ".zarr"):
        inputs = (record or {}).get("inputs")
        for one in inputs.values() if isinstance(inputs, dict) else ():
            if isinstance(one, dict) and {"path", "digest"} <= one.keys():
                known[str(one["path"])] = str(one["digest"])
    try:
        return all(
            old == new or (old in known and known[old] == _digest_of(new, Path(new).stat().st_mtime_ns))
            for old, new in zip(before, now, strict=True)
        )
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1024)
def _digest_of(path: str, _changed: int) -> str:
    """Return the digest of a raw file; read once, unless it changes."""
    from oxytomo.io.provenance import input_digest

    return input_digest(Path(path))


def check_no_way_out(folder: Path, project: ProjectConfig) -> None:
    """Refuse a results folder with links that lead out of it, because a run would follow them.

    A product that is a link is replaced. Stages check every folder again before they write to it.
    """
    for sample in project.samples:
        if (folder / sample).is_symlink():
            raise a_way_out(folder / sample)
        refuse_links_below(folder / sample / "stages")
    for name in ("logs", ".snakemake"):
        refuse_links_below(folder / name)


def claim(folder: Path, project: ProjectConfig) -> None:
    """Check a results folder and record the raw files of the project's samples in it."""
    check_writable(folder)
    check_no_way_out(folder, project)
    samples = check_same_sources(folder, project)
    _write_marker(folder, {"samples": samples, "finished": finished_products(folder)})


def note_finished(folder: Path, project: ProjectConfig) -> None:
    """Record the products of each sample at the end of a run, to detect later deletions."""
    finished = {name: list(products) for name, products in finished_products(folder).items()}
    finished |= {sample: products_of(folder, sample) for sample in project.samples}
    finished[""] = products_of(folder, "")
    kept = {name: products for name, products in finished.items() if (folder / name).is_dir()}
    if kept != finished_products(folder):
        _write_marker(folder, {"samples": _read_marker(folder / MARKER), "finished": kept})


def forget_products(folder: Path, names: Collection[str]) -> None:
    """Remove products that the user has deleted from the record of products."""
    finished = {
        sample: [one for one in products if one not in names]
        for sample, products in finished_products(folder).items()
    }
    if finished != finished_products(folder):
        _write_marker(folder, {"samples": _read_marker(folder / MARKER), "finished": finished})


def _write_marker(folder: Path, content: Mapping[str, object]) -> None:
    partial = folder / f".{MARKER}.partial-{os.getpid()}"
    partial.unlink(missing_ok=True)
    _write_new(partial, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
    partial.replace(folder / MARKER)


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, not even as a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def outdated_stores(folder: Path, project: ProjectConfig) -> list[str]:
    """Return the stage stores whose record has other settings or another version.

    Snakemake decides from its own records what to repeat. This function also finds stores that
    Snakemake cannot know, because the results were copied or made by another call. Paths are
    relative to ``folder``.
    """
    outdated = []
    for sample, settings in project.samples.items():
        for branch in sample_branches(settings):
            for stage, series, name in branch_stores(branch_config(project, sample, branch), branch):
                store = f"{sample}/stages/{branch}/{name}"
                recorded = _recorded(folder / store)
                if recorded is None:
                    continue
                wanted = stage_settings(project, sample, branch, stage, series)
                if recorded != (STAGES[stage].version, wanted):
                    outdated.append(store)
        if settings.register_branches is not None:
            store = f"{sample}/stages/{JOINT_STORE}"
            recorded = _recorded(folder / store)
            wanted = stage_settings(project, sample, None, JOINT_STAGE)
            if recorded is not None and recorded != (STAGES[JOINT_STAGE].version, wanted):
                outdated.append(store)
    return outdated


def sample_stores(project: ProjectConfig) -> list[str]:
    """Return the stage stores of a project, relative to its results folder."""
    stores = []
    for name, sample in project.samples.items():
        for branch in sample_branches(sample):
            found = branch_stores(branch_config(project, name, branch), branch)
            stores += [f"{name}/stages/{branch}/{store}" for _, _, store in found]
        if sample.register_branches is not None:
            stores.append(f"{name}/stages/{JOINT_STORE}")
    return stores


def lost_stores(folder: Path, project: ProjectConfig) -> list[str]:
    """Return the stage stores that are missing while their records exist: damaged, so deleted.

    Stores that were deleted together with their records are made again only if a stage needs them.
    """
    return [
        store
        for store in sample_stores(project)
        if record_file(folder / store).is_file() and not (folder / store).exists()
    ]


def to_make_again(folder: Path, project: ProjectConfig) -> list[str]:
    """Return existing files that a run must repeat: outdated stores, products without a record.

    Without a record neither the inputs of a product nor later changes can be known.
    """
    unrecorded = [
        product
        for product in project_products(project)
        if product not in (*COMPARISON_TABLES, CHARGE_BALANCE)
        and (folder / product).exists()
        and not record_file(folder / product).is_file()
    ]
    return outdated_stores(folder, project) + unrecorded


def _recorded(store: Path) -> tuple[int, dict[str, object]] | None:
    """Return the version and settings of a store, None without a readable record."""
    try:
        record = read_json_object(store / "zarr.json")["attributes"]["oxytomo"]
        return int(record["version"]), dict(record["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_marker(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the recorded raw files, empty without a marker."""
    if not os.path.lexists(path):
        return {}
    try:
        samples = read_json_object(path)["samples"]
        return {str(sample): _lists(series) for sample, series in samples.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            str(path),
            expected="the record of the raw files of this results folder",
            got="a damaged file",
            fix="delete this file or choose another 'results' folder",
        ) from error


def _lists(series: Mapping[str, object]) -> dict[str, list[str]]:
    lists = {str(name): paths for name, paths in series.items()}
    found = {name: [str(path) for path in paths] for name, paths in lists.items() if isinstance(paths, list)}
    if len(found) < len(lists):
        raise TypeError("no lists of paths")
    return found
