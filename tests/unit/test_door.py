"""The door of a run: names, options, messages, closed outputs, limits, numbers that cannot be, products that are lost."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import expand, load_config, parse_config, read_yaml
from oxytomo.config.plan import project_products
from oxytomo.config.schema import schema
from oxytomo.errors import ConfigError, InputError, StoreError, printable, shows
from oxytomo.io.atomic import record_file, unwritable
from oxytomo.run.boundary import PrintableStream, user_error
from oxytomo.run.caches import private_folder
from oxytomo.run.results_folder import lost_stores, to_make_again
from oxytomo.run.workflow import CONFIGURATION, snakemake_arguments, write_configuration

HOSTILE = "a\x1b]0;x\x07\n\u202eb\u2028c\x9bd"
REPOSITORY = Path(__file__).resolve().parents[2]
PAIR = {"pre": "a.h5", "post": "b.h5"}
COMPOSITION = {"edges": {"O": PAIR, "Ni": PAIR}, "formula": {"Ni": 1, "O": 1}}


def parsed(samples: dict[str, Any], **more: Any) -> Any:
    return parse_config({"samples": samples, **more}, folder=Path("/data"))


def oxytomo(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-P", "-m", "oxytomo", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, text=True, check=False, timeout=300, **options)


def only_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("oxytomo: error: ")
    return lines[0]


# --- names that are options


@pytest.mark.parametrize("name", ["-sX", "--snakefile", "-", "_a", "a\n", "a\u202e", "é", "a" * 101])
def test_names_that_are_options_or_steer_a_terminal_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a sample name of"):
        parsed({name: {"composition": COMPOSITION}})


@pytest.mark.parametrize("name", ["=1+1", "-n", "+a", "@a", "a\x1b[31m", "a\u202eb", "a" * 101, ""])
def test_groups_have_names_that_pages_and_tables_can_show(name: str) -> None:
    samples = {key: {"composition": COMPOSITION} for key in ("a", "b")}
    with pytest.raises(ConfigError, match="a name that begins with a letter or digit"):
        parsed(samples, groups={name: ["a", "b"]})
    assert set(parsed(samples, groups={"50 % charged, 1": ["a", "b"]}).groups) == {"50 % charged, 1"}


def test_no_name_reaches_snakemake_as_an_option_or_a_rule(tmp_path: Path) -> None:
    """Also of a sample that has come past the door."""
    from snakemake.cli import get_argument_parser

    (tmp_path / "X").mkdir()
    targets, forced = ["-sX/report.html", "all"], ["--snakefile", "-n"]
    arguments = snakemake_arguments(tmp_path / "c.json", tmp_path, targets=targets, forced=forced, cores=1)
    found = get_argument_parser().parse_args(arguments)
    assert Path(found.snakefile).parent.name == "workflow"
    assert set(found.targets) == {"./-sX/report.html", "./all"}
    assert set(found.forcerun) == {"./--snakefile", "./-n"}
    assert not found.dryrun


@pytest.mark.slow
def test_a_profile_beside_the_configuration_is_not_used(tmp_path: Path) -> None:
    """Snakemake would take options from profiles/default, a workflow among them."""
    (tmp_path / "profiles" / "default").mkdir(parents=True)
    (tmp_path / "evil.smk").write_text("from pathlib import Path\nPath('ran').touch()\n", encoding="utf-8")
    evil = f"snakefile: {tmp_path / 'evil.smk'}\n"
    (tmp_path / "profiles" / "default" / "config.yaml").write_text(evil, encoding="utf-8")
    write_series(tmp_path / "a.h5")
    (tmp_path / "x.yaml").write_text(tomogram("a.h5"), encoding="utf-8")
    done = oxytomo("run", "x.yaml", "--dry-run", "--cores", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("ran"))


def test_snakemake_reads_what_was_checked(tmp_path: Path) -> None:
    """The file that Snakemake reads gives the same project, and holds no template that Snakemake would run."""
    for example in sorted((REPOSITORY / "configs").glob("*.yaml")):
        project = load_config(example)
        path = write_configuration(project, tmp_path)
        assert path.name == CONFIGURATION
        again = parse_config(read_yaml(path), folder=tmp_path)
        assert again.model_dump(exclude={"results"}) == project.model_dump(exclude={"results"}), example.name
        assert str(again.results) == "."


# --- messages


def test_messages_are_one_line_of_characters_that_show(capsys: pytest.CaptureFixture[str]) -> None:
    error = InputError(HOSTILE, expected=HOSTILE, got="x" * 10_000, fix=HOSTILE)
    assert str(error).isprintable()
    assert len(str(error)) < 3000
    assert r"\x1b]0;x\x07\n\u202eb\u2028c\x9bd" in str(error)
    assert main(["check", f"{HOSTILE}.yaml"]) == 2
    assert only_line(capsys.readouterr().err).isprintable()


def test_all_output_is_printable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of columns in a table from elsewhere are shown by `inspect`."""
    (tmp_path / "a.csv").write_text("a\x1b[31m,\u202eb\n1,2\n", encoding="utf-8")
    assert main(["inspect", str(tmp_path / "a.csv")]) == 0
    out = capsys.readouterr().out
    assert r"a\x1b[31m" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_letters_of_every_language_are_left_alone() -> None:
    for text in ("Teilchen ä", "粒子", "частица", "µm² · Å"):
        assert shows(text)
        assert printable(text) == text
    assert printable("a\u00a0b\u202fc") == "a b c"


