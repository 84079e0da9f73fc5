"""Scans of STXM: stacks, single images and pairs of ``.hdr``/``.xim``, NXstxm and the older ``.stxm``."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series
from oxytomo.io.readers.spectral import read_spectral_stack

IMAGE = np.arange(12.0).reshape(3, 4) + 1000


def axis(name: str, unit: str, points: list[float]) -> str:
    listed = ", ".join(f"{point:g}" for point in [len(points), *points])
    return f'{name} = {{ Name = "{name}"; Unit = "{unit}"; Min = 0; Max = 1; Points = ({listed}); }};\n'


def header(path: Path, stack: list[float] | None, entries: str = "", regions: int = 1) -> Path:
    """Write the header of a scan as the ALS does; without ``stack`` it is an image scan."""
    kind = "Image Scan" if stack is None else "NEXAFS Image Scan"
    path.write_text(
        f'ScanDefinition = {{ Label = "{path.name}"; Type = "{kind}"; Flags = "Image"; Dwell = 1;\n'
        f"Regions = ({regions},\n{{\n"
        + axis("PAxis", "um", [0.0, 0.02, 0.04, 0.06])
        + axis("QAxis", "um", [0.0, 0.02, 0.04])
        + "});\n"
        + ("" if stack is None else axis("StackAxis", "eV", stack))
        + '};\nTime = "2016 May 29 12:00:00";\n'
        + entries
    )
    return path


def entry(energy: float, number: int = 0) -> str:
    return (
        f"Image{number:03d}_0 = {{StorageRingCurrent = 500.1; Energy = {energy:.2f}; "
        'Time = "2016 May 29 12:00:01"; ZP_dest= -1.0; ZP_error = 0.0;};\n'
    )


def write_image(path: Path, image: np.ndarray) -> Path:
    path.write_text("\n".join("\t".join(f"{value:g}" for value in row) for row in image) + "\n")
    return path


def test_an_image_scan_is_one_frame_with_its_energy(tmp_path: Path) -> None:
    path = header(tmp_path / "b.hdr", None, entry(641.25))
    image = write_image(tmp_path / "b_a.xim", IMAGE)
    for given in (path, image):  # the header, or the image beside it
        read = read_tilt_series(ReadRequest(images=(given,)))
        np.testing.assert_array_equal(read.frames, IMAGE[None])
        np.testing.assert_allclose(read.energy_ev, [641.25])
        np.testing.assert_allclose(read.pixel_nm, [20.0])
        assert read.quantity == "counts"


def test_the_two_images_of_a_pair_are_chosen_by_their_names(tmp_path: Path) -> None:
    header(tmp_path / "m.hdr", [635.0, 642.0])
    for number in range(2):
        write_image(tmp_path / f"m_a{number:03d}.xim", IMAGE + number)
    for number, energy in ((0, 635.0), (1, 642.0)):
        read = read_tilt_series(ReadRequest(images=(tmp_path / f"m_a{number:03d}.xim",)))
        np.testing.assert_array_equal(read.frames, IMAGE[None] + number)
        np.testing.assert_allclose(read.energy_ev, [energy])
    pair = peek(ReadRequest(images=(tmp_path / "m.hdr",)))
    np.testing.assert_allclose(pair.energy_ev, [635.0, 642.0])


def test_image_scans_of_a_folder_are_a_stack_and_their_images_are_not_read_twice(tmp_path: Path) -> None:
    energies = np.array([638.0, 640.0, 641.0, 642.0, 650.0])
    for i, energy in enumerate(energies):
        header(tmp_path / f"s{i}.hdr", None, entry(energy))
        write_image(tmp_path / f"s{i}_a.xim", IMAGE + i)
    stack = read_spectral_stack(ReadRequest(images=(tmp_path,)), energies=None, energy_unit=None)
    assert stack.shape == (5, 3, 4)
    np.testing.assert_allclose(stack.energy_ev, energies)
    np.testing.assert_array_equal(stack.frame(3), IMAGE + 3)


@pytest.mark.parametrize(
    ("entries", "regions", "said"),
    [
        ("", 1, "the energy of the image, or a StackAxis with energies, got 0 energies"),
        (entry(640.0) + entry(650.0, 1), 1, "got 2 energies"),
        (entry(640.0), 2, "a scan of one region, got 2 regions"),
    ],
)
def test_headers_that_do_not_say_the_energy_of_one_image_are_refused(
    entries: str, regions: int, said: str, tmp_path: Path
) -> None:
    write_image(tmp_path / "b_a.xim", IMAGE)
    with pytest.raises(InputError, match=said):
        peek(ReadRequest(images=(header(tmp_path / "b.hdr", None, entries, regions),)))


def test_an_image_without_its_header_or_of_another_scan_is_refused(tmp_path: Path) -> None:
    image = write_image(tmp_path / "b_a.xim", IMAGE)
    with pytest.raises(InputError, match=r"expected its header b\.hdr beside it, got none"):
        peek(ReadRequest(images=(image,)))
    header(tmp_path / "b.hdr", [635.0, 642.0])
    with pytest.raises(InputError, match=r"one of the 2 images of b\.hdr"):
        peek(ReadRequest(images=(image,)))


@pytest.mark.parametrize("version", ["NXstxm", "2.0", None])
@pytest.mark.parametrize("images", ["stack", "image"])
def test_old_and_new_stxm_files_are_the_same(version: str | None, images: str, tmp_path: Path) -> None:
    energies = np.array([638.0, 640.0, 641.0, 642.0, 650.0])
    path = tmp_path / "scan.stxm"
    with h5py.File(path, "w") as file:
        entry0 = file.create_group("entry0")
        if version == "NXstxm":
            entry0.attrs["NX_class"] = "NXentry"
        if version is not None:
            entry0["definition"] = version
        data = entry0.create_group("counter0")
        if version == "NXstxm":
            data.attrs["NX_class"] = "NXdata"
        data["stxm_scan_type"] = "sample image stack" if images == "stack" else "sample image"
        data["data"] = np.stack([IMAGE + i for i in range(5)]) if images == "stack" else IMAGE
        data["energy"] = energies if images == "stack" else energies[:1]
        data["count_time"] = np.full(5, 0.001)
        data["sample_x"], data["sample_y"] = np.arange(4) * 0.02, np.arange(3) * 0.02
    if images == "stack":
        stack = read_spectral_stack(ReadRequest(images=(path,)), energies=None, energy_unit=None)
        np.testing.assert_allclose(stack.energy_ev, energies)
        np.testing.assert_array_equal(stack.frame(4), IMAGE + 4)
        assert stack.pixel_nm == pytest.approx(20.0)
    else:
        read = read_tilt_series(ReadRequest(images=(path,)))
        np.testing.assert_array_equal(read.frames, IMAGE[None])
        np.testing.assert_allclose(read.energy_ev, energies[:1])
        np.testing.assert_allclose(read.pixel_nm, 20.0)


def test_a_line_scan_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "scan.stxm"
    with h5py.File(path, "w") as file:
        data = file.create_group("entry0/counter0")
        data["stxm_scan_type"], data["data"] = "sample line spectrum", IMAGE
    with pytest.raises(InputError, match="got none"):
        peek(ReadRequest(images=(path,)))
