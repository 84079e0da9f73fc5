"""``oxytomo watch``: a quick look at each scan of a beam time as it completes."""

import argparse
import contextlib
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxytomo.errors import ConfigError, InputError, PipelineError, StoreError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oxytomo.check.folder.watched import Scan, Watched
    from oxytomo.run.watch_notes import Notes

DESCRIPTION = """\
Watch a folder during a beam time. A scan is complete when its files no longer change and can be read, and nothing of
it is missing. Each complete scan gets a quick look (larger pixels, few iterations, no replicates, so no intervals),
and a page compares all of them. Ctrl-C stops; the same command continues. With --full, the same command runs
everything with all pixels instead."""
EXAMPLES = """\
examples:
  oxytomo watch /data/beamtime --formula Li1.2Mn0.56Ni0.16Co0.08O2 --output looks
  oxytomo watch /data/beamtime --pattern '*.h5' --files 8 --formula LiNiO2       8 files make a scan
  oxytomo watch /data/beamtime --once                                            one look at what is there
  oxytomo watch /data/beamtime --formula Li1.2Mn0.56Ni0.16Co0.08O2 --output looks --full"""

PAGE = "comparison.html"
CONFIGURATION = "samples.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of the command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="folder that the scans are written to")
    add(
        "--output",
        type=Path,
        default=Path("watch"),
        metavar="DIR",
        help="folder to write (default: %(default)s)",
    )
    add(
        "--pattern",
        default="*",
        metavar="GLOB",
        help="names of the files of scans, with their tables and flats",
    )
    add(
        "--files",
        type=int,
        default=1,
        metavar="N",
        help="least number of files of a complete scan (default: 1)",
    )
    add("--formula", default=None, help="formula of the material, such as Li1.2Mn0.56Ni0.16Co0.08O2")
    add("--density-g-cm3", type=float, default=None, help="mass density of the material in g/cm³")
    add("--pixel-nm", type=float, default=None, help="pixel size in nm, if the files do not contain it")
    add(
        "--settle",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds without a change (default: %(default)g)",
    )
    add("--cores", type=int, default=None, help="number of cores to use; default: all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="stop after the scans that are complete now")
    how.add_argument("--full", action="store_true", help="run the complete scans with all pixels, and stop")


def run(arguments: argparse.Namespace) -> int:
    """Watch until stopped; return the exit code."""
    from oxytomo.check.folder.propose import Answers
    from oxytomo.check.folder.watched import Watched
    from oxytomo.cli.init import _formula, _positive
    from oxytomo.run.lock import run_lock
    from oxytomo.run.results_folder import check_writable
    from oxytomo.run.watch_notes import Notes

    folder, output = arguments.folder, arguments.output.resolve()
    _check(arguments)
    answers = Answers(
        formula=None if arguments.formula is None else _formula(arguments.formula),
        density_g_cm3=_positive(arguments.density_g_cm3, "--density-g-cm3"),
        pixel_nm=_positive(arguments.pixel_nm, "--pixel-nm"),
    )
    watched = Watched(
        folder.resolve(),
        output,
        pattern=arguments.pattern,
        settle_s=arguments.settle,
        least_files=arguments.files,
        answers=answers,
    )
    check_writable(output)
    with run_lock(output):
        notes = Notes.read(output)
        _say(f"watching {folder}; looks in {output}")
        scans = _watch(watched, notes, arguments)
    if not scans:
        _say("no complete scan: no file that can be read and fits --pattern makes one")
    if not arguments.full:
        return 0
    return _run_all(scans, output, arguments)


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.folder.is_dir():
        raise InputError(
            str(arguments.folder), expected="a folder", got="no such folder", fix="correct the path"
        )
    folder, output = arguments.folder.resolve(), arguments.output.resolve()
    if folder.is_relative_to(output):
        raise ConfigError(
            "--output",
            expected="a folder that does not hold the scans",
            got=str(arguments.output),
            fix="give a new folder, in the watched one or elsewhere",
        )
    for name, value, low in (("--settle", arguments.settle, 0.0), ("--files", arguments.files, 1)):
        if not low <= value < 1e5:
            raise ConfigError(name, expected=f"{low:g} or more", got=f"{value:g}", fix="correct it")
    if arguments.cores is not None and arguments.cores < 1:
        raise ConfigError(
            "--cores", expected="1 or more", got=str(arguments.cores), fix="leave it out: all cores"
        )


def _watch(watched: "Watched", notes: "Notes", arguments: argparse.Namespace) -> "list[Scan]":
    """Look until stopped, or until everything that is there has been looked at; return the scans."""
    said: dict[str, str] = {}
    written: dict[str, dict[str, tuple[int, int]]] = {}
    began = time.monotonic()
    while True:
        try:
            found, scans = watched.look()
        except PipelineError as error:  # such as a folder that is gone for a moment
            found, scans = None, []
            if said.get("") != str(error):
                said[""] = str(error)
                _say(f"waiting: {error}")
        complete = [scan for scan in scans if not scan.waits]
        for scan in scans:
            if scan.waits and said.get(scan.name) != scan.waits:
                _say(f"{scan.name}: waiting for {scan.waits}")
            said[scan.name] = scan.waits
        files = {scan.name: scan.files for scan in complete}
        if found is not None and complete and files != written:
            _write_configuration(found, complete, watched, notes)
            written = files
        news = [] if arguments.full else [scan for scan in complete if notes.is_new(scan)]
        for scan in news[:1]:  # then look again: the folder fills meanwhile
            _look_at(scan, _text(found, [scan], watched, notes.output / "looks"), notes, arguments.cores)
        # Everything has been seen unchanged for the settle time by then.
        over = time.monotonic() - began > watched.settle_s + 1.0
        if not news and over and (arguments.once or arguments.full):
            return complete
        if not news:
            time.sleep(min(5.0, max(0.2, watched.settle_s / 4)))


def _write_configuration(found: Any, complete: "list[Scan]", watched: "Watched", notes: "Notes") -> None:
    """Write the configuration of all complete scans for the full run."""
    kept = notes.write_configuration(CONFIGURATION, _text(found, complete, watched, notes.output))
    if kept:
        _say(kept)


def _text(found: Any, scans: "list[Scan]", watched: "Watched", folder: Path) -> str:
    """Return the configuration of scans for a file in a folder."""
    from oxytomo.check.folder.propose import propose
    from oxytomo.check.folder.watched import only

    return propose(only(found, scans), watched.answers, folder=folder).text


def _look_at(scan: "Scan", text: str, notes: "Notes", cores: int | None) -> None:
    """Take a quick look at one scan, note how it ended, and write the comparison again."""
    _say(f"{scan.name}: complete, {len(scan.files)} file{'s' if len(scan.files) != 1 else ''}; quick look …")
    began = time.monotonic()
    try:
        said, state = _quick_look(scan, text, notes, cores), "done"
    except PipelineError as error:
        said, state = str(error), "failed"
    except OSError as error:
        said, state = str(StoreError.of(error, scan.name)), "failed"
    seconds = time.monotonic() - began
    notes.add(scan, state=state, said=said, seconds=seconds)
    _say(f"{scan.name}: {said}" + (f" ({seconds:.0f} s)" if state == "done" else ""))
    if state == "done":
        try:
            _compare(notes)
        except PipelineError as error:
            _say(f"comparison: {error}")


def _quick_look(scan: "Scan", text: str, notes: "Notes", cores: int | None) -> str:
    """Run the quick look by the configuration of a scan; return the main numbers and the page."""
    import yaml

    from oxytomo.config import load_config
    from oxytomo.io.tables import write_text
    from oxytomo.run.quick_look import write_quick_look

    place = notes.output / "looks" / scan.name
    whole = place.with_name(f"{scan.name}.yaml")
    write_text(whole, text)
    project = load_config(whole)
    content = write_quick_look(project, scan.name, place, notes.quick)
    if content is None:
        return "no quick look for its branches; it is in the full run"
    notes.forget_results(scan)
    path = place / "quick.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    _call(["run", str(path), "-q", *([] if cores is None else ["--cores", str(cores)])])
    return _numbers(notes.quick / scan.name)


def _call(words: "Sequence[str]") -> None:
    """Run a command in a process of its own; its last line is the error."""
    call = [sys.executable, "-P", "-m", "oxytomo", *words]
    child = subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        _, said = child.communicate()
    except BaseException:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=20)
        raise
    if child.returncode != 0:
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error: " in line] or lines[-1:] or ["no message"]
        raise PipelineError(
            "quick look",
            expected="a run to the end",
            got=printable(errors[0].partition("error: ")[2] or errors[0])[:300],
            fix="see the logs in quick/logs; it is tried again when its files change, or at the next start",
        )


