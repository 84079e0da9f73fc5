"""What is found out before any work is done."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from oxytomo.align.series import driver_binning
from oxytomo.arrays import TiltSeries
from oxytomo.check.sample import check_project
from oxytomo.cli import main
from oxytomo.config import ProjectConfig, parse_config
from oxytomo.io.readers.data_exchange import write_data_exchange
from oxytomo.run.costs import Sizes, aligned_size
from oxytomo.run.needs import Needs, stage_needs, total_needs
from oxytomo.run.results_folder import claim

ENERGIES = {"O_pre": 525.0, "O_post": 540.0, "Ni_pre": 846.0, "Ni_post": 866.0}
TILTS = np.linspace(-60.0, 60.0, 25)
SERIES = "samples.a.composition.edges"


def write_series(
    path: Path, energy_ev: float, *, tilts: np.ndarray[Any, Any] = TILTS, **changes: Any
) -> None:
    """Write a small raw series of counts."""
    n = tilts.size
    series = {
        "frames": np.full((n, 6, 8), 900, np.uint16),
        "tilt_deg": tilts,
        "energy_ev": np.full(n, energy_ev),
        "pixel_nm": np.full(n, 10.0),
        "quantity": "counts",
        "flat": np.full((2, 6, 8), 1000, np.float32),
    }
    path.unlink(missing_ok=True)
    write_data_exchange(path, TiltSeries(**(series | changes)))


class Case(NamedTuple):
    """A configuration with its raw files in a folder of its own."""

    folder: Path
    data: dict[str, Any]

    @property
    def composition(self) -> dict[str, Any]:
        return self.data["samples"]["a"]["composition"]

    @property
    def project(self) -> ProjectConfig:
        return parse_config(self.data, folder=self.folder)

    def problems(self, *, read_flats: bool = True) -> list[str]:
        """Return the problems as text; each is one line."""
        found = [str(problem) for problem in check_project(self.project, read_flats=read_flats).problems]
        assert all("\n" not in text for text in found)
        return found

    def warnings(self) -> tuple[str, ...]:
        return check_project(self.project, read_flats=True).warnings


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A project of two edges without any fault."""
    monkeypatch.chdir(tmp_path)
    for name, energy_ev in ENERGIES.items():
        write_series(tmp_path / f"{name}.h5", energy_ev)
    edges = {element: {side: f"{element}_{side}.h5" for side in ("pre", "post")} for element in ("O", "Ni")}
    composition = {"edges": edges, "formula": {"Ni": 1.0, "O": 1.0}}
    return Case(tmp_path, {"results": "results", "samples": {"a": {"composition": composition}}})


def test_a_good_project_has_no_problem(case: Case) -> None:
    checked = check_project(case.project, read_flats=True)
    assert checked.problems == ()
    assert checked.warnings == ()
    facts = checked.branches[0].series["Ni_post"]
    assert facts.shape == (25, 6, 8)
    assert facts.energy_ev == 866.0
    assert facts.n_flat == 2
    assert facts.place == f"{SERIES}.Ni.post"
    assert not (case.folder / "results").exists()


def missing_file(case: Case) -> None:
    (case.folder / "Ni_pre.h5").unlink()


def not_a_raw_file(case: Case) -> None:
    (case.folder / "Ni_pre.h5").write_bytes(b"not a raw file")


def swapped(case: Case) -> None:
    pair = case.composition["edges"]["Ni"]
    pair["pre"], pair["post"] = pair["post"], pair["pre"]


def wrong_side(case: Case) -> None:
    write_series(case.folder / "Ni_post.h5", 848.0)


def no_energy(case: Case) -> None:
    write_series(case.folder / "Ni_post.h5", np.nan)


def other_angles(case: Case) -> None:
    write_series(case.folder / "Ni_post.h5", 866.0, tilts=TILTS + 0.5)


def lost_signs(case: Case) -> None:
    for name, energy_ev in ENERGIES.items():
        write_series(case.folder / f"{name}.h5", energy_ev, tilts=np.abs(TILTS))


def two_tilts(case: Case) -> None:
    for name, energy_ev in ENERGIES.items():
        write_series(case.folder / f"{name}.h5", energy_ev, tilts=TILTS[:2])


