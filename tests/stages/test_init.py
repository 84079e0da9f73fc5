"""From a folder of files to a configuration: what is found, what is guessed, what is left open."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from oxytomo.arrays import TiltSeries
from oxytomo.check.folder.grouping import group
from oxytomo.check.folder.look import describe_files, look_at
from oxytomo.check.folder.names import read_name, reference_of
from oxytomo.check.folder.propose import Answers, propose, survey
from oxytomo.cli import main
from oxytomo.cli.init import ask
from oxytomo.config import load_config
from oxytomo.io.readers.data_exchange import write_data_exchange

FORMULA = "Li1.2Mn0.56Ni0.16Co0.08O2"
ATOMS = {"Li": 1.2, "Mn": 0.56, "Ni": 0.16, "Co": 0.08, "O": 2.0}


def write_series(
    path: Path, energy_ev: float, *, tilts: int = 5, pixel_nm: float = 10.0, seed: int = 0
) -> None:
    """A small tilt series of counts with flats."""
    rng = np.random.default_rng(seed + int(energy_ev))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_data_exchange(
        path,
        TiltSeries(
            frames=rng.poisson(800.0, (tilts, 8, 9)).astype(np.uint16),
            tilt_deg=np.linspace(-60.0, 60.0, tilts),
            energy_ev=np.full(tilts, energy_ev),
            pixel_nm=np.full(tilts, pixel_nm),
            quantity="counts",
            flat=np.full((2, 8, 9), 1000.0, np.float32),
            dark=np.zeros((1, 8, 9), np.float32),
        ),
    )


def init(folder: Path, output: Path, *arguments: str) -> dict:
    """Run the command; returns the configuration that it wrote."""
    assert main(["init", str(folder), "--output", str(output), *arguments]) == 0
    return yaml.safe_load(output.read_text(encoding="utf-8"))


def accepted(output: Path) -> None:
    """Let ``oxytomo check`` look at a configuration."""
    assert main(["check", str(output)]) == 0


def answers_of(flags: tuple[str, ...]) -> Answers:
    """The answers that flags stand for."""
    known = {
        "--formula": {"formula": ATOMS},
        "--pixel-nm": {"pixel_nm": 1.0},
        "--angles": {"angles": (0.0, 0.4)},
    }
    said = [known[flag] for flag in flags if flag in known]
    return Answers(**{key: value for one in said for key, value in one.items()})


# --- names


@pytest.mark.parametrize(
    ("name", "element", "side", "role", "sample"),
    [
        ("O_K_pre.h5", "O", "pre", "images", ""),
        ("MnL_post.h5", "Mn", "post", "images", ""),
        ("particle_B_O_K_525eV.h5", "O", None, "images", "particle_B"),
        ("Ni-L3-846.5eV-flat.tif", "Ni", None, "flat", ""),
        ("dark_001.tif", None, None, "dark", "001"),
        ("raw_K_1.tif", "K", None, "images", "1"),
    ],
)
def test_name_says_element_side_role_and_sample(
    name: str, element: str | None, side: str | None, role: str, sample: str
) -> None:
    hints = read_name(Path("x") / name)
    assert (hints.element, hints.side, hints.role, hints.sample) == (element, side, role, sample)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MnO_rt_01.xdi", ("Mn", 2.0)),
        ("Mn2O3_rt_01.xdi", ("Mn", 3.0)),
        ("Mn3O4.csv", ("Mn", 2.667)),
        ("Data2_LaMnO3.csv", ("Mn", 3.0)),
        ("Data2_YBaMn3AlO7.csv", ("Mn", 2.0)),
        ("Ni_3.csv", ("Ni", 3.0)),
        ("NMC.csv", None),
        ("LiNi0.5Mn0.5O2.csv", None),  # two metals: valences do not follow from the charge
    ],
)
def test_valence_of_a_reference_follows_from_its_name(name: str, expected: tuple[str, float] | None) -> None:
    assert reference_of(Path(name)) == expected


# --- simulated folders


def test_two_samples_in_one_folder_stay_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sample in ("A", "B"):
        for name, energy in (("O_pre", 525), ("O_post", 540), ("Ni_pre", 846), ("Ni_post", 866)):
            write_series(tmp_path / "data" / f"cell_{sample}_{name}.h5", energy, seed=ord(sample))
    found = init(tmp_path / "data", tmp_path / "my.yaml", "--formula", FORMULA)
    assert set(found["samples"]) == {"cell_A", "cell_B"}
    for sample in ("A", "B"):
        composition = found["samples"][f"cell_{sample}"]["composition"]
        assert composition["edges"] == {
            element: {side: f"data/cell_{sample}_{element}_{side}.h5" for side in ("pre", "post")}
            for element in ("O", "Ni")
        }
        assert composition["formula"] == ATOMS
    accepted(tmp_path / "my.yaml")
    assert "by their names" in capsys.readouterr().out


def test_sides_and_elements_follow_from_energies_where_no_name_says_them(tmp_path: Path) -> None:
    for energy in (525, 540, 636, 645):
        write_series(tmp_path / "data" / f"scan_{energy}eV.h5", energy)
    found = init(tmp_path / "data", tmp_path / "my.yaml", "--formula", FORMULA)
    (sample,) = found["samples"].values()
    assert sample["composition"]["edges"] == {
        "O": {"pre": "data/scan_525eV.h5", "post": "data/scan_540eV.h5"},
        "Mn": {"pre": "data/scan_636eV.h5", "post": "data/scan_645eV.h5"},
    }
    text = (tmp_path / "my.yaml").read_text(encoding="utf-8")
    assert "# guess: 525 and 540 eV are below and on an edge of O" in text
    accepted(tmp_path / "my.yaml")


def test_gap_of_the_formula_is_a_comment_and_check_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, energy in (("O_pre", 525), ("O_post", 540), ("Ni_pre", 846), ("Ni_post", 866)):
        write_series(tmp_path / "data" / f"{name}.h5", energy)
    found = init(tmp_path / "data", tmp_path / "my.yaml")
    assert (
        "formula"
        not in found["samples"]["data" if "data" in found["samples"] else next(iter(found["samples"]))]
    )
    lines = (tmp_path / "my.yaml").read_text(encoding="utf-8").splitlines()
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fill in: line "))
    number = int(said.split()[3].rstrip(":"))
    assert lines[number - 1].strip().startswith("# formula: {Li: 1.2")
    assert main(["check", str(tmp_path / "my.yaml")]) == 2
    assert "formula" in capsys.readouterr().err
    lines[number - 1] = lines[number - 1].replace("# ", "", 1)  # uncommented, it is valid in its place
    (tmp_path / "my.yaml").write_text("\n".join(lines), encoding="utf-8")
    accepted(tmp_path / "my.yaml")


def test_single_frames_with_flats_darks_and_a_longer_table_of_angles(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = tmp_path / "grain"
    (data / "tiffs").mkdir(parents=True)
    for number in range(6):
        tifffile.imwrite(
            data / "tiffs" / f"raw_{number:03d}.tif", rng.poisson(500.0, (8, 9)).astype(np.uint16)
        )
    tifffile.imwrite(data / "flat_1.tif", np.full((8, 9), 900, np.uint16))
    tifffile.imwrite(data / "dark_1.tif", np.zeros((8, 9), np.uint16))
    tilts = [-50.0] * 3 + [-50.0, -30.0, -10.0, 10.0, 30.0, 50.0] + [50.0] * 2
    (data / "angles.txt").write_text("\n".join(map(str, tilts)), encoding="utf-8")
    found = init(data, tmp_path / "my.yaml", "--pixel-nm", "20")
    assert found["samples"]["grain"]["tomogram"]["source"] == {
        "images": "grain/tiffs/raw_*.tif",
        "flat": "grain/flat_1.tif",
        "dark": "grain/dark_1.tif",
        "angles": "grain/angles.txt",
        "angles_range": [3, 9],
        "pixel_nm": 20,
    }
    accepted(tmp_path / "my.yaml")


def test_table_of_angles_that_fits_in_two_ways_is_not_guessed(tmp_path: Path) -> None:
    data = tmp_path / "grain"
    data.mkdir()
    for number in range(4):
        tifffile.imwrite(data / f"proj_{number}.tif", np.full((8, 9), 500 + number, np.uint16))
    (data / "angles.txt").write_text("0 10 20 30 30 40 50 60".replace(" ", "\n"), encoding="utf-8")
    found = propose(survey([data]), Answers(pixel_nm=20.0, branch="tomogram"), folder=tmp_path)
    assert "angles" in [gap.key for gap in found.gaps]
    assert "angles.txt: angles" in found.text  # named among what is not used


def test_it_never_overwrites_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "MnO.csv").write_text(
        "energy,mu\n" + "\n".join(f"{e},{e % 7}" for e in range(630, 660))
    )
    (tmp_path / "my.yaml").write_text("mine")
    assert main(["init", str(tmp_path / "refs"), "--output", str(tmp_path / "my.yaml")]) == 2
    assert "expected a name that is free" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "refs")]) == 2
    assert "got 1 reference spectra" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "nowhere")]) == 2
    assert (tmp_path / "my.yaml").read_text() == "mine"


def test_answers_are_asked_for_and_read(tmp_path: Path) -> None:
    replies = {
        "formula": ["lini", FORMULA],
        "pixel": ["-3", "12,5"],
        "first tilt": ["0 0.5"],
        "distances": ["1 2"],
    }

    def line(question: str) -> str:
        key = next(
            key
            for key in ("formula of", "pixel", "first tilt", "distances from sample", "cone")
            if key in question
        )
        left = replies.get(key.split(" from")[0].removesuffix(" of"), [])
        return left.pop(0) if left else ""

    gaps = ["formula", "pixel_nm", "angles", "sample_detector_mm", "sample_detector_mm"]
    answers = ask(Answers(), gaps, line)
    assert answers == Answers(formula=ATOMS, pixel_nm=12.5, angles=(0.0, 0.5), sample_detector_mm=(1.0, 2.0))
    assert ask(Answers(), gaps, lambda _: "") == Answers()


def test_on_a_terminal_it_asks_and_enter_leaves_a_gap(tmp_path: Path) -> None:
    for name, energy in (("O_pre", 525), ("O_post", 540), ("Ni_pre", 846), ("Ni_post", 866)):
        write_series(tmp_path / "data" / f"{name}.h5", energy)
    for typed, expected in ((f"{FORMULA}\n", True), ("\n", False)):
        output = tmp_path / f"{expected}.yaml"
        command = [
            sys.executable,
            "-P",
            "-m",
            "oxytomo",
            "init",
            str(tmp_path / "data"),
            "--output",
            str(output),
        ]
        master, terminal = os.openpty()
        child = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        os.write(master, typed.encode())
        shown = b""
        with contextlib.suppress(OSError):  # the end of what a terminal shows
            while block := os.read(master, 4096):
                shown += block
        assert child.wait(timeout=60) == 0, shown
        os.close(master)
        assert b"formula of the material" in shown
        (sample,) = yaml.safe_load(output.read_text(encoding="utf-8"))["samples"].values()
        assert ("formula" in sample["composition"]) == expected


def test_a_stack_of_single_frames_lacks_its_table_of_energies(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for energy in range(640, 652, 2):
        tifffile.imwrite(data / f"Mn_{energy}.0_eV.tif", np.full((8, 9), energy, np.uint16))
    found = propose(survey([data]), Answers(), folder=tmp_path)
    assert "oxidation" in found.found[0]
    gaps = {gap.key: gap.question for gap in found.gaps}
    assert set(gaps) == {"energies"}
    assert "the names say 640 to 650 eV" in gaps["energies"]
    (data / "energies.csv").write_text(
        "energy_ev\n" + "\n".join(map(str, range(640, 652, 2))), encoding="utf-8"
    )
    again = propose(survey([data]), Answers(), folder=tmp_path)
    assert again.gaps == ()
    assert any("no reference spectra of Mn" in guess for guess in again.guesses)
    assert "energies: data/energies.csv" in again.text


def test_names_that_yaml_would_read_otherwise_are_quoted(tmp_path: Path) -> None:
    data = tmp_path / "it's: a #1 [test]"
    for name, energy in (("O_pre", 525), ("O_post", 540), ("Ni_pre", 846), ("Ni_post", 866)):
        write_series(data / f"{name}.h5", energy)
    found = init(data, tmp_path / "my.yaml", "--formula", FORMULA)
    (sample,) = found["samples"].values()
    assert sample["composition"]["edges"]["O"]["pre"] == f"{data.name}/O_pre.h5"
    accepted(tmp_path / "my.yaml")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small simulated holograms and stacks."""
    folder = tmp_path_factory.mktemp("simulated")
    holo = "--kind holotomography --size 32 --tilts 6 --pixel-nm 80"
    xanes = "--kind xanes --elements Mn Ni --size 16 --energies 40"
    assert main(["simulate", str(folder / "holo"), *holo.split()]) == 0
    assert main(["simulate", str(folder / "stacks"), *xanes.split()]) == 0
    return folder


