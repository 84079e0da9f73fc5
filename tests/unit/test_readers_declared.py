"""HDF5 by declaration, and the layouts of FXI, MISTRAL (aligned) and Diamond: what is read equals the Data Exchange file."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from oxytomo.arrays import TiltSeries
from oxytomo.cli.inspect import describe_path
from oxytomo.config import Source, StackSource
from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series
from oxytomo.io.readers.data_exchange import write_data_exchange, write_energy_stack
from oxytomo.io.readers.spectral import read_spectral_stack
from oxytomo.io.volumes import VolumeRequest, read_volume
from oxytomo.stages.sources import open_stack, read_request

N, N_Y, N_X = 6, 5, 7
RNG = np.random.default_rng(5)
FRAMES = RNG.integers(100, 4000, (N, N_Y, N_X)).astype(np.uint16)
FLAT = RNG.integers(3000, 4000, (3, N_Y, N_X)).astype(np.float32)
DARK = RNG.integers(90, 110, (2, N_Y, N_X)).astype(np.float32)
TILT = np.array([-10.0, -5.0, 0.0, 5.0, 10.0, 12.5])
ENERGY = np.linspace(8320.0, 8370.0, N)

PLACES = {
    "dataset": "scan/pictures",
    "flat_dataset": "white",
    "dark_dataset": "scan/black",
    "angles_dataset": "scan/theta",
    "energy_dataset": "mono",
}


def own_layout(path: Path) -> Path:
    """Write a layout of nobody's; the energy is in keV and the angle in radians."""
    with h5py.File(path, "w") as file:
        file["scan/pictures"], file["white"], file["scan/black"] = FRAMES, FLAT, DARK
        file["scan/theta"] = np.deg2rad(TILT)
        file["scan/theta"].attrs["units"] = "rad"
        file["mono"] = ENERGY / 1e3
        file["note"] = "a text"
    return path


def exchange(path: Path) -> TiltSeries:
    write_data_exchange(
        path,
        TiltSeries(
            frames=FRAMES,
            tilt_deg=TILT,
            energy_ev=ENERGY,
            pixel_nm=np.full(N, 20.0),
            quantity="counts",
            flat=FLAT,
            dark=DARK,
        ),
    )
    return read_tilt_series(ReadRequest(images=(path,)))


def same(read: TiltSeries, wanted: TiltSeries) -> None:
    assert read.quantity == "counts"
    for name in ("frames", "tilt_deg", "energy_ev", "pixel_nm", "flat", "dark"):
        np.testing.assert_allclose(
            np.asarray(getattr(read, name)[:]), np.asarray(getattr(wanted, name)[:]), rtol=1e-12, err_msg=name
        )


def test_a_declared_layout_is_read_as_the_same_data_in_data_exchange(tmp_path: Path) -> None:
    source = Source(images=(str(own_layout(tmp_path / "own.h5")),), pixel_nm=20.0, **PLACES)
    same(read_tilt_series(read_request(source)), exchange(tmp_path / "x.h5"))


def test_declared_flats_may_be_in_files_of_their_own(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "flats.h5", "w") as file:
        file["a/b"], file["a/other"] = FLAT, FLAT * 0
    places = PLACES | {"flat_dataset": "a/b"}
    own = own_layout(tmp_path / "own.h5")
    source = Source(images=(str(own),), flat=(str(tmp_path / "flats.h5"),), pixel_nm=20.0, **places)
    same(read_tilt_series(read_request(source)), exchange(tmp_path / "x.h5"))


