"""Let the disk run full in every stage, make room, resume, and compare with a run that had room (as root, for tmpfs).

    python benchmarks/disk_full.py configs/demo.yaml

The results are on a tmpfs that is never larger than what is in it and --step kilobytes; whenever the run ends for want of
space, it must say so in one line and leave nothing half-written, and it is given room for a little more. Snakemake is
called itself, because ``oxytomo run`` refuses at the door what will not fit. Exit code 1 where anything is otherwise.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from kill_and_resume import digests, write_config

SNAKEFILE = Path(__file__).resolve().parents[1] / "pipeline" / "workflow" / "Snakefile"


def main() -> int:
    """Run until everything is made, and print a line for every time the disk was full."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--step", type=int, default=48, help="kB more than what is there")
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
    """Resume with a little more room until all is made; returns the exit code."""
    stages: set[str] = set()
    bad, room, before = 0, arguments.step, -1
    while True:
        used = used_kb(results)
        # As long as nothing more fits, the room doubles; then it is small again.
        room = arguments.step if used > before + arguments.step else 2 * room
        before = used
        subprocess.run(["mount", "-o", f"remount,size={used + room}k", str(results)], check=True)
        code, said = run(config, results, arguments.cores)
        if code == 0:
            break
        left = list(results.rglob(".*partial-*"))
        lines = sorted(
            {line for line in said.splitlines() if "No space left" in line or "free disk space" in line}
        )
        failed = re.findall(r"Error in rule (\w+)", said)
        stages.update(failed)
        fine = bool(lines) and "Traceback" not in said and not left
        bad += not fine
        what = ", ".join(failed) or "the workflow itself"
        print(f"{used + room} kB: {what}: {lines[:1]} {left or ''}{'' if fine else ' BAD'}", flush=True)
        if not fine:
            (arguments.scratch / f"said_{used + room}.log").write_text(said, encoding="utf-8")
    found = digests(results)
    wrong = sorted(name for name in truth.keys() | found.keys() if truth.get(name) != found.get(name))
    print(
        f"stages that found the disk full: {', '.join(sorted(stages))}; different: {wrong or 'nothing'}; bad: {bad}"
    )
    return 1 if bad or wrong else 0


def run(config: Path, results: Path, cores: int) -> tuple[int, str]:
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
    command += ["--directory", str(results.with_name("work"))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "MPLBACKEND": "Agg"}
    )
    return done.returncode, done.stdout + done.stderr


def used_kb(folder: Path) -> int:
    """Return what a file system holds, in kB."""
    return shutil.disk_usage(folder).used // 1024


if __name__ == "__main__":
    sys.exit(main())