def test_simulated_holotomography(simulated: Path, tmp_path: Path) -> None:
    truth = yaml.safe_load((simulated / "holo" / "config.yaml").read_text(encoding="utf-8"))
    wanted = truth["samples"]["particle"]["structure"]
    flags = [
        part
        for key in ("sample_detector_mm", "source_sample_mm")
        for part in (f"--{key.replace('_', '-')}", *(str(one[key]) for one in wanted["projections"]))
    ]
    found = init(simulated / "holo", tmp_path / "my.yaml", *flags)
    structure = found["samples"]["holo"]["structure"]
    assert [Path(one["images"]).name for one in structure["projections"]] == [
        f"distance_{number}.h5" for number in (1, 2, 3, 4)
    ]
    assert structure["voxel_nm"] == wanted["voxel_nm"]
    for one, other in zip(structure["projections"], wanted["projections"], strict=True):
        assert one["sample_detector_mm"] == pytest.approx(other["sample_detector_mm"], rel=1e-5)
        assert one["source_sample_mm"] == pytest.approx(other["source_sample_mm"], rel=1e-5)
    accepted(tmp_path / "my.yaml")


def test_simulated_stacks_find_their_references(simulated: Path, tmp_path: Path) -> None:
    found = init(simulated / "stacks", tmp_path / "my.yaml")
    oxidation = found["samples"][next(iter(found["samples"]))]["oxidation"]
    assert {element: Path(path).name for element, path in oxidation["stacks"].items()} == {
        "Mn": "Mn_stack.h5",
        "Ni": "Ni_stack.h5",
    }
    for element in ("Mn", "Ni"):
        assert {key: Path(path).name for key, path in oxidation["references"][element].items()} == {
            valence: f"{element}_{valence}.csv" for valence in ("2", "3", "4")
        }
    accepted(tmp_path / "my.yaml")


