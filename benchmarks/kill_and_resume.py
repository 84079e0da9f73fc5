"""Kill a run at random moments, resume it, and compare the results with those of a run that was left alone.

    python benchmarks/kill_and_resume.py configs/demo.yaml --kills 40 --cores 2

Every trial starts from an empty results folder, ends all processes of the run at once with SIGKILL after a random share of
the time that the undisturbed run took (every third trial: one process of it, chosen at random), calls the same command
again, and compares the digests of every stage store, table, mesh and image, labels included. The report and the records
hold the time of writing and are left out. Exit code 1 where a resume fails or a result differs.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from oxytomo.io.provenance import file_digest, folder_digest


def main() -> int:
    """Run the trials and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("kill_and_resume"))
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    config, results = write_config(arguments.config, arguments.scratch)
    shutil.rmtree(results, ignore_errors=True)
    started = time.monotonic()
    if wait(start(config, arguments)) != 0:
        raise SystemExit("the undisturbed run failed")
    seconds = time.monotonic() - started
    truth = digests(results)
    print(f"undisturbed: {seconds:.0f} s, {len(truth)} digests", flush=True)
    bad = 0
    for trial in range(arguments.kills):
        shutil.rmtree(results)
        moment = rng.uniform(0.02, 0.98) * seconds
        killed = disturb(start(config, arguments), moment, rng, only_one=trial % 3 == 2)
        code = wait(start(config, arguments))
        left = list(results.rglob(".*partial-*"))
        found = digests(results)
        wrong = sorted(name for name in truth.keys() | found.keys() if truth.get(name) != found.get(name))
        fine = code == 0 and not wrong and not left
        bad += not fine
        print(
            f"{trial + 1}: killed {killed} at {moment:.1f} s, resume {code}: "
            + ("identical" if fine else f"DIFFERENT {wrong[:5]} {left[:3]}"),
            flush=True,
        )
    print(f"{arguments.kills - bad} of {arguments.kills} identical")
    return 1 if bad else 0


def write_config(path: Path, scratch: Path) -> tuple[Path, Path]:
    """Write the configuration with a results folder of its own; returns both paths."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    results = (scratch / "results").resolve()
    # Paths of raw files are relative to the configuration, so the copy is beside it.
    copy = path.resolve().with_name(f".{path.stem}.kill_and_resume.yaml")
    copy.write_text(yaml.safe_dump({**data, "results": str(results)}), encoding="utf-8")
    return copy, results


def start(config: Path, arguments: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start a run in the background; what it says goes to a file."""
    command = [sys.executable, "-P", "-m", "oxytomo", "run", str(config), "--cores", str(arguments.cores)]
    with (arguments.scratch / "said.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def wait(run: subprocess.Popen[bytes]) -> int:
    """Wait for a run to end."""
    return run.wait()


def disturb(run: subprocess.Popen[bytes], moment: float, rng: random.Random, *, only_one: bool) -> str:
    """Kill the processes of a run, or one of them, after some seconds; returns what was killed."""
    with suppress(subprocess.TimeoutExpired):
        run.wait(timeout=moment)
        return "nothing (it had ended)"
    family = []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(run.pid)
        family = [parent, *parent.children(recursive=True)]
    if only_one and len(family) > 2:
        family = [rng.choice(family[2:])]  # a stage or what started it; the run itself goes on and says so
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    run.wait()
    for process in family:
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.wait(timeout=10)
    return "one process" if only_one else f"all {len(family)} processes"


def digests(results: Path) -> dict[str, str]:
    """Return the digests of everything that a run computes, by path."""
    found = {}
    for store in results.glob("*/stages/*/**/*.zarr"):
        record = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
        found[str(store.relative_to(results))] = record["attributes"]["oxytomo"]["digest"]
    for product in (path for sample in results.glob("*/stages") for path in sample.parent.glob("[!.]*")):
        name = str(product.relative_to(results))
        if product.suffix == ".zarr":
            for array in product.rglob("c"):
                found[f"{name}/{array.relative_to(product)}"] = folder_digest(array)
        elif product.is_dir() and product.name != "stages":
            found[name] = folder_digest(product)
        elif product.suffix in (".csv", ".json") and product.is_file():
            found[name] = file_digest(product)
    return found


if __name__ == "__main__":
    sys.exit(main())
