"""Run the commands that read results on folders that mean harm, and print what got through.

    python benchmarks/hostile_results.py                            every kind, on a small made-up sample
    python benchmarks/hostile_results.py --results results/particle        on copies of a sample of your own
    python benchmarks/hostile_results.py --only pickle

Each folder is an honest one with one thing done to it (see tests/fuzz/hostile.py). ``verify`` and ``inspect`` run on each;
``report``, the comparison with the untouched sample, the reading of ``view`` and ``render``, and all that the library opens run
on those that they read, with --thorough on all. Each runs in a child process with 2 GB of address space beyond what it starts
with. A failure is a traceback, a message of more than one line, a crash, memory or time that ran out, an end with 0 of a command
that has to refuse, a file outside that was written, or code that ran.
"""

import argparse
import importlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dask

from oxytomo.cli import main as oxytomo
from oxytomo.errors import PipelineError
from tests.fuzz.harm import Hostile, record_everything
from tests.fuzz.hostile import hostile_results

HANG_CPU_S, HANG_WALL_S = 20, 120
"""Of computing, and of time: the latter for what waits without computing."""
MORE_BYTES = 2 * 2**30
PRELOADED = (
    "oxytomo.view.sample_page",
    "oxytomo.view.comparison_page",
    "xarray",
    "pandas",
    "dask.array",
    "oxytomo.view.napari_plugin.layers",
    "oxytomo.view.render_sample",
)
"""Once for all children."""
INSPECTED = 5
ALWAYS = ("verify", "inspect")
READS = ("verify", "inspect", "view", "render", "report", "compare", "open")


def commands(sample: Path, other: Path, out: Path) -> dict[str, Callable[[], int]]:
    """Return how each command reads a sample; those with windows or drawings without them."""
    return {
        "verify": lambda: oxytomo(["verify", str(sample.parent)]),
        "inspect": lambda: max(oxytomo(["inspect", str(path)]) for path in inspected(sample)),
        "view": lambda: read_layers(sample),
        "render": lambda: read_scenes(sample, out),
        "report": lambda: oxytomo(["report", str(sample)]),
        "compare": lambda: compare(sample, other, out),
        "open": lambda: open_everything(sample),
    }


def inspected(sample: Path) -> list[Path]:
    """Return what ``inspect`` is shown: the sample, and one of each kind of result."""
    stored = "stages/composition/reconstruct.zarr"
    return [
        sample,
        *(
            sample / name
            for name in (stored, "composition.ome.zarr", "phases.json", "composition_shells.csv")
        ),
    ]


