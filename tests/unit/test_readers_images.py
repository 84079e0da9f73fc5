"""TIFF, MRC and Xradia files, generated and real."""

import struct
from collections.abc import Callable
from pathlib import Path

import fabio
import mrcfile
import numpy as np
import pytest
import tifffile

from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest, peek, read_tilt_series, series
from oxytomo.io.readers.xradia import _energy_ev
from oxytomo.slabs import View
from tests.fuzz.targets import edf, exchange, mrc, nexus, tiff, xradia


def request(*paths: Path, **settings: object) -> ReadRequest:
    return ReadRequest(images=paths, **settings)  # type: ignore[arg-type]


def tiff_folder(folder: Path, n: int, shape: tuple[int, int] = (4, 5)) -> Path:
    folder.mkdir()
    for i in range(n):
        tifffile.imwrite(folder / f"frame_{i}.tif", np.full(shape, i, np.uint16))
    return folder


def old_mrc(path: Path, frames: np.ndarray, order: str, extended: bytes = b"") -> None:
    """Write an MRC file of before the year 2000: no stamp, no byte order, FEI's label."""
    n_z, n_y, n_x = frames.shape
    header = bytearray(1024)
    struct.pack_into(f"{order}10i", header, 0, n_x, n_y, n_z, 1, 0, 0, 0, n_x, n_y, n_z)
    struct.pack_into(f"{order}3f", header, 40, n_x, n_y, n_z)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}i", header, 92, len(extended))
    struct.pack_into(f"{order}i", header, 220, 1)
    header[224:236] = b"Fei Company "
    path.write_bytes(bytes(header) + extended + frames.astype(f"{order}i2").tobytes())


def test_folder_of_tiffs_in_natural_order(tmp_path: Path) -> None:
    folder = tiff_folder(tmp_path / "frames", 12)
    (folder / "readme.txt").write_text("not a frame")
    (folder / ".hidden.tif").write_bytes(b"II*\x00")
    flat, dark = tmp_path / "flat.tif", tmp_path / "dark.tif"
    tifffile.imwrite(flat, np.full((4, 5), 100.0, np.float32))
    tifffile.imwrite(dark, np.full((4, 5), 3.0, np.float32))
    read = read_tilt_series(
        request(folder, angles=(-6.0, 1.0), flat=(flat, flat), dark=(dark,), pixel_nm=8.0)
    )
    assert read.frames[:, 0, 0].tolist() == list(range(12))
    assert read.frames.dtype == np.uint16
    assert read.tilt_deg.tolist() == list(range(-6, 6))
    assert read.flat is not None
    assert read.flat.shape == (2, 4, 5)
    assert read.flat.dtype == np.float32
    assert read.quantity == "counts"


def test_tiff_stack_with_table(tmp_path: Path) -> None:
    frames = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "stack.tif", frames, compression="zlib", photometric="minisblack")
    (tmp_path / "table.csv").write_text("frame,angle,energy_eV\n0,9,1\n1,-1.5,853\n2,0,853.5\n3,1.5,854\n")
    read = read_tilt_series(
        request(tmp_path / "stack.tif", angles=tmp_path / "table.csv", angles_range=(1, 4))
    )
    np.testing.assert_array_equal(read.frames, frames)
    assert read.tilt_deg.tolist() == [-1.5, 0.0, 1.5]
    assert read.energy_ev.tolist() == [853.0, 853.5, 854.0]


def test_big_endian_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[[1, 256]]], ">u2"), byteorder=">")
    read = read_tilt_series(request(tmp_path / "a.tif", angles=(0.0, 1.0)))
    assert read.frames.dtype.isnative
    assert read.frames.tolist() == [[[1, 256]]]


def test_files_of_different_shape_are_refused(tmp_path: Path) -> None:
    folder = tiff_folder(tmp_path / "frames", 3)
    tifffile.imwrite(folder / "frame_3.tif", np.zeros((4, 6), np.uint16))
    with pytest.raises(
        InputError, match=r"frame_3\.tif: expected frames of \(4, 5\) pixels as in frame_0\.tif"
    ):
        peek(request(folder))


def test_colour_images_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match=r"three dimensions, got shape \(2, 4, 5, 3\)"):
        peek(request(tmp_path / "a.tif"))


