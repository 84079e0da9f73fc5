"""Through a real Slurm: many samples, one of them bad, a job that needs more memory than it asked for, a node that dies."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from oxytomo.arrays import TiltSeries
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.stores import read_store
from tests.workflow.slurm_node import Cluster, slurm_cluster, wait, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

REPOSITORY = Path(__file__).resolve().parents[2]
ENERGIES = {"pre": 846.0, "post": 866.0}
NODES = ("first", "second")
HAS_CONTROL_GROUPS = os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK)
LIMIT_S = 500
"""The executor waits for ever where Slurm does not answer, and ignores SIGTERM."""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    """A cluster of two nodes, both of them this machine, in a folder with a short path."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    try:
        with slurm_cluster(folder, memory_mb=8000, nodes=NODES) as both:
            yield both
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(two_nodes: Cluster) -> Mapping[str, str]:
    """Environment for the commands of the cluster."""
    return {**two_nodes.environment, "MPLBACKEND": "Agg"}


def configure(folder: Path, samples: tuple[str, ...], bad: str | None = None) -> Path:
    """Write tiny samples of one projection at two energies; the flats of a bad one are dark."""
    y, x = np.ogrid[-16:16, -16:16]
    thick_px = np.sqrt(np.clip(11.0**2 - y**2 - x**2, 0, None))
    data: dict[str, Any] = {"results": "results", "samples": {}}
    for seed, sample in enumerate(samples):
        rng = np.random.default_rng(seed)
        pair = {}
        for side, energy_ev in ENERGIES.items():
            density = thick_px * (0.02 if side == "pre" else 0.06)
            path = folder / f"{sample}_{side}.h5"
            light = 0.0 if sample == bad else 5000.0
            series = TiltSeries(
                frames=rng.poisson(5000 * np.exp(-density))[None].astype(np.uint16),
                tilt_deg=np.zeros(1),
                energy_ev=np.full(1, energy_ev),
                pixel_nm=np.full(1, 10.0),
                quantity="counts",
                flat=np.full((2, 32, 32), light, np.float32),
            )
            write_data_exchange(path, series)
            pair[side] = str(path)
        branch = {"edges": {"Ni": pair}, "formula": {"Ni": 1.0, "O": 1.0}}
        data["samples"][sample] = {"areal_density": branch}
    (folder / "x.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return folder / "x.yaml"


def profile(folder: Path, **changes: Any) -> Path:
    """Write the profile that comes along, for a node of two cores and jobs of seconds."""
    shipped = REPOSITORY / "profiles" / "slurm" / "config.yaml"
    settings = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    settings |= {"cores": 2, "retries": 1, "latency-wait": 5, "slurm-init-seconds-before-status-checks": 2}
    (folder / "profile").mkdir()
    (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(settings | changes), encoding="utf-8")
    return folder / "profile"


def call(environment: Mapping[str, str], *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that may hang."""
    limited = ["timeout", "-s", "KILL", str(LIMIT_S), sys.executable, "-P", "-m", *map(str, command)]
    return subprocess.run(
        limited, cwd=cwd, env=dict(environment), capture_output=True, text=True, check=False
    )


def jobs(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what the cluster says of every job: state, memory in MB, what it was and on which node."""
    said = subprocess.run(
        ["squeue", "--states=all", "--noheader", "--format=%T %m %k on %N"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (line.split(maxsplit=2) for line in said.stdout.splitlines())
    return [(state, memory.removesuffix("M"), what) for state, memory, what in rows]


def test_a_bad_sample_leaves_the_others_finished_and_is_named(
    cluster: Mapping[str, str], tmp_path: Path
) -> None:
    samples = ("a", "b", "c", "d")
    config = configure(tmp_path, samples, bad="c")
    done = call(cluster, "oxytomo", "run", config, "--profile", profile(tmp_path), cwd=tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 2, text
    for sample in samples:
        assert (tmp_path / "results" / sample / "report.html").is_file() == (sample != "c"), text
    said = done.stderr.splitlines()
    assert "3 of 4 samples have a report (3 from this run): a, b, d" in said
    assert "not finished: c" in said
    (reason,) = {line for line in said if line.startswith("c: oxytomo: error: ")}
    assert "flat" in reason
    # The two series, alignment, decomposition and export of a sample are one job, its report another.
    names = [what for state, _, what in jobs(cluster) if state == "COMPLETED"]
    assert len(names) == 6, names
    assert {what.rsplit(maxsplit=1)[1] for what in names} == set(NODES)


def reports_short_of_memory(environment: Mapping[str, str], folder: Path) -> list[tuple[str, str]]:
    """Run a sample whose report asks for too little memory first; return states and memory of its jobs."""
    config = configure(folder, ("a",))
    chosen = profile(folder, **{"set-resources": ["report:mem_mb=120*8**(attempt-1)"]})
    snakefile = REPOSITORY / "Snakefile"
    done = call(
        environment,
        *("snakemake", "--snakefile", snakefile, "--configfile", config, "--profile", chosen),
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "results" / "a" / "report.html").is_file()
    return [(state, memory) for state, memory, what in jobs(environment) if what.startswith("rule_report")]


@pytest.mark.skipif(HAS_CONTROL_GROUPS, reason="control groups do it here, in the next test")
def test_a_job_without_enough_memory_is_repeated_with_more(
    cluster: Mapping[str, str], tmp_path: Path
) -> None:
    # The node watches the memory of its jobs and ends those that use more than they asked for.
    reports = reports_short_of_memory(cluster, tmp_path)
    assert ("FAILED", "120") in reports or ("OUT_OF_MEMORY", "120") in reports, reports
    assert ("COMPLETED", "960") in reports
    logs = [Path(cluster["SLURM_CONF"]).with_name(f"slurmd.{node}.log") for node in NODES]
    assert "exceeded memory limit" in "".join(log.read_text(encoding="utf-8") for log in logs)


@pytest.mark.skipif(
    not HAS_CONTROL_GROUPS, reason="no control groups for memory (version 1) that may be written"
)
def test_a_job_that_control_groups_end_is_repeated_with_more(tmp_path: Path) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    with (
        tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as folder,
        slurm_cluster(Path(folder), memory_mb=4000, control_groups=True) as one,
    ):
        reports = reports_short_of_memory({**one.environment, "MPLBACKEND": "Agg"}, tmp_path)
    assert ("OUT_OF_MEMORY", "120") in reports, reports
    assert ("COMPLETED", "960") in reports


def test_a_particle_is_shared_out_to_jobs(cluster: Mapping[str, str], tmp_path: Path) -> None:
    """Parts, their join, replicates: jobs of the cluster make, to the last bit, what one machine makes."""
    size = ["--size", "36", "--pixel-nm", "20", "--tilts", "21", "--photons", "100000", "--seed", "4"]
    made = call(cluster, "oxytomo", "simulate", "sim", "--elements", "O", "Ni", *size, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    config = tmp_path / "sim" / "config.yaml"
    data = yaml.safe_load(config.read_text(encoding="utf-8"))
    data["samples"]["particle"]["composition"] |= {
        "align": {"iterations": 2},
        "reconstruct": {"iterations": 20, "element_iterations": 10, "parts": 2},
        "uncertainty": {"replicates": 2, "null_replicates": 1},
    }
    digests = []
    for where, more in (("local", ["--cores", "2"]), ("cluster", ["--profile", profile(tmp_path)])):
        config.write_text(yaml.safe_dump(data | {"results": str(tmp_path / where)}), encoding="utf-8")
        done = call(cluster, "oxytomo", "run", config, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        stages = tmp_path / where / "particle" / "stages" / "composition"
        digests.append([read_store(stages / f"{n}.zarr").digest for n in ("reconstruct", "uncertainty")])
    assert digests[0] == digests[1]
    names = " ".join(what for state, _, what in jobs(cluster) if state == "COMPLETED")
    for rule in ("reconstruct_prepare", "reconstruct_part", "rule_reconstruct_wildcards", "replicate"):
        assert rule in names, names
    for node in NODES:
        assert any(
            "reconstruct_part" in what and what.endswith(f" on {node}") for _, _, what in jobs(cluster)
        )


def test_a_node_that_dies_leaves_its_job_to_another(two_nodes: Cluster, tmp_path: Path) -> None:
    samples = ("a", "b", "c", "d")
    config = configure(tmp_path, samples)
    command = [sys.executable, "-P", "-m", "oxytomo", "run", config, "--profile", profile(tmp_path, cores=1)]
    with subprocess.Popen(
        ["timeout", "-s", "KILL", str(LIMIT_S), *map(str, command)],
        cwd=tmp_path,
        env={**two_nodes.environment, "MPLBACKEND": "Agg"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        # As soon as it is there: a job that is nearly done would be done all the same.
        wait(lambda: two_nodes.job_on("second") is not None, "a job on the second node", at_most_s=120)
        job = two_nodes.job_on("second")
        assert job is not None
        two_nodes.kill("second", job)
        said, _ = run.communicate()
    assert run.returncode == 0, said
    wait(lambda: two_nodes.state_of("second").startswith("down"), "the second node down", at_most_s=60)
    for sample in samples:
        assert (tmp_path / "results" / sample / "report.html").is_file(), said
    log = Path(two_nodes.environment["SLURM_CONF"]).with_name("slurmctld.log").read_text(encoding="utf-8")
    assert f"JobId={job}" in "".join(
        line for line in log.splitlines() if "NODE_FAIL" in line or "requeue" in line.lower()
    )
    checked = call(two_nodes.environment, "oxytomo", "verify", tmp_path / "results", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
