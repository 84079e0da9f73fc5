"""``oxytomo collect``: one table of many samples, a row each."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oxytomo.errors import ConfigError, InputError, StoreError

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Write one table of many samples: a row each, with every main number and its 95 % interval, the warnings of the
report, and a digest of the settings, which is the same for samples that were processed alike. The name of the
file says its format: .csv, or .parquet with the package pyarrow."""
EXAMPLES = """\
examples:
  oxytomo collect results --output table.csv
  oxytomo collect beamtime_1/results beamtime_2/results --output table.parquet
  oxytomo collect results --no-warnings         without reading the volumes"""

FORMATS = (".csv", ".parquet")
_STARTS = (b"sample,folder,", b"PAR1")
"""First bytes of tables that this command wrote, or of their format."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS",
        help="<results> for all its samples, or <results>/<sample>",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("table.csv"),
        metavar="FILE",
        help="table to write, .csv or .parquet (default: %(default)s)",
    )
    parser.add_argument(
        "--no-warnings",
        dest="warnings",
        action="store_false",
        help="leave out the warnings, which need the volumes",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the table; samples that cannot be read are named, one line each."""
    _check_output(arguments.output)
    from oxytomo.results.collecting import collect

    table = collect(arguments.results, warnings=arguments.warnings)
    for problem in table["problem"][table["problem"] != ""]:
        sys.stderr.write(f"oxytomo: warning: {problem}\n")
    read = table[table["sample"] != ""]
    _write(read, arguments.output)
    alike = read["settings_digest"][read["settings_digest"] != ""].nunique()
    sys.stdout.write(f"{len(read)} samples, {read.shape[1]} columns in {arguments.output}\n")
    if alike > 1:
        sys.stdout.write(
            f"the samples were processed with {alike} different settings: see the column settings_digest\n"
        )
    return 0


def _check_output(output: Path) -> None:
    """Refuse other formats, a missing package, and files that are no such table."""
    if output.suffix.lower() not in FORMATS:
        raise ConfigError(
            "--output", expected="a name that ends in .csv or .parquet", got=str(output), fix="rename it"
        )
    if output.suffix.lower() == ".parquet":
        from oxytomo.io.optional import optional_package

        optional_package("pyarrow", what=f"--output {output} (or give a name in .csv)", extra="tables")
    if not output.parent.is_dir():
        raise InputError(
            str(output),
            expected="an existing folder",
            got="no such folder",
            fix="make it, or correct the path",
        )
    from oxytomo.io.ways_out import require_own

    require_own(output, _STARTS, what="table", option="--output")


def _write(table: "pd.DataFrame", output: Path) -> None:
    """Write a table that appears complete or not at all."""
    from oxytomo.io.atomic import complete_or_absent
    from oxytomo.io.tables import write_csv

    try:
        if output.suffix.lower() == ".csv":
            write_csv(output, {name: [_cell(one) for one in values] for name, values in table.items()})
            return
        with complete_or_absent(output) as partial:
            table.to_parquet(partial, engine="pyarrow", index=False)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError.of(error, str(output)) from error


def _cell(value: object) -> object:
    """Return a cell: empty for NaN; a text that a spreadsheet would take for a formula is quoted."""
    from oxytomo.io.tables import no_formula

    return "" if value is None or value != value else no_formula(value)
