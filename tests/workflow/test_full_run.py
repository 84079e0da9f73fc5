"""The whole way from simulated raw frames to tables, images and a report, against the truth."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
import yaml
from notebook import run_notebook

from oxytomo.arrays import TiltSeries
from oxytomo.config import load_config
from oxytomo.config.project import Branch
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.io.stores import read_store
from oxytomo.run.requests import Requests

pytestmark = pytest.mark.slow

JOBS_ALONE = ("--profile", "local", "--cores", "2")
"""Every stage in a process of its own, as on a cluster, which is what its estimates are for."""

QUICK = {
    "align": {"iterations": 4},
    "reconstruct": {"iterations": 60, "element_iterations": 30},
    "uncertainty": {"replicates": 2, "null_replicates": 1},
}


def oxytomo(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-P", "-m", "oxytomo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=900)


def configure(path: Path, **changes: Any) -> None:
    """Change settings of the composition branch in a configuration."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["samples"]["particle"]["composition"].update(changes)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def results_in(path: Path, results: str) -> None:
    """Change the results folder in a configuration."""
    data = yaml.safe_load(path.read_text(encoding="utf-8")) | {"results": results}
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def times(folder: Path) -> dict[str, int]:
    """Return when each stage store was made."""
    return {
        str(store.relative_to(folder)): (store / "zarr.json").stat().st_mtime_ns for store in stores(folder)
    }


def stores(folder: Path) -> list[Path]:
    """Return the stage stores of a sample."""
    return sorted((folder / "stages").glob("*/**/*.zarr"))