def test_a_terminal_is_only_steered_by_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    stream = PrintableStream(sys.stdout)
    stream.write("\x1b[2Jname\r\n\t")
    stream.write_raw("\r\x1b[K5 %")
    assert capsys.readouterr().out == "\\x1b[2Jname\\r\n\t\r\x1b[K5 %"


# --- the operator


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-", "2>/dev/full >/dev/full", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["schema", "--help"])
def test_output_that_is_full_or_closed_is_one_line(command: str, redirect: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    shell = f'"{sys.executable}" -P -m oxytomo {command} {redirect}'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    if "2>" not in redirect:
        assert "standard output: expected to write to it" in only_line(done.stderr)


def test_a_reader_that_leaves_is_no_fault() -> None:
    shell = f'"{sys.executable}" -P -m oxytomo schema | head -1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_deleted_working_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    shell = f'cd gone && rmdir ../gone && "{sys.executable}" -P -m oxytomo check x.yaml'
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the working directory: expected a folder that is there" in only_line(done.stderr)


@pytest.mark.parametrize("moment_s", [0.01, 0.1, 0.3, 0.5, 0.8])
def test_stopped_while_it_imports_is_one_line(moment_s: float, tmp_path: Path) -> None:
    """SIGINT at moments from the first line of the program on; everything but that line is imported after it."""
    code = (
        "import sys, oxytomo.cli as cli; sys.argv = ['oxytomo', 'check', 'x.yaml']\n"
        "print('begun', flush=True); sys.exit(cli.main())"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    time.sleep(moment_s)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert len(error.splitlines()) == 1, error
    # Where it was faster than the signal it has said what is wrong with its configuration; a signal
    # while the interpreter shuts down after that ends it without a word.
    ends = ((130, True), (2, False), (-signal.SIGINT, False))
    assert (child.returncode, "stopped" in error) in ends, error


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        (OSError(24, "Too many open files"), "ulimit -n"),
        (OSError(27, "File too large"), "ulimit -f"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(12, "Cannot allocate memory"), "ulimit -v"),
        (ImportError("a.so: failed to map segment from shared object"), "memory"),
        (OSError(28, "No space left on device"), "free disk space"),
        (PermissionError(13, "Permission denied", "/x"), "/x: expected a file or folder that you may"),
    ],
)
def test_what_the_system_refuses_has_its_own_cause(reason: Exception, part: str) -> None:
    assert part in str(user_error(reason))


def test_faults_of_the_program_keep_their_traceback() -> None:
    for reason in (ValueError("x"), KeyError("x"), FileNotFoundError(2, "No such file"), RuntimeError("x")):
        assert user_error(reason) is None


def test_a_limit_of_memory_that_nothing_starts_with_is_one_line(tmp_path: Path) -> None:
    """The libraries would print lines of their own, and raise what looks like Ctrl-C."""
    shell = f'ulimit -v 500000; exec "{sys.executable}" -P -m oxytomo simulate out --size 16'
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "at least 1000000000 bytes of memory, got 512000000" in only_line(done.stderr)


