"""What real files have that the plain case has not: unsigned bytes, pages, two scales, alignment frames, filters, links."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from oxytomo.errors import InputError
from oxytomo.io.readers import ReadRequest, peek, read_flat, read_some, read_tilt_series
from oxytomo.io.readers.guard import linked_file
from oxytomo.io.volumes import VolumeRequest, read_volume
from oxytomo.units import is_length, to_ev, to_nm

COUNTS = np.random.default_rng(4).integers(100, 4000, (6, 12, 10)).astype(np.uint16)


def request(path: Path, **settings: Any) -> ReadRequest:
    return ReadRequest(images=(path,), **({"angles": (0.0, 1.0)} | settings))


# --- MRC: bytes with and without a sign


def mrc_of_bytes(
    path: Path, values: np.ndarray, *, flags: int | None, limits: bool, version: int = 0
) -> None:
    """Write mode 0 by hand, with or without IMOD's mark and the range of values."""
    n, n_y, n_x = values.shape
    head = bytearray(1024)
    struct.pack_into("<10i", head, 0, n_x, n_y, n, 0, 0, 0, 0, n_x, n_y, n)
    struct.pack_into("<6f", head, 40, n_x * 33.6, n_y * 33.6, n * 33.6, 90, 90, 90)
    struct.pack_into("<3i", head, 64, 1, 2, 3)
    if limits:
        struct.pack_into("<3f", head, 76, values.min(), values.max(), values.mean())
    struct.pack_into("<i", head, 108, version)
    if flags is not None:
        struct.pack_into("<2i", head, 152, 1146047817, flags)
    head[208:216] = b"MAP \x44\x44\0\0"
    path.write_bytes(bytes(head) + values.tobytes())