def test_a_declared_stack_is_read_as_the_same_data_in_data_exchange(tmp_path: Path) -> None:
    places = {name: place for name, place in PLACES.items() if name != "angles_dataset"}
    read = open_stack(StackSource(images=(str(own_layout(tmp_path / "own.h5")),), pixel_nm=20.0, **places))
    write_energy_stack(
        tmp_path / "x.h5", FRAMES, ENERGY, pixel_nm=20.0, quantity="counts", flat=FLAT, dark=DARK
    )
    wanted = open_stack(StackSource(images=(str(tmp_path / "x.h5"),)))
    np.testing.assert_allclose(read.energy_ev, wanted.energy_ev, rtol=1e-12)
    assert (read.pixel_nm, read.quantity, read.n_flat) == (wanted.pixel_nm, wanted.quantity, wanted.n_flat)
    for index in range(N):
        np.testing.assert_array_equal(read.frame(index), wanted.frame(index))
        np.testing.assert_array_equal(read.flat(index), wanted.flat(index))
    np.testing.assert_array_equal(read.dark(), wanted.dark())


def test_a_declared_volume_is_read(tmp_path: Path) -> None:
    volume = read_volume(VolumeRequest(images=(own_layout(tmp_path / "own.h5"),), dataset="scan/pictures"))
    np.testing.assert_array_equal(volume.values[:], FRAMES)


def test_what_is_declared_wins_over_a_recognised_format_which_gives_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    exchange(path)
    with h5py.File(path, "a") as file:
        file["corrected/angles"] = TILT + 0.25
    read = read_tilt_series(ReadRequest(images=(path,), angles_dataset="corrected/angles"))
    np.testing.assert_allclose(read.tilt_deg, TILT + 0.25)
    np.testing.assert_array_equal(read.flat, FLAT)


def test_declared_angles_of_all_stored_images_meet_the_projections_of_nxtomo(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "n.nxs", "w") as file:
        for name, kind in (("e", "NXentry"), ("e/i", "NXinstrument"), ("e/i/d", "NXdetector")):
            file.create_group(name).attrs["NX_class"] = kind
        file["e/i/d/data"], file["e/i/d/image_key"] = FRAMES, [1, 0, 0, 2, 0, 0]
        file["elsewhere"] = TILT
    read = read_tilt_series(ReadRequest(images=(tmp_path / "n.nxs",), angles_dataset="elsewhere"))
    np.testing.assert_allclose(read.tilt_deg, TILT[[1, 2, 4, 5]])


@pytest.mark.parametrize("place", list(PLACES))
def test_a_wrong_name_is_one_line_with_what_the_file_holds(place: str, tmp_path: Path) -> None:
    places: dict[str, Any] = PLACES | {place: PLACES[place] + "x"}
    with pytest.raises(InputError) as caught:
        read_tilt_series(ReadRequest(images=(own_layout(tmp_path / "own.h5"),), **places))
    said = str(caught.value)
    assert "\n" not in said
    assert f"[{place}]" in said
    assert "scan/pictures (6, 5, 7) uint16" in said
    assert f"did you mean '{PLACES[place]}'?" in said


def test_an_unknown_layout_without_a_declaration_lists_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got HDF5 with scan/pictures \(6, 5, 7\) uint16.*'dataset:'"):
        peek(ReadRequest(images=(own_layout(tmp_path / "own.h5"),)))


def test_inspect_lists_an_unknown_layout(tmp_path: Path) -> None:
    lines = describe_path(own_layout(tmp_path / "own.h5"))
    assert lines[0].endswith("HDF5 of a layout that is not known, 6 datasets")
    assert "  scan/theta: (6,) float64" in lines
    assert lines[-1] == "  images are declared with e.g. 'dataset: scan/pictures'"


