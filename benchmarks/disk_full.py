"""Let the disk run full in every stage, make room, resume, and compare with a run that had room (as root, for tmpfs).

    python benchmarks/disk_full.py configs/demo.yaml

The results are on a tmpfs. One stage after the other is asked for with room for --step kilobytes more than what is there;
whenever the run ends for want of space, it must say so in one line and leave nothing half-written, and it is given twice
the room. Snakemake is called itself, because ``oxytomo run`` refuses at the door what will not fit. Exit code 1 where
anything is otherwise, or a stage always had room.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kill_and_resume import digests, write_config

STAGES = (
    *("normalize", "align", "decompose", "reconstruct", "uncertainty", "classify", "measure"),
    *("export_composition", "report"),
)
SNAKEFILE = Path(__file__).resolve().parents[1] / "pipeline" / "oxytomo" / "workflow" / "Snakefile"


def main() -> int:
    """Run until everything is made, and print a line for every time the disk was full."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--step", type=int, default=16, help="kB more than what is there")
    parser.add_argument(
        "--stages", nargs="+", default=STAGES, metavar="RULE", help="in order; default: composition"
    )
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("disk_full"))
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    config, results = write_config(arguments.config, arguments.scratch)
    shutil.rmtree(results, ignore_errors=True)
    code, said = run(config, results, arguments.cores)
    if code:
        raise SystemExit(said)
    truth = digests(results)
    shutil.rmtree(results)
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(results)], check=True)
    try:
        return fill(config, results, arguments, truth)
    finally:
        subprocess.run(["umount", "-l", str(results)], check=False)


def fill(config: Path, results: Path, arguments: argparse.Namespace, truth: dict[str, str]) -> int:
    """Ask for one stage after the other, each with little room and then more; returns the exit code."""
    bad, full = 0, dict.fromkeys(arguments.stages, 0)
    for stage in arguments.stages:
        used, room = used_kb(results), arguments.step
        while True:
            subprocess.run(["mount", "-o", f"remount,size={used + room}k", str(results)], check=True)
            code, said = run(config, results, arguments.cores, until=stage)
            if code == 0:
                break
            left = list(results.rglob(".*partial-*"))
            lines = {
                line for line in said.splitlines() if "No space left" in line or "free disk space" in line
            }
            fine = bool(lines) and "Traceback" not in said and not left
            bad += not fine
            full[stage] += 1
            print(f"{stage}, {room} kB: {sorted(lines)[:1]} {left or ''}{'' if fine else ' BAD'}", flush=True)
            if not lines:
                raise SystemExit(said)  # more room would not help
            if not fine:
                (arguments.scratch / f"said_{stage}_{room}.log").write_text(said, encoding="utf-8")
            room = 2 * room
    found = digests(results)
    wrong = sorted(name for name in truth.keys() | found.keys() if truth.get(name) != found.get(name))
    print(f"disk full, times: {full}; different: {wrong or 'nothing'}; bad: {bad}")
    return 1 if bad or wrong or not all(full.values()) else 0


def run(config: Path, results: Path, cores: int, until: str = "report") -> tuple[int, str]:
    """Call Snakemake; returns its exit code and all it said."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--configfile", str(config)]
    command += [
        "--cores",
        str(cores),
        "--rerun-incomplete",
        "--nolock",
        "--rerun-triggers",
        "mtime",
        "input",
        "params",
    ]
    command += ["--until", until, "--directory", str(results.with_name("work"))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "MPLBACKEND": "Agg"}
    )
    return done.returncode, done.stdout + done.stderr


def used_kb(folder: Path) -> int:
    """Return what a file system holds, in kB."""
    return shutil.disk_usage(folder).used // 1024


if __name__ == "__main__":
    sys.exit(main())