@pytest.mark.parametrize(("factor", "name"), [(1.0, "regular"), (0.5, "placeholder")])
def test_mrc_pixel_and_angle_file(tmp_path: Path, factor: float, name: str) -> None:
    frames = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    voxel = 20.0 if name == "regular" else 1.0
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(frames)
        mrc.voxel_size = voxel
    (tmp_path / "a.rawtlt").write_text(" -2.0\n 2.0\n")
    read = read_tilt_series(request(tmp_path / "a.mrc", offset=32768.0))
    np.testing.assert_array_equal(read.frames, frames.astype(np.float32) + 32768)
    assert read.tilt_deg.tolist() == [-2.0, 2.0]
    assert read.quantity == "signal"
    if name == "regular":
        np.testing.assert_allclose(read.pixel_nm, 2.0)  # 20 Å
    else:
        assert np.isnan(read.pixel_nm).all()  # 1 Å stands for "not known"


@pytest.mark.parametrize("order", ["<", ">"])
def test_old_mrc_with_fei_header(tmp_path: Path, order: str) -> None:
    frames = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
    records = np.zeros((1024, 32), f"{order}f4")
    records[:2, 0] = [-30.0, 30.0]
    records[:2, 11] = 3.36e-9
    old_mrc(tmp_path / "a.mrc", frames, order, records.tobytes())
    read = read_tilt_series(request(tmp_path / "a.mrc"))
    np.testing.assert_array_equal(read.frames, frames)
    assert read.tilt_deg.tolist() == [-30.0, 30.0]
    np.testing.assert_allclose(read.pixel_nm, 3.36)


def test_mrc_without_angles_needs_them(tmp_path: Path) -> None:
    old_mrc(tmp_path / "a.mrc", np.zeros((2, 3, 4), np.int16), "<")
    assert np.isnan(peek(request(tmp_path / "a.mrc")).tilt_deg).all()
    with pytest.raises(InputError, match="tilt angles in the file or beside it, got none"):
        read_tilt_series(request(tmp_path / "a.mrc"))


def test_xradia_energies_plain_strided_and_absent() -> None:
    plain = np.array([853.0, 854.0, 855.0])
    strided = np.zeros(21)
    strided[::10] = plain
    np.testing.assert_array_equal(_energy_ev(plain, 3), plain)
    np.testing.assert_array_equal(_energy_ev(strided, 3), plain)
    np.testing.assert_array_equal(_energy_ev(np.array([700.0]), 3), np.full(3, 700.0))
    assert _energy_ev(np.zeros(3), 3) is None
    assert _energy_ev(np.zeros(0), 3) is None


@pytest.mark.data
@pytest.mark.parametrize("energy_ev", [8324.0, 8354.0])
def test_xrm_frames_and_references(shared_data: Path, energy_ev: float) -> None:
    folder = shared_data / "ssrl_nca_dual_energy_xrm"
    frames = sorted(folder.glob(f"*data_0{energy_ev:.1f}_eV_*of003.xrm"))
    flats = sorted(folder.glob(f"*_ref_*data_0{energy_ev:.1f}_eV*.xrm"))
    read = read_tilt_series(request(*frames, flat=tuple(flats)))
    assert read.frames.shape == (3, 1024, 1024)
    assert read.frames.dtype == np.uint16
    assert set(read.energy_ev) == {energy_ev}  # from the file name: the header has 0
    np.testing.assert_allclose(read.pixel_nm, 31.2, rtol=1e-6)
    np.testing.assert_allclose(read.tilt_deg, 6.974469, rtol=1e-6)
    np.testing.assert_allclose(read.exposure_s, 0.5)
    np.testing.assert_allclose(read.flat_exposure_s, 0.3, rtol=1e-6)
    assert read.flat is not None
    assert read.flat.shape == (3, 1024, 1024)
    assert read.quantity == "counts"
    expected = {8324.0: 414.4110498428345, 8354.0: 385.66321754455566}
    np.testing.assert_allclose(read.frames[0].mean(), expected[energy_ev])


@pytest.mark.data
def test_flats_of_another_energy_are_refused(shared_data: Path) -> None:
    folder = shared_data / "ssrl_nca_dual_energy_xrm"
    frames = sorted(folder.glob("*data_08324.0_eV_*of003.xrm"))
    flats = sorted(folder.glob("*_ref_*data_08354.0_eV*.xrm"))
    with pytest.raises(
        InputError, match="expected flat frames at 8324 eV, the energy of the frames, got 8354 eV"
    ):
        peek(request(*frames, flat=tuple(flats)))