def test_the_cause_of_a_library_is_the_systems(tmp_path: Path) -> None:
    said = unwritable(tmp_path / "a.h5", OSError(27, "Unable to create file (errno = 27, buf = 0x55)"))
    assert "got File too large. Likely fix: raise the limit of file sizes" in str(said)


def test_caches_lie_where_nobody_else_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = private_folder()
    assert own.stat().st_mode & 0o777 == 0o700
    assert private_folder() == own
    own.chmod(0o777)
    assert private_folder() != own
    own.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    own.symlink_to(tmp_path / "elsewhere")
    assert private_folder() != own


def test_a_compilers_cache_is_not_taken_from_the_working_directory(tmp_path: Path) -> None:
    """Numba reads settings from a file where it is started; what is in a cache is run."""
    (tmp_path / ".numba_config.yaml").write_text(f"cache_dir: {tmp_path / 'evil'}\n", encoding="utf-8")
    code = (
        "from oxytomo.run.caches import prepare_caches; prepare_caches()\n"
        "from numba import config; print(repr(config.CACHE_DIR))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "''"


# --- configurations


@pytest.mark.parametrize(
    "text",
    [
        "samples: " + ":".join(["1"] * 200_000),
        "samples: " + "9" * 5000,
        "samples: 0x" + "f" * 100_000,
        "samples: " + "[" * 50_000,
        "\n".join(" " * i + "a:" for i in range(1000)),
        "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 500))]),
        "samples: {s: {tomogram: {source: ~nouser/a.h5}}}",
        "results: ~nouser\nsamples: {s: {tomogram: {source: a.h5}}}",
        "samples: {s: {tomogram: {source: <results>.h5}}}",
        "samples: {s: {tomogram: {source: %s.h5}}}" % ("n" * 300),
        "samples: {s: {tomogram: {source: %s}}}" % ("n/" * 3000),
        'samples: {s: {tomogram: {source: "a\\x1b.h5"}}}',
        "samples: {s: {tomogram: {source: {images: a.h5, offset: 1e308}}}}",
        "samples: {s: {tomogram: {source: {images: a.h5, angles_range: [0, %s]}}}}" % ("9" * 90),
        "__use_yte__: true\nsamples: {s: {tomogram: {source: a.h5}}}",
    ],
)
def test_hostile_configurations_are_one_line_in_bounded_time(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "x.yaml")
    assert str(caught.value).isprintable()
    # Python takes minutes for the longest of these numbers; all are refused within 0.3 s on an idle core.
    assert time.process_time() - started < 5.0


def test_every_number_of_a_configuration_has_two_bounds() -> None:
    """``1e308`` overflows somewhere; atoms have theirs in a check of their own."""
    unbounded: list[str] = []

    def walk(node: Any, place: str) -> None:
        if isinstance(node, dict):
            if node.get("type") in ("number", "integer") and not {"const", "enum"} & set(node):
                low = {"minimum", "exclusiveMinimum"} & set(node)
                high = {"maximum", "exclusiveMaximum"} & set(node)
                if not (low and high) and "/formula/" not in place:
                    unbounded.append(place)
            for key, value in node.items():
                walk(value, f"{place}/{key}")
        elif isinstance(node, list):
            for value in node:
                walk(value, place)

    walk(schema(), "")
    assert not unbounded


def test_patterns_look_at_a_bounded_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oxytomo.config.patterns.MOST_ENTRIES", 50)
    for i in range(60):
        (tmp_path / f"{i}.h5").touch()
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a_10.h5").touch()
    (tmp_path / "few" / "a_9.h5").touch()
    with pytest.raises(InputError, match="at most 50 files and folders"):
        expand((f"{tmp_path}/*.h5",))
    with pytest.raises(InputError, match="at most 50 files and folders"):
        expand((f"{tmp_path}/**/*.h5",))
    for pattern in ("few/*.h5", "few/**/*.h5", "few/***", "few/a_?*"):
        names = [path.name for path in expand((f"{tmp_path}/{pattern}",))]
        assert names == ["a_9.h5", "a_10.h5"], pattern
    assert expand((f"{tmp_path}/few/none*",)) == [tmp_path / "few" / "none*"]


@pytest.mark.parametrize("name", ["a\x1b[31m.h5", "a{b}.h5", "<logs>.h5"])
def test_matching_names_that_the_workflow_would_take_for_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="expected file names without"):
        expand((f"{tmp_path}/*.h5",))


