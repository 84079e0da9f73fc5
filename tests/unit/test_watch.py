"""A folder that fills: settled files, complete scans, quick looks, notes that survive a restart."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import oxytomo.cli.watch as command
from oxytomo.arrays import TiltSeries
from oxytomo.check.folder.page import quoted
from oxytomo.check.folder.propose import Answers
from oxytomo.check.folder.watched import Watched
from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import load_config, parse_config
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.preprocess.binning import bin_frames
from oxytomo.run.lock import run_lock
from oxytomo.run.quick_look import LARGEST_PX, MOST_TILTS, binned_series, write_quick_look
from oxytomo.run.watch_notes import NOTES, Notes
from tests.stages.compared_samples import write_composition_tables

FORMULA = {"Li": 1.0, "Ni": 1.0, "O": 2.0}
ENERGIES = {"O_K_pre": 525.0, "O_K_post": 540.0, "Ni_L_pre": 846.0, "Ni_L_post": 866.0}


def series(energy: float, *, side: int = 16, n: int = 15, seed: int = 0) -> TiltSeries:
    rng = np.random.default_rng(seed + int(energy))
    return TiltSeries(
        frames=rng.poisson(900, (n, side, side)).astype(np.uint16),
        tilt_deg=np.linspace(-60, 60, n),
        energy_ev=np.full(n, energy),
        pixel_nm=np.full(n, 20.0),
        quantity="counts",
        flat=rng.poisson(1000, (2, side, side)).astype(np.float32),
    )


def write_scan(folder: Path, name: str, *, only: int = 4, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for which, energy in list(ENERGIES.items())[:only]:
        write_data_exchange(folder / f"{name}_{which}.h5", series(energy, seed=seed))


class Beamtime:
    """A watched folder with a clock that goes on by hand."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.now, self.folder = 0.0, folder / "raw"
        self.folder.mkdir()
        self.watched = Watched(
            self.folder,
            folder / "out",
            settle_s=10.0,
            answers=Answers(formula=FORMULA),
            clock=lambda: self.now,
            **options,
        )

    def look(self, later: float = 0.0) -> dict[str, str]:
        """Return what each scan waits for."""
        self.now += later
        return {scan.name: scan.waits for scan in self.watched.look()[1]}


def test_a_scan_is_complete_when_its_files_have_settled_and_nothing_is_missing(tmp_path: Path) -> None:
    beamtime = Beamtime(tmp_path)
    assert beamtime.look() == {}
    write_scan(beamtime.folder, "p1", only=2)
    assert beamtime.look(1) == {}  # too young
    assert beamtime.look(9) == {}
    only_oxygen = beamtime.look(1)
    assert only_oxygen["p1"].startswith("the partner of p1_O_K_p")
    write_scan(beamtime.folder, "p1")
    said = beamtime.look(1)
    assert not said or "still written" in said["p1"]
    assert beamtime.look(10) == {"p1": ""}
    write_scan(beamtime.folder, "p2", seed=5)
    beamtime.look(1)
    assert beamtime.look(10) == {"p1": "", "p2": ""}


def test_a_growing_and_a_half_written_file_hold_their_scan_back(tmp_path: Path) -> None:
    beamtime = Beamtime(tmp_path)
    write_scan(beamtime.folder, "p1")
    path = beamtime.folder / "p1_Ni_L_post.h5"
    whole = path.read_bytes()
    for part in (0.2, 0.5, 0.8):  # a file that grows
        path.write_bytes(whole[: int(part * len(whole))])
        said = beamtime.look(8)
        assert said.get("p1") != ""
    for _ in range(3):  # it grows no more, but it is half a file: its reader does not open it
        assert "p1_Ni_L_post.h5 is still written, or cannot be read yet" in beamtime.look(11)["p1"]
    path.write_bytes(whole)
    assert beamtime.look(1)["p1"] != ""
    assert beamtime.look(10) == {"p1": ""}