def no_flats(case: Case) -> None:
    write_series(case.folder / "O_pre.h5", 525.0, flat=None)


def dark_flats(case: Case) -> None:
    write_series(case.folder / "O_pre.h5", 525.0, flat=np.zeros((2, 6, 8), np.float32))


def nan_flats(case: Case) -> None:
    flat = np.full((2, 6, 8), 1000, np.float32)
    flat[:, :2] = np.nan
    write_series(case.folder / "O_pre.h5", 525.0, flat=flat)


def no_package(case: Case) -> None:
    case.composition["reconstruct"] = {"method": "ratio", "backend": "tomopy"}


def other_raw_files(case: Case) -> None:
    other = case.folder / "other"
    other.mkdir()
    claim(case.folder / "results", parse_config(case.data, folder=other))
    (case.folder / "results" / "a").mkdir()


@pytest.mark.parametrize(
    ("break_it", "parts"),
    [
        (missing_file, [f"{SERIES}.Ni.pre", "an existing file", "Ni_pre.h5"]),
        (not_a_raw_file, ["Ni_pre.h5", "no known format"]),
        (swapped, [f"{SERIES}.Ni", "the two swapped", "swap the pre and post files"]),
        (wrong_side, [f"{SERIES}.Ni", "both below it"]),
        (no_energy, [f"{SERIES}.Ni.post", "a photon energy", "energy_ev"]),
        (
            other_angles,
            [f"{SERIES}.Ni.post", "the tilt angles of samples.a.composition.edges.O.pre", "-59.5°"],
        ),
        (lost_signs, [f"{SERIES}.O.pre", "nearly every tilt angle once", "sign of the angles may be lost"]),
        (two_tilts, [f"{SERIES}.O.pre", "at least 3 tilt angles", "got 2"]),
        (no_flats, [f"{SERIES}.O.pre", "flat frames", "got none"]),
        (dark_flats, [f"{SERIES}.O.pre: flat frames", "100 % of the pixels"]),
        (nan_flats, [f"{SERIES}.O.pre: flat frames", "33.3 % of the pixels"]),
        (no_package, ["samples.a.composition.reconstruct.backend", "conda-forge tomopy"]),
        (other_raw_files, ["results folder of another configuration"]),
    ],
)
def test_a_fault_is_named_in_one_line(
    case: Case, break_it: Callable[[Case], None], parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    break_it(case)
    problems = case.problems()
    assert len(problems) == 1, problems
    assert [part for part in parts if part not in problems[0]] == []


def test_every_fault_is_reported_at_once(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    missing_file(case)
    dark_flats(case)
    (case.folder / "x.yaml").write_text(yaml.safe_dump(case.data), encoding="utf-8")
    assert main(["check", str(case.folder / "x.yaml")]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("oxytomo: error: ") for line in lines)
    assert "ready to run" not in captured.out


def test_check_says_what_would_run_and_what_it_needs(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    (case.folder / "x.yaml").write_text(yaml.safe_dump(case.data), encoding="utf-8")
    assert main(["check", str(case.folder / "x.yaml")]) == 0
    text = capsys.readouterr().out
    assert "25 frames of 6 × 8, -60° to 60°, 846 eV, 10 nm pixels, counts" in text
    assert "normalize, align, decompose, reconstruct" in text
    assert "of memory" in text
    assert not (case.folder / "results").exists()


def test_without_reading_flats_they_are_left_to_the_stage(case: Case) -> None:
    dark_flats(case)
    assert case.problems(read_flats=False) == []
    swapped(case)
    (problem,) = case.problems(read_flats=False)
    assert "swapped" in problem


def test_few_tilts_and_a_few_dark_pixels_are_warnings(case: Case) -> None:
    for name, energy_ev in ENERGIES.items():
        write_series(case.folder / f"{name}.h5", energy_ev, tilts=TILTS[::3])
    flat = np.full((2, 20, 30), 1000, np.float32)
    flat[:, 3, 4] = 0
    frames = np.full((9, 20, 30), 900, np.uint16)
    write_series(case.folder / "O_pre.h5", 525.0, tilts=TILTS[::3], flat=flat, frames=frames)
    assert case.problems() == []
    dark, few = sorted(case.warnings())
    assert "only 9 tilts" in few
    assert "0.167 % of the pixels" in dark


def test_one_angle_is_enough_for_areal_density(case: Case) -> None:
    for name in ("Ni_pre", "Ni_post"):
        write_series(case.folder / f"{name}.h5", ENERGIES[name], tilts=np.zeros(3))
    edges = {"Ni": case.composition["edges"]["Ni"]}
    case.data["samples"]["a"] = {"areal_density": {"edges": edges, "formula": {"Ni": 1.0, "O": 1.0}}}
    assert case.problems() == []


def test_a_full_disk_is_found_before_the_run(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(case.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    (problem,) = case.problems()
    assert "free disk space" in problem


def test_needs_grow_with_the_data_and_with_the_replicates(case: Case) -> None:
    config = case.project.samples["a"].composition
    assert config is not None
    shapes = dict.fromkeys(ENERGIES, (100, 200, 200))
    needs = total_needs(stage_needs(config, "composition", shapes))
    # Two energies of two edges: value and variance, normalized and aligned, float32.
    assert needs.disk_bytes > 4 * 4 * 100 * 200 * 200 * 4
    bigger = total_needs(stage_needs(config, "composition", dict.fromkeys(ENERGIES, (100, 400, 400))))
    assert bigger.disk_bytes > 4 * needs.disk_bytes
    assert bigger.core_seconds > 6 * needs.core_seconds
    case.composition["uncertainty"] = {"replicates": 0, "null_replicates": 0}
    single = case.project.samples["a"].composition
    assert single is not None
    assert total_needs(stage_needs(single, "composition", shapes)).core_seconds < needs.core_seconds / 2


def test_an_alignment_alone_asks_for_its_own_disk(case: Case) -> None:
    config = case.project.samples["a"].composition
    assert config is not None
    stages = stage_needs(config, "composition", dict.fromkeys(ENERGIES, (100, 200, 200)))
    aligned = total_needs(stages, ("normalize", "align"))
    assert aligned.disk_bytes == pytest.approx(
        1.1 * (stages["normalize"].disk_bytes + stages["align"].disk_bytes)
    )
    assert aligned.disk_bytes < total_needs(stages).disk_bytes


@pytest.mark.parametrize("shape", [(66, 96, 96), (131, 512, 512), (91, 1024, 1024), (721, 2048, 2048)])
def test_estimates_of_alignment_know_how_large_series_are_binned(shape: tuple[int, int, int]) -> None:
    n_tilt, n_y, n_x = shape
    size = Sizes(series=n_tilt * n_y * n_x * 4e-6, volume=n_y * n_x * n_x * 4e-6)
    assert aligned_size(size)[0] == driver_binning(shape) ** 3


def test_parts_of_a_particle_need_less_each(case: Case) -> None:
    shapes = dict.fromkeys(ENERGIES, (100, 400, 400))
    case.composition["reconstruct"] = {"parts": 1}
    assert case.project.samples["a"].composition is not None
    whole = stage_needs(case.project.samples["a"].composition, "composition", shapes)["reconstruct"]
    case.composition["reconstruct"] = {"parts": 8}
    shared = case.project.samples["a"].composition
    assert shared is not None
    needs = stage_needs(shared, "composition", shapes)
    part = needs["reconstruct_part"]
    assert part.jobs == 8
    # 50 slices and 16 of halos of 400; volumes of this size are files for the whole particle, which is in slabs itself.
    assert part.memory_bytes < 0.75 * whole.memory_bytes
    assert part.core_seconds / part.jobs == pytest.approx(66 / 400 * whole.core_seconds, rel=0.05)
    assert needs["replicate"].jobs == shared.uncertainty.replicates + shared.uncertainty.null_replicates


def test_needs_are_readable() -> None:
    text = Needs(memory_bytes=2.04e9, disk_bytes=5e8, core_seconds=9000, usual_seconds=3600).describe(2)
    assert text == "about 2.0 GB of memory, 500.0 MB of disk, 30 min on 2 cores"


def test_an_angle_recorded_again_is_a_remark(case: Case) -> None:
    for name, energy_ev in ENERGIES.items():
        write_series(case.folder / f"{name}.h5", energy_ev, tilts=np.append(TILTS, TILTS[7]))
    assert case.problems() == []
    assert any(f"{TILTS[7]:g}° recorded more than once" in warning for warning in case.warnings())
