"""Stage ``report``: one self-contained HTML page per sample from whatever of its results is there."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oxytomo import __version__
from oxytomo.config import Branch
from oxytomo.config import ReportStage as Settings
from oxytomo.errors import InputError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.stages.context import StageContext
from oxytomo.view.alignment_part import alignment_part
from oxytomo.view.branches_part import branches_part
from oxytomo.view.composition_part import composition_part
from oxytomo.view.other_parts import areal_density_part, tomogram_part
from oxytomo.view.oxidation_part import oxidation_part
from oxytomo.view.read_oxidation import read_oxidation
from oxytomo.view.read_results import (
    check_all_unaltered,
    find_results,
    numbers_of,
    read_alignment,
    read_areal_density,
    read_branches,
    read_composition,
    read_records,
    read_structure,
    read_tomogram,
)
from oxytomo.view.report import Part, build_report
from oxytomo.view.structure_part import structure_part

INPUTS = ("results",)
TITLES: Mapping[Branch, str] = {
    "composition": "composition",
    "areal_density": "areal density",
    "tomogram": "tomogram",
    "oxidation": "oxidation",
    "structure": "structure",
}


_PARTS: Mapping[Branch, tuple[Callable[[Mapping[str, Path]], Any], Callable[[Any], Part]]] = {
    "composition": (read_composition, composition_part),
    "areal_density": (read_areal_density, areal_density_part),
    "tomogram": (read_tomogram, tomogram_part),
    "oxidation": (read_oxidation, oxidation_part),
    "structure": (read_structure, structure_part),
}
"""How a branch is read, and how it is shown."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read what is below the folder ``results`` (or single stores by their keys), write ``report``."""
    paths = dict(inputs)
    folder = paths.pop("results", None)
    if folder is not None:
        paths = find_results(folder) | paths
    size = _write(paths, outputs["report"], sample=settings.sample, branches=settings.branches, where=folder)
    context.log(f"{len(paths)} results, {size / 1e6:.1f} MB")


def write_report(folder: Path, output: Path, *, figures: Path | None = None) -> None:
    """Write the report of a sample from its results folder, with every branch that is there.

    With ``figures`` its pictures are also written as PNG files below that folder, one folder per branch.
    """
    sample, branches = folder.resolve().name, tuple(TITLES)
    _write(find_results(folder), output, sample=sample, branches=branches, where=folder, figures=figures)


def _write(
    paths: Mapping[str, Path],
    output: Path,
    *,
    sample: str,
    branches: Sequence[Branch],
    where: Path | None,
    figures: Path | None = None,
) -> int:
    """Build and write the page of a sample; returns its size in bytes."""
    check_all_unaltered(paths)
    parts: dict[Branch, Part] = {}
    for branch in branches:
        with numbers_of(paths, branch):
            part = _part(paths, branch)
        if part is not None:
            parts[branch] = part
    parts = {branch: parts[branch] for branch in TITLES if branch in parts}
    if not parts:
        raise InputError(
            sample if where is None else str(where),
            expected="the results folder of a sample",
            got=f"no results of {' or '.join(TITLES[branch] for branch in branches)} in it"
            if where is None or where.is_dir()
            else "nothing there",
            fix="give the folder <results>/<sample>, or run the sample first",
        )
    with numbers_of(paths, "branches"):
        together = read_branches(paths) if {"composition", "structure"} <= set(branches) else None
    named: dict[str, Part] = {str(branch): part for branch, part in parts.items()}
    if together is not None:
        with numbers_of(paths, "branches"):
            named["branches"] = branches_part(together)
    if figures is not None:
        for name, part in named.items():
            for picture in (p for section in part.sections for p in section.pictures):
                with complete_or_absent(figures / name / picture.file_name) as partial:
                    partial.write_bytes(picture.png)
    page = build_report(
        title=sample,
        subtitle=", ".join(TITLES[branch] for branch in parts).capitalize(),
        parts=list(named.values()),
        provenance=read_records(paths),
        footer=footer(),
    )
    return _write_text(page, output)


def _part(paths: Mapping[str, Path], branch: Branch) -> Part | None:
    """Return what a branch contributes to the page, its alignment where that is all there is, None before that."""
    read, show = _PARTS[branch]
    results = read(paths)
    if results is not None:
        return show(results)
    alignment = None if branch == "structure" else read_alignment(paths, branch)
    return None if alignment is None else alignment_part(alignment)


def _write_text(page: str, output: Path) -> int:
    content = page.encode("utf-8")
    with complete_or_absent(output) as partial:
        partial.write_bytes(content)
    return len(content)


def footer() -> str:
    """Return the last line of a page."""
    return f"Written by oxytomo {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
