"""What `check` says of raw series, what it refuses and warns of, and that a run refuses the same."""

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import yaml

from oxytomo.align.frames import cut_side
from oxytomo.align.inputs import require_whole_field
from oxytomo.arrays import TiltSeries
from oxytomo.check.sample import ProjectCheck, check_project
from oxytomo.cli import main
from oxytomo.composition.decomposition import negative_share
from oxytomo.config import parse_config
from oxytomo.errors import InputError
from oxytomo.io.readers.data_exchange import write_data_exchange, write_energy_stack
from oxytomo.preprocess.plausible import quantity_problem
from oxytomo.results.checks import check_alignment, check_amounts
from oxytomo.results.records import Alignment

TILTS = np.linspace(-60.0, 60.0, 25)
ENERGIES = {"O_pre": 525.0, "O_post": 540.0, "Ni_pre": 846.0, "Ni_post": 866.0}
FORMULA = {"Ni": 1.0, "O": 1.0}


def write(
    path: Path, rng: np.random.Generator, *, energy_ev: float = 500.0, n: int = 25, **changes: Any
) -> None:
    """Write a small raw series with counting noise."""
    series = {
        "frames": rng.poisson(900, (n, 20, 24)).astype(np.uint16),
        "tilt_deg": TILTS[:n],
        "energy_ev": np.full(n, energy_ev),
        "pixel_nm": np.full(n, 10.0),
        "quantity": "counts",
        "flat": rng.poisson(1000, (2, 20, 24)).astype(np.float32),
        "dark": np.full((3, 20, 24), 2, np.float32),
    }
    path.unlink(missing_ok=True)
    write_data_exchange(path, TiltSeries(**(series | changes)))


def checked(folder: Path, **branches: Any) -> ProjectCheck:
    """Check a project of one sample ``a``."""
    project = parse_config({"results": "results", "samples": {"a": branches}}, folder=folder)
    found = check_project(project, read_flats=True)
    assert all("\n" not in str(problem) for problem in found.problems)
    return found


