"""Every volume format against one array written with that format's own library."""

import gzip
import zlib
from pathlib import Path

import h5py
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr

from oxytomo.errors import InputError
from oxytomo.export.ngff import Channel
from oxytomo.export.ome_zarr import write_image
from oxytomo.io.volumes import VolumeRequest, read_volume

SHAPE = (5, 7, 9)


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 60_000, SHAPE).astype(np.uint16)


def read(*paths: Path, **options: object):
    return read_volume(VolumeRequest(images=paths, **options))


def write_ome_zarr(path: Path, values: np.ndarray) -> None:
    write_image(
        path,
        [Channel("volume", values.astype(np.float32), "FFFFFF", (0, 1))],
        name="v",
        axes=("z", "y", "x"),
        voxel_nm=20.0,
        labels=[],
        ngff="0.5",
        chunk=8,
        shard=8,
        levels=1,
        attributes={},
        threads=1,
    )


def test_tiff_stack_and_folder_of_slices(values: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", values)
    np.testing.assert_array_equal(read(tmp_path / "stack.tif").values, values)
    folder = tmp_path / "slices"
    folder.mkdir()
    # Natural order: slice_10 comes after slice_2.
    for number, image in zip((1, 2, 3, 10, 11), values, strict=True):
        tifffile.imwrite(folder / f"slice_{number}.tif", image)
    found = read(folder)
    np.testing.assert_array_equal(found.values, values)
    assert found.values.dtype == np.float32
    assert found.voxel_nm is None


def test_a_large_plain_volume_stays_on_disk(
    values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oxytomo.io.volumes.base.MAPPED_BYTES", 0)
    tifffile.imwrite(tmp_path / "a.tif", values.astype(">u2"), byteorder=">")
    values.astype(">u2").tofile(tmp_path / "a.raw")
    for request in (
        VolumeRequest(images=(tmp_path / "a.tif",)),
        VolumeRequest(images=(tmp_path / "a.raw",), shape=values.shape, dtype=">u2"),
    ):
        found = read_volume(request).values
        assert not isinstance(found, np.ndarray)
        assert (found.shape, found.dtype) == (values.shape, np.float32)
        np.testing.assert_array_equal(found[1:3], values.astype(np.uint16)[1:3])


def test_large_volumes_of_other_formats_are_read_in_parts(
    values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "packed.tif", values, compression="zlib")
    (tmp_path / "slices").mkdir()
    for number, part in enumerate((values[:1], values[1:4], values[4:])):
        tifffile.imwrite(tmp_path / "slices" / f"{number}.tif", part, photometric="minisblack")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("volume", data=values, chunks=(2, 3, 9), compression="gzip")
    zarr.create_array(str(tmp_path / "plain.zarr"), data=values)
    for name in ("v.nrrd", "beside.nhdr"):
        nrrd.write(str(tmp_path / name), values, {"encoding": "raw"}, index_order="C")
    for name in ("packed.nrrd", "beside_packed.nhdr"):
        nrrd.write(str(tmp_path / name), values, {"encoding": "gzip"}, index_order="C")
    for name in ("v.nii", "v.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), str(tmp_path / name))
    (tmp_path / "v.mha").write_bytes(meta_image(values) + values.tobytes())
    packed = zlib.compress(values.tobytes())
    (tmp_path / "packed.mha").write_bytes(meta_image(values, compressed=True) + packed)
    (tmp_path / "v.mhd").write_bytes(meta_image(values, "v.raw"))
    (tmp_path / "v.raw").write_bytes(values.tobytes())
    write_ome_zarr(tmp_path / "image.zarr", values)
    monkeypatch.setattr("oxytomo.io.volumes.base.MAPPED_BYTES", 0)
    monkeypatch.setattr("oxytomo.io.volumes.packed._PIECE", 100)
    files = ("v.nrrd", "beside.nhdr", "packed.nrrd", "beside_packed.nhdr", "v.nii", "v.nii.gz")
    files += ("v.mha", "v.mhd", "packed.mha")
    for name in ("packed.tif", "slices", "v.h5", "plain.zarr", "image.zarr", *files):
        found = read(tmp_path / name).values
        assert not isinstance(found, np.ndarray), name
        assert (found.shape, found.dtype) == (values.shape, np.float32)
        for key in (slice(1, 4), (slice(0, 5), slice(2, 5), slice(1, 9)), (slice(None), slice(0, 7))):
            np.testing.assert_array_equal(found[key], values[key], err_msg=f"{name} {key}")


def test_a_nifti_file_read_in_parts_has_its_slope_and_intercept(
    values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = nibabel.Nifti1Image(values.T.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 3.0)
    nibabel.save(image, str(tmp_path / "v.nii"))
    whole = np.asarray(read(tmp_path / "v.nii").values)
    monkeypatch.setattr("oxytomo.io.volumes.base.MAPPED_BYTES", 0)
    np.testing.assert_array_equal(read(tmp_path / "v.nii").values[1:4], whole[1:4])


def test_a_tilt_series_is_no_volume_unless_its_dataset_is_named(values: np.ndarray, tmp_path: Path) -> None:
    """Projections stacked as slices would give porosities that mean nothing."""
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["exchange/data"] = values
        file["exchange/theta"] = np.linspace(-60, 60, SHAPE[0])
    with pytest.raises(
        InputError, match=r"got 5 images with an angle each \(exchange/theta\): a tilt series"
    ):
        read(tmp_path / "v.h5")
    assert read(tmp_path / "v.h5", dataset="exchange/data").values.shape == SHAPE
    with h5py.File(tmp_path / "v.h5", "a") as file:
        file["exchange/theta"][:] = 0.0  # a volume keeps the table of its projections as zeros
    assert read(tmp_path / "v.h5").values.shape == SHAPE


def test_hdf5_named_or_largest(values: np.ndarray, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["entry/volume"] = values
        file["entry/preview"] = values[:2]
    np.testing.assert_array_equal(read(tmp_path / "v.h5").values, values)
    np.testing.assert_array_equal(read(tmp_path / "v.h5", dataset="entry/preview").values, values[:2])


@pytest.mark.parametrize(("dtype", "header"), [("<u2", 0), (">f4", 16), ("<i4", 3)])
def test_raw_with_shape_and_type(values: np.ndarray, tmp_path: Path, dtype: str, header: int) -> None:
    (tmp_path / "v.raw").write_bytes(b"x" * header + values.astype(dtype).tobytes())
    found = read(tmp_path / "v.raw", shape=SHAPE, dtype=dtype, header_bytes=header)
    np.testing.assert_array_equal(found.values, values)
    with pytest.raises(InputError, match="correct 'shape', 'dtype' or 'header_bytes'"):
        read(tmp_path / "v.raw", shape=(5, 7, 10), dtype=dtype, header_bytes=header)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd_with_voxel_size(values: np.ndarray, tmp_path: Path, encoding: str) -> None:
    header = {
        "space": "left-posterior-superior",
        "space directions": np.eye(3) * 0.02,
        "space units": ["um"] * 3,
        "encoding": encoding,
    }
    nrrd.write(str(tmp_path / "v.nrrd"), values, header, index_order="C")
    found = read(tmp_path / "v.nrrd")
    np.testing.assert_array_equal(found.values, values)
    assert found.voxel_nm == pytest.approx(20)


def test_gzip_in_several_members_with_something_behind_them(values: np.ndarray, tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "v.nrrd"), values, {"encoding": "raw"}, index_order="C")
    head, data = (
        (tmp_path / "v.nrrd").read_bytes().replace(b"encoding: raw", b"encoding: gzip").split(b"\n\n", 1)
    )
    members = gzip.compress(data[:100]) + gzip.compress(data[100:])
    for behind in (b"", b"\0\0", b"something else"):
        (tmp_path / "v.nrrd").write_bytes(head + b"\n\n" + members + behind)
        np.testing.assert_array_equal(read(tmp_path / "v.nrrd").values, values)
    (tmp_path / "v.nrrd").write_bytes(head + b"\n\n" + members[:-40])
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "v.nrrd")


def test_nifti_plain_and_compressed(values: np.ndarray, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(values.T, np.diag([0.02, 0.02, 0.02, 1]))
    image.header.set_xyzt_units("micron")
    for name in ("v.nii", "v.nii.gz"):
        nibabel.save(image, str(tmp_path / name))
        found = read(tmp_path / name)
        np.testing.assert_array_equal(found.values, values)
        assert found.voxel_nm == pytest.approx(20)


def meta_image(values: np.ndarray, data: str = "LOCAL", *, compressed: bool = False) -> bytes:
    size = " ".join(str(side) for side in values.shape[::-1])
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {size}", "ElementType = MET_USHORT"]
    lines += ["CompressedData = True"] * compressed
    return "\n".join([*lines, f"ElementDataFile = {data}", ""]).encode()


def test_meta_image_in_one_file_and_in_two(values: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "v.mha").write_bytes(meta_image(values) + values.tobytes())
    (tmp_path / "v.mhd").write_bytes(meta_image(values, "v.raw"))
    (tmp_path / "v.raw").write_bytes(values.tobytes())
    for name in ("v.mha", "v.mhd"):
        np.testing.assert_array_equal(read(tmp_path / name).values, values)
    (tmp_path / "cut.mha").write_bytes(meta_image(values) + values.tobytes()[:-2])
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "cut.mha")


def test_ome_zarr_of_our_own_and_a_plain_array(values: np.ndarray, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "v.ome.zarr", values)
    found = read(tmp_path / "v.ome.zarr")
    np.testing.assert_array_equal(found.values, values)
    assert found.voxel_nm == pytest.approx(20)
    zarr.save_array(str(tmp_path / "plain.zarr"), values)
    np.testing.assert_array_equal(read(tmp_path / "plain.zarr").values, values)


def test_one_image_is_a_volume_of_one_slice(values: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slice.tif", values[0])
    assert read(tmp_path / "slice.tif").values.shape == (1, 7, 9)


def test_what_is_no_volume_is_one_line(values: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="no known format"):
        read(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent.tif")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["a"] = np.arange(3)
    with pytest.raises(InputError, match="name the volume with 'dataset'"):
        read(tmp_path / "empty.h5")
    with h5py.File(tmp_path / "nan.h5", "w") as file:
        file["a"] = np.full(SHAPE, np.nan, np.float32)
    with pytest.raises(InputError, match="finite values"):
        read(tmp_path / "nan.h5")
    tifffile.imwrite(tmp_path / "a.tif", values[0])
    tifffile.imwrite(tmp_path / "b.tif", values[0, :, :5])
    with pytest.raises(InputError, match="slices of one volume only"):
        read(tmp_path / "a.tif", tmp_path / "b.tif")
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([1, 1, 2.0]),
        "space units": ["um"] * 3,
    }
    nrrd.write(str(tmp_path / "v.nrrd"), values, header, index_order="C")
    with pytest.raises(InputError, match="cubic voxels"):
        read(tmp_path / "v.nrrd")
    (tmp_path / "broken.nii.gz").write_bytes(gzip.compress(b"short"))
    with pytest.raises(InputError, match=r"broken\.nii\.gz"):
        read(tmp_path / "broken.nii.gz")
