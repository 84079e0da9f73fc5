"""``oxytomo report``: write the report of a sample again, or compare samples."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oxytomo.config import ChargeBalanceSettings, config_error
from oxytomo.errors import ConfigError, InputError
from oxytomo.io.finished import is_sample

DESCRIPTION = """\
Write the report of a sample again from its results. For several samples, or a results folder with several, the
command also writes a page that compares them, and its tables as CSV. Put samples of one kind (a state of charge,
a rate) into a group: only several particles of each kind can show that a difference exceeds the scatter between
particles."""
EXAMPLES = """\
examples:
  oxytomo report results/particle
  oxytomo report results/particle --figures pictures        also write every figure
  oxytomo report results/particle --figures pictures --panel deviation classes --slice z=0.52
  oxytomo report --group pristine results/a --group 4.8V results/b --figures pictures --panel classes-over-states
  oxytomo report results/pristine results/cycled --output comparison.html
  oxytomo report --group pristine results/a results/b --group cycled results/c results/d
  oxytomo report --group pristine results/a --group charged results/b --formula Li1.2Mn0.56Ni0.16Co0.08O2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="RESULT_DIR",
        help="<results>/<sample>, or <results> for all samples",
    )
    parser.add_argument(
        "--group",
        action="append",
        nargs="+",
        default=[],
        metavar=("NAME", "RESULT_DIR"),
        help="name and samples of one group; repeat for each group",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=None,
        metavar="FILE",
        help="file of the comparison; default: comparison.html",
    )
    parser.add_argument(
        "--formula",
        help="formula unit of the first group: adds the charge balance of the groups as states of charge",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        default=None,
        metavar="DIR",
        help="also write the figures to DIR/<sample> as PNG (300 dpi), PDF and SVG; of several samples also figures over their "
        "groups to DIR",
    )
    parser.add_argument(
        "--panel",
        nargs="+",
        default=None,
        metavar="NAME",
        help="with --figures: only these panels, as wide as a column: 3d, deviation, null, sigma, classes, certain, density-O …, "
        "fractions, histogram, shells; voids-3d, volume, voids, void-sizes, void-shells, crack-angles; valence-Mn, "
        "valence-error-Mn, valence-shells-Mn, spectra-Mn …; of groups classes-over-states, valence-over-states; or all",
    )
    parser.add_argument(
        "--slice",
        default=None,
        metavar="AXIS=UM",
        help="slice of the panels, such as z=0.52 (µm); default: the slice with most of both classes",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write one report per sample and, for several samples, a comparison."""
    alone = [sample for folder in arguments.folders for sample in sample_folders(folder)]
    groups = _groups(arguments.group)
    samples = [*alone, *(sample for members in groups.values() for sample in members)]
    if not samples:
        raise ConfigError(
            "oxytomo report",
            expected="the folder of a sample",
            got="none",
            fix="give <results>/<sample>, or --group NAME RESULT_DIR …",
        )
    balance = _balance(arguments.formula)
    if balance is not None and len(samples) < 2:
        raise ConfigError(
            "--formula", expected="two groups or more", got="one sample", fix="add --group NAME RESULT_DIR …"
        )
    if arguments.figures is None and (arguments.panel or arguments.slice is not None):
        raise ConfigError(
            "--panel and --slice",
            expected="--figures DIR with them",
            got="none",
            fix="add --figures pictures",
        )
    if arguments.panel or arguments.slice is not None:
        return _panels(samples, _states(alone, groups), arguments)
    from oxytomo.view.sample_page import write_report

    for sample in samples:
        figures = None if arguments.figures is None else arguments.figures / sample.resolve().name
        write_report(sample, sample / "report.html", figures=figures)
        _record([sample / "report.html"], "report", {"sample": sample.resolve().name})
        sys.stdout.write(f"{sample / 'report.html'}\n")
    if len(samples) > 1:
        _compare(alone, groups, arguments.output, balance)
        if arguments.figures is not None:
            from oxytomo.view.paper_comparison import write_state_figures

            for path in write_state_figures(_states(alone, groups), arguments.figures):
                sys.stdout.write(f"{path}\n")
    return 0


def _states(alone: Sequence[Path], groups: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Return all groups; a sample without a group is its own."""
    names = [sample.resolve().name for sample in alone]
    return groups | {
        name if names.count(name) == 1 else str(sample): [sample]
        for name, sample in zip(names, alone, strict=True)
    }


def _panels(samples: Sequence[Path], states: dict[str, list[Path]], arguments: argparse.Namespace) -> int:
    """Write only panels, of each sample and over their groups, and print their paths."""
    from oxytomo.view.paper import slice_at, write_panels
    from oxytomo.view.paper_comparison import STATE_PANELS, write_state_figures

    at = None if arguments.slice is None else slice_at(arguments.slice)
    everything = arguments.panel in (None, ["all"])
    wanted = [] if everything else [name for name in arguments.panel if name not in STATE_PANELS]
    over = [name for name in STATE_PANELS if everything or name in arguments.panel]
    if wanted or everything:
        for sample in samples:
            out = arguments.figures / sample.resolve().name
            for path in write_panels(sample, out, panels=wanted, at=at):
                sys.stdout.write(f"{path}\n")
    written = write_state_figures(states, arguments.figures, panels=over) if over else []
    if not everything and over and not written:
        raise ConfigError(
            f"--panel {' '.join(over)}",
            expected="two groups or more with a composition or oxidation states",
            got="one" if len(states) == 1 else "none that have it",
            fix="add --group NAME RESULT_DIR … for each state of charge",
        )
    for path in written:
        sys.stdout.write(f"{path}\n")
    return 0


def _balance(formula: str | None) -> ChargeBalanceSettings | None:
    """Return the charge balance of a formula; the configuration can say more of the states."""
    if formula is None:
        return None
    try:
        return ChargeBalanceSettings.model_validate({"formula": formula})
    except ValidationError as error:
        raise config_error(error, {"formula": formula}, name="--formula") from None


def _compare(
    alone: Sequence[Path],
    groups: dict[str, list[Path]],
    output: Path | None,
    charge_balance: ChargeBalanceSettings | None = None,
) -> None:
    """Write the comparison of samples and print its path.

    A sample without a group is its own group.
    """
    from oxytomo.io.provenance import record_file
    from oxytomo.io.ways_out import require_own
    from oxytomo.view.compared_sample import can_be_compared
    from oxytomo.view.comparison_page import write_comparison

    page = output or Path("comparison.html")
    require_own(page, (b"<!doctype html>",), what="page", option="--output")
    left_out = [sample for sample in alone if not can_be_compared(sample)]
    for sample in left_out:
        sys.stderr.write(
            f"oxytomo: warning: {sample} has no composition, oxidation or structure; it is not compared\n"
        )
    kept = [sample for sample in alone if sample not in left_out]
    if len(kept) + sum(map(len, groups.values())) < 2 and output is None:
        return
    names = [sample.resolve().name for sample in kept]
    own = {
        sample.resolve().name if names.count(sample.resolve().name) == 1 else str(sample): [sample]
        for sample in kept
    }
    taken = next((name for name in own if name in groups), None)
    if taken is not None:
        raise ConfigError(
            f"--group {taken}", expected="another name", got="that of a sample", fix="rename the group"
        )
    everything = groups | own
    written = write_comparison(everything, page, charge_balance)
    names_of = {name: [sample.resolve().name for sample in members] for name, members in everything.items()}
    _record([path for path in written if record_file(path).is_file()], "comparison", {"groups": names_of})
    for path in written:
        sys.stdout.write(f"{path}\n")


def _record(paths: Sequence[Path], stage: str, settings: dict[str, Any]) -> None:
    """Update the hidden records of pages that have just been written again."""
    from oxytomo.io.integrity import record_output
    from oxytomo.io.provenance import make_provenance
    from oxytomo.stages.registry import STAGES

    for path in paths:
        record_output(path, make_provenance(stage, STAGES[stage].version, settings, {}))


def _groups(given: Sequence[Sequence[str]]) -> dict[str, list[Path]]:
    """Return the samples of each group by its name."""
    groups: dict[str, list[Path]] = {}
    for name, *folders in given:
        if not folders or name in groups:
            raise ConfigError(
                f"--group {name}",
                expected="a name and the folders of its samples",
                got="the same name twice" if name in groups else "a name alone",
                fix="write e.g. --group charged results/a results/b",
            )
        groups[name] = [sample for folder in folders for sample in sample_folders(Path(folder))]
    return groups


def sample_folders(folder: Path) -> list[Path]:
    """Return the folder of a sample, or the folders of all samples in a folder, without links."""
    if is_sample(folder):
        return [folder]
    below = sorted(path.parent for path in folder.glob("*/stages") if is_sample(path.parent))
    below = [sample for sample in below if not sample.is_symlink()]
    if not below:
        raise InputError(
            str(folder),
            expected="the results of a sample",
            got=_what_it_is(folder),
            fix="give <results>/<sample>",
        )
    return below


def _what_it_is(folder: Path) -> str:
    if (folder / "zarr.json").is_file() or (folder / ".zgroup").is_file():
        return "a single store"
    if folder.is_dir():
        return "a folder without results"
    return "a file" if folder.exists() else "no such folder"
