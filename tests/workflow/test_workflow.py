"""The rules: they parse, lint, plan every example, and repeat exactly what a change needs."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from oxytomo.config import load_config
from oxytomo.config.plan import project_products, raw_files, results_folder
from oxytomo.io.atomic import record_file
from oxytomo.run.forecast import forecast
from oxytomo.run.results_folder import sample_stores
from oxytomo.stages.registry import STAGES

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.name for path in (REPOSITORY / "configs").glob("*.yaml"))


def snakemake(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on the checkout's Snakefile."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def with_empty_raw_files(example: str, folder: Path) -> Path:
    """Copy an example and make empty files where it expects raw data and reference spectra."""
    path = folder / "configs" / example
    path.parent.mkdir()
    shutil.copy(REPOSITORY / "configs" / example, path)
    for sample in raw_files(load_config(path)).values():
        for raw in (Path(file) for files in sample.values() for file in files):
            raw.parent.mkdir(parents=True, exist_ok=True)
            raw.touch()
    return path


def planned(output: str) -> dict[str, int]:
    """Return the number of jobs per rule from the table of a dry run."""
    table = output.split("Job stats:")[-1].split("total")[0]
    rows = [line.split() for line in table.splitlines()[3:]]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def of_stages(jobs: dict[str, int]) -> dict[str, int]:
    """Return the jobs without the rule that only collects products."""
    return {rule: count for rule, count in jobs.items() if rule not in ("all", "everything")}


def foreseen(path: Path) -> dict[str, int]:
    """Return the jobs per rule that a dry run names without asking Snakemake."""
    project = load_config(path)
    known = forecast(project, results_folder(project))
    assert (known.targets, known.new) == ((), set(project.samples))
    return dict(Counter(job["rule"] for job in known.jobs))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A configuration with four branches in one sample, and its empty raw files."""
    path = tmp_path / "x.yaml"
    pair = {"pre": "raw/a.h5", "post": "raw/b.h5"}
    formula = {"Ni": 1, "O": 1}
    branches = {
        "composition": {"edges": {"O": pair, "Ni": pair}, "formula": formula},
        "areal_density": {"edges": {"Ni": pair}, "formula": formula},
        "tomogram": {"source": "raw/a.h5"},
        "oxidation": {
            "stacks": {"Mn": "raw/a.h5", "Ni": "raw/b.h5"},
            "references": {key: {"2": "raw/two.csv", "4": "raw/four.csv"} for key in ("Mn", "Ni")},
        },
    }
    path.write_text(yaml.safe_dump({"results": "out dir", "samples": {"s-1": branches}}), encoding="utf-8")
    (tmp_path / "raw").mkdir()
    for name in ("a.h5", "b.h5", "two.csv", "four.csv"):
        (tmp_path / "raw" / name).touch()
    return path