@pytest.mark.slow
def test_ten_thousand_samples_are_read_in_seconds(tmp_path: Path) -> None:
    """5 s of computing on an idle core; a loader in Python alone, or anything quadratic, takes minutes."""
    pairs = "O: {pre: a.h5, post: b.h5}, Ni: {pre: c.h5, post: d.h5}"
    branch = f"{{composition: {{edges: {{{pairs}}}, formula: {{Ni: 1, O: 1}}}}}}"
    lines = ["samples:", *(f"  s{i}: {branch}" for i in range(10_000)), "groups:"]
    lines += [f"  g{k}: [{', '.join(f's{i}' for i in range(k, 10_000, 2))}]" for k in range(2)]
    (tmp_path / "x.yaml").write_text("\n".join(lines), encoding="utf-8")
    started = time.process_time()
    project = load_config(tmp_path / "x.yaml")
    assert time.process_time() - started < 20.0
    assert len(project.samples) == 10_000


# --- numbers that cannot be


def write_series(path: Path, shape: tuple[int, ...] = (6, 8, 9), pixel_m: float = 10e-9) -> None:
    """Write a small series of tilts."""
    with h5py.File(path, "w") as file:
        file["implements"] = "exchange"
        file["exchange/theta"] = np.arange(float(shape[0]))
        file["exchange/data"] = np.ones(shape, np.uint16)
        for axis in "xy":
            size = file.create_dataset(
                f"measurement/instrument/detector/{axis}_actual_pixel_size", data=pixel_m
            )
            size.attrs["units"] = "m"


def tomogram(path: str) -> str:
    return yaml.safe_dump(
        {"samples": {"s": {"tomogram": {"source": {"images": path, "quantity": "signal"}}}}}
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"density_g_cm3": 1e-300}, "a density of 0.1 to 25 g/cm³, got 1e-300"),
        ({"density_g_cm3": 4200}, "a density of 0.1 to 25 g/cm³, got 4200"),
        ({"edges": {"O": PAIR, "Ni": {"pre": {"images": "a.h5", "pixel_nm": 1e9}, "post": "b.h5"}}}, "0.01 nm to 1 mm"),
        ({"edges": {"O": PAIR, "Ni": {"pre": {"images": "a.h5", "energy_ev": 1e300}, "post": "b.h5"}}}, "a photon energy of 10"),
        ({"formula": {"Ni": 1e-300, "O": 1}}, "a positive number of atoms"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_with_their_range(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({"s": {"composition": COMPOSITION | changes}})
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "pixel_m", "part"),
    [
        ((6, 8, 9), 1.0, "a pixel size of 0.01 nm to 1 mm"),
        ((6, 8, 9), 1e-14, "a pixel size of 0.01 nm to 1 mm"),
        ((30, 4, 600), 10e-9, "frames of 6 × 6 pixels or more, up to 100000 in a row, got 4 × 600"),
    ],
)
def test_files_that_cannot_be_are_refused_by_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], pixel_m: float, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_series(tmp_path / "a.h5", shape, pixel_m)
    (tmp_path / "x.yaml").write_text(tomogram("a.h5"), encoding="utf-8")
    found = check_project(load_config(tmp_path / "x.yaml"), read_flats=True)
    assert [part in str(problem) for problem in found.problems] == [True]


