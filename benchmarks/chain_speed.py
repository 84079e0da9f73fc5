"""Time of a whole run and of each of its stages, from raw files to the report.

    python benchmarks/chain_speed.py configs/demo.yaml [--cores 2] [--runs 3] [--json FILE]
    python benchmarks/chain_speed.py configs/demo.yaml --starts 7

The run begins with an empty results folder, as users start it. Wall time, computing (core seconds) and peak memory of each stage
are those of its log, added up over its jobs; the logs count whole seconds. Medians of the runs; a first run, which compiles
what is not compiled yet, is not counted. On a busy machine compare the computing, with OMP_WAIT_POLICY=passive: threads that
wait for each other then do not count. With ``--starts``: the time to the first line of a stage by itself, with all its imports.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from kill_and_resume import write_config

DONE = re.compile(r"^\S+ \S+ (.*): done in (.+), (.+) of computing, peak memory (\d+) MB$", re.MULTILINE)
PART = re.compile(r"(\d+) (h|min|s)")
UNITS = {"h": 3600, "min": 60, "s": 1}
STARTED = ("normalize", "align", "decompose", "reconstruct", "classify", "measure", "report")
Times = dict[str, tuple[float, float, float]]


def seconds(text: str) -> float:
    """Return a duration of a log in seconds."""
    return float(sum(int(number) * UNITS[unit] for number, unit in PART.findall(text)))


def times_of(logs: Path) -> Times:
    """Return wall time, computing and peak memory of each stage, added up over its jobs."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for log in sorted(logs.rglob("*.log")):
        for label, wall, computing, memory in DONE.findall(log.read_text(encoding="utf-8")):
            found[label.split()[1]].append((seconds(wall), seconds(computing), float(memory)))
    return {
        stage: (sum(j[0] for j in jobs), sum(j[1] for j in jobs), max(j[2] for j in jobs))
        for stage, jobs in found.items()
    }


def run_once(config: Path, results: Path, cores: int) -> tuple[float, Times]:
    """Run from an empty folder; return the wall time and the times of the stages."""
    shutil.rmtree(results, ignore_errors=True)
    command = [sys.executable, "-P", "-m", "oxytomo", "run", str(config), "--cores", str(cores), "--quiet"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start, times_of(results / "logs")


def start_of(stage: str) -> tuple[float, float]:
    """Return wall and core seconds until a stage without a server would read its inputs."""
    code = (
        "import oxytomo.run.stage_command, oxytomo.stages.registry as r; "
        f"r.STAGES['{stage}'].load(); r.STAGES['{stage}'].settings_model()"
    )
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(walls: list[float], runs: list[Times]) -> list[dict[str, float | str]]:
    """Return a row for each stage and one for the run, medians of the runs."""
    rows: list[dict[str, float | str]] = []
    for stage in runs[0]:
        wall, computing, memory = (statistics.median(one[stage][k] for one in runs) for k in range(3))
        rows.append({"stage": stage, "wall_s": wall, "computing_s": computing, "peak_mb": memory})
    total = statistics.median(sum(times[1] for times in one.values()) for one in runs)
    peak = max(float(row["peak_mb"]) for row in rows)
    rows.append({"stage": "run", "wall_s": statistics.median(walls), "computing_s": total, "peak_mb": peak})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--starts", type=int, default=0, metavar="N", help="measure N starts of stages only")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.starts:
        print("| stage | wall s | core s |\n|---|---|---|")
        for stage in STARTED:
            walls, cores = zip(*(start_of(stage) for _ in range(arguments.starts)), strict=True)
            print(f"| {stage} | {statistics.median(walls):.2f} | {statistics.median(cores):.2f} |")
        return
    with tempfile.TemporaryDirectory() as scratch:
        config, results = write_config(arguments.config, Path(scratch))
        try:
            run_once(config, results, arguments.cores)
            found = [run_once(config, results, arguments.cores) for _ in range(arguments.runs)]
        finally:
            config.unlink(missing_ok=True)
    rows = table([wall for wall, _ in found], [times for _, times in found])
    print(f"{arguments.cores} cores, load {os.getloadavg()[0]:.1f} at the end, medians of {arguments.runs}\n")
    print("| stage | wall s | computing s | peak MB |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['stage']} | {row['wall_s']:.1f} | {row['computing_s']:.0f} | {row['peak_mb']:.0f} |")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