# --- real and shared data


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sample", "branch", "flags", "gaps"),
    [
        ("dual_energy_dev_a", "dual_energy_dev_a", "composition", ("--formula", FORMULA), set()),
        ("dual_energy_dev_e", "dual_energy_dev_e", "composition", ("--formula", FORMULA), set()),
        ("dual_energy_dev_e_null", "dual_energy_dev_e_null", "composition", ("--formula", FORMULA), set()),
        ("eds_tilt_elements", "eds_tilt_elements", "composition", (), set()),
        ("savu_grain_tiff", "savu_grain_tiff", "tomogram", ("--pixel-nm", "1000"), set()),
        ("tomo77_pillar_tiff", "tomo77", "tomogram", ("--pixel-nm", "20", "--angles", "0", "0.4"), set()),
        ("haadf_needle_mrc", "haadf_needle_mrc", "tomogram", (), set()),
        ("ssrl_nca_dual_energy_xrm", "rep01_ssrl_test", "areal_density", ("--formula", FORMULA), set()),
        ("als_fe_stxm_stack", "71214098", "oxidation", (), set()),
        ("nmc_holotomography_slice", "example_xy", "structure", ("--pixel-nm", "65"), set()),
        ("fiberform_volume", "100_fiberform", "structure", ("--pixel-nm", "1000"), set()),
        ("readers", "txrm_test_chip_tomo", "tomogram", ("--pixel-nm", "100"), {"flat"}),
    ],
)
def test_every_data_set(
    shared_data: Path,
    tmp_path: Path,
    name: str,
    sample: str,
    branch: str,
    flags: tuple[str, ...],
    gaps: set[str],
) -> None:
    output = tmp_path / "my.yaml"
    found = init(shared_data / name, output, *flags)
    assert branch in found["samples"][sample]
    proposed = propose(survey([shared_data / name]), answers_of(flags), folder=tmp_path)
    assert {gap.key for gap in proposed.gaps} == gaps
    if gaps:
        # Without references there are maps of the white line, which `check` says.
        assert main(["check", str(output)]) == (0 if gaps == {"references"} else 2)
    else:
        assert load_config(output).samples[sample]
        accepted(output)


