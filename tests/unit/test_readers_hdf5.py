"""Data Exchange, NeXus and MISTRAL files: what is written is what is read, units and links included."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from oxytomo.arrays import TiltSeries
from oxytomo.errors import InputError, StoreError
from oxytomo.io.readers import ReadRequest, peek, read_flat, read_tilt_series
from oxytomo.io.readers.data_exchange import write_data_exchange


@pytest.fixture
def series(rng: np.random.Generator) -> TiltSeries:
    n = 7
    return TiltSeries(
        frames=rng.integers(0, 60000, (n, 5, 6)).astype(np.uint16),
        tilt_deg=np.array([3.0, -2.0, 0.5, 10.0, -7.25, 1.0, 2.0]),
        energy_ev=np.full(n, 641.5),
        pixel_nm=np.full(n, 9.81),
        quantity="counts",
        flat=rng.random((3, 5, 6)).astype(np.float32),
        dark=rng.random((2, 5, 6)).astype(np.float32),
        exposure_s=np.linspace(0.5, 1.1, n),
        ring_current_ma=np.linspace(250.0, 249.0, n),
        flat_exposure_s=np.array([0.3, 0.3, 0.4]),
        flat_ring_current_ma=np.array([250.0, 249.5, 249.0]),
        flat_position=np.array([-1.0, 3.5, 7.0]),
        metadata={"sample": "particle α"},
    )


def nexus(path: Path, key: list[int] | None, angles: np.ndarray, unit: str | None) -> np.ndarray:
    """Write a minimal NXtomo file; frame i is filled with i."""
    frames = np.arange(angles.size, dtype=np.uint16)[:, None, None] * np.ones((1, 4, 5), np.uint16)
    with h5py.File(path, "w") as file:
        entry = file.create_group("scan")
        entry.attrs["NX_class"] = "NXentry"
        instrument = entry.create_group("instrument")
        instrument.attrs["NX_class"] = np.bytes_(b"NXinstrument")
        detector = instrument.create_group("camera")
        detector.attrs["NX_class"] = "NXdetector"
        detector["data"] = frames
        detector["count_time"] = np.linspace(1.0, 2.0, angles.size)
        if key is not None:
            detector["image_key"] = key
        for axis in "xy":
            detector[f"{axis}_pixel_size"] = 2.5e-8
            detector[f"{axis}_pixel_size"].attrs["units"] = "m"
        beam = instrument.create_group("beam")
        beam.attrs["NX_class"] = "NXbeam"
        beam["incident_energy"] = 0.853
        beam["incident_energy"].attrs["units"] = "keV"
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["rotation_angle"] = angles
        if unit is not None:
            sample["rotation_angle"].attrs["units"] = unit
    return frames


def request(path: Path, **settings: object) -> ReadRequest:
    return ReadRequest(images=(path,), **settings)  # type: ignore[arg-type]


def test_data_exchange_gives_back_all_that_was_written(tmp_path: Path, series: TiltSeries) -> None:
    write_data_exchange(tmp_path / "raw.h5", series)
    read = read_tilt_series(request(tmp_path / "raw.h5"))
    assert read.frames.dtype == np.uint16
    assert read.quantity == "counts"
    assert read.metadata["sample"] == "particle α"
    for name in (
        "frames",
        "tilt_deg",
        "energy_ev",
        "pixel_nm",
        "flat",
        "dark",
        "exposure_s",
        "ring_current_ma",
        "flat_exposure_s",
        "flat_ring_current_ma",
        "flat_position",
    ):
        np.testing.assert_array_equal(getattr(read, name), getattr(series, name), err_msg=name)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.h5"]


@pytest.mark.parametrize("quantity", ["transmission", "optical_density", "signal"])
def test_data_exchange_keeps_the_quantity_and_unknown_numbers(tmp_path: Path, quantity: str) -> None:
    unknown = np.full(2, np.nan)
    frames = np.ones((2, 3, 3), np.float32)
    write_data_exchange(
        tmp_path / "a.h5",
        TiltSeries(
            frames=frames, tilt_deg=np.zeros(2), energy_ev=unknown, pixel_nm=unknown, quantity=quantity
        ),  # type: ignore[arg-type]
    )
    read = read_tilt_series(request(tmp_path / "a.h5"))
    assert read.quantity == quantity
    assert np.isnan(read.energy_ev).all()
    assert np.isnan(read.pixel_nm).all()
    assert read.flat is None
    assert read.exposure_s is None


def test_data_exchange_energy_and_pixel_per_frame(tmp_path: Path, series: TiltSeries) -> None:
    varied = TiltSeries(
        frames=series.frames,
        tilt_deg=series.tilt_deg,
        energy_ev=np.linspace(640.0, 642.0, 7),
        pixel_nm=np.linspace(9.8, 9.9, 7),
        quantity="signal",
    )
    write_data_exchange(tmp_path / "a.h5", varied)
    read = read_tilt_series(request(tmp_path / "a.h5"))
    np.testing.assert_array_equal(read.energy_ev, varied.energy_ev)
    np.testing.assert_array_equal(read.pixel_nm, varied.pixel_nm)


def test_units_are_converted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = np.ones((2, 3, 3), np.uint16)
        file["exchange/theta"] = np.array([0.0, np.pi / 2])
        file["exchange/theta"].attrs["units"] = "rad"
        file["measurement/instrument/monochromator/energy"] = 0.5285
        file["measurement/instrument/monochromator/energy"].attrs["units"] = "keV"
        for axis in "xy":
            name = f"measurement/instrument/detector/{axis}_pixel_size"
            file[name] = 6.5
            file[name].attrs["units"] = "um"
        file["measurement/instrument/detection_system/objective/magnification"] = 650.0
    read = read_tilt_series(request(tmp_path / "a.h5"))
    np.testing.assert_allclose(read.tilt_deg, [0.0, 90.0])
    np.testing.assert_allclose(read.energy_ev, 528.5)
    np.testing.assert_allclose(read.pixel_nm, 10.0)  # 6.5 µm behind an objective of 650 ×
    assert read.quantity == "signal"


def test_request_wins_over_the_file(tmp_path: Path, series: TiltSeries) -> None:
    write_data_exchange(tmp_path / "a.h5", series)
    read = read_tilt_series(
        request(
            tmp_path / "a.h5",
            angles=(-30.0, 10.0),
            energy_ev=700.0,
            pixel_nm=5.0,
            quantity="signal",
            offset=2.5,
        )
    )
    np.testing.assert_array_equal(read.tilt_deg, np.arange(-30.0, 31.0, 10.0))
    assert set(read.energy_ev) == {700.0}
    assert set(read.pixel_nm) == {5.0}
    assert read.quantity == "signal"
    np.testing.assert_array_equal(read.frames, series.frames.astype(np.float32) + np.float32(2.5))


def test_flats_alone_and_peek(tmp_path: Path, series: TiltSeries) -> None:
    write_data_exchange(tmp_path / "a.h5", series)
    np.testing.assert_array_equal(read_flat(request(tmp_path / "a.h5")), series.flat)
    summary = peek(request(tmp_path / "a.h5"))
    assert (summary.shape, summary.dtype, summary.n_flat, summary.n_dark) == ((7, 5, 6), "uint16", 3, 2)
    assert summary.format == "Data Exchange HDF5"


def test_two_files_become_one_series(tmp_path: Path, series: TiltSeries) -> None:
    for name in ("a.h5", "b.h5"):
        write_data_exchange(tmp_path / name, series)
    read = read_tilt_series(ReadRequest(images=(tmp_path / "a.h5", tmp_path / "b.h5")))
    assert read.frames.shape == (14, 5, 6)
    np.testing.assert_array_equal(read.frames[7:], series.frames)
    np.testing.assert_array_equal(read.flat_position, [-1.0, 3.5, 7.0, 6.0, 10.5, 14.0])


def test_failed_writing_leaves_nothing(tmp_path: Path, series: TiltSeries) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="expected to write it, got"):
        write_data_exchange(tmp_path / "file" / "a.h5", series)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_frames_in_two_dimensions_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = np.ones((3, 3))
    with pytest.raises(InputError, match=r"three dimensions, got shape \(3, 3\)"):
        peek(request(tmp_path / "a.h5"))


def test_frames_that_were_never_written_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("exchange/data", (4, 3, 3), "u2", chunks=(1, 3, 3))
        data[:3] = 1
        file["exchange/theta"] = np.arange(4.0)
    with pytest.raises(InputError, match="4 blocks of data in /exchange/data, got 3: the file is truncated"):
        peek(request(tmp_path / "a.h5"))


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = np.ones((2, 3, 3))
        for axis, size in (("x", 10.0), ("y", 12.0)):
            name = f"measurement/instrument/detector/{axis}_actual_pixel_size"
            file[name] = size
            file[name].attrs["units"] = "nm"
    with pytest.raises(InputError, match="square pixels, got 12 × 10 nm"):
        peek(request(tmp_path / "a.h5"))


@pytest.mark.parametrize(
    ("name", "value", "unit", "match"),
    [
        ("exchange/theta", [0.0, 1.0], "gon", "angles in deg or rad, got 'gon'"),
        ("measurement/instrument/monochromator/energy", 1.0, "J", "known unit of energy, got 'J'"),
        (
            "measurement/instrument/detector/exposure_time",
            [1.0, 2.0, 3.0],
            "s",
            r"one per frame \(2\), got 3",
        ),
        ("exchange/theta", [0.0, np.nan], "deg", "finite tilt angle for every frame, got nan for frame 1"),
        ("exchange/theta", [0.0, 1.0, 2.0], "deg", "2 tilt angles, one per frame, got 3"),
    ],
)
def test_facts_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, value: object, unit: str, match: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = np.ones((2, 3, 3))
        file[name] = value
        file[name].attrs["units"] = unit
        if name != "exchange/theta":
            file["exchange/theta"] = [0.0, 1.0]
    with pytest.raises(InputError, match=match):
        read_tilt_series(request(tmp_path / "a.h5"))


def test_nexus_sorts_frames_by_image_key(tmp_path: Path) -> None:
    key = [2, 1, 1, 0, 0, 1, 0, 3, 1]
    angles = np.deg2rad(np.array([0, 0, 0, -10.0, 0.0, 0, 10.0, 15.0, 0]))
    nexus(tmp_path / "a.nxs", key, angles, "rad")
    read = read_tilt_series(request(tmp_path / "a.nxs"))
    assert read.frames[:, 0, 0].tolist() == [3, 4, 6]
    np.testing.assert_allclose(read.tilt_deg, [-10.0, 0.0, 10.0], atol=1e-12)
    assert read.flat is not None
    assert read.dark is not None
    assert read.flat[:, 0, 0].tolist() == [1, 2, 5, 8]
    assert read.dark[:, 0, 0].tolist() == [0]
    assert read.flat_position is not None
    assert read.flat_position.tolist() == [-1.0, -1.0, 1.5, 3.0]
    np.testing.assert_allclose(read.exposure_s, np.linspace(1, 2, 9)[[3, 4, 6]])
    np.testing.assert_allclose(read.flat_exposure_s, np.linspace(1, 2, 9)[[1, 2, 5, 8]])
    np.testing.assert_allclose(read.energy_ev, 853.0)
    np.testing.assert_allclose(read.pixel_nm, 25.0)
    assert read.quantity == "counts"


def test_nexus_without_keys_is_all_projections(tmp_path: Path) -> None:
    nexus(tmp_path / "a.nxs", None, np.arange(4.0), None)
    read = read_tilt_series(request(tmp_path / "a.nxs"))
    assert read.n_frames == 4
    assert read.tilt_deg.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert read.flat is None


def test_nexus_link_to_a_missing_file_is_named(tmp_path: Path) -> None:
    nexus(tmp_path / "a.nxs", None, np.arange(4.0), None)
    with h5py.File(tmp_path / "a.nxs", "a") as file:
        del file["scan/instrument/camera/data"]
        file["scan/instrument/camera/data"] = h5py.ExternalLink("frames/camera.h5", "/data")
    with pytest.raises(
        InputError, match=r"camera/data\]: expected the linked file .*frames/camera\.h5, got no such"
    ):
        peek(request(tmp_path / "a.nxs"))


def test_nexus_with_two_cameras_needs_a_name(tmp_path: Path) -> None:
    nexus(tmp_path / "a.nxs", None, np.arange(4.0), None)
    with h5py.File(tmp_path / "a.nxs", "a") as file:
        other = file.create_group("scan/instrument/other")
        other.attrs["NX_class"] = "NXdetector"
        other["data"] = np.full((4, 2, 2), 9, np.uint8)
    with pytest.raises(InputError, match=r"camera/data, /scan/instrument/other/data.*'dataset:'"):
        peek(request(tmp_path / "a.nxs"))
    read = read_tilt_series(request(tmp_path / "a.nxs", dataset="scan/instrument/other/data"))
    assert read.frames.shape == (4, 2, 2)
    assert read.tilt_deg.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_mistral_is_transmission_in_micrometres(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("TomoNormalized")
        group["TomoNormalized"] = np.full((3, 4, 4), 0.5, np.float32)
        group["rotation_angle"] = [-1.0, 0.0, 1.0]
        group["energy"] = np.full(3, 706.2)
        group["x_pixel_size"] = group["y_pixel_size"] = 0.013
        group["ExpTimes"] = [1.0, 2.0, 3.0]
        group["Currents"] = [250.0, 249.0, 248.0]
    read = read_tilt_series(request(tmp_path / "a.hdf5"))
    assert read.quantity == "transmission"
    np.testing.assert_allclose(read.pixel_nm, 13.0)
    np.testing.assert_allclose(read.energy_ev, 706.2)
    np.testing.assert_array_equal(read.exposure_s, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(read.ring_current_ma, [250.0, 249.0, 248.0])


@pytest.mark.data
def test_simulated_series_of_the_shared_data(shared_data: Path) -> None:
    read = read_tilt_series(request(shared_data / "dual_energy_dev_a/raw/O_K_pre.h5"))
    assert read.frames.shape == (131, 128, 160)
    assert (read.tilt_deg.min(), read.tilt_deg.max()) == (-65.0, 65.0)
    np.testing.assert_allclose(read.energy_ev, 525.0)
    np.testing.assert_allclose(read.pixel_nm, 9.7608)
    assert read.quantity == "counts"
    assert read.flat is not None
    assert read.flat.shape == (10, 128, 160)


@pytest.mark.data
def test_eds_maps_are_a_signal(shared_data: Path) -> None:
    summary = peek(request(shared_data / "eds_tilt_elements/O.h5"))
    assert (summary.shape, summary.quantity) == ((16, 256, 256), "signal")
    np.testing.assert_allclose(summary.pixel_nm, 13.08)
    np.testing.assert_allclose(summary.tilt_deg, np.arange(-40.0, 36.0, 5.0))


@pytest.mark.data
def test_diamond_scan_with_linked_files(shared_data: Path) -> None:
    read = read_tilt_series(request(shared_data / "readers/k11-18014.nxs"))
    assert read.frames.shape == (3001, 22, 26)
    assert read.flat is not None
    assert read.dark is not None
    assert read.flat.shape[0] == read.dark.shape[0] == 100
    np.testing.assert_allclose(read.tilt_deg[[0, -1]], [89.995, 269.9946], atol=1e-3)
    assert np.diff(read.tilt_deg).min() > 0
    assert read.flat.mean() > read.frames.mean() > read.dark.mean()
    assert read.flat_position is not None
    assert np.unique(read.flat_position).tolist() == [-1.0, 3001.0]


@pytest.mark.data
def test_diamond_scan_without_its_linked_files(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "k11-18014.nxs").write_bytes((shared_data / "readers/k11-18014.nxs").read_bytes())
    with pytest.raises(InputError, match=r"expected the linked file .*k11-18014-\w+\.h5, got no such file"):
        peek(request(tmp_path / "k11-18014.nxs"))