def dice(found: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """Return twice the common volume over the sum of both volumes."""
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory outside the checkout with a finished run of a small particle."""
    folder = tmp_path_factory.mktemp("a run")
    size = ["--size", "48", "--pixel-nm", "20", "--tilts", "44", "--photons", "100000", "--seed", "3"]
    made = oxytomo("simulate", "sim", "--elements", "O", "Mn", "Ni", *size, cwd=folder)
    assert made.returncode == 0, made.stderr
    configure(folder / "sim" / "config.yaml", **QUICK)
    results_in(folder / "sim" / "config.yaml", "../results")
    done = oxytomo("run", "sim/config.yaml", *JOBS_ALONE, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report.html" in done.stdout
    return folder


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one tilt series of more pixels, of three balls."""
    folder = tmp_path_factory.mktemp("larger")
    tilt_deg = np.linspace(-65.0, 65.0, 40)
    theta = np.deg2rad(tilt_deg)[:, None, None]
    y, x = np.ogrid[-80:80, -80:80]
    balls = ((50, 0, 0, 0), (12, -30, 45, 20), (9, 40, -20, 45))  # radius and centre (y, x, z), px
    across = [x - (b * np.cos(theta) + c * np.sin(theta)) for _, _, b, c in balls]
    chords = [
        np.clip(r**2 - (y - a) ** 2 - d**2, 0, None) for (r, a, _, _), d in zip(balls, across, strict=True)
    ]
    density = 0.02 * np.sum(np.sqrt(chords), axis=0)
    series = TiltSeries(
        frames=np.random.default_rng(5).poisson(5000 * np.exp(-density)).astype(np.uint16),
        tilt_deg=tilt_deg,
        energy_ev=np.full(40, 642.0),
        pixel_nm=np.full(40, 10.0),
        quantity="counts",
        flat=np.full((2, 160, 160), 5000.0, np.float32),
    )
    (folder / "sim").mkdir()
    write_data_exchange(folder / "sim" / "series.h5", series)
    text = yaml.safe_dump(
        {"results": "../results", "samples": {"particle": {"tomogram": {"source": "series.h5"}}}}
    )
    (folder / "sim" / "config.yaml").write_text(text, encoding="utf-8")
    done = oxytomo("run", "sim/config.yaml", *JOBS_ALONE, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change; the raw files stay where they are."""
    shutil.copytree(finished / "results", tmp_path / "results", symlinks=True)
    data = yaml.safe_load((finished / "sim" / "config.yaml").read_text(encoding="utf-8"))
    for pair in data["samples"]["particle"]["composition"]["edges"].values():
        for side in pair:
            pair[side] = str(finished / "sim" / pair[side])
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    results_in(tmp_path / "x.yaml", "results")
    return tmp_path


def test_every_product_is_there(finished: Path) -> None:
    shown = (finished / "results" / "particle").glob("[!.]*")
    names = {path.name for path in shown}
    assert names == {
        "stages",
        "composition.ome.zarr",
        "phases.json",
        "domains.csv",
        "composition_shells.csv",
        "alignment.csv",
        "report.html",
    }


def test_fractions_add_up_and_stand_beside_the_null_run(finished: Path) -> None:
    phases = json.loads((finished / "results" / "particle" / "phases.json").read_text(encoding="utf-8"))
    assert phases["solver"]["iterations"] <= 60
    assert phases["solver"]["residual"] < 0.1
    fractions = {name: entry["value"] for name, entry in phases["fractions"].items()}
    assert set(fractions) == {"target", "oxygen_poor", "oxygen_rich"}
    assert sum(fractions.values()) == pytest.approx(1.0, abs=1e-6)
    assert fractions["target"] > 0.5
    null = {name: entry["value"] for name, entry in phases["null"]["fractions"].items()}
    assert sum(null.values()) == pytest.approx(1.0, abs=1e-6)
    assert null["target"] > fractions["target"]
    assert phases["threshold"] == 0.05
    assert phases["voxel_nm"] == pytest.approx(20.0, rel=0.01)


def test_domains_are_where_the_truth_has_them(finished: Path) -> None:
    found = read_store(finished / "results/particle/stages/composition/classify.zarr")["phases"]
    with np.load(finished / "sim" / "truth.npz") as truth:
        deviation, solid = truth["deviation"], truth["fraction_solid"] > 0.5
    assert dice(found > 0, solid) > 0.9
    # At 20 nm voxels the domains are about 5 voxels wide and a third of their voxels touch the target phase.
    assert dice(found == 2, (deviation > 0.05) & solid) > 0.5
    assert dice(found == 3, (deviation < -0.05) & solid) > 0.5


def test_the_shifts_of_the_simulation_are_found(finished: Path) -> None:
    import csv

    with (finished / "results/particle/alignment.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    with np.load(finished / "sim" / "truth.npz") as truth:
        energies, tilts, shifts = truth["energies_ev"], truth["tilt_deg"], truth["shift_px"]
    assert len(rows) == energies.size * tilts.size
    found = np.full((*shifts.shape,), np.nan)
    for row in rows:
        e = int(np.abs(energies - float(row["energy_ev"])).argmin())
        t = int(np.abs(tilts - float(row["tilt_deg"])).argmin())
        found[e, t] = float(row["dy_px"]), float(row["dx_px"])
    # A common shift, and one that follows a sinusoid in x, only move the particle in its volume.
    error = found - shifts
    design = np.stack([np.ones_like(tilts), np.cos(np.deg2rad(tilts)), np.sin(np.deg2rad(tilts))], axis=1)
    mean_error = error.mean(axis=0)
    rest_x = mean_error[:, 1] - design @ np.linalg.lstsq(design, mean_error[:, 1], rcond=None)[0]
    rest_y = mean_error[:, 0] - mean_error[:, 0].mean()
    assert np.sqrt(np.mean(rest_x**2)) < 0.3
    assert np.sqrt(np.mean(rest_y**2)) < 0.3


def test_every_store_says_where_it_comes_from(finished: Path) -> None:
    folder = finished / "results" / "particle"
    assert len(stores(folder)) == 11
    for path in stores(folder):
        provenance = read_store(path).provenance
        assert provenance.stage
        assert provenance.settings
        assert provenance.inputs, path.name


def test_logs_are_beside_the_results(finished: Path) -> None:
    logs = sorted(path.name for path in (finished / "results/logs/particle").rglob("*.log"))
    assert "report.log" in logs
    assert "normalize_Mn_pre.log" in logs
    assert not (finished / ".snakemake").exists()


def test_a_second_run_does_nothing(copied: Path) -> None:
    folder = copied / "results" / "particle"
    configure(copied / "x.yaml")
    before = times(folder)
    done = oxytomo("run", "x.yaml", "--cores", "2", cwd=copied)
    assert done.returncode == 0, done.stderr
    assert times(folder) == before


def test_lost_products_are_made_again(copied: Path) -> None:
    """Products, an image, and a record alone; the stores that they are made from are not touched."""
    sample = copied / "results" / "particle"
    before = times(sample)
    lost = [sample / name for name in ("phases.json", "composition.ome.zarr", ".report.html.record.json")]
    for path in lost:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = oxytomo("run", "x.yaml", cwd=copied)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(path.exists() for path in lost)
    assert times(sample) == before


def test_a_changed_threshold_repeats_only_what_depends_on_it(copied: Path) -> None:
    folder = copied / "results" / "particle"
    before = times(folder)
    configure(copied / "x.yaml", threshold=0.1)
    done = oxytomo("run", "x.yaml", "--cores", "2", cwd=copied)
    assert done.returncode == 0, done.stderr
    after = times(folder)
    assert {name for name in after if after[name] != before[name]} == {"stages/composition/classify.zarr"}
    assert json.loads((folder / "phases.json").read_text(encoding="utf-8"))["threshold"] == 0.1


MANY = {"replicates": 200, "null_replicates": 1}
"""So many that the stage cannot end before a signal reaches it."""


def started(copied: Path, stage: str) -> subprocess.Popen[bytes]:
    """Start a run that repeats a stage, and return when that has begun."""
    log = copied / f"results/logs/particle/composition/{stage}.log"
    log.unlink()
    command = [sys.executable, "-P", "-m", "oxytomo", "run", "x.yaml", "--cores", "2"]
    run = subprocess.Popen(command, cwd=copied, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert log.exists()
    time.sleep(
        1.0
    )  # the workflow waits for the job now: a signal while it starts one is answered after the job
    return run


def test_a_second_run_is_refused_and_a_stopped_run_continues(copied: Path) -> None:
    folder = copied / "results" / "particle"
    before = times(folder)
    configure(copied / "x.yaml", uncertainty=MANY)
    run = started(copied, "uncertainty")
    second = oxytomo("run", "x.yaml", cwd=copied)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=60) == 130
    assert second.returncode == 2
    assert second.stderr.startswith("oxytomo: error: ")
    assert "a run at work" in second.stderr
    assert "uncertainty.zarr" not in {path.name for path in stores(folder)}
    configure(copied / "x.yaml", uncertainty={"replicates": 3, "null_replicates": 1})
    done = oxytomo("run", "x.yaml", "--cores", "2", cwd=copied)
    assert done.returncode == 0, done.stderr
    after = times(folder)
    kept = {name for name in before if after[name] == before[name]}
    assert kept == {
        name for name in before if any(s in name for s in ("normalize", "align", "decompose", "reconstruct"))
    }


def test_a_killed_run_leaves_no_lock_behind(copied: Path) -> None:
    configure(copied / "x.yaml", reconstruct={"iterations": 70, "element_iterations": 30})
    run = started(copied, "reconstruct")
    children = [child.pid for child in psutil.Process(run.pid).children()]
    run.kill()
    for group in children:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    run.wait(timeout=60)
    done = oxytomo("run", "x.yaml", "--cores", "2", cwd=copied)
    assert done.returncode == 0, done.stderr
    record = read_store(copied / "results/particle/stages/composition/reconstruct.zarr").provenance
    assert record.settings["solver"]["iterations"] == 70


def test_copied_results_are_repeated_where_settings_changed(copied: Path) -> None:
    folder = copied / "results" / "particle"
    shutil.rmtree(copied / "results" / ".snakemake")
    before = times(folder)
    configure(copied / "x.yaml", classify={"confidence": 0.8})
    done = oxytomo("run", "x.yaml", "--cores", "2", cwd=copied)
    assert done.returncode == 0, done.stderr
    after = times(folder)
    assert {name for name in after if after[name] != before[name]} == {"stages/composition/classify.zarr"}


def test_a_damaged_raw_file_is_one_line_and_exit_2(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "sim", tmp_path / "sim")
    raw = tmp_path / "sim" / "raw" / "Mn_L_pre.h5"
    raw.write_bytes(raw.read_bytes()[:5000])
    done = oxytomo("run", "sim/config.yaml", "--cores", "2", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("oxytomo: error: ")
    assert "Mn_L_pre.h5" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "results").exists()


def test_swapped_files_are_found_before_anything_runs(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "sim", tmp_path / "sim")
    path = tmp_path / "sim" / "config.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    pair = data["samples"]["particle"]["composition"]["edges"]["Mn"]
    pair["pre"], pair["post"] = pair["post"], pair["pre"]
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    for command in ("check", "run"):
        done = oxytomo(command, "sim/config.yaml", cwd=tmp_path)
        assert done.returncode == 2
        assert "samples.particle.composition.edges.Mn" in done.stderr
        assert "swap" in done.stderr
    assert not (tmp_path / "results").exists()


def test_the_notebooks_run_on_a_result(finished: Path) -> None:
    sample = next(finished.glob("**/composition.ome.zarr")).parent
    run_notebook(
        "is_it_real",
        result=sample,
        check="parts = [results.numbers[f'composition/{n}'].value for n in ('target', *falsely)]\n"
        "assert abs(sum(parts) - 100) < 1e-4, parts",
    )
    page = (sample / "report.html").read_text(encoding="utf-8")
    count = 0 if "<h2>No warnings</h2>" in page else int(page.split("Read this first: ")[1].split()[0])
    # Remarks change no conclusion: the page shows them further down.
    counted = "sum(one.severity != 'remark' for one in results.warnings)"
    run_notebook("first_look", result=sample, check=f"assert {counted} == {count}")


def test_aligning_alone_stops_there_and_its_table_can_be_given_back(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").symlink_to(finished / "sim" / "raw")
    shutil.copy(finished / "sim" / "config.yaml", tmp_path / "config.yaml")
    results_in(tmp_path / "config.yaml", "results")
    done = oxytomo("align", "config.yaml", "--cores", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no frame looks bad" in done.stderr
    (page,) = tmp_path.glob("*/particle/alignment.html")
    assert "Before and after" in page.read_text(encoding="utf-8")
    assert not list(tmp_path.glob("*/particle/stages/*/reconstruct.zarr"))
    shutil.copy(page.with_name("alignment.csv"), tmp_path / "mine.csv")
    configure(tmp_path / "config.yaml", align={"shifts": "mine.csv", "exclude_frames": [5]})
    again = oxytomo("align", "config.yaml", "--cores", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "excluded by the user: frame 5" in again.stderr
    assert "normalize" not in again.stderr


@pytest.mark.parametrize("size", ["finished", "larger"])
def test_estimates_of_memory_hold(size: str, request: pytest.FixtureRequest) -> None:
    """What ``oxytomo check`` prints and jobs ask for, against the peak that every stage wrote into its log."""
    folder: Path = request.getfixturevalue(size)
    requests = Requests(load_config(folder / "sim" / "config.yaml"))
    ratios = {}
    for log in (folder / "results" / "logs" / "particle").glob("*/*.log"):
        branch, stage = log.parent.name, re.sub("normalize_.*", "normalize", log.stem)
        found = re.search(r"peak memory (\d+) MB", log.read_text(encoding="utf-8"))
        assert found is not None, log
        estimate = requests.needs("particle", cast(Branch, branch), stage).memory_bytes / 1e6
        ratios[log.stem] = int(found[1]) / estimate
    assert len(ratios) >= 4
    # The request holds the compilation of the solver, which a process with a filled cache does not need.
    assert {stage: ratio for stage, ratio in ratios.items() if not 0.6 <= ratio <= 1.5} == {}


def test_a_particle_in_parts_is_the_whole_within_the_tolerance_of_the_solver(copied: Path) -> None:
    """Every job of its own, by the workflow; and their memory against what they asked for."""
    results = copied / "results" / "particle"
    before = read_store(results / "stages" / "composition" / "reconstruct.zarr")["deviation"]
    shutil.rmtree(copied / "results" / "logs")
    fewer = {"replicates": 1, "null_replicates": 1}
    configure(copied / "x.yaml", reconstruct=QUICK["reconstruct"] | {"parts": 2}, uncertainty=fewer)
    done = oxytomo("run", "x.yaml", *JOBS_ALONE, cwd=copied)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = results / "stages" / "composition"
    assert len(list((folder / "reconstruct_part").glob("*.zarr"))) == 2
    assert len(list((folder / "replicate").glob("*.zarr"))) == 2
    apart = read_store(folder / "reconstruct.zarr")["deviation"] - before
    # 0.1 percentage points is what a converged solve may depart; these stop after 60 iterations.
    assert np.sqrt(np.nanmean(apart**2)) < 0.001
    assert np.any(apart[np.isfinite(apart)] != 0)
    verified = oxytomo("verify", "results", cwd=copied)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    requests, ratios = Requests(load_config(copied / "x.yaml")), {}
    for log in (copied / "results" / "logs" / "particle").glob("composition/*.log"):
        found = re.search(r"peak memory (\d+) MB", log.read_text(encoding="utf-8"))
        assert found is not None, log
        stage = re.sub("(reconstruct_part|replicate)_.*", r"\1", log.stem)
        ratios[log.stem] = int(found[1]) / requests.needs("particle", "composition", stage).memory_bytes * 1e6
    assert {"reconstruct_prepare", "reconstruct_part_1", "reconstruct", "replicate_null_1"} <= set(ratios)
    # As above: compilation that was not needed.
    assert {stage: ratio for stage, ratio in ratios.items() if not 0.6 <= ratio <= 1.5} == {}


def test_one_thread_and_two_give_the_same_results(copied: Path) -> None:
    """Bit by bit: what threads share is cut into blocks that do not depend on their number, and sums have one order."""
    before = {str(store): read_store(store).digest for store in stores(copied / "results" / "particle")}
    for product in (copied / "results" / "particle").iterdir():
        shutil.rmtree(product) if product.is_dir() else product.unlink()
    done = oxytomo("run", "x.yaml", "--cores", "1", cwd=copied)
    assert done.returncode == 0, done.stdout + done.stderr
    after = {str(store): read_store(store).digest for store in stores(copied / "results" / "particle")}
    assert after == before