def test_names_with_control_characters_stay_on_one_line(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["two\nlines \x1b[31m"] = FRAMES
    with pytest.raises(InputError) as caught:
        peek(ReadRequest(images=(tmp_path / "a.h5",), dataset="none"))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_text_where_numbers_are_declared_is_refused(tmp_path: Path) -> None:
    places = PLACES | {"angles_dataset": "note"}
    with pytest.raises(InputError, match="expected numbers, one per frame"):
        read_tilt_series(ReadRequest(images=(own_layout(tmp_path / "own.h5"),), **places))


def test_too_few_declared_angles_are_refused(tmp_path: Path) -> None:
    own = own_layout(tmp_path / "own.h5")
    with h5py.File(own, "a") as file:
        file["short"] = TILT[:4]
    with pytest.raises(InputError, match=r"one per frame \(6\), got 4"):
        read_tilt_series(ReadRequest(images=(own,), **(PLACES | {"angles_dataset": "short"})))


def test_a_place_in_a_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", FRAMES)
    with pytest.raises(InputError, match="expected an HDF5 file, since 'angles_dataset'"):
        peek(ReadRequest(images=(tmp_path / "a.tif",), angles_dataset="theta"))


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (Source, {"angles": "a.txt", "angles_dataset": "theta"}),
        (Source, {"energy_ev": 700.0, "energy_dataset": "e"}),
        (StackSource, {"energies": "e.csv", "energy_dataset": "e"}),
    ],
)
def test_the_same_thing_given_twice_is_refused(model: type, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="both"):
        model(images=("a.h5",), **given)


def test_single_images_of_a_folder_are_joined(tmp_path: Path) -> None:
    """One file per energy with a single image, as scans that write a file at a time."""
    for i in range(N):
        with h5py.File(tmp_path / f"e{i}.h5", "w") as file:
            file["image"], file["E"] = FRAMES[i], ENERGY[i]
    stack = read_spectral_stack(
        ReadRequest(images=(tmp_path,), dataset="image", energy_dataset="E", pixel_nm=20.0),
        energies=None,
        energy_unit=None,
    )
    np.testing.assert_allclose(stack.energy_ev, ENERGY)
    np.testing.assert_array_equal(stack.frame(3), FRAMES[3])


