"""A run's server of stages: the same result as without it, nothing left running, and nothing depends on its life."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile

from oxytomo.io.stores import read_store
from oxytomo.run.stage_client import ADDRESS, in_no_folder
from oxytomo.run.stage_server import StageServer, stage_server
from oxytomo.stages.registry import stage_spec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server is for Linux"),
]

STAGE = [sys.executable, "-P", "-m", "oxytomo", "stage"]
UNKNOWN = ["nonsense", "--out", "x.zarr", "--spec", "{}", "--threads", "1"]
PATIENCE_S = 240.0


@pytest.fixture
def server() -> Iterator[StageServer]:
    with stage_server(2) as running:
        yield running


def until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def process(server: StageServer) -> psutil.Process:
    assert server.environment[ADDRESS]
    return next(p for p in psutil.Process().children() if "oxytomo.run.stage_server" in p.cmdline())


def processes_in(parent: psutil.Process, folder: Path) -> list[psutil.Process]:
    """Return the children of a process that work in a folder; libraries start short ones while they are loaded."""
    found = []
    for child in parent.children():
        with suppress(psutil.Error):
            found += [child] if Path(child.cwd()) == folder else []
    return found


@contextmanager
def blocked(server: StageServer, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", psutil.Process]]:
    """Start a stage that waits for ever for somebody to read its log; yields its client and its own process."""
    log = folder / "log"
    os.mkfifo(log)
    command = [*STAGE, "classify", "--out", "x.zarr", "--spec", "{}", "--threads", "1", "--log", str(log)]
    with subprocess.Popen(
        command, env=os.environ | server.environment, cwd=folder, stderr=subprocess.PIPE, text=True
    ) as client:
        try:
            parent = process(server)
            found: list[psutil.Process] = []

            def taken_over() -> bool:
                found.extend(processes_in(parent, folder))
                return bool(found)

            until(taken_over)
            yield client, found[0]
        finally:
            client.kill()


def test_a_stage_says_and_returns_what_it_would_alone(server: StageServer, tmp_path: Path) -> None:
    environments = (dict(os.environ), os.environ | server.environment)
    alone, served = (
        subprocess.run([*STAGE, *UNKNOWN], env=one, cwd=tmp_path, capture_output=True, text=True, check=False)
        for one in environments
    )
    assert (served.returncode, served.stdout, served.stderr) == (2, "", alone.stderr)
    assert served.stderr.startswith("oxytomo: error: stage: expected one of normalize,")


def test_a_stage_makes_the_store_it_would_alone(server: StageServer, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "v.tif", np.random.default_rng(1).random((20, 24, 28), np.float32))
    source = {"images": str(tmp_path / "v.tif")}
    spec = stage_spec("read_volume", {"source": source, "voxel_nm": 10.0})
    for name, environment in (("alone", {}), ("served", server.environment)):
        command = [
            *STAGE,
            "read_volume",
            "--out",
            f"{name}.zarr",
            "--spec",
            spec,
            "--threads",
            "1",
            "--log",
            f"{name}.log",
        ]
        subprocess.run(command, env=os.environ | environment, cwd=tmp_path, check=True)
    assert read_store(tmp_path / "served.zarr").digest == read_store(tmp_path / "alone.zarr").digest
    assert "1 thread on" in (tmp_path / "served.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_stage_ends_with_the_command_that_asked_for_it(server: StageServer, tmp_path: Path) -> None:
    with blocked(server, tmp_path) as (client, stage):
        client.kill()
        until(lambda: not stage.is_running())
        assert process(server).is_running()


@pytest.mark.slow
def test_a_stage_that_is_killed_is_said_to_be_killed(server: StageServer, tmp_path: Path) -> None:
    with blocked(server, tmp_path) as (client, stage):
        stage.kill()
        _, said = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 137
    assert said.startswith(
        "oxytomo: error: classify: expected the stage to end by itself, got its process killed; "
    )
    assert said.count("\n") == 1


def test_without_its_server_a_stage_runs_by_itself(server: StageServer, tmp_path: Path) -> None:
    killed = process(server)
    killed.kill()
    until(lambda: killed.status() == psutil.STATUS_ZOMBIE)
    environment = os.environ | server.environment
    said = subprocess.run(
        [*STAGE, *UNKNOWN], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert said.stderr.startswith("oxytomo: error: stage: expected one of normalize,")


@pytest.mark.slow
def test_the_server_ends_with_a_run_that_is_killed() -> None:
    code = (
        "import sys, time\nfrom oxytomo.run.stage_server import stage_server\n"
        "with stage_server(2) as s:\n    print(*s.environment.values(), flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        address = run.stdout.readline().strip()
        (server,) = psutil.Process(run.pid).children()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(in_no_folder(address))
        run.kill()
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(in_no_folder(address))


@pytest.mark.parametrize("threads", [1, 2])
def test_libraries_that_are_loaded_keep_to_the_threads_of_a_stage(threads: int) -> None:
    code = (
        "import numba, numpy, scipy.linalg, threadpoolctl\nfrom oxytomo.run import stage_server\n"
        f"stage_server._limit_threads({threads})\n"
        "numba.njit(lambda number: number + 1)(1)\n"  # compiled after the threads have begun
        "print(numba.get_num_threads(), *(one['num_threads'] for one in threadpoolctl.threadpool_info()))"
    )
    environment = os.environ | {"NUMBA_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert set(said.stdout.split()) == {str(threads)}