@pytest.mark.parametrize(
    ("make", "suffix"),
    [(mrc, ".mrc"), (edf, ".edf"), (xradia, ".txrm"), (tiff, ".tif"), (exchange, ".h5"), (nexus, ".nxs")],
)
def test_frames_one_at_a_time_are_those_of_the_whole(
    make: Callable[[Path], None], suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"series{suffix}"
    make(path)
    asked = request(path, angles=(0.0, 10.0))
    whole = read_tilt_series(asked).frames
    monkeypatch.setattr(series, "IN_MEMORY_BYTES", 0)
    frames = read_tilt_series(asked).frames
    assert isinstance(frames, View)
    assert (frames.shape, frames.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_array_equal([frames[number] for number in range(len(whole))], whole)
    assert frames[0].dtype.isnative


@pytest.mark.data
def test_txrm_tomography(shared_data: Path) -> None:
    read = read_tilt_series(request(shared_data / "readers/txrm_test_chip_tomo.txrm"))
    assert read.frames.shape == (7, 256, 256)
    np.testing.assert_allclose(
        read.tilt_deg, [-45.018, -30.014, -15.014, -0.014, 14.986, 29.986, 44.986], atol=1e-3
    )
    np.testing.assert_allclose(read.energy_ev, 9200.017, atol=1e-2)
    np.testing.assert_allclose(read.pixel_nm, 155.78947, rtol=1e-6)
    np.testing.assert_allclose(read.exposure_s, 5.0)


@pytest.mark.data
def test_savu_grain(shared_data: Path) -> None:
    folder = shared_data / "savu_grain_tiff"
    read = read_tilt_series(
        request(
            folder / "tiffs",
            angles=folder / "angles.txt",
            angles_range=(10, 101),
            flat=(folder / "flat_00001.tiff",),
            dark=(folder / "dark_00001.tiff",),
        )
    )
    assert read.frames.shape == (91, 135, 160)
    np.testing.assert_allclose(read.tilt_deg[[0, 1, -1]], [-88.2, -86.2, 91.8], atol=1e-3)
    np.testing.assert_array_equal(read.frames[17], tifffile.imread(folder / "tiffs/raw_00017.tiff"))
    assert read.flat is not None
    assert read.dark is not None
    assert read.flat.mean() > read.frames.mean() > read.dark.mean()


@pytest.mark.data
def test_pillar_of_optical_density(shared_data: Path) -> None:
    read = read_tilt_series(
        request(shared_data / "tomo77_pillar_tiff", angles=(0.0, 0.4), quantity="optical_density")
    )
    assert read.frames.shape == (451, 79, 83)
    assert read.frames.dtype == np.float32
    np.testing.assert_allclose(read.tilt_deg[-1], 180.0)
    assert read.quantity == "optical_density"


@pytest.mark.data
def test_needle_with_offset(shared_data: Path) -> None:
    read = read_tilt_series(request(shared_data / "haadf_needle_mrc/HAADF.mrc", offset=32768.0))
    assert read.frames.shape == (77, 256, 256)
    np.testing.assert_array_equal(read.tilt_deg, np.arange(-76.0, 77.0, 2.0))
    np.testing.assert_allclose(read.pixel_nm, 3.36, rtol=1e-6)
    assert (read.frames.min(), read.frames.max()) == (860.0, 65093.0)  # −31908 and 32325 in the file


@pytest.mark.parametrize("files", ["one per frame", "all in one"])
def test_edf(tmp_path: Path, files: str) -> None:
    frames = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    folder = tmp_path / "scan"
    folder.mkdir()
    if files == "one per frame":
        for i, frame in enumerate(frames):
            fabio.edfimage.EdfImage(data=frame, header={"title": "holo"}).write(str(folder / f"scan_{i}.edf"))
    else:
        image = fabio.edfimage.EdfImage(data=frames[0], header={"title": "holo"})
        for frame in frames[1:]:
            image.append_frame(data=frame)
        image.write(str(folder / "scan.edf"))
    flat = tmp_path / "flat.edf"
    fabio.edfimage.EdfImage(data=np.full((4, 5), 7.0, np.float32)).write(str(flat))
    read = read_tilt_series(
        request(folder, angles=(0.0, 0.5), flat=(flat,), energy_ev=17_000.0, pixel_nm=20.0)
    )
    np.testing.assert_array_equal(read.frames, frames)
    assert read.frames.dtype == np.uint16
    assert read.flat is not None
    assert read.flat.tolist() == np.full((1, 4, 5), 7.0).tolist()
    assert (read.metadata["format"], read.metadata["title"], read.quantity) == ("EDF", "holo", "counts")
