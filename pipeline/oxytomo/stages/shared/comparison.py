"""Stage ``comparison``: one page and tables that compare samples in groups."""

from collections.abc import Mapping
from pathlib import Path

from oxytomo.config.plan import CHARGE_BALANCE
from oxytomo.config.stage_settings import ComparisonStage as Settings
from oxytomo.io.atomic import record_file
from oxytomo.stages.context import StageContext
from oxytomo.view.comparison_page import write_comparison

INPUTS = ("results",)
TABLES = ("values", "groups", "differences", "shells")
"""Suffixes of the CSV files of the page."""


def run(inputs: dict[str, Path], outputs: dict[str, Path], settings: Settings, context: StageContext) -> None:
    """Read the samples in the folder ``results``, write ``report`` and its tables."""
    results = inputs["results"]
    groups = {group: [results / name for name in names] for group, names in settings.groups}
    balance = outputs["report"].with_name(CHARGE_BALANCE)
    if settings.charge_balance is None:  # that of an earlier configuration
        for path in (balance, record_file(balance)):
            path.unlink(missing_ok=True)
    write_comparison(groups, outputs["report"], settings.balance)
    context.log(f"{len(groups)} groups, {sum(map(len, groups.values()))} samples")


def more_outputs(outputs: Mapping[str, Path]) -> dict[str, Path]:
    """Return the tables of the page, by name."""
    page = outputs["report"]
    tables = {name: page.with_name(f"{page.stem}_{name}.csv") for name in TABLES}
    balance = page.with_name(CHARGE_BALANCE)
    return tables | ({"charge_balance": balance} if balance.is_file() else {})