def _numbers(sample: Path) -> str:
    """Return the main numbers of a quick look, and its page."""
    from oxytomo.results import Results

    results = Results.of_folder(sample)
    first = [
        f"{key.partition('/')[2].replace('_', ' ')} {results.numbers[key]}"
        for key in list(results.numbers)[:4]
    ]
    return f"{', '.join(first) or 'done'}; {sample / 'report.html'}"


def _compare(notes: "Notes") -> None:
    """Write the comparison of all quick looks."""
    from oxytomo.view.compared_sample import can_be_compared
    from oxytomo.view.comparison_page import write_comparison

    folders = [notes.quick / name for name in notes.done() if (notes.quick / name).is_dir()]
    kept = {folder.name: [folder] for folder in folders if can_be_compared(folder)}
    if len(kept) > 1:
        [page, *_] = write_comparison(kept, notes.output / PAGE)
        _say(f"comparison of {len(kept)} scans: {page}")


def _run_all(scans: "list[Scan]", output: Path, arguments: argparse.Namespace) -> int:
    """Run the complete scans with all pixels."""
    from oxytomo.cli import main

    if not scans:
        return 0
    words = ["run", str(output / CONFIGURATION)]
    return main([*words, *([] if arguments.cores is None else ["--cores", str(arguments.cores)])])


def _say(line: str) -> None:
    sys.stdout.write(f"[{datetime.now().astimezone():%H:%M:%S}] {printable(line)}\n")
    sys.stdout.flush()