@pytest.fixture
def edges(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two edges without any fault; the folder is the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, energy_ev in ENERGIES.items():
        write(tmp_path / f"{name}.h5", rng, energy_ev=energy_ev)
    return {e: {side: f"{e}_{side}.h5" for side in ("pre", "post")} for e in ("O", "Ni")}


def test_a_good_project_has_neither_problem_nor_warning(tmp_path: Path, edges: dict[str, Any]) -> None:
    found = checked(tmp_path, composition={"edges": edges, "formula": FORMULA})
    assert (found.problems, found.warnings) == ((), ())


# --- what check prints


def test_check_prints_frames_flats_ends_and_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tilts").mkdir()
    for i, tilt in enumerate(range(-66, 67, 3)):
        tifffile.imwrite(tmp_path / "tilts" / f"proj_{tilt}.tif", np.full((20, 24), 700 + i, np.uint16))
    with tifffile.TiffWriter(tmp_path / "flat.tif") as file:
        for _ in range(6):
            file.write(np.full((20, 24), 1000, np.uint16))
    source = {
        "images": "tilts/*.tif",
        "angles": {"start": -66, "step": 3},
        "flat": "flat.tif",
        "pixel_nm": 20,
        "quantity": "counts",
    }
    config = {"results": "results", "samples": {"a": {"tomogram": {"source": source}}}}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["check", "x.yaml"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "45 frames of 20 × 24, -66° to 66°, 20 nm pixels, counts 6 flats, 0 darks;" in text
    assert "first frame proj_-66.tif at -66°, last proj_66.tif at 66°; values 700 to 744 in 5 frames" in text


def test_check_prints_the_ends_of_a_stack(tmp_path: Path, rng: np.random.Generator) -> None:
    from oxytomo.check.series import describe_frames
    from oxytomo.check.stack import facts_of_stack
    from oxytomo.io.readers import ReadRequest
    from oxytomo.io.readers.spectral import read_spectral_stack

    frames = rng.poisson(900, (8, 20, 24)).astype(np.uint16)
    energy = np.linspace(635.0, 660.0, 8)
    write_energy_stack(tmp_path / "s.h5", frames, energy, pixel_nm=20, quantity="counts", flat=frames[:1] + 1)
    stack = read_spectral_stack(ReadRequest(images=(tmp_path / "s.h5",)), energies=None, energy_unit=None)
    text = describe_frames(facts_of_stack("stack", stack))
    assert text.startswith("1 flat, 0 darks; first frame at 635 eV, last at 660 eV; values ")


def test_a_map_over_two_energies_is_said_to_be_one() -> None:
    from oxytomo.check.series import SeriesFacts, describe, describe_frames

    nan = float("nan")
    facts = SeriesFacts(
        "m", (1, 90, 240), (), nan, nan, "map", 0, energy_range_ev=(522.0, 561.5), values=(0, 2375)
    )
    assert describe(facts) == "map of 90 excitations, 522 to 561.5 eV, × 240 emission energies"
    assert describe_frames(facts) == "values 0 to 2375"


# --- values that a quantity cannot have


@pytest.mark.parametrize(
    ("quantity", "values", "match"),
    [
        ("transmission", 19000, "transmission, below 2 in nearly every pixel, got values up to 19"),
        ("transmission", 100, "got values up to 1"),
        ("transmission", -0.5, "transmission above zero"),
        ("optical_density", 19000, "optical density, below 20, got a median of 19"),
    ],
)
def test_counts_are_no_transmission_and_no_density(
    tmp_path: Path, rng: np.random.Generator, quantity: str, values: float, match: str
) -> None:
    frames = (values * rng.uniform(0.98, 1.02, (25, 20, 24))).astype(np.float32)
    write(tmp_path / "a.h5", rng, frames=frames)
    found = checked(tmp_path, tomogram={"source": {"images": "a.h5", "quantity": quantity}})
    (problem,) = found.problems
    assert match in str(problem)
    assert "samples.a.tomogram.source" in str(problem)


def test_fringes_noise_and_opaque_rays_are_plausible() -> None:
    rng = np.random.default_rng(1)
    fringes = 1 + 0.6 * np.sin(np.arange(400.0)).reshape(20, 20)
    noisy = rng.poisson(20, (20, 20)) / 20
    assert quantity_problem([fringes, noisy], "transmission") is None
    assert quantity_problem([np.full((4, 4), np.nan)], "transmission") is None
    assert quantity_problem([rng.normal(0, 0.1, (9, 9)), np.full((9, 9), 6.0)], "optical_density") is None
    assert quantity_problem([np.full((4, 4), 19000)], "counts") is None


def test_signed_counts_get_advice_that_fits(tmp_path: Path, rng: np.random.Generator) -> None:
    counts = rng.poisson(900, (25, 20, 24))
    write(
        tmp_path / "a.h5",
        rng,
        frames=(counts - 32768).astype(np.int16),
        flat=(counts[:2] - 32768 + 90).astype(np.float32),
        dark=None,
    )
    found = checked(tmp_path, tomogram={"source": "a.h5"})
    assert "give 'offset: 32768'" in str(found.problems[0])
    assert checked(tmp_path, tomogram={"source": {"images": "a.h5", "offset": 32768}}).problems == ()


# --- the configuration against the file


def test_values_given_that_differ_from_the_file_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a.h5", rng, energy_ev=525.0)
    np.savetxt(tmp_path / "a.txt", TILTS[::-1])
    source = {"images": "a.h5", "energy_ev": 640, "pixel_nm": 12, "angles": "a.txt"}
    energy, pixel, angles = checked(tmp_path, tomogram={"source": source}).warnings
    assert energy.endswith("energy_ev 640 eV is used; the file says 525 eV")
    assert pixel.endswith("pixel_nm 12 nm is used; the file says 10 nm")
    assert "(60° for the first frame, -60° for the last) are used; the file says -60° and 60°" in angles
    same = {"images": "a.h5", "energy_ev": 525.4, "pixel_nm": 10.05}
    assert checked(tmp_path, tomogram={"source": same}).warnings == ()


def test_a_table_of_energies_that_differs_from_the_file_is_named(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    from oxytomo.check.stack import stack_remarks
    from oxytomo.config import StackSource
    from oxytomo.stages.sources import open_stack

    energy = np.linspace(635.0, 660.0, 8)
    frames = rng.poisson(900, (8, 20, 24)).astype(np.uint16)
    write_energy_stack(tmp_path / "s.h5", frames, energy, pixel_nm=20, quantity="counts")
    np.savetxt(tmp_path / "e.txt", energy[::-1])
    source = StackSource(images=(str(tmp_path / "s.h5"),), energies=str(tmp_path / "e.txt"), pixel_nm=25)
    table, pixel = stack_remarks("stack", source, open_stack(source))
    assert "(660 eV for the first frame, 635 eV for the last) are used; the file says 635 and 660 eV" in table
    assert pixel.endswith("pixel_nm 25 nm is used; the file says 20 nm")
    plain = StackSource(images=(str(tmp_path / "s.h5"),))
    assert stack_remarks("stack", plain, open_stack(plain)) == []


def test_a_missing_pixel_size_stops_check_as_it_stops_a_run(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a.h5", rng, pixel_nm=np.full(25, np.nan))
    (problem,) = checked(tmp_path, tomogram={"source": "a.h5"}).problems
    assert "expected a pixel size" in str(problem)
    assert checked(tmp_path, tomogram={"source": {"images": "a.h5", "pixel_nm": 9}}).problems == ()


def test_frames_of_several_energies_are_no_tilt_series(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a.h5", rng)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["measurement/instrument/monochromator/energy"]
        file["measurement/instrument/monochromator/energy"] = np.linspace(640, 655, 25)
    (problem,) = checked(tmp_path, tomogram={"source": "a.h5"}).problems
    assert "frames of one energy, got 640 to 655 eV" in str(problem)


# --- files that are used twice


def test_a_copy_of_pre_named_post_is_found(tmp_path: Path, edges: dict[str, Any]) -> None:
    shutil.copy(tmp_path / "Ni_pre.h5", tmp_path / "Ni_post.h5")
    edges["Ni"]["post"] = {"images": "Ni_post.h5", "energy_ev": 866}
    found = checked(tmp_path, composition={"edges": edges, "formula": FORMULA})
    (problem,) = found.problems
    assert "edges.Ni.post" in str(problem)
    assert "the frames of samples.a.composition.edges.Ni.pre, value for value" in str(problem)


def test_one_file_for_two_series_is_refused_also_behind_a_link(tmp_path: Path, edges: dict[str, Any]) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "Ni_pre.h5")
    edges["Ni"]["post"] = {"images": "link.h5", "energy_ev": 866}
    found = checked(tmp_path, composition={"edges": edges, "formula": FORMULA})
    assert any(
        "edges.Ni.post" in str(problem)
        and "got the files of samples.a.composition.edges.Ni.pre" in str(problem)
        for problem in found.problems
    )


def test_two_datasets_of_one_file_are_two_series(tmp_path: Path, edges: dict[str, Any]) -> None:
    rng = np.random.default_rng(8)
    with h5py.File(tmp_path / "O_post.h5", "a") as file:
        file["other/data"] = rng.poisson(800, (25, 20, 24)).astype(np.uint16)
    with h5py.File(tmp_path / "O_post.h5", "a") as file:
        del file["measurement/instrument/monochromator/energy"]
    edges["O"]["post"] = {"images": "O_post.h5", "energy_ev": 540}
    edges["O"]["pre"] = {"images": "O_post.h5", "dataset": "other/data", "energy_ev": 525}
    assert checked(tmp_path, composition={"edges": edges, "formula": FORMULA}).problems == ()


def test_frames_as_their_own_flats_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a.h5", rng)
    write(tmp_path / "f.h5", rng, n=3)
    flat = checked(tmp_path, tomogram={"source": {"images": "a.h5", "flat": "a.h5"}}).problems
    assert any(
        "source.flat" in str(problem) and "other files than for 'images'" in str(problem) for problem in flat
    )
    dark = checked(tmp_path, tomogram={"source": {"images": "a.h5", "flat": "f.h5", "dark": "f.h5"}}).problems
    assert any(
        "source.dark" in str(problem) and "other files than for 'flat'" in str(problem) for problem in dark
    )


def test_two_samples_from_one_file_are_a_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a.h5", rng)
    samples = {name: {"tomogram": {"source": "a.h5"}} for name in "ab"}
    project = parse_config({"results": "results", "samples": samples}, folder=tmp_path)
    found = check_project(project, read_flats=True)
    assert found.problems == ()
    assert found.warnings == (
        "samples.b.tomogram: signal is read from the same files as samples.a.tomogram signal",
    )


# --- tilts and rows


def test_areal_density_takes_one_view_only(
    tmp_path: Path, edges: dict[str, Any], rng: np.random.Generator
) -> None:
    branch = {"edges": {"Ni": edges["Ni"]}, "formula": FORMULA}
    problems = checked(tmp_path, areal_density=branch).problems
    assert len(problems) == 2
    assert all(
        "frames of one tilt, which are averaged, got 25 from -60° to 60°" in str(one) for one in problems
    )
    for name in ("Ni_pre", "Ni_post"):
        changes = {"tilt_deg": np.full(3, np.nan), "energy_ev": ENERGIES[name]}
        write(tmp_path / f"{name}.h5", rng, n=3, **changes | {"energy_ev": np.full(3, ENERGIES[name])})
        with h5py.File(tmp_path / f"{name}.h5", "a") as file:
            del file["exchange/theta"]
    problems = checked(tmp_path, areal_density=branch).problems
    assert "a tilt angle for every frame, where there are several" in str(problems[0])
    for name in ("Ni_pre", "Ni_post"):
        branch["edges"]["Ni"][name[3:]] = {"images": f"{name}.h5", "angles": {"start": 0, "step": 0}}
    assert checked(tmp_path, areal_density=branch).problems == ()


def test_a_single_projection_needs_no_angle_in_areal_density(
    tmp_path: Path, edges: dict[str, Any], rng: np.random.Generator
) -> None:
    for name in ("Ni_pre", "Ni_post"):
        write(tmp_path / f"{name}.h5", rng, n=1, energy_ev=ENERGIES[name])
        with h5py.File(tmp_path / f"{name}.h5", "a") as file:
            del file["exchange/theta"]
    assert checked(tmp_path, areal_density={"edges": {"Ni": edges["Ni"]}, "formula": FORMULA}).problems == ()


def test_an_angle_that_is_no_number_is_named_with_its_frame(tmp_path: Path, rng: np.random.Generator) -> None:
    """'None in the file' would send the user to a table of angles that is there."""
    tilts = TILTS.copy()
    tilts[[3, 7]] = np.nan
    write(tmp_path / "a.h5", rng, tilt_deg=tilts)
    (problem,) = checked(tmp_path, tomogram={"source": "a.h5"}).problems
    assert f"got 2 of {TILTS.size} that are no number, first that of frame 3" in str(problem)


def test_tilts_of_a_few_degrees_are_a_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "a.h5", rng, tilt_deg=np.deg2rad(TILTS))  # written with the unit deg
    (warning,) = checked(tmp_path, tomogram={"source": "a.h5"}).warnings
    assert "the tilts span only 2.09°; if they are radians" in warning
    ramp = {"images": "a.h5", "angles": {"start": 0, "step": 0.13}}
    assert any("span only 3.12°" in line for line in checked(tmp_path, tomogram={"source": ramp}).warnings)


def test_one_detector_row_is_refused_by_name(tmp_path: Path, rng: np.random.Generator) -> None:
    write(
        tmp_path / "a.h5",
        rng,
        frames=rng.poisson(900, (25, 1, 24)).astype(np.uint16),
        flat=np.full((2, 1, 24), 1000, np.float32),
        dark=None,
    )
    (problem,) = checked(tmp_path, tomogram={"source": "a.h5"}).problems
    assert (
        "6 × 6 pixels or more, up to 100000 in a row, got 1 × 24. Likely fix: give all rows of the detector"
        in str(problem)
    )


# --- half acquisition


def turn(
    axis: float, *, radius: float = 20.0, off: float = 0.0, span: float = 360.0, n_x: int = 48
) -> tuple[Any, Any]:
    """Optical density of a ball over a turn: its centre is ``off`` pixels from the axis."""
    tilt_deg = np.linspace(0, span, 73)[:-1]
    y, x = np.mgrid[:32, :n_x].astype(float)
    frames = [
        2 * np.sqrt(np.maximum(radius**2 - (x - axis - off * np.cos(a)) ** 2 - (y - 15.5) ** 2, 0))
        for a in np.deg2rad(tilt_deg)
    ]
    return (0.02 * np.array(frames)).astype(np.float32), tilt_deg


@pytest.mark.parametrize(
    ("geometry", "side"),
    [
        ({"axis": 42.0, "radius": 36.0}, "right"),
        ({"axis": 5.0, "radius": 36.0, "off": 2.0}, "left"),
        ({"axis": 23.5}, None),  # fits
        ({"axis": 23.5, "radius": 40.0}, None),  # too wide on both sides
        ({"axis": 23.5, "radius": 12.0, "off": 18.0}, None),  # leaves the field now left, now right
        ({"axis": 30.0, "radius": 12.0}, None),  # axis off centre, but all of it in the field
        ({"axis": 42.0, "radius": 36.0, "span": 180.0}, None),  # half a turn has no opposite frames
    ],
)
def test_a_turn_that_shows_one_half_is_recognised(geometry: dict[str, float], side: str | None) -> None:
    frames, tilt_deg = turn(**geometry)
    noisy = frames + np.random.default_rng(3).normal(0, 0.05, frames.shape).astype(np.float32)
    assert cut_side(noisy, tilt_deg) == side
    if side is not None:
        with pytest.raises(InputError, match=f"always cut at the {side} side: half acquisition"):
            require_whole_field("signal", noisy, tilt_deg)


# --- what a report warns of


def alignment(dx: list[float], limit: float = 30.0) -> Alignment:
    """Return an alignment of one tilt with a shift for each energy."""
    dx_px = np.array(dx)[:, None]
    return Alignment(
        tilt_deg=np.zeros(1),
        dy_px=np.zeros_like(dx_px),
        dx_px=dx_px,
        residual=None,
        series=[f"s{i}" for i in range(len(dx))],
        pixel_nm=10.0,
        max_shift_px=limit,
        quality={},
        invalid={},
        n_pixels={},
    )


def test_a_shift_between_two_energies_beyond_the_limit_is_a_warning() -> None:
    assert check_alignment(alignment([0.0, 20.0])) == []
    (line,) = check_alignment(alignment([0.0, 40.0]))
    assert "Shifts reach 40.0 px, the limit of the search is 30 px" in line


def test_negative_amounts_are_counted_and_named() -> None:
    areal = np.zeros((2, 1, 10, 10), np.float32)
    areal[0, 0, :3] = -1.0
    areal[0, 0, 3:6] = 1.0
    areal[1, 0, :5] = 1.0
    areal[1, 0, 9, 9] = np.nan
    variance = np.full((3, 1, 10, 10), 0.01, np.float32)
    negative, different = negative_share(areal, variance)
    assert (negative.tolist(), different.tolist()) == ([30, 0], [60, 50])
    (line,) = check_amounts({"Mn": [30, 60], "O": [0, 50]})
    assert line.startswith("Mn has a negative amount in 50.0 % of the pixels")
    assert check_amounts({"Mn": [5, 10], "O": [40, 5000]}) == []


# --- volumes


def test_a_volume_is_opened_and_its_voxels_compared(tmp_path: Path, rng: np.random.Generator) -> None:
    import mrcfile

    values = rng.normal(100, 10, (12, 20, 24)).astype(np.float32)
    with mrcfile.new(tmp_path / "v.mrc") as file:
        file.set_data(values)
        file.voxel_size = 200.0  # Å
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((12, 20, 23), np.uint8))
    found = checked(tmp_path, structure={"volume": "v.mrc", "voxel_nm": 20})
    assert (found.problems, found.warnings) == ((), ())
    volume = found.branches[0].series["volume"]
    assert (volume.shape, volume.n_looked) == ((12, 20, 24), 5)
    (warning,) = checked(tmp_path, structure={"volume": "v.mrc", "voxel_nm": 25}).warnings
    assert "voxels of 25 nm are used (voxel_nm); the file says 20 nm" in warning
    project = parse_config(
        {
            "results": "results",
            "samples": {"a": {"structure": {"volume": "v.mrc", "mask": "mask.tif", "voxel_nm": 20}}},
        },
        folder=tmp_path,
    )
    (problem,) = check_project(project, read_flats=True).problems
    assert "a mask of 12 × 20 × 24 voxels as the volume, got 12 × 20 × 23" in str(problem)
    (tmp_path / "v.mrc").write_bytes(b"MM\x00*nothing")
    assert len(check_project(project, read_flats=True).problems) == 1