def fxi_tomo(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["img_tomo"], file["angle"], file["X_eng"] = FRAMES, TILT, 8.35
        file["img_bkg"], file["img_dark"] = FLAT, DARK
        file["img_bkg_avg"], file["img_dark_avg"] = FLAT.mean(0, keepdims=True), DARK.mean(0, keepdims=True)
        file["Pixel Size"], file["scan_id"], file["note"] = "20.0nm", 112515, "NMC"
    return path


def test_an_fxi_tilt_series_is_recognised(tmp_path: Path) -> None:
    read = read_tilt_series(ReadRequest(images=(fxi_tomo(tmp_path / "fly_scan.h5"),)))
    assert read.metadata["format"] == "NSLS-II FXI HDF5"
    np.testing.assert_array_equal(read.frames, FRAMES)
    np.testing.assert_array_equal(
        read.flat, FLAT
    )  # single frames, whose number says how well the flat is known
    np.testing.assert_array_equal(read.dark, DARK)
    np.testing.assert_allclose(read.tilt_deg, TILT)
    np.testing.assert_allclose(read.energy_ev, 8350.0)
    np.testing.assert_allclose(read.pixel_nm, 20.0)
    assert read.quantity == "counts"


def test_an_fxi_file_with_averages_only_is_recognised(tmp_path: Path) -> None:
    path = fxi_tomo(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["img_bkg"], file["img_dark"]
    read = read_tilt_series(ReadRequest(images=(path,)))
    np.testing.assert_allclose(read.flat, FLAT.mean(0, keepdims=True))


@pytest.mark.parametrize("kind", ["transmission", "counts"])
def test_an_fxi_stack_is_transmission_or_counts_without_dark(kind: str, tmp_path: Path) -> None:
    frames = FRAMES.astype(np.float32) / (4000 if kind == "transmission" else 1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["img_xanes"], file["X_eng"] = frames, ENERGY / 1e3
        file["img_bkg"] = np.ones((N, N_Y, N_X), np.float32) * 5000
        file["img_dark"] = np.ones((N, N_Y, N_X), np.float32) * 100
        file["Pixel Size"] = "19.5nm"
    stack = read_spectral_stack(ReadRequest(images=(tmp_path / "x.h5",)), energies=None, energy_unit=None)
    assert stack.quantity == kind
    assert stack.n_flat == 0  # divided out, or written as ones
    assert stack.dark() is None  # taken off already
    np.testing.assert_allclose(stack.energy_ev, ENERGY)
    np.testing.assert_array_equal(stack.frame(2), frames[2])
    assert stack.pixel_nm == pytest.approx(19.5)


def test_images_that_mistral_has_aligned_are_preferred_and_the_others_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "m.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("SpecNormalized")
        group["spectroscopy_normalized"] = FRAMES / 4000
        group["spectroscopy_normalized_aligned"] = FRAMES / 8000
        group["energy"], group["x_pixel_size"] = ENERGY, [0.01]
    for dataset, scale in ((None, 8000), ("SpecNormalized/spectroscopy_normalized", 4000)):
        stack = read_spectral_stack(
            ReadRequest(images=(path,), dataset=dataset), energies=None, energy_unit=None
        )
        np.testing.assert_allclose(stack.frame(1), FRAMES[1] / scale)
        assert stack.quantity == "transmission"
    assert stack.metadata["images"] == "/SpecNormalized/spectroscopy_normalized"


def test_an_aligned_mistral_tilt_series_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m_ali.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("FastAligned")
        group.attrs["NX_class"] = "NXentry"
        group["tomo_aligned"], group["rotation_angle"] = FRAMES / 4000, TILT
        group["energy"], group["x_pixel_size"], group["y_pixel_size"] = [520.0], [0.01], [0.01]
    read = read_tilt_series(ReadRequest(images=(path,)))
    np.testing.assert_allclose(read.frames, FRAMES / 4000)
    np.testing.assert_allclose(read.tilt_deg, TILT)
    assert read.metadata["format"] == "ALBA MISTRAL HDF5"


def diamond(path: Path) -> Path:
    """Write an entry whose subentry follows NXtomo and links to the same images, as Diamond does."""
    with h5py.File(path, "w") as file:
        for name, kind in (
            ("entry1", "NXentry"),
            ("entry1/instrument", "NXinstrument"),
            ("entry1/instrument/pco", "NXdetector"),
            ("entry1/instrument/mono", "NXmonochromator"),
            ("entry1/tomo_entry", "NXsubentry"),
            ("entry1/tomo_entry/instrument", "NXinstrument"),
            ("entry1/tomo_entry/instrument/detector", "NXdetector"),
            ("entry1/tomo_entry/sample", "NXsample"),
            ("entry1/tomo_entry/data", "NXdata"),
        ):
            file.create_group(name).attrs["NX_class"] = kind
        tomo = file["entry1/tomo_entry"]
        tomo["definition"] = "NXtomo"
        file["entry1/instrument/pco/data"] = FRAMES
        file["entry1/instrument/mono/energy"] = 8.35
        file["entry1/instrument/mono/energy"].attrs["units"] = "keV"
        tomo["instrument/detector/image_key"] = [2, 1, 0, 0, 0, 1]
        tomo["sample/rotation_angle"] = TILT
        for name in ("instrument/detector/data", "data/data"):
            tomo[name] = file["entry1/instrument/pco/data"]
        tomo["data/image_key"] = tomo["instrument/detector/image_key"]
        tomo["data/rotation_angle"] = tomo["sample/rotation_angle"]
    return path


def test_a_subentry_that_follows_nxtomo_is_read(tmp_path: Path) -> None:
    read = read_tilt_series(ReadRequest(images=(diamond(tmp_path / "d.nxs"),)))
    np.testing.assert_array_equal(read.frames, FRAMES[2:5])
    np.testing.assert_allclose(read.tilt_deg, TILT[2:5])
    np.testing.assert_array_equal(read.flat, FRAMES[[1, 5]])
    np.testing.assert_array_equal(read.dark, FRAMES[[0]])
    np.testing.assert_allclose(read.energy_ev, 8350.0)  # from the entry that the subentry is in
