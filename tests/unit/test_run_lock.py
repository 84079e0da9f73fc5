"""One run at a time in a results folder, and no way out of it."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from oxytomo.config import parse_config
from oxytomo.errors import StoreError
from oxytomo.io.ways_out import make_folder, open_log
from oxytomo.run.lock import LOCK_FILE, join_run, run_lock, take_lock
from oxytomo.run.results_folder import check_writable, claim

HOLD = (
    "import sys, time; from pathlib import Path; from oxytomo.run.lock import run_lock\n"
    "with run_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def write_owner(folder: Path, *, host: str, process: int, started: float) -> None:
    """Leave the lock file of a run."""
    said = {"host": host, "process": process, "started": started}
    (folder / LOCK_FILE).write_text(json.dumps(said), encoding="utf-8")


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no locks; there is none to mount here."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_second_run_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"a run at work \\(process {child.pid}\\)"), run_lock(tmp_path):
            pass
        with pytest.raises(StoreError, match="a run at work"):
            join_run(tmp_path)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert json.loads((tmp_path / LOCK_FILE).read_text(encoding="utf-8"))["process"] == child.pid
    with run_lock(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text(encoding="utf-8") == ""


def test_the_workflow_joins_the_run_that_started_it(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        code = "import sys; from pathlib import Path; from oxytomo.run.lock import join_run\n"
        code += "print(join_run(Path(sys.argv[1])))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
    assert done.stdout == "None\n"


@pytest.mark.usefixtures("without_locks")
def test_without_locks_the_file_says_who_is_at_work(tmp_path: Path) -> None:
    here, me = socket.gethostname(), os.getppid()
    born = psutil.Process(me).create_time()
    write_owner(tmp_path, host=here, process=me, started=born)
    with pytest.raises(StoreError, match=rf"a run at work \(process {me}\).*if it was killed, delete"):
        take_lock(tmp_path)
    # Of another node nobody here can say whether its process lives.
    write_owner(tmp_path, host="node17", process=me, started=born)
    with pytest.raises(StoreError, match=rf"a run at work \(process {me} on node17\)"):
        take_lock(tmp_path)
    # The same number, but a process that began later than the run: the number was used again.
    write_owner(tmp_path, host=here, process=me, started=born - 3600)
    os.close(take_lock(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    write_owner(tmp_path, host=here, process=gone.pid, started=time.time())
    os.close(take_lock(tmp_path))


def test_a_lock_left_on_another_node_is_taken_where_there_are_locks(tmp_path: Path) -> None:
    write_owner(tmp_path, host="node17", process=1, started=0.0)
    with run_lock(tmp_path):
        pass


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match=r"oxytomo\.lock"):
        take_lock(tmp_path)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize(
    "place",
    [
        "a",
        "a/stages",
        "a/stages/tomogram",
        "a/stages/tomogram/normalize",
        "logs",
        "logs/a",
        "logs/a/tomogram",
        ".snakemake",
        ".snakemake/metadata",
        ".snakemake/log/x",
    ],
)
def test_links_out_of_the_results_folder_are_refused(tmp_path: Path, place: str) -> None:
    project = parse_config({"samples": {"a": {"tomogram": {"source": "x.h5"}}}}, folder=tmp_path)
    (tmp_path / "elsewhere").mkdir()
    results = tmp_path / "results"
    (results / place).parent.mkdir(parents=True)
    (results / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="a link to"):
        claim(results, project)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_pipes_where_a_run_writes_are_refused(tmp_path: Path) -> None:
    project = parse_config({"samples": {"a": {"tomogram": {"source": "x.h5"}}}}, folder=tmp_path)
    (tmp_path / "results/logs/a").mkdir(parents=True)
    os.mkfifo(tmp_path / "results/logs/a/report.log")
    with pytest.raises(StoreError, match="got a pipe"):
        claim(tmp_path / "results", project)


@pytest.mark.parametrize("place", ["logs", "logs/a", "logs/a/x.log"])
def test_a_log_is_not_written_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "results")
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    target = tmp_path / "elsewhere"
    Path(place).symlink_to(target / "file" if place.endswith(".log") else target)
    with pytest.raises(StoreError, match="expected a folder or file within the results folder"):
        open_log(Path("logs/a/x.log"))
    assert list(target.iterdir()) == []
    Path(place).unlink()
    with open_log(Path("logs/a/x.log")) as log:
        log.write("begun")
    assert Path("logs/a/x.log").read_text(encoding="utf-8") == "begun"


def test_a_stage_makes_no_folder_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    make_folder(Path("s/stages/tomogram"))
    (tmp_path / "s/stages/oxidation").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="a link to"):
        make_folder(Path("s/stages/oxidation/fit"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_probe_for_writing_is_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (tmp_path / "results").mkdir()
    probe = tmp_path / "results" / f".oxytomo-write-test-{os.getpid()}"
    probe.symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="may be written"):
        check_writable(tmp_path / "results")
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"