@pytest.mark.data
def test_shared_files_are_read_as_what_they_are(shared_data: Path, tmp_path: Path) -> None:
    needle = init(shared_data / "haadf_needle_mrc", tmp_path / "needle.yaml")["samples"]["haadf_needle_mrc"]
    assert needle["tomogram"]["source"]["offset"] == 32768
    assert needle["tomogram"]["source"]["quantity"] == "signal"
    grain = init(shared_data / "savu_grain_tiff", tmp_path / "grain.yaml")["samples"]["savu_grain_tiff"]
    assert grain["tomogram"]["source"]["angles_range"] == [10, 101]
    pillar = init(shared_data / "tomo77_pillar_tiff", tmp_path / "pillar.yaml")["samples"]["tomo77"]
    assert pillar["tomogram"]["source"]["quantity"] == "optical_density"


@pytest.mark.data
@pytest.mark.parametrize("folder", ["mn_k_references", "mn_l_references"])
def test_folders_of_references_alone_say_so(
    shared_data: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(shared_data / folder), "--output", "never.yaml"]) == 2
    assert "reference spectra" in capsys.readouterr().err


@pytest.mark.data
def test_inspect_says_one_row_per_file_and_merges_nothing(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(shared_data / "ssrl_nca_dual_energy_xrm")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "file"
    assert len(lines) == 1 + 12
    assert sum("flat frames" in line for line in lines) == 6
    assert sum("8324" in line and line.endswith("images") for line in lines) == 3


@pytest.mark.data
def test_inspect_names_the_header_of_an_image(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared_data / "als_fe_stxm_stack" / "Aligned"
    assert main(["inspect", str(folder / "71214098_a003.xim")]) == 0
    assert "71214098.hdr" in capsys.readouterr().out
    rows = describe_files(look_at([folder]), folder)
    assert len(rows) == 1 + 124
    assert sum("read through 71214098.hdr" in row for row in rows) == 123


def test_linked_and_unreadable_files_are_rows_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 40)
    write_series(tmp_path / "O_pre.h5", 525.0)
    files = look_at([tmp_path])
    assert {file.path.name: file.role for file in files} == {"O_pre.h5": "images", "broken.h5": "unreadable"}
    assert [file.path.name for file in group(files, tmp_path).unused] == ["broken.h5"]
