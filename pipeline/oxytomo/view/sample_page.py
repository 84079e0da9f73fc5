"""Report of a sample: one self-contained HTML page from its available results."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oxytomo.config import Branch
from oxytomo.errors import InputError
from oxytomo.io.atomic import complete_or_absent
from oxytomo.results.errors import numbers_of
from oxytomo.results.places import JOINT
from oxytomo.results.results import Results
from oxytomo.view.alignment_part import alignment_part
from oxytomo.view.branches_part import branches_part
from oxytomo.view.composition_part import composition_part
from oxytomo.view.other_parts import areal_density_part, tomogram_part
from oxytomo.view.oxidation_part import oxidation_part
from oxytomo.view.paper import save_figure
from oxytomo.view.report import Part, build_report, footer, record_of
from oxytomo.view.scattering_part import scattering_part
from oxytomo.view.states_part import chemical_state_part
from oxytomo.view.stress_part import stress_part
from oxytomo.view.structure_part import structure_part

TITLES: Mapping[Branch, str] = {
    "composition": "composition",
    "areal_density": "areal density",
    "tomogram": "tomogram",
    "chemical_state": "chemical state",
    "oxidation": "oxidation",
    "structure": "structure",
    "mechanics": "stress",
    "scattering": "scattering",
}
_PARTS: Mapping[str, Callable[[Any], Part]] = {
    "composition": composition_part,
    "areal_density": areal_density_part,
    "tomogram": tomogram_part,
    "chemical_state": chemical_state_part,
    "oxidation": oxidation_part,
    "structure": structure_part,
    "mechanics": stress_part,
    "scattering": scattering_part,
    JOINT: branches_part,
}
"""Functions that show each branch."""


def write_report(folder: Path, output: Path, *, figures: Path | None = None) -> None:
    """Write the report of a sample from its results folder, with all available branches.

    With ``figures`` the figures are also written as PNG, PDF and SVG, one folder per branch.
    """
    results = Results.of_folder(folder, more=False)
    write_page(results, output, branches=tuple(TITLES), figures=figures)


def write_page(
    results: Results, output: Path, *, branches: Sequence[Branch], figures: Path | None = None
) -> int:
    """Build and write the page of a sample; returns its size in bytes.

    Raises
    ------
    InputError
        If there are no results of these branches.
    StoreError
        If results were changed, or have the format of another version.
    """
    results.files.check_all()
    parts = {branch: part for branch in branches if (part := _part(results, branch)) is not None}
    parts = {branch: parts[branch] for branch in TITLES if branch in parts}
    if not parts:
        raise _nothing(results, branches)
    named: dict[str, Part] = {str(branch): part for branch, part in parts.items()}
    together = _part(results, JOINT) if {"composition", "structure"} <= set(branches) else None
    if together is not None:
        named[JOINT] = together
    if figures is not None:
        _write_figures(named, figures)
    page = build_report(
        title=results.name,
        subtitle=", ".join(TITLES[branch] for branch in parts).capitalize(),
        parts=list(named.values()),
        provenance=[
            record_of(key.replace("_", " "), store.provenance, store.digest)
            for key, store in results.stores().items()
        ],
        footer=footer(),
        links=_scenes(results.folder, output),
    )
    return _write_text(page, output)


def _scenes(folder: Path | None, output: Path) -> list[tuple[str, str]]:
    """Return links to the pages to turn, if they were rendered and lie where the page can name them."""
    if folder is None or output.parent.resolve() != folder.resolve():
        return []
    found = ((name, f"renders/{name}.html") for name in ("composition", "structure"))
    return [(f"turn the {name} in 3D", address) for name, address in found if (folder / address).is_file()]


def _part(results: Results, branch: str) -> Part | None:
    """Return the section of a branch, or only its alignment; None before the alignment."""
    record = results.record(branch)
    with numbers_of(results.files.paths, branch):
        if record is not None:
            return _PARTS[branch](record)
        without = ("structure", "mechanics", "scattering", JOINT)
        alignment = None if branch in without else results.alignment(branch)
        return None if alignment is None else alignment_part(alignment)


def _write_figures(parts: Mapping[str, Part], folder: Path) -> None:
    """Write the figures of the page as PNG, PDF and SVG, one folder per branch."""
    for name, part in parts.items():
        first = [part.front.picture] if part.front is not None and part.front.picture is not None else []
        for picture in (*first, *(p for section in part.sections for p in section.pictures)):
            save_figure(picture.figure, folder / name / picture.file_stem)


def _nothing(results: Results, branches: Sequence[Branch]) -> InputError:
    where = results.folder
    return InputError(
        results.name if where is None else str(where),
        expected="the results folder of a sample",
        got=f"no results of {' or '.join(TITLES[branch] for branch in branches)} in it"
        if where is None or where.is_dir()
        else "nothing there",
        fix="give the folder <results>/<sample>, or run the sample first",
    )


def _write_text(page: str, output: Path) -> int:
    content = page.encode("utf-8")
    with complete_or_absent(output) as partial:
        partial.write_bytes(content)
    return len(content)
