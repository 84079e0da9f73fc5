"""Wrong, damaged and truncated files give one clear line, never a traceback."""

import logging
from collections.abc import Callable
from pathlib import Path

import fabio
import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oxytomo.arrays import TiltSeries
from oxytomo.errors import InputError, PipelineError
from oxytomo.io.readers import ReadRequest, peek, read_angles, read_tilt_series
from oxytomo.io.readers.data_exchange import write_data_exchange

FRAMES = np.random.default_rng(1).integers(0, 4000, (6, 32, 40)).astype(np.int16)
REAL = (
    "dual_energy_dev_a/raw/O_K_pre.h5",
    "readers/txrm_test_chip_tomo.txrm",
    "ssrl_nca_dual_energy_xrm/rep01_20161456_ssrl-test-data_08324.0_eV_001of003.xrm",
    "haadf_needle_mrc/HAADF.mrc",
    "savu_grain_tiff/tiffs/raw_00000.tiff",
    "readers/k11-18014.nxs",
)


def write_exchange(path: Path) -> None:
    angles = np.arange(6.0)
    write_data_exchange(
        path,
        TiltSeries(frames=FRAMES, tilt_deg=angles, energy_ev=angles, pixel_nm=angles + 1, quantity="signal"),
    )


def write_nexus(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, nx_class in (
            ("e", "NXentry"),
            ("e/i", "NXinstrument"),
            ("e/i/d", "NXdetector"),
            ("e/s", "NXsample"),
        ):
            file.create_group(name).attrs["NX_class"] = nx_class
        file["e/i/d/data"] = FRAMES
        file["e/i/d/image_key"] = [0, 0, 0, 0, 1, 2]
        file["e/s/rotation_angle"] = np.arange(6.0)


def write_mrc(path: Path) -> None:
    with mrcfile.new(path) as mrc:
        mrc.set_data(FRAMES)


def write_tiff(path: Path) -> None:
    tifffile.imwrite(path, FRAMES)


def write_zipped_tiff(path: Path) -> None:
    tifffile.imwrite(path, FRAMES, compression="zlib")


def write_edf(path: Path) -> None:
    # A header of two blocks: half the file must not end between two frames, where nothing would be missing.
    image = fabio.edfimage.EdfImage(data=FRAMES[0], header={"title": "x" * 600})
    for frame in FRAMES[1:]:
        image.append_frame(data=frame)
    image.write(str(path))


WRITERS: dict[str, Callable[[Path], None]] = {
    "exchange.h5": write_exchange,
    "tomo.nxs": write_nexus,
    "series.mrc": write_mrc,
    "stack.tif": write_tiff,
    "zipped.tif": write_zipped_tiff,
    "series.edf": write_edf,
}


def read(path: Path) -> TiltSeries:
    return read_tilt_series(ReadRequest(images=(path,), angles=(0.0, 1.0)))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.97, 0.5, 0.15])
def test_truncated_files_are_refused_without_reading(tmp_path: Path, name: str, share: float) -> None:
    WRITERS[name](tmp_path / name)
    assert read(tmp_path / name).n_frames in (4, 6)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="truncated"):
        peek(ReadRequest(images=(tmp_path / name,), angles=(0.0, 1.0)))


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("share", [0.995, 0.6, 0.1])
def test_truncated_real_files_are_refused(shared_data: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (shared_data / name).read_bytes()
    copy = tmp_path / Path(name).name
    copy.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="truncated"):
        read(copy)


@pytest.mark.parametrize("name", WRITERS)
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_bytes_never_give_a_traceback(tmp_path: Path, name: str, data: st.DataObject) -> None:
    original = tmp_path / f"original_{name}"
    if not original.exists():
        WRITERS[name](original)
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        near = data.draw(st.sampled_from([300, 3000, len(content)]))
        content[data.draw(st.integers(0, min(near, len(content)) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / name
    damaged.write_bytes(
        content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        series = read(damaged)
    except PipelineError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert series.frames.ndim == 3


@pytest.mark.data
@pytest.mark.parametrize("name", [REAL[1], REAL[5]])
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_real_files_never_give_a_traceback(
    shared_data: Path, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    content = bytearray((shared_data / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        near = data.draw(st.sampled_from([600, len(content)]))
        content[data.draw(st.integers(0, near - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / Path(name).name
    damaged.write_bytes(content)
    try:
        assert read(damaged).frames.ndim == 3
    except PipelineError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_missing_empty_and_unknown_files(tmp_path: Path) -> None:
    (tmp_path / "empty.h5").touch()
    (tmp_path / "notes.txt").write_text("some words " * 200)
    (tmp_path / "folder").mkdir()
    for name, match in (
        ("absent.h5", r"absent\.h5: expected images to read, got no such file"),
        ("empty.h5", "got an empty file"),
        ("notes.txt", "got a file of no known format"),
        ("folder", "expected a folder with images, got no raw files in it"),
    ):
        with pytest.raises(InputError, match=match):
            peek(ReadRequest(images=(tmp_path / name,)))


def test_hdf5_without_frames_is_of_no_known_format(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["numbers"] = [1, 2, 3]
    with pytest.raises(InputError, match=r"a layout that is recognised.*numbers"):
        peek(ReadRequest(images=(tmp_path / "a.h5",)))


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mrc(tmp_path / "a.mrc")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="PermissionError: Permission denied"):
        peek(ReadRequest(images=(tmp_path / "a.mrc",)))


def test_files_of_two_formats_are_refused(tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrc")
    write_tiff(tmp_path / "b.tif")
    with pytest.raises(InputError, match="images of one format, got MRC and TIFF"):
        peek(ReadRequest(images=(tmp_path,)))


@pytest.mark.parametrize(
    ("text", "tilts", "energies"),
    [
        ("-1\n0\n 1.5 \n", [-1, 0, 1.5], None),
        ("# made by hand\ntilt_deg\n3\n4\n", [3, 4], None),
        ("name;theta_rad;energy_keV\na;0;0.5\nb;3.141592653589793;0.6\n", [0, 180], [500, 600]),
        ("Angle (deg), Energy_eV\n1,853\n2,854\n", [1, 2], [853, 854]),
        ("\ufeffangle\n7\n", [7], None),
    ],
)
def test_angle_tables(tmp_path: Path, text: str, tilts: list[float], energies: list[float] | None) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    table = read_angles(tmp_path / "a.txt")
    np.testing.assert_allclose(table.tilt_deg, tilts)
    if energies is None:
        assert table.energy_ev is None
    else:
        np.testing.assert_allclose(table.energy_ev, energies)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "got an empty file"),
        ("1 2\n3 4\n", "got 2 columns without names"),
        ("x,y\n1,2\n", "got columns x, y"),
        ("angle\n1\nabc\n", "a number in every row, got 'abc' in row 2"),
        ("1\nnan\n", "a number in every row, got 'nan' in row 2"),
        ("angle,energy_ev\n1,2\n3\n", "rows of different length"),
    ],
)
def test_angle_tables_that_are_wrong(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=match):
        read_angles(tmp_path / "a.txt")


def test_missing_angle_table(tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrc")
    with pytest.raises(InputError, match=r"b\.txt: expected a table of tilt angles, got no such file"):
        peek(ReadRequest(images=(tmp_path / "a.mrc",), angles=tmp_path / "b.txt"))


@pytest.fixture(autouse=True)
def _quiet_libraries() -> None:
    """Keep the complaints of libraries about damaged files out of the test log."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