def test_a_raw_file_from_the_future_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake ends a run whose results are older than what they are made from."""
    monkeypatch.chdir(tmp_path)
    write_series(tmp_path / "a.h5")
    (tmp_path / "x.yaml").write_text(tomogram("a.h5"), encoding="utf-8")
    project = load_config(tmp_path / "x.yaml")
    assert not check_project(project, read_flats=True).problems
    ahead = time.time() + 3600
    os.utime(tmp_path / "a.h5", (ahead, ahead))
    (problem,) = check_project(project, read_flats=True).problems
    assert f"dated {datetime.fromtimestamp(ahead):%Y-%m-%d %H:%M:%S}" in str(problem)
    assert "ahead of the clock" in str(problem)


# --- what is lost is made again


def test_every_product_of_every_branch_is_wanted() -> None:
    """What the interface promises of each branch, and of a comparison."""
    samples = {
        "a": {
            "composition": COMPOSITION,
            "areal_density": COMPOSITION,
            "tomogram": {"source": "a.h5"},
            "oxidation": {"stacks": {"Ni": "a.h5"}, "references": {"Ni": {"2": "a.csv", "3": "b.csv"}}},
            "structure": {"volume": "v.tif", "voxel_nm": 10},
            "register_branches": True,
        },
        "b": {"composition": COMPOSITION},
    }
    products = project_products(parsed(samples, groups={"g": ["a"], "h": ["b"]}))
    wanted = {
        *("composition.ome.zarr", "phases.json", "domains.csv", "composition_shells.csv", "alignment.csv"),
        *("areal_density.ome.zarr", "tomogram.ome.zarr", "oxidation.ome.zarr", "oxidation_shells.csv"),
        *("oxidation_particles.csv", "oxidation_profiles.csv", "oxidation.json", "structure.ome.zarr"),
        *("pores.csv", "cracks.csv", "structure.json", "report.html"),
        *("branches.json", "voids_and_domains.csv", "void_neighbourhoods.csv", "stress_and_domains.csv"),
    }
    assert {f"a/{name}" for name in wanted} <= set(products)
    assert {"b/phases.json", "comparison.html", "comparison_values.csv", "comparison_shells.csv"} <= set(
        products
    )


def test_products_without_record_and_deleted_stores_are_made_again(tmp_path: Path) -> None:
    project = parsed({"s": {"composition": COMPOSITION}})
    folder = tmp_path / "s"
    store = folder / "stages" / "composition" / "decompose.zarr"
    store.parent.mkdir(parents=True)
    for path in (folder / "phases.json", folder / "domains.csv"):
        path.touch()
        record_file(path).touch()
    assert to_make_again(tmp_path, project) == []
    record_file(folder / "domains.csv").unlink()
    assert to_make_again(tmp_path, project) == ["s/domains.csv"]
    assert lost_stores(tmp_path, project) == []
    record_file(store).touch()
    assert lost_stores(tmp_path, project) == ["s/stages/composition/decompose.zarr"]
    store.mkdir()
    assert lost_stores(tmp_path, project) == []


def test_trouble_that_names_no_file_keeps_the_one_it_is_about() -> None:
    assert str(StoreError.of(OSError(28, "No space left on device"), "/results")).startswith("/results: ")


def test_limits_are_not_taken_for_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the advice would be to delete what is well."""
    from oxytomo.io.readers import ReadRequest, peek
    from oxytomo.io.stores import NamedArray, Provenance, read_store, write_store

    def none_left(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    def too_many(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    provenance = Provenance("s", 1, {}, {}, "0", "now")
    arrays = {"x": NamedArray(np.ones(3), ("x",), "1")}
    write_store(tmp_path / "a.zarr", arrays, provenance=provenance, attributes={})
    monkeypatch.setattr("oxytomo.io.stores.zarr.open_array", none_left)
    with pytest.raises(StoreError, match="ulimit -u"):
        read_store(tmp_path / "a.zarr").array("x")
    write_series(tmp_path / "a.h5")
    monkeypatch.setattr(h5py, "File", too_many)
    with pytest.raises(StoreError, match="ulimit -n"):
        peek(ReadRequest(images=(tmp_path / "a.h5",)))


@pytest.mark.parametrize(
    ("limit", "part"),
    [
        ("-n 20", "at least 64 open files, got 20"),
        ("-v 1500000", "memory"),
        ("-f 1", "bytes in a file, got 1024"),
    ],
)
def test_a_run_says_which_limit_is_too_small(limit: str, part: str, tmp_path: Path) -> None:
    write_series(tmp_path / "a.h5")
    (tmp_path / "x.yaml").write_text(tomogram("a.h5"), encoding="utf-8")
    shell = f'ulimit {limit}; exec "{sys.executable}" -P -m oxytomo run x.yaml'
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert part in only_line(done.stderr)