def test_groups_of_samples_give_a_comparison(example: Path) -> None:
    content = yaml.safe_load(example.read_text(encoding="utf-8"))
    content["samples"]["s-2"] = content["samples"]["s-1"]
    content["groups"] = {"first kind": ["s-1"], "second kind": ["s-2"]}
    example.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = snakemake("--dry-run", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    assert planned(done.stdout + done.stderr)["comparison"] == 1
    assert foreseen(example) == of_stages(planned(done.stdout + done.stderr))
    assert "out dir/comparison_differences.csv" in done.stdout + done.stderr


def test_lost_products_are_planned_again(example: Path) -> None:
    """Also where the report, which is made last, is newer than everything; no more than what depends on them."""
    content = yaml.safe_load(example.read_text(encoding="utf-8"))
    content["samples"]["s-2"] = content["samples"]["s-1"]
    content["groups"] = {"first": ["s-1"], "second": ["s-2"]}
    example.write_text(yaml.safe_dump(content), encoding="utf-8")
    project, results = load_config(example), example.parent / "out dir"
    made = [results / path for path in (*sample_stores(project), *project_products(project))]
    made += [
        results / f"s-{i}/stages/{branch}/alignment.csv"
        for i in (1, 2)
        for branch in ("areal_density", "tomogram")
    ]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if path.suffix == ".zarr" else path.touch()
    now = time.time()
    for path in made:
        os.utime(path, (now, now))
    call = ("--dry-run", "--rerun-triggers", "mtime", "--configfile", str(example))
    done = snakemake(*call, cwd=example.parent)
    assert "Nothing to be done" in done.stdout + done.stderr, done.stdout + done.stderr
    lost = ("domains.csv", "areal_density.ome.zarr", "tomogram.ome.zarr", "oxidation_profiles.csv")
    for name in lost:
        path = results / "s-1" / name
        path.rmdir() if path.is_dir() else path.unlink()
    (results / "comparison_shells.csv").unlink()
    store = results / "s-2/stages/composition/classify.zarr"
    store.rmdir()
    record_file(store).touch()  # what was damaged and deleted, unlike what went with its record
    done = snakemake(*call, cwd=example.parent)
    jobs = planned(done.stdout + done.stderr)
    alone = ("export_areal_density", "export_tomogram", "measure_oxidation", "export_oxidation", "classify")
    assert (
        jobs.items()
        >= (
            dict.fromkeys((*alone, "comparison", "export_composition"), 1) | {"report": 2, "measure": 2}
        ).items()
    )
    assert not {"normalize", "align", "reconstruct", "uncertainty", "fit_valence"} & set(jobs)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_planned(name: str, tmp_path: Path) -> None:
    path = with_empty_raw_files(name, tmp_path)
    done = snakemake("--dry-run", "--configfile", str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    jobs = planned(done.stdout + done.stderr)
    project = load_config(path)
    assert jobs["report"] == len(project.samples)
    series = sum(
        not name.endswith((" references", "/labels"))  # labels are read by the stage that uses them
        for sample in raw_files(project).values()
        for name in sample
    )
    read = ("normalize", "normalize_stack", "normalize_map", "read_volume")
    assert sum(jobs.get(rule, 0) for rule in read) == series
    assert foreseen(path) == of_stages(jobs)
    assert not (tmp_path / "results").exists()


def test_rules_lint(example: Path) -> None:
    done = snakemake("--lint", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout


def test_all_branches_of_a_sample_are_planned(example: Path) -> None:
    done = snakemake("--dry-run", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    expected = {"normalize": 7, "report": 1, "everything": 1}
    once = {"align", "align_areal_density", "align_tomogram", "decompose", "decompose_areal_density"}
    once |= {"reconstruct", "reconstruct_tomogram", "uncertainty", "classify", "measure"}
    once |= {"export_composition", "export_areal_density", "export_tomogram"}
    once |= {"measure_oxidation", "export_oxidation"}
    expected |= dict.fromkeys(("normalize_stack", "register_stack", "fit_valence"), 2)
    assert planned(done.stdout + done.stderr) == expected | dict.fromkeys(once, 1)
    assert foreseen(example) == of_stages(expected | dict.fromkeys(once, 1))


def test_a_pristine_sample_is_reconstructed_first(example: Path) -> None:
    config = yaml.safe_load(example.read_text(encoding="utf-8"))
    pristine = {"composition": config["samples"]["s-1"]["composition"]}
    sample = {"composition": pristine["composition"] | {"reference": {"pristine": "p"}}}
    config["samples"] = {"s": sample, "p": pristine}
    example.write_text(yaml.safe_dump(config), encoding="utf-8")
    target = "out dir/s/stages/composition/reconstruct.zarr"
    done = snakemake("--dry-run", target, "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    assert planned(done.stdout + done.stderr)["reconstruct"] == 2


@pytest.mark.parametrize("reference", ["nominal", "mode"])
def test_a_particle_is_shared_out_to_jobs(reference: str, example: Path) -> None:
    config = yaml.safe_load(example.read_text(encoding="utf-8"))
    own = {"reference": reference, "reconstruct": {"parts": 3}, "uncertainty": {"replicates": 2}}
    config["samples"] = {"s": {"composition": config["samples"]["s-1"]["composition"] | own}}
    example.write_text(yaml.safe_dump(config), encoding="utf-8")
    done = snakemake("--dry-run", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    jobs = planned(done.stdout + done.stderr)
    mode = reference == "mode"
    assert (jobs["reconstruct_prepare"], jobs["reconstruct_part"], jobs["reconstruct"]) == (1, 3, 1)
    assert (jobs.get("reconstruct_join", 0), jobs.get("reconstruct_refine", 0)) == (
        (1, 3) if mode else (0, 0)
    )
    assert (jobs["replicate"], jobs["uncertainty"]) == (3, 1)
    linted = snakemake("--lint", "--configfile", str(example), cwd=example.parent)
    assert linted.returncode == 0, linted.stderr + linted.stdout


def test_branches_of_one_particle_are_registered_where_it_is_asked_for(example: Path) -> None:
    config = yaml.safe_load(example.read_text(encoding="utf-8"))
    branches = {"composition": config["samples"]["s-1"]["composition"]}
    branches["structure"] = {"volume": "raw/v.tif", "voxel_nm": 20}
    config["samples"] = {"s-1": branches | {"register_branches": True}, "s-2": branches}
    example.write_text(yaml.safe_dump(config), encoding="utf-8")
    (example.parent / "raw" / "v.tif").touch()
    done = snakemake("--dry-run", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    jobs = planned(done.stdout + done.stderr)
    assert jobs["register_branches"] == 1
    assert jobs["segment_voids"] == 2


def test_every_stage_of_the_registry_has_a_rule(example: Path) -> None:
    """One for each branch; the series of all branches share one."""
    done = snakemake("--list-rules", "--quiet", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    expected = set(STAGES) | {
        f"{stage.name}_{branch}"
        for stage in STAGES.values()
        for branch in stage.branches[1:]
        if not stage.jobs
    }
    assert set(done.stdout.split()) == expected | {"all", "everything"}


def test_the_report_of_snakemake_shows_the_tables(example: Path) -> None:
    """`snakemake --report` shows pages and tables with their content, by branch."""
    project, results = load_config(example), example.parent / "out dir"
    made = [results / path for path in (*sample_stores(project), *project_products(project))]
    made += [results / f"s-1/stages/{branch}/alignment.csv" for branch in ("areal_density", "tomogram")]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if path.suffix == ".zarr" else path.write_text("a,b\n1,2\n", encoding="utf-8")
    done = snakemake("--report", "page.html", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    tables = {path.name for path in made if path.suffix in (".csv", ".json", ".html")}
    assert tables == set(re.findall(r"Adding (\S+) \(", done.stdout + done.stderr))
    page = (example.parent / "page.html").read_text(encoding="utf-8")
    assert all(name in page for name in tables)


def test_each_rule_calls_its_own_stage(example: Path) -> None:
    """Rules are made in a loop, and their commands are read when jobs start: a real run of two that fail on empty files."""
    stores = ("tomogram/normalize/signal", "oxidation/normalize/Mn")
    targets = [f"out dir/s-1/stages/{store}.zarr" for store in stores]
    done = snakemake(
        *targets, "--cores", "2", "--keep-going", "--configfile", str(example), cwd=example.parent
    )
    assert done.returncode == 1
    said = {
        path.stem: path.read_text(encoding="utf-8")
        for path in (example.parent / "out dir" / "logs").rglob("*.log")
    }
    assert set(said) == {"normalize_signal", "normalize_Mn"}
    assert f"s-1 normalize signal: stage version {STAGES['normalize'].version}, " in said["normalize_signal"]
    assert f"s-1 normalize Mn: stage version {STAGES['normalize_stack'].version}, " in said["normalize_Mn"]
    assert all("oxytomo: error: " in text and "raw/a.h5" in text for text in said.values())


def test_another_workflow_uses_the_rules(example: Path) -> None:
    """As a module, whole and one rule with other threads, under names of its own."""
    house = REPOSITORY / "pipeline" / "oxytomo" / "workflow" / "Snakefile"
    other = example.parent / "Snakefile"
    other.write_text(
        f"module house:\n    snakefile: {str(house)!r}\n    config: config\n\n"
        "use rule * from house as house_*\n\n"
        "use rule align from house as house_align with:\n    threads: 1\n\n"
        "rule mine:\n    input: rules.house_all.input\n    default_target: True\n",
        encoding="utf-8",
    )
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(other),
        "--dry-run",
        "--configfile",
        str(example),
    ]
    done = subprocess.run(
        command, cwd=example.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    jobs = planned(done.stdout + done.stderr)
    assert (jobs["mine"], jobs["house_align"], jobs["house_report"], jobs["house_fit_valence"]) == (
        1,
        1,
        1,
        2,
    )


def test_parsing_is_light(example: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import oxytomo.run.results_folder\n"
        "import oxytomo.run.lock, oxytomo.stages.registry; from oxytomo.config import load_config\n"
        "from oxytomo.config.plan import raw_files; raw_files(load_config(Path(sys.argv[1])))\n"
        "print(sorted({'numba', 'zarr', 'napari', 'scipy', 'h5py', 'xraydb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(example)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_wrong_configuration_is_one_line_without_traceback(example: Path) -> None:
    text = example.read_text(encoding="utf-8").replace("formula", "formual", 1)
    example.write_text(text, encoding="utf-8")
    done = snakemake("--dry-run", "--configfile", str(example), cwd=example.parent)
    assert done.returncode == 1
    assert "did you mean 'formula'?" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_without_configuration_the_demo_is_planned(tmp_path: Path) -> None:
    done = snakemake("--dry-run", cwd=tmp_path)
    text = done.stderr + done.stdout
    # The raw files of the demonstration are simulated later; either all is planned or just they are missing.
    assert "demo/raw" in text or planned(text).get("normalize") == 8