def test_the_pattern_and_the_number_of_files_say_what_a_scan_is(tmp_path: Path) -> None:
    beamtime = Beamtime(tmp_path, pattern="p*.h5", least_files=6)
    write_scan(beamtime.folder, "p1")
    write_scan(beamtime.folder, "test")
    beamtime.look()
    assert beamtime.look(10) == {"p1": "4 of 6 files"}


def test_results_inside_the_folder_are_no_scans(tmp_path: Path) -> None:
    beamtime = Beamtime(tmp_path)
    beamtime.watched.leave_out = beamtime.folder / "out"
    write_scan(beamtime.folder, "p1")
    write_scan(beamtime.folder / "out" / "looks", "p9")
    beamtime.look()
    assert beamtime.look(10) == {"p1": ""}


def test_a_missing_formula_is_asked_for(tmp_path: Path) -> None:
    beamtime = Beamtime(tmp_path)
    beamtime.watched.answers = Answers()
    write_scan(beamtime.folder, "p1")
    beamtime.look()
    assert "formula" in beamtime.look(10)["p1"]


# --- larger pixels


def test_counts_are_summed_and_other_quantities_averaged() -> None:
    frames = np.arange(2 * 5 * 7, dtype=np.float64).reshape(2, 5, 7)
    by_hand = frames[:, :4, :6].reshape(2, 2, 2, 3, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(bin_frames(frames, factor=2, quantity="counts"), by_hand)
    np.testing.assert_array_equal(bin_frames(frames, factor=2, quantity="transmission"), by_hand / 4)
    frames[0, 0, 0] = np.nan
    assert np.isnan(bin_frames(frames, factor=2, quantity="counts")).sum() == 1
    np.testing.assert_array_equal(bin_frames(frames[1:], factor=1, quantity="counts"), frames[1:])


def test_a_binned_series_keeps_field_of_view_transmission_and_energies(tmp_path: Path) -> None:
    raw = series(525.0, side=33, n=9)
    made = binned_series(raw, factor=3, step=2)
    assert made.frames.shape == (5, 11, 11)
    assert made.frames.shape[1] * made.pixel_nm[0] == pytest.approx(33 * 20.0)
    np.testing.assert_array_equal(made.tilt_deg, raw.tilt_deg[::2])
    assert made.flat is not None
    assert raw.flat is not None
    assert np.mean(made.frames) / np.mean(made.flat) == pytest.approx(
        np.mean(raw.frames[::2]) / np.mean(raw.flat), rel=1e-6
    )
    write_data_exchange(tmp_path / "b.h5", made)
    read = read_tilt_series(ReadRequest(images=(tmp_path / "b.h5",)))
    np.testing.assert_array_equal(np.asarray(read.frames), made.frames)
    assert read.energy_ev[0] == 525.0
    assert read.quantity == "counts"


def test_the_quick_look_has_few_pixels_and_no_replicates(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    edges: dict[str, dict[str, str]] = {}
    for which, energy in ENERGIES.items():
        element, _, side = which.split("_")
        write_data_exchange(tmp_path / "raw" / f"{which}.h5", series(energy, side=200, n=MOST_TILTS + 4))
        edges.setdefault(element, {})[side] = f"raw/{which}.h5"
    content = {"samples": {"s": {"composition": {"edges": edges, "formula": FORMULA, "threshold": 0.07}}}}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    project = load_config(tmp_path / "x.yaml")
    quick = write_quick_look(project, "s", tmp_path / "looks", tmp_path / "quick")
    assert quick is not None
    made = parse_config(quick, folder=tmp_path)
    composition = made.samples["s"].composition
    assert composition is not None
    assert (composition.uncertainty.replicates, composition.uncertainty.null_replicates) == (0, 0)
    assert composition.threshold == 0.07
    summary = peek(ReadRequest(images=(tmp_path / "looks" / "composition_O_pre.h5",)))
    assert max(summary.shape[1:]) <= LARGEST_PX
    assert summary.shape[0] <= MOST_TILTS
    assert not check_project(made, read_flats=True).problems


# --- notes


class A:
    """A scan as the notes need it."""

    def __init__(self, name: str, **files: tuple[int, int]) -> None:
        self.name, self.files = name, files


def test_a_restart_repeats_nothing_that_is_done(tmp_path: Path) -> None:
    notes = Notes.read(tmp_path)
    one, two = A("a", x=(1, 2)), A("b", y=(3, 4))
    notes.add(one, state="done", said="", seconds=1)
    notes.add(two, state="failed", said="", seconds=1)
    assert (notes.is_new(one), notes.is_new(two)) == (False, False)
    again = Notes.read(tmp_path)
    assert (again.is_new(one), again.is_new(two)) == (False, True)
    assert again.is_new(A("a", x=(1, 3)))
    assert again.done() == ["a"]


def test_results_of_other_files_are_deleted_and_no_others(tmp_path: Path) -> None:
    notes = Notes.read(tmp_path)
    (tmp_path / "quick" / "a").mkdir(parents=True)
    notes.forget_results(A("a", x=(1, 2)))  # nothing is known of it: it stays
    assert (tmp_path / "quick" / "a").is_dir()
    notes.add(A("a", x=(1, 2)), state="done", said="", seconds=1)
    notes.forget_results(A("a", x=(1, 2)))
    assert (tmp_path / "quick" / "a").is_dir()
    notes.forget_results(A("a", x=(1, 9)))
    assert not (tmp_path / "quick" / "a").exists()


def test_a_configuration_that_was_edited_is_kept(tmp_path: Path) -> None:
    notes = Notes.read(tmp_path)
    assert notes.write_configuration("samples.yaml", "a: 1\n") == ""
    assert notes.write_configuration("samples.yaml", "a: 2\n") == ""
    (tmp_path / "samples.yaml").write_text("mine\n", encoding="utf-8")
    again = Notes.read(tmp_path)
    assert "was edited and is kept" in again.write_configuration("samples.yaml", "a: 3\n")
    assert (tmp_path / "samples.yaml").read_text(encoding="utf-8") == "mine\n"
    assert again.configuration_file("samples.yaml") == "samples.new.yaml"
    assert (tmp_path / "samples.new.yaml").read_text(encoding="utf-8") == "a: 3\n"
    assert again.write_configuration("samples.yaml", "a: 3\n") == ""


@pytest.mark.parametrize("content", ["", "[]", '{"samples": 3, "written": {}}', "\0"])
def test_damaged_notes_are_one_line(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NOTES).write_text(content, encoding="utf-8")
    assert main(["watch", str(tmp_path / "raw"), "--output", str(tmp_path / "out"), "--once"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "the notes of an earlier watch" in line


# --- the command


def fake_run(words: list[str]) -> None:
    """Write what a run would: a table of the sample of a configuration."""
    config = yaml.safe_load(Path(words[1]).read_text(encoding="utf-8"))
    [name] = config["samples"]
    folder = Path(config["results"]) / name
    (folder / "stages").mkdir(parents=True)
    write_composition_tables(folder, 0.1, reach=None)


def test_the_command_looks_once_at_each_scan_compares_and_goes_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[str] = []

    def counted(words: list[str]) -> None:
        runs.append(Path(words[1]).parent.name)
        fake_run(words)

    monkeypatch.setattr(command, "_call", counted)
    raw, out = tmp_path / "raw", tmp_path / "out"
    call = ["watch", str(raw), "--output", str(out), "--once", "--settle", "0.1", "--formula", "LiNiO2"]
    write_scan(raw, "p1")
    assert main(call) == 0
    assert runs == ["p1"]
    write_scan(raw, "p2", seed=7)
    assert main(call) == 0
    assert runs == ["p1", "p2"]
    assert (out / "comparison.html").is_file()
    said = capsys.readouterr().out
    assert "p2: complete, 4 files; quick look" in said
    assert "oxygen poor 10 %" in said
    assert set(load_config(out / "samples.yaml").samples) == {"p1", "p2"}
    write_scan(raw, "p1", seed=99)  # taken again
    assert main(call) == 0
    assert runs == ["p1", "p2", "p1"]
    full: list[list[str]] = []
    monkeypatch.setattr("oxytomo.cli.main", lambda words: full.append(words) or 0)
    assert main([*(word for word in call if word != "--once"), "--full"]) == 0
    assert full == [["run", str(out / "samples.yaml")]]


def test_a_look_that_fails_is_a_line_and_the_watch_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_scan(raw, "p1")
    shutil.copy(raw / "p1_O_K_pre.h5", raw / "p1_O_K_post.h5")  # both sides of the edge are one file
    (out / "quick").mkdir(parents=True)
    call = ["watch", str(raw), "--output", str(out), "--once", "--settle", "0.1", "--formula", "LiNiO2"]
    assert main(call) == 0
    assert "Traceback" not in capsys.readouterr().err
    notes = (
        json.loads((out / NOTES).read_text(encoding="utf-8")) if (out / NOTES).exists() else {"samples": {}}
    )
    assert all(one["state"] != "done" for one in notes["samples"].values())


def test_a_second_watch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    with run_lock(out):
        assert main(["watch", str(raw), "--output", str(out), "--once", "--settle", "0"]) == 2
    assert "a run at work" in capsys.readouterr().err


def test_wrong_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["none"], [str(tmp_path), "--files", "0"], [str(tmp_path), "--settle", "-1"]):
        assert main(["watch", *words, "--output", str(tmp_path / "out")]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    with contextlib.suppress(SystemExit):
        main(["watch", "--help"])
    assert "oxytomo watch" in capsys.readouterr().out.partition("example")[2]


def test_places_that_cannot_be_written_and_folders_without_scans_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_scan(raw, "p1")
    call = ["watch", str(raw), "--once", "--settle", "0", "--formula", "LiNiO2", "--output"]
    for above in (raw, tmp_path):  # its own files are left out, so all scans would be
        assert main([*call, str(above)]) == 2
        assert "expected a folder that does not hold the scans" in capsys.readouterr().err
    assert main([*call, str(out), "--pattern", "*.none"]) == 0
    assert "no complete scan" in capsys.readouterr().out
    (out / "looks").write_text("a file")
    assert main([*call, str(out)]) == 0
    assert "looks/p1.yaml: expected to write it" in capsys.readouterr().out


def test_a_name_with_control_characters_stays_valid_yaml() -> None:
    name = "a\x1b[2J\nb'\".h5"
    assert yaml.safe_load(f"images: {quoted(name)}") == {"images": name}


@pytest.mark.slow
def test_a_simulated_scan_is_looked_at_and_run_for_real(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From frames to a page, by the real stages; a killed and repeated watch does it once."""
    simulate = ["simulate", str(tmp_path / "scan"), "--size", "24", "--tilts", "21", "--photons", "1e5"]
    assert main([*simulate, "--elements", "O", "Ni"]) == 0
    raw, out = tmp_path / "beamtime", tmp_path / "out"
    shutil.copytree(tmp_path / "scan" / "raw", raw / "p1")
    call = ["watch", str(raw), "--output", str(out), "--once", "--settle", "0.1", "--cores", "1"]
    call += ["--formula", "Li1.2Mn0.56Ni0.16Co0.08O2"]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "p1: target " in said, said
    assert "(" not in said.partition("p1: target ")[2].partition(";")[0]  # no intervals
    assert (out / "quick" / "p1" / "report.html").is_file()
    assert main(call) == 0
    assert "quick look" not in capsys.readouterr().out
