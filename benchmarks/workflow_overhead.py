"""What the workflow costs beside the computing: Snakemake, process starts, stores.

    python benchmarks/workflow_overhead.py configs/demo.yaml [--cores 2] [--runs 3]

By turns: a run as users start it, from an empty results folder, and the same stages one after another in one process that has
called them before, each with the threads of its rule; the time that they spend in writing and opening stores and in reading their
arrays is left out. The difference is the overhead. Medians of the runs.
"""

import argparse
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kill_and_resume import write_config

from oxytomo.cli import main as oxytomo
from oxytomo.io import stores

SNAKEFILE = Path(__file__).resolve().parents[1] / "pipeline" / "oxytomo" / "workflow" / "Snakefile"
STAGE = re.compile(r"-m oxytomo (stage .*)$", re.MULTILINE)


def commands(config: Path, results: Path, cores: int) -> list[list[str]]:
    """Return the arguments of every stage of a run, in an order in which they can be run."""
    shutil.rmtree(results, ignore_errors=True)
    said = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--configfile", str(config)),
            *("--cores", str(cores), "--dry-run", "--printshellcmds", "--nocolor"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = [shlex.split(one) for one in STAGE.findall(said)]
    ordered: list[list[str]] = []
    while found:
        outputs = {path for one in found for path in paths(one, "--out")}
        ready = [one for one in found if not set(paths(one, "--in")) & outputs]
        if not ready:
            raise SystemExit("the stages wait for each other")
        ordered += ready
        found = [one for one in found if one not in ready]
    return ordered


def paths(command: list[str], option: str) -> list[str]:
    """Return the paths behind an option of a stage's command."""
    if option not in command:
        return []
    first = command.index(option) + 1
    values = []
    for value in command[first:]:
        if value.startswith("--"):
            break
        values.append(value.split("=", 1)[1])
    return values


class StoreTime:
    """Adds up the time that is spent in stores."""

    def __init__(self) -> None:
        self.seconds, self._inside = 0.0, False

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts; calls within calls count once."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start
                self._inside = False

        return wrapped


def computing(stages: list[list[str]]) -> tuple[float, float]:
    """Return the seconds of all stages in one process without stores, and those in stores."""
    clock = StoreTime()
    write, read = clock.timed(stores.write_store), clock.timed(stores.read_store)
    for module in [m for name, m in sys.modules.items() if name.startswith("oxytomo.")]:
        for name, function in (("write_store", write), ("read_store", read)):
            if hasattr(module, name):
                setattr(module, name, function)
    stores.Store.__getitem__ = clock.timed(stores.Store.__getitem__)  # type: ignore[method-assign]
    start = time.perf_counter()
    for stage in stages:
        if oxytomo(stage) != 0:
            raise SystemExit(" ".join(stage[:2]) + " failed")
    return time.perf_counter() - start - clock.seconds, clock.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    walls, computed, stored = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        config, results = write_config(arguments.config, Path(scratch))
        run = [sys.executable, "-P", "-m", "oxytomo", "run", str(config), "--cores", str(arguments.cores)]
        try:
            stages = commands(config, results, arguments.cores)
            subprocess.run(run, check=True, capture_output=True)  # compiles what is not compiled yet
            for stage in stages:  # loads what is compiled and imported
                oxytomo(stage)
            for _ in range(arguments.runs):  # by turns, as the machine may become slower or faster meanwhile
                shutil.rmtree(results)
                start = time.perf_counter()
                subprocess.run(run, check=True, capture_output=True)
                walls.append(time.perf_counter() - start)
                seconds, in_stores = computing(stages)
                computed.append(seconds)
                stored.append(in_stores)
                print(f"  {walls[-1]:.1f} s; {seconds:.1f} s, {in_stores:.1f} s in stores", file=sys.stderr)
        finally:
            config.unlink(missing_ok=True)
    wall, seconds, in_stores = (statistics.median(one) for one in (walls, computed, stored))
    print(f"{len(stages)} stages; {arguments.cores} cores; medians of {arguments.runs}")
    print(f"run: {wall:.1f} s wall; the stages in one process: {seconds:.1f} s, {in_stores:.1f} s in stores")
    print(f"overhead: {wall - seconds:.1f} s, {100 * (wall / seconds - 1):.0f} % of the computing")


if __name__ == "__main__":
    main()
