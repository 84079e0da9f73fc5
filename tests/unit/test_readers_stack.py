"""Stacks through an edge: every format, energies in any order and unit, flats per energy, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest
from oxytomo.io.readers.data_exchange import write_energy_stack
from oxytomo.io.readers.spectral import SpectralStack, read_energies, read_spectral_stack

N = 7
FRAMES = np.arange(N * 3 * 4, dtype=np.uint16).reshape(N, 3, 4) + 100
ENERGY = np.array([640.0, 638.0, 639.0, 640.0, 641.0, 642.5, 643.0])
"""Neither sorted nor without repetition."""


def stack_of(*paths: Path, energies: Path | None = None, unit: str | None = None, **more) -> SpectralStack:
    return read_spectral_stack(ReadRequest(images=paths, **more), energies=energies, energy_unit=unit)


def data_exchange(folder: Path) -> SpectralStack:
    write_energy_stack(folder / "s.h5", FRAMES, ENERGY, pixel_nm=20.0, quantity="counts")
    return stack_of(folder / "s.h5")


def data_exchange_kev(folder: Path) -> SpectralStack:
    with h5py.File(folder / "s.h5", "w") as file:
        file["exchange/data"] = FRAMES
        file["exchange/energy"] = ENERGY / 1e3
        file["exchange/energy"].attrs["units"] = "keV"
    return stack_of(folder / "s.h5", pixel_nm=20.0)


def mistral(folder: Path) -> SpectralStack:
    with h5py.File(folder / "s.hdf5", "w") as file:
        group = file.create_group("SpecNormalized")
        group["spectroscopy_normalized"] = FRAMES / 1000.0
        group["energy"] = ENERGY
        for axis in "xy":
            group[f"{axis}_pixel_size"] = np.full(N, 0.02)
        group["rotation_angle"] = np.array([0.0])
    return stack_of(folder / "s.hdf5")


def nxstxm(folder: Path) -> SpectralStack:
    with h5py.File(folder / "s.hdf5", "w") as file:
        entry = file.create_group("entry1")
        entry.attrs["NX_class"] = "NXentry"
        entry["definition"] = "NXstxm"
        data = entry.create_group("counter0")
        data.attrs["NX_class"] = "NXdata"
        data["data"] = FRAMES
        data["energy"] = ENERGY
        data["sample_x"], data["sample_y"] = np.arange(4) * 0.02, np.arange(3) * 0.02
    return stack_of(folder / "s.hdf5")


def als(folder: Path) -> SpectralStack:
    def axis(name: str, unit: str, points: np.ndarray) -> str:
        listed = ", ".join(f"{p:.4f}" for p in points)
        return f'{name} = {{ Name = "n"; Unit = "{unit}"; Min = 0; Dir = 1;\n Points = ({points.size}, {listed});\n}};\n'

    header = 'ScanDefinition = { Label = "a.hdr"; Type = "NEXAFS Image Scan"; Regions = (1,\n{\n'
    header += axis("PAxis", "um", np.arange(4) * 0.02) + axis("QAxis", "um", np.arange(3) * 0.02) + "});\n"
    (folder / "a.hdr").write_text(header + axis("StackAxis", "eV", ENERGY) + "};\n")
    for i, frame in enumerate(FRAMES):
        text = "\n".join("\t".join(f"{value:.6f}" for value in row) for row in frame)
        (folder / f"a_a{i:03d}.xim").write_text(text)
    return stack_of(folder)


def tiff_and_table(folder: Path) -> SpectralStack:
    tifffile.imwrite(folder / "s.tif", FRAMES, photometric="minisblack")
    (folder / "energies.csv").write_text(
        "frame,energy_keV\n" + "".join(f"{i},{e / 1e3}\n" for i, e in enumerate(ENERGY))
    )
    return stack_of(folder / "s.tif", energies=folder / "energies.csv", pixel_nm=20.0)


def tiff_folder(folder: Path) -> SpectralStack:
    images = folder / "images"
    images.mkdir()
    for i, frame in enumerate(FRAMES):
        tifffile.imwrite(images / f"frame_{i}.tif", frame)
    (folder / "energies.txt").write_text("# eV\n" + "\n".join(f"{e}" for e in ENERGY))
    return stack_of(images, energies=folder / "energies.txt", pixel_nm=20.0)


@pytest.mark.parametrize(
    "write", [data_exchange, data_exchange_kev, mistral, nxstxm, als, tiff_and_table, tiff_folder]
)
def test_every_format_gives_the_same_stack(tmp_path: Path, write: Callable[[Path], SpectralStack]) -> None:
    stack = write(tmp_path)
    assert stack.shape == FRAMES.shape
    np.testing.assert_allclose(stack.energy_ev, ENERGY, atol=1e-6)
    assert stack.pixel_nm == pytest.approx(20.0, rel=1e-6)
    scale = 1000.0 if stack.quantity == "transmission" else 1.0
    for index in (0, 3, N - 1):
        np.testing.assert_allclose(stack.frame(index) * scale, FRAMES[index], rtol=1e-6)


def test_flats_of_each_energy_and_flats_for_all(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    flats = np.arange(N, dtype=np.float32)[:, None, None] + np.zeros((N, 3, 4), np.float32)
    dark = np.stack([np.full((3, 4), 2.0), np.full((3, 4), 4.0)]).astype(np.float32)
    write_energy_stack(path, FRAMES, ENERGY, pixel_nm=20.0, quantity="counts", flat=flats, dark=dark)
    stack = stack_of(path)
    np.testing.assert_array_equal(stack.flat(5), flats[[5]])
    np.testing.assert_array_equal(stack.dark(), np.full((3, 4), 3.0))
    write_energy_stack(path, FRAMES, ENERGY, pixel_nm=20.0, quantity="counts", flat=flats[:2])
    np.testing.assert_array_equal(stack_of(path).flat(5), flats[:2])


def test_flats_in_a_stack_of_their_own_go_by_energy(tmp_path: Path) -> None:
    write_energy_stack(tmp_path / "s.h5", FRAMES, ENERGY, pixel_nm=20.0, quantity="counts")
    order = np.argsort(ENERGY, kind="stable")
    write_energy_stack(tmp_path / "f.h5", FRAMES[order], ENERGY[order], pixel_nm=20.0, quantity="counts")
    stack = stack_of(tmp_path / "s.h5", flat=(tmp_path / "f.h5",))
    np.testing.assert_array_equal(stack.flat(5), FRAMES[[5]])
    assert stack.flat(0).shape[0] == 2  # 640 eV was taken twice
    write_energy_stack(tmp_path / "f.h5", FRAMES, ENERGY + 20, pixel_nm=20.0, quantity="counts")
    with pytest.raises(InputError, match="flat frames at 640 eV"):
        stack_of(tmp_path / "s.h5", flat=(tmp_path / "f.h5",)).flat(0)


@pytest.mark.parametrize("role", ["flat", "dark"])
def test_flats_and_darks_of_another_camera_region_are_refused(tmp_path: Path, role: str) -> None:
    other = {role: np.ones((1, 4, 4), np.float32)}
    write_energy_stack(
        tmp_path / "s.h5", FRAMES, ENERGY, pixel_nm=20.0, quantity="counts", **({"flat": None} | other)
    )
    with pytest.raises(InputError, match=rf"expected {role} frames of 3 × 4 pixels .*, got 4 × 4"):
        stack_of(tmp_path / "s.h5")


@pytest.mark.data
def test_a_folder_of_xradia_files_is_a_stack(shared_data: Path, tmp_path: Path) -> None:
    """One real file under the names of five energies: its header has none, they are in the names."""
    one = sorted((shared_data / "ssrl_nca_dual_energy_xrm").glob("rep01_2016*08324*.xrm"))[0]
    for energy in range(8320, 8345, 5):
        (tmp_path / one.name.replace("08324", f"0{energy}")).symlink_to(one)
    stack = stack_of(tmp_path)
    np.testing.assert_allclose(stack.energy_ev, np.arange(8320, 8345, 5), atol=0.1)
    assert stack.shape == (5, 1024, 1024)
    assert float(stack.frame(3).mean()) == pytest.approx(float(stack.frame(0).mean()))


def test_one_energy_missing_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", FRAMES, photometric="minisblack")
    (tmp_path / "e.txt").write_text("\n".join(f"{e}" for e in ENERGY[:-1]))
    with pytest.raises(InputError, match="7 energies, one per frame, got 6"):
        stack_of(tmp_path / "s.tif", energies=tmp_path / "e.txt")
    with pytest.raises(InputError, match="a photon energy for every frame, got none"):
        stack_of(tmp_path / "s.tif")


def test_an_energy_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    write_energy_stack(
        tmp_path / "s.h5", FRAMES, np.where(ENERGY == 641, np.nan, ENERGY), pixel_nm=1.0, quantity="counts"
    )
    with pytest.raises(InputError, match="a positive energy for every frame, got nan for frame 4"):
        stack_of(tmp_path / "s.h5")
    (tmp_path / "e.txt").write_text("640\nx\n")
    with pytest.raises(InputError, match="a number in every row"):
        read_energies(tmp_path / "e.txt", None)


def test_two_energies_are_no_stack(tmp_path: Path) -> None:
    write_energy_stack(tmp_path / "s.h5", FRAMES[:2], ENERGY[:2], pixel_nm=1.0, quantity="counts")
    with pytest.raises(InputError, match="at least 5 different energies, got 2"):
        stack_of(tmp_path / "s.h5")


def test_pixels_of_unknown_meaning_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", FRAMES.astype(np.float32), photometric="minisblack")
    (tmp_path / "e.txt").write_text("\n".join(f"{e}" for e in ENERGY))
    with pytest.raises(InputError, match="give 'quantity: counts'"):
        stack_of(tmp_path / "s.tif", energies=tmp_path / "e.txt")
    given = stack_of(tmp_path / "s.tif", energies=tmp_path / "e.txt", quantity="optical_density")
    assert given.quantity == "optical_density"


def test_damaged_als_stacks(tmp_path: Path) -> None:
    als(tmp_path)
    (tmp_path / "a_a003.xim").write_text("1 2 3")
    with pytest.raises(InputError, match="the file is truncated"):
        stack_of(tmp_path / "a.hdr").frame(3)
    (tmp_path / "a_a003.xim").unlink()
    with pytest.raises(InputError, match=r"7 images, one per energy, got 6: no a_a003\.xim"):
        stack_of(tmp_path / "a.hdr")
    (tmp_path / "a.hdr").write_text((tmp_path / "a.hdr").read_text()[:300])
    with pytest.raises(InputError, match="header of an image stack"):
        stack_of(tmp_path / "a.hdr")


@pytest.mark.data
def test_real_files(shared_data: Path) -> None:
    stack = stack_of(shared_data / "als_fe_stxm_stack" / "Aligned" / "71214098.hdr")
    assert stack.shape == (123, 150, 150)
    assert (stack.energy_ev[0], stack.energy_ev[-1]) == pytest.approx((700.0, 730.353))
    assert stack.pixel_nm == pytest.approx(80.0)
    assert 250 < float(stack.frame(0).mean()) < 310
    # A folder of Xradia files is a stack; this one has two energies only, which is said.
    with pytest.raises(InputError, match="at least 5 different energies, got 2"):
        stack_of(
            *sorted((shared_data / "ssrl_nca_dual_energy_xrm").glob("*8324*.xrm"))[:2],
            *sorted((shared_data / "ssrl_nca_dual_energy_xrm").glob("*8354*.xrm"))[:2],
        )
