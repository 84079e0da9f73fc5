"""The results folder: that it may be written, and was made from the same raw files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.config import ProjectConfig
from pipeline.config.plan import (
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
from pipeline.errors import StoreError
from pipeline.io.atomic import record_file
from pipeline.stages.versions import STAGE_VERSIONS

MARKER = "oxytomo.json"
"""File in a results folder that names the raw files of each sample in it."""

RawFiles = Mapping[str, Mapping[str, list[str]]]
"""Sample → ``branch/series`` → absolute paths."""


def check_writable(folder: Path) -> None:
    """Make the folder and write a first byte, so that trouble shows before any work is done."""
    probe = folder / f".oxytomo-write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\0" * 4096)
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

    Returns
    -------
    What the marker has to say from now on: the samples already there and those of ``project``.
    """
    recorded = _read_marker(folder / MARKER)
    wanted = raw_files(project)
    for sample, series in wanted.items():
        if not (folder / sample).exists():
            continue
        for name, paths in series.items():
            before = recorded.get(sample, {}).get(name, paths)
            if before != paths:
                raise StoreError(
                    str(folder / sample),
                    expected=f"{name} made from {', '.join(paths[:1])}",
                    got=f"the results folder of another configuration, made from {', '.join(before[:1])}",
                    fix=f"choose another 'results' folder, rename the sample, or delete {folder / sample}",
                )
    kept = {name: series for name, series in recorded.items() if (folder / name).exists()}
    return kept | {name: {**kept.get(name, {}), **series} for name, series in wanted.items()}


def check_no_way_out(folder: Path, project: ProjectConfig) -> None:
    """Refuse a results folder with links in it that lead elsewhere, which a run would write through."""
    for sample in project.samples:
        for inside in (sample, f"{sample}/stages", "logs", f"logs/{sample}"):
            places = [folder / inside]
            if inside.endswith("/stages"):
                places += [folder / inside / branch for branch in sample_branches(project.samples[sample])]
            for place in places:
                if place.is_symlink():
                    raise StoreError(
                        str(place),
                        expected="a folder within the results folder",
                        got=f"a link to {place.readlink()}",
                        fix="delete the link; to write elsewhere give another 'results' folder",
                    )


def claim(folder: Path, project: ProjectConfig) -> None:
    """Check a results folder and record the raw files of the project's samples in it."""
    check_writable(folder)
    check_no_way_out(folder, project)
    samples = check_same_sources(folder, project)
    partial = folder / f".{MARKER}.partial-{os.getpid()}"
    partial.write_text(json.dumps({"samples": samples}, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / MARKER)


def outdated_stores(folder: Path, project: ProjectConfig) -> list[str]:
    """Return the stage stores whose own record names other settings or another version than the project.

    Snakemake knows from its records what to repeat; this also finds what it cannot know, because the results
    were copied here or were last made by another call of it. Paths are relative to ``folder``.
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
                if recorded != (STAGE_VERSIONS[stage], wanted):
                    outdated.append(store)
        if settings.register_branches is not None:
            store = f"{sample}/stages/{JOINT_STORE}"
            recorded = _recorded(folder / store)
            wanted = stage_settings(project, sample, None, JOINT_STAGE)
            if recorded is not None and recorded != (STAGE_VERSIONS[JOINT_STAGE], wanted):
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
    """Return the stage stores that are gone while their records are there: deleted because they were damaged.

    Stores that went with their records were deleted for their space; they are made again only where
    something needs them.
    """
    return [
        store
        for store in sample_stores(project)
        if record_file(folder / store).is_file() and not (folder / store).exists()
    ]


def to_make_again(folder: Path, project: ProjectConfig) -> list[str]:
    """Return what a run has to make again though it is there: outdated stores, and products that lost their record.

    Without its record nothing says what a product was made from, or whether it was altered since.
    """
    unrecorded = [
        product
        for product in project_products(project)
        if product not in COMPARISON_TABLES
        and (folder / product).exists()
        and not record_file(folder / product).is_file()
    ]
    return outdated_stores(folder, project) + unrecorded


def _recorded(store: Path) -> tuple[int, dict[str, object]] | None:
    """Return version and settings that a store was made with, None where there is no readable record."""
    try:
        record = json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]["oxytomo"]
        return int(record["version"]), dict(record["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read_marker(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the recorded raw files, empty where there is no marker."""
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
        return {str(sample): dict(series) for sample, series in samples.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            str(path),
            expected="the record of the raw files of this results folder",
            got="a damaged file",
            fix="delete this file or choose another 'results' folder",
        ) from error