def read_layers(sample: Path) -> int:
    """Read the layers that napari would show, with a slice of each."""
    from oxytomo.view.napari_plugin.layers import sample_layers
    from oxytomo.view.napari_plugin.results import find_samples

    for data, _arguments, _kind in sample_layers(find_samples(sample)):
        for level in data if isinstance(data, list) else [data]:
            _ = level[level.shape[0] // 2]
    return 0


def read_scenes(sample: Path, out: Path) -> int:
    """Read what ``render`` draws; drawing itself takes long and reads nothing more."""
    from oxytomo.io.plain_files import check_no_links
    from oxytomo.view.render_sample import _scenes

    check_no_links(sample, sample / "renders")
    for _scene in _scenes(sample):
        pass
    return 0


def compare(sample: Path, other: Path, out: Path) -> int:
    """Write the comparison with an untouched sample."""
    from oxytomo.view.comparison_page import write_comparison

    write_comparison({"a": [sample], "b": [other]}, out / "comparison.html")
    return 0


def open_everything(sample: Path) -> int:
    """Read all that the library gives of a sample: a slice of each array, tables, numbers, the page for notebooks."""
    from oxytomo.results import Results, open_results

    results = open_results(sample)
    if isinstance(results, Results):
        results._repr_html_()
        for key in results.arrays:
            array = results.arrays[key]
            array[array.shape[0] // 2].compute()
        for found in (results.tables, results.numbers, results.definitions):
            for key in found:
                _ = found[key]
        _ = (results.warnings, results.provenance)
    return 0


def guarded(call: Callable[[], int]) -> tuple[str, str, str]:
    """Run a command in a child process; returns how it ended, and what it wrote to the standard streams."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        ended, out, err = "fault", io.StringIO(), io.StringIO()
        signal.alarm(HANG_WALL_S)
        dask.config.set(scheduler="synchronous")  # threads of the pool are not in a forked process
        resource.setrlimit(resource.RLIMIT_CPU, (HANG_CPU_S, HANG_CPU_S))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MORE_BYTES,) * 2)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                ended = str(call())
        except PipelineError as error:
            ended = "2"
            err.write(f"{error}\n")
        except BaseException:
            err.write(traceback.format_exc())
        with os.fdopen(writing, "wb") as stream:
            stream.write(
                "\0".join((ended, out.getvalue(), err.getvalue())).encode("utf-8", "surrogateescape")
            )
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode("utf-8", "surrogateescape")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name, "", ""
    ended, out_text, err_text = (*said.split("\0"), "", "")[:3]
    return ended, out_text, err_text


def judge(command: str, hostile: Hostile, ended: str, out: str, err: str) -> str:
    """Return what is wrong with the end of a command, empty where nothing is."""
    if ended not in ("0", "2"):
        return f"ended with {ended}: {err[-300:]}"
    lines = err.rstrip("\n").split("\n") if err.strip() else []
    if "Traceback" in err or not all(line.isprintable() for line in (*lines, *out.rstrip("\n").split("\n"))):
        return f"raw text: {(out + err)[-300:]!r}"
    most = INSPECTED if command == "inspect" else 1  # it is run on each of these
    if command != "verify" and ended == "2" and not 1 <= len(lines) <= most:
        return f"{len(lines)} lines: {err[-300:]}"
    if command in hostile.refused_by and ended == "0":
        return f"ended with 0: {out[-200:]}"
    return ""


def try_one(
    hostile: Hostile, honest: Path, place: Path, reads: tuple[str, ...] = READS, *, thorough: bool = False
) -> list[str]:
    """Do harm to a copy of a sample, run commands on it, and return what got through.

    Parameters
    ----------
    hostile : the harm
    honest : a sample, which is also what copies are compared with
    place : a folder to work in, which is removed
    reads : commands
    thorough : also those that do not read what was harmed
    """
    results, outside, out = place / "results", place / "outside", place / "out"
    shutil.copytree(honest.parent, results, symlinks=True)
    outside.mkdir()
    out.mkdir()
    (outside / "precious").write_text("kept", encoding="utf-8")
    sample = results / honest.name
    hostile.harm(sample, outside)
    before = snapshot(outside)
    wrong = []
    for command, call in commands(sample, honest, out).items():
        read = command in ALWAYS or (command == "open" and hostile.refused_by & {"report", "view"})
        if command not in reads or not (command in hostile.refused_by or read or thorough):
            continue
        started = time.monotonic()
        ended, said, err = guarded(call)
        found = judge(command, hostile, ended, said, err)
        if found:
            wrong.append(f"{hostile.name}: {command} ({time.monotonic() - started:.0f} s) {found}")
    if snapshot(outside) != before:
        wrong.append(f"{hostile.name}: something outside was written, or code ran")
    shutil.rmtree(place)
    return wrong


def snapshot(folder: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of what is in a folder."""
    found = sorted(path for path in folder.rglob("*"))
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in found]


def made_up(folder: Path) -> Path:
    """Write a small sample as a run would leave it: the composition branch, with few files."""
    from oxytomo.config.stage_settings import ExportStage
    from oxytomo.io.finished import MARKER, products_of
    from oxytomo.stages.composition import export_composition
    from oxytomo.stages.context import StageContext
    from tests.plugin_results import composition_only

    sample = composition_only(folder / "honest" / "particle")
    stores = {
        name: sample / f"stages/composition/{name}.zarr"
        for name in ("reconstruct", "uncertainty", "classify")
    }
    settings = ExportStage(sample=sample.name, chunk=64, shard=64)
    context = StageContext("export_composition", 1, 1, {})
    with redirect_stderr(io.StringIO()):
        export_composition.run(stores, {"store": sample / "composition.ome.zarr"}, settings, context)
    record_everything(sample)
    finished = {"particle": products_of(sample.parent, "particle")}
    (sample.parent / MARKER).write_text(json.dumps({"samples": {}, "finished": finished}), encoding="utf-8")
    return sample


def main() -> int:
    """Try every kind of harm and print the failures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=None, help="a sample to do harm to (copies of it)")
    parser.add_argument(
        "--share",
        type=int,
        nargs=2,
        default=(0, 1),
        metavar=("I", "N"),
        help="every N-th kind from the I-th on",
    )
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="run every command on every folder, not only those that read what was harmed",
    )
    parser.add_argument("--commands", nargs="+", default=list(READS), choices=READS)
    arguments = parser.parse_args()
    started, failures, number = time.monotonic(), [], 0
    with tempfile.TemporaryDirectory() as temporary:
        honest = arguments.results or made_up(Path(temporary))
        for module in PRELOADED:
            importlib.import_module(module)
        first, step = arguments.share
        for hostile in list(hostile_results())[first::step]:
            if arguments.only in hostile.name:
                number += 1
                place = Path(temporary) / str(number)
                reads = tuple(arguments.commands)
                for failure in try_one(hostile, honest.resolve(), place, reads, thorough=arguments.thorough):
                    failures.append(failure)
                    print(failure, flush=True)
    print(f"{number} folders, {len(failures)} failures, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