UNSIGNED = np.arange(10, 250, 2, dtype=np.uint8).reshape(3, 5, 8)
SIGNED = (UNSIGNED.astype(int) - 128).astype(np.int8)
SMALL = (UNSIGNED // 4).astype(np.int8)


@pytest.mark.parametrize(
    ("values", "flags", "limits", "version"),
    [
        (UNSIGNED, 0, True, 0),
        (UNSIGNED, 0, False, 0),
        (SIGNED, 1, True, 0),
        (SIGNED, 1, False, 20140),
        (UNSIGNED, None, True, 0),  # the header's own range says it
        (UNSIGNED, None, True, 20140),
        (SIGNED, None, True, 0),
        (SIGNED, None, False, 20140),  # the standard of 2014
        (SMALL, None, True, 0),  # the same either way
    ],
)
def test_mrc_bytes_have_the_sign_that_the_header_says(
    tmp_path: Path, values: np.ndarray, flags: int | None, limits: bool, version: int
) -> None:
    path = tmp_path / "a.mrc"
    mrc_of_bytes(path, values, flags=flags, limits=limits, version=version)
    frames = read_tilt_series(request(path)).frames
    np.testing.assert_array_equal(np.asarray(frames[:]), values)
    np.testing.assert_array_equal(np.asarray(read_some(request(path), [2])[0]), values[2])
    volume = read_volume(VolumeRequest(images=(path,)))
    np.testing.assert_array_equal(volume.values[:], values.astype(np.float32))
    np.testing.assert_array_equal(volume.values[1:2], values[1:2].astype(np.float32))
    assert volume.voxel_nm == pytest.approx(3.36)


@pytest.mark.parametrize(
    ("values", "flags", "limits", "match"),
    [
        (UNSIGNED, 1, True, "IMOD's mark says signed, the header's range 10 to 248 unsigned"),
        (SIGNED, 0, True, "IMOD's mark says unsigned, the header's range -118 to 120 signed"),
        (UNSIGNED, None, False, "no mark of IMOD, no version from 2014 on and no range"),
    ],
)
def test_mrc_bytes_of_unknown_sign_are_refused(
    tmp_path: Path, values: np.ndarray, flags: int | None, limits: bool, match: str
) -> None:
    mrc_of_bytes(tmp_path / "a.mrc", values, flags=flags, limits=limits)
    with pytest.raises(InputError, match=f"{match}.*newstack -mode 1"):
        read_tilt_series(request(tmp_path / "a.mrc"))


def test_mrc_volume_with_turned_axes_is_refused(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(COUNTS.astype(np.float32))
        file.header.mapc, file.header.maps = 3, 1
    with pytest.raises(InputError, match="sections along z, got axes 3, 2, 1"):
        read_volume(VolumeRequest(images=(tmp_path / "a.mrc",)))


# --- TIFF: pages


def test_tiff_written_page_by_page_has_all_its_frames(tmp_path: Path) -> None:
    for name, groups in {"pages": [*COUNTS], "parts": [COUNTS[:2], COUNTS[2], COUNTS[3:]]}.items():
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            for group in groups:
                file.write(group, photometric="minisblack")
        path = tmp_path / f"{name}.tif"
        series = read_tilt_series(request(path, flat=(path,), dark=(path,)))
        np.testing.assert_array_equal(series.frames[:], COUNTS)
        assert series.flat is not None
        assert series.dark is not None
        assert series.flat.shape == series.dark.shape == COUNTS.shape
        np.testing.assert_array_equal(read_some(request(path), [5, 0]), COUNTS[[5, 0]])
        np.testing.assert_array_equal(read_volume(VolumeRequest(images=(path,))).values[:], COUNTS)


def test_tiff_thumbnails_are_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(COUNTS, photometric="minisblack")
        file.write(COUNTS[0, ::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read_tilt_series(request(path)).frames[:], COUNTS)
    np.testing.assert_array_equal(read_some(request(path), [3])[0], COUNTS[3])


def test_tiff_pages_of_two_kinds_are_refused(tmp_path: Path) -> None:
    for other in (COUNTS[0].astype(np.float32), COUNTS[0, :4]):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(COUNTS, photometric="minisblack")
            file.write(other)
        with pytest.raises(InputError, match=r"pages of one size and type, got 6 of 12 × 10 uint16, 1 of"):
            peek(request(tmp_path / "a.tif"))
        with pytest.raises(InputError, match="pages of one size and type"):
            read_volume(VolumeRequest(images=(tmp_path / "a.tif",)))


# --- OME-Zarr: two scales


@pytest.mark.parametrize(
    ("level", "common", "voxel_nm"),
    [
        ([1, 1, 1], [0.02] * 3, 20.0),
        ([0.02] * 3, None, 20.0),
        (None, [0.02] * 3, 20.0),
        ([2, 2, 2], [0.02] * 3, 40.0),
        (None, None, None),
    ],
)
def test_ome_zarr_scale_of_a_level_times_that_of_all(
    tmp_path: Path, level: list[float] | None, common: list[float] | None, voxel_nm: float | None
) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=COUNTS)
    described: dict[str, Any] = {
        "version": "0.4",
        "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"],
        "datasets": [{"path": "0"}],
    }
    for place, scale in ((described["datasets"][0], level), (described, common)):
        if scale is not None:
            place["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    group.attrs["multiscales"] = [described]
    volume = read_volume(VolumeRequest(images=(tmp_path / "a.zarr",)))
    np.testing.assert_array_equal(volume.values[:], COUNTS)
    assert volume.voxel_nm == (None if voxel_nm is None else pytest.approx(voxel_nm))


def test_ome_zarr_scales_that_fit_no_axes_are_refused(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=COUNTS)
    wrong = [{"type": "scale", "scale": [0.02, 0.0, 0.02]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    group.attrs["multiscales"] = [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": wrong}]}
    ]
    with pytest.raises(InputError, match="one positive scale for each of 3 axes"):
        read_volume(VolumeRequest(images=(tmp_path / "a.zarr",)))


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("microns", 1e3),
        ("Micrometers", 1e3),
        ("micrometre", 1e3),
        ("nanometers", 1.0),
        ("µm", 1e3),
        ("meters", 1e9),
        ("m", 1e9),
        ("angstroms", 0.1),
        ("Å", 0.1),
    ],
)
def test_units_of_length_in_the_plural_and_in_both_spellings(unit: str, nm: float) -> None:
    assert is_length(unit)
    assert to_nm(1.0, unit) == nm


def test_unknown_units_are_no_lengths() -> None:
    assert not any(is_length(unit) for unit in ("", "M", "s", "parsecs", "ms"))
    with pytest.raises(KeyError):
        to_nm(1.0, "M")
    assert to_ev(1.0, "keV") == to_ev(1.0, "kiloelectronvolts") == 1e3


# --- NXtomo and Data Exchange


def nxtomo(path: Path, frames: np.ndarray, **detector: Any) -> None:
    """Write two flats and projections at 0, 10, … degrees, with more in the detector group."""
    n = frames.shape[0]
    with h5py.File(path, "w") as file:
        classes = {"e": "NXentry", "e/i": "NXinstrument", "e/i/d": "NXdetector", "e/s": "NXsample"}
        for name, nx_class in classes.items():
            file.create_group(name).attrs["NX_class"] = nx_class
        file["e/definition"] = "NXtomo"
        file["e/i/d/data"] = frames
        file["e/i/d/image_key"] = [1, 1] + [0] * (n - 2)
        file["e/s/rotation_angle"] = np.concatenate([[0, 0], 10.0 * np.arange(n - 2)])
        file["e/s/rotation_angle"].attrs["units"] = "deg"
        for axis in "xy":
            file[f"e/i/d/{axis}_pixel_size"] = 0.02
            file[f"e/i/d/{axis}_pixel_size"].attrs["units"] = "microns"
        for name, value in detector.items():
            file[f"e/i/d/{name}"] = value


def test_alignment_frames_of_nxtomo_are_dropped(tmp_path: Path) -> None:
    nxtomo(tmp_path / "a.nx", COUNTS, image_key_control=[1, 1, 0, 0, -1, -1])
    series = read_tilt_series(ReadRequest(images=(tmp_path / "a.nx",)))
    np.testing.assert_array_equal(series.frames[:], COUNTS[2:4])
    np.testing.assert_array_equal(series.flat, COUNTS[:2])
    assert series.tilt_deg.tolist() == [0.0, 10.0]
    assert series.pixel_nm.tolist() == pytest.approx([20.0, 20.0])
    nxtomo(tmp_path / "b.nx", COUNTS, image_key_control=[1, 1, 0, 0, 0, 0])
    assert peek(ReadRequest(images=(tmp_path / "b.nx",))).shape[0] == 4


def test_half_acquisition_of_nxtomo_is_refused_by_name(tmp_path: Path) -> None:
    nxtomo(tmp_path / "a.nx", COUNTS, field_of_view="Half")
    with pytest.raises(InputError, match=r"field_of_view: Half \(half acquisition"):
        peek(ReadRequest(images=(tmp_path / "a.nx",)))
    nxtomo(tmp_path / "b.nx", COUNTS, field_of_view="Full")
    assert peek(ReadRequest(images=(tmp_path / "b.nx",))).shape[0] == 4


def test_averaged_flats_and_darks_in_two_dimensions_are_one_frame(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"], file["exchange/theta"] = COUNTS, np.arange(6.0)
        file["exchange/data_white"], file["exchange/data_dark"] = COUNTS[0] + 0.5, COUNTS[1] / 100
    series = read_tilt_series(ReadRequest(images=(tmp_path / "a.h5",)))
    np.testing.assert_array_equal(series.flat, (COUNTS[:1] + 0.5).astype(np.float32))
    np.testing.assert_array_equal(series.dark, (COUNTS[1:2] / 100).astype(np.float32))


def test_signed_counts_with_an_offset_are_the_counts(tmp_path: Path) -> None:
    shifted = (COUNTS.astype(int) - 32768).astype(np.int16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"], file["exchange/data_white"] = shifted, shifted[:2]
        file["exchange/theta"] = np.arange(6.0)
    asked = ReadRequest(images=(tmp_path / "a.h5",), offset=32768.0)
    np.testing.assert_array_equal(read_tilt_series(asked).frames[:], COUNTS)
    np.testing.assert_array_equal(read_flat(asked), COUNTS[:2])
    np.testing.assert_array_equal(read_some(asked, [4])[0], COUNTS[4])


def test_one_projection_needs_no_angle(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COUNTS[0])
    series = read_tilt_series(ReadRequest(images=(tmp_path / "a.tif",)))
    assert series.tilt_deg.tolist() == [0.0]
    tifffile.imwrite(tmp_path / "b.tif", COUNTS)
    with pytest.raises(InputError, match="tilt angles in the file or beside it"):
        read_tilt_series(ReadRequest(images=(tmp_path / "b.tif",)))


# --- HDF5: filters, locks, links

FILTERS = {
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "lz4": hdf5plugin.LZ4(),
    "blosc": hdf5plugin.Blosc(),
    "zstd": hdf5plugin.Zstd(),
}


@pytest.mark.parametrize("name", FILTERS)
def test_hdf5_packed_by_a_plugin_is_read(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exchange/data", data=COUNTS, chunks=(1, 12, 10), **FILTERS[name])
        file["exchange/theta"] = np.arange(6.0)
    # A process of its own has loaded no plugin before.
    code = (
        "import sys; from pathlib import Path; from oxytomo.io.readers import ReadRequest, read_tilt_series;"
        "print(read_tilt_series(ReadRequest(images=(Path(sys.argv[1]),))).frames[:].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(COUNTS.sum()), done.stderr


def test_a_filter_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("exchange/data", data=COUNTS, chunks=(1, 12, 10), **FILTERS["lz4"])
        file["exchange/theta"] = np.arange(6.0)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda _number: False)
    with pytest.raises(InputError, match=r"the HDF5 filter 32004 .*h5repack"):
        peek(ReadRequest(images=(tmp_path / "a.h5",)))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Path]:
    """A file that another process has open for writing, as an acquisition has."""
    path = tmp_path / "live.h5"
    code = (
        "import h5py, sys, time; f = h5py.File(sys.argv[1], 'w', libver='latest'); f['exchange/data'] = [[[1.0]]];"
        "f.flush(); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield path
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_file_in_acquisition_is_not_called_damaged(writer: Path) -> None:
    with pytest.raises(InputError, match=r"HDF5_USE_FILE_LOCKING=FALSE|h5clear -s") as caught:
        peek(ReadRequest(images=(writer,)))
    assert "damaged" not in str(caught.value)
    assert "copy the file again" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "Unable to synchronously open file (unable to lock file, errno = 11, error message = 'Resource …')",
        "Unable to synchronously open file (unable to lock file, errno = 37, error message = 'No locks …')",
    ],
)
def test_locks_name_the_variable_that_turns_them_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))

    def locked(*_args: object) -> None:
        raise BlockingIOError(said)

    monkeypatch.setattr("oxytomo.io.readers.hdf5.check_structure", lambda _path: None)
    monkeypatch.setattr("oxytomo.io.readers.hdf5.h5py.File", locked)
    with pytest.raises(InputError, match="HDF5_USE_FILE_LOCKING=FALSE"):
        peek(ReadRequest(images=(tmp_path / "a.h5",)))


def linked_scan(folder: Path, target: str, data: Path) -> Path:
    """Write a master with an external link and a virtual dataset, and what they lead to."""
    folder.mkdir(parents=True, exist_ok=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(data, "w") as file:
        file["d"] = COUNTS
    layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
    layout[...] = h5py.VirtualSource(target, "d", shape=COUNTS.shape)
    with h5py.File(folder / "master.h5", "w") as file:
        file["exchange/data"] = h5py.ExternalLink(target, "d")
        file.create_virtual_dataset("exchange/data_white", layout)
        file["exchange/theta"] = np.arange(6.0)
    return folder / "master.h5"


def check_scan(path: Path) -> None:
    series = read_tilt_series(ReadRequest(images=(path,)))
    np.testing.assert_array_equal(series.frames[:], COUNTS)
    np.testing.assert_array_equal(series.flat, COUNTS)


@pytest.mark.parametrize("target", ["data.h5", "below/data.h5", "/beamline/2024/data.h5"])
def test_links_of_a_master_that_is_a_link_itself_are_resolved_as_h5py_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    store = tmp_path / "store"
    place = store / ("below/data.h5" if target.startswith("below") else "data.h5")
    master = linked_scan(store, target, place)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.h5").symlink_to(master)
    monkeypatch.chdir(tmp_path)
    check_scan(master)
    check_scan(tmp_path / "work" / "mine.h5")
    assert linked_file(tmp_path / "work" / "mine.h5", target) == place
    # Beside the link comes before beside the file that it leads to, as in the library.
    (tmp_path / "work" / place.relative_to(store)).parent.mkdir(exist_ok=True)
    (tmp_path / "work" / place.relative_to(store)).symlink_to(place)
    check_scan(tmp_path / "work" / "mine.h5")


def test_a_file_of_the_working_folder_is_not_taken_for_a_linked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = linked_scan(tmp_path / "store", "data.h5", tmp_path / "store" / "data.h5")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine.h5").symlink_to(master)
    (tmp_path / "here").mkdir()
    with h5py.File(tmp_path / "here" / "data.h5", "w") as file:
        file["d"] = COUNTS + 1
    monkeypatch.chdir(tmp_path / "here")
    check_scan(master)  # its own lies beside it and comes first
    with pytest.raises(InputError, match=r"got .*here/data\.h5, in the working folder"):
        peek(ReadRequest(images=(tmp_path / "work" / "mine.h5",)))
    (tmp_path / "store" / "data.h5").unlink()
    with pytest.raises(InputError, match="in the working folder"):
        peek(ReadRequest(images=(master,)))


def test_a_link_out_of_both_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for target in ("../secret/data.h5", str(tmp_path / "secret" / "data.h5")):
        master = linked_scan(tmp_path / "store", target, tmp_path / "secret" / "data.h5")
        (tmp_path / "work").mkdir(exist_ok=True)
        mine = tmp_path / "work" / "mine.h5"
        mine.unlink(missing_ok=True)
        mine.symlink_to(os.path.relpath(master, mine.parent))
        for path in (master, mine):
            with pytest.raises(InputError, match="got a reference to"):
                peek(ReadRequest(images=(path,)))
