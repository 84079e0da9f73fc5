"""``oxytomo plan``: what a measurement can detect, estimated before the beam time."""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo import __version__
from oxytomo.config.load_plan import load_plan
from oxytomo.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from oxytomo.run.planning import Found

DESCRIPTION = """\
Estimate before a beam time what a measurement of the composition can detect: the smallest domain and deviation,
the dose, and the effect of each fault of the instrument or the sample. Small particles are simulated and processed
in the same way as measured data. The section 'plan' of the file describes the measurement. Formula, density,
threshold and energies may come from a sample of the same file. The command writes plan.json, plan.png and plan.html."""
EXAMPLES = """\
examples:
  oxytomo plan beamtime.yaml
  oxytomo plan beamtime.yaml --output plans/thick --cores 4

a whole file:
  plan:
    particle_nm: 700
    pixel_nm: 9.8
    photons_per_pixel: 20000
    tilts: 131
    formula: {Li: 1.2, Mn: 0.56, Ni: 0.16, Co: 0.08, O: 2.0}
    energies_ev: {O: [525, 540], Mn: [636, 645], Co: [772, 788], Ni: [846, 866]}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    parser.add_argument(
        "config", type=Path, metavar="X.yaml", help="configuration file with a section 'plan'"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("plan"), metavar="DIR", help="folder to write to (default: plan)"
    )
    parser.add_argument(
        "--cores", type=int, default=None, help="number of simulations at the same time; default: all cores"
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate, write and print the answers; return the exit code."""
    from oxytomo.cli.run import available_cores

    if arguments.cores is not None and arguments.cores < 1:
        raise ConfigError(
            "--cores", expected="1 or more", got=str(arguments.cores), fix="leave it out: all cores"
        )
    plan = load_plan(arguments.config)
    folder: Path = arguments.output
    from oxytomo.run.plan_answer import plan_facts
    from oxytomo.run.planning import check_plan, simulate_plan, tasks_of
    from oxytomo.view.plan_page import plan_page, simulation_text, summary

    check_plan(plan)
    _writable(folder)
    sys.stderr.write(
        f"plan: {len(tasks_of(plan))} simulations, at most about {plan.settings.minutes:g} min (plan.minutes)\n"
    )
    found, left = simulate_plan(plan, cores=arguments.cores or available_cores(), on_progress=_progress())
    facts = plan_facts(plan, found, left)
    html, png = plan_page(facts, title=f"Plan: {arguments.config.stem}", footer=f"oxytomo {__version__}")
    _write(folder, facts, html, png)
    for warning in facts["warnings"]:
        sys.stderr.write(f"oxytomo: warning: {warning}\n")
    sys.stdout.write("\n".join([*summary(facts), *simulation_text(facts), "", *_table(facts)]) + "\n")
    sys.stdout.write(f"\n{folder / 'plan.html'}, plan.png and plan.json\n")
    return 0


def _progress() -> Any:
    started = time.monotonic()

    def say(done: int, total: int, one: "Found") -> None:
        what = {"domains": "domains of", "dose": "photons ×", "fault": "fault:"}[one.task.question]
        trouble = f": {one.error}" if one.error else ""
        sys.stderr.write(
            f"plan: {done} of {total} after {time.monotonic() - started:.0f} s, {what} {one.task.name}{trouble}\n"
        )
        sys.stderr.flush()

    return say


def _table(facts: Mapping[str, Any]) -> list[str]:
    """Return the faults as lines of text."""
    rows = facts["faults"]
    width = max((len(row["name"]) for row in rows), default=5)
    lines = [f"{'fault':{width}s}  off target  certainly  domains  verdict"]
    for row in rows:
        lines.append(
            f"{row['name']:{width}s}  {100 * row['false']:8.2f} %  {100 * row['false_certain']:7.2f} %  "
            f"{row['found']:2d} of {row['of']:d}  {row.get('verdict', '')}"
        )
    return lines


def _writable(folder: Path) -> None:
    """Create the folder before any computation."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _folder_error(folder, error) from error


def _write(folder: Path, facts: Mapping[str, Any], html: str, png: bytes) -> None:
    try:
        (folder / "plan.json").write_text(
            json.dumps(_finite(facts), indent=1, ensure_ascii=False), encoding="utf-8"
        )
        (folder / "plan.html").write_text(html, encoding="utf-8")
        (folder / "plan.png").write_bytes(png)
    except OSError as error:
        raise _folder_error(folder, error) from error


def _finite(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by null."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _folder_error(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        str(folder),
        expected="a folder that may be written",
        got=error.strerror or str(error),
        fix="choose another with --output",
    )
