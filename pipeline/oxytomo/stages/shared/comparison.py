"""Stage ``comparison``: one page and tables that compare samples in groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from oxytomo.config import ComparisonStage as Settings
from oxytomo.errors import InputError, PipelineError, StoreError
from oxytomo.io.plain_files import printable
from oxytomo.io.tables import write_csv, write_text
from oxytomo.stages.context import StageContext
from oxytomo.stages.shared.report import footer
from oxytomo.view.compare import compare
from oxytomo.view.comparison_part import comparison_part, comparison_tables
from oxytomo.view.read_comparison import read_compared
from oxytomo.view.read_results import UNFIT
from oxytomo.view.report import build_report

INPUTS = ("results",)
TABLES = ("values", "groups", "differences", "shells")
"""Ends of the names of the CSV files beside the page."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read the samples below the folder ``results``, write ``report`` and its tables beside it."""
    results = inputs["results"]
    groups = {group: [results / name for name in names] for group, names in settings.groups}
    write_comparison(groups, outputs["report"])
    context.log(f"{len(groups)} groups, {sum(map(len, groups.values()))} samples")


def more_outputs(outputs: Mapping[str, Path]) -> dict[str, Path]:
    """Return the tables that are written beside the page, by name."""
    page = outputs["report"]
    return {name: page.with_name(f"{page.stem}_{name}.csv") for name in TABLES}


def write_comparison(groups: Mapping[str, Sequence[Path]], output: Path) -> list[Path]:
    """Write a page that compares groups of samples, and its tables as CSV beside it; returns all files.

    Parameters
    ----------
    groups : name of the group -> results folders of its samples
    output : the page; the tables are named after it
    """
    folders = [folder.resolve() for members in groups.values() for folder in members]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None or len(folders) < 2:
        raise InputError(
            "comparison" if twice is None else str(twice),
            expected="two samples or more, each once",
            got="the same sample twice" if twice is not None else f"{len(folders)}",
            fix="give the folders <results>/<sample> of different samples",
        )
    names = [folder.name for folder in folders]
    samples = [
        read_compared(
            folder,
            name=folder.name if names.count(folder.resolve().name) == 1 else str(folder),
            group=group,
        )
        for group, members in groups.items()
        for folder in members
    ]
    try:
        comparison = compare(samples)
        part, tables = comparison_part(comparison), comparison_tables(comparison)
    except UNFIT as error:
        if isinstance(error, PipelineError):
            raise
        raise StoreError(
            printable(f"comparison of {', '.join(sample.folder for sample in samples)}"),
            expected="the numbers of samples as this version writes them",
            got=f"something else ({type(error).__name__}: {printable(error)[:80]})",
            fix="run these samples again, or leave one out; if this version has run them, please report this line",
        ) from error
    page = build_report(
        title="Comparison of samples",
        subtitle=", ".join(comparison.groups),
        parts=[part],
        provenance=[],
        footer=footer(),
        wide=True,
    )
    written = [output]
    for end, columns in tables.items():
        written.append(output.with_name(f"{output.stem}_{end}.csv"))
        write_csv(written[-1], columns)
    write_text(output, page)
    return written
