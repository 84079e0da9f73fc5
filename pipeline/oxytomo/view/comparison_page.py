"""The page that compares samples in groups, and its tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oxytomo.config import ChargeBalanceSettings
from oxytomo.config.plan import CHARGE_BALANCE
from oxytomo.errors import InputError, PipelineError, StoreError
from oxytomo.io.plain_files import printable
from oxytomo.io.tables import no_formula, write_csv, write_text
from oxytomo.io.ways_out import require_own
from oxytomo.results.errors import UNFIT
from oxytomo.view.charge_balance import balance_of
from oxytomo.view.charge_balance_part import balance_columns, with_balance
from oxytomo.view.compare import compare
from oxytomo.view.compared_sample import compared_sample
from oxytomo.view.comparison_part import comparison_part, comparison_tables
from oxytomo.view.report import build_report, footer


def write_comparison(
    groups: Mapping[str, Sequence[Path]], output: Path, charge_balance: ChargeBalanceSettings | None = None
) -> list[Path]:
    """Write a page that compares groups of samples, with CSV tables; return all files.

    Parameters
    ----------
    groups : name of the group -> results folders of its samples
    output : the page; the tables are named after it
    charge_balance : formula and states of a charge balance, which gets ``charge_balance.csv`` beside
        the page; None: without
    """
    groups = {printable(name): members for name, members in groups.items()}
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
        compared_sample(
            folder,
            name=printable(folder.name if names.count(folder.resolve().name) == 1 else folder),
            group=group,
        )
        for group, members in groups.items()
        for folder in members
    ]
    try:
        comparison = compare(samples)
        part, tables = comparison_part(comparison), comparison_tables(comparison)
        balanced = None if charge_balance is None else balance_of(comparison, charge_balance)
    except UNFIT as error:
        if isinstance(error, PipelineError):
            raise
        raise StoreError(
            printable(f"comparison of {', '.join(sample.folder for sample in samples)}"),
            expected="the numbers of samples as this version writes them",
            got=f"something else ({type(error).__name__}: {printable(error)[:80]})",
            fix="run these samples again, or leave one out; if this version has run them, please report this line",
        ) from error
    if balanced is not None:
        part = with_balance(part, balanced)
    page = build_report(
        title="Comparison of samples",
        subtitle=", ".join(comparison.groups),
        parts=[part],
        provenance=[],
        footer=footer(),
        wide=True,
    )
    named: dict[Path, Mapping[str, Sequence[Any]]] = {
        output.with_name(f"{output.stem}_{end}.csv"): columns for end, columns in tables.items()
    }
    if balanced is not None:
        named[output.with_name(CHARGE_BALANCE)] = balance_columns(balanced)
    for path, columns in named.items():
        # A table of another program, or of the user, is not written over.
        start = ",".join(list(columns)[:3]).encode()
        require_own(path, (start,), what="table of a comparison", option="--output for the page")
    for path, columns in named.items():
        _write_table(path, columns)
    write_text(output, page)
    return [output, *named]


def _write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    write_csv(path, {name: [no_formula(one) for one in values] for name, values in columns.items()})
